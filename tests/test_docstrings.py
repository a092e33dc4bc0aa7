"""The docstrings of public functions that take or return arrays state their shapes and dtypes."""

import ast
import re
from collections.abc import Iterator

from places import ROOT

FILES = sorted(file for folder in ("keras_dr", "export", "edge_demo") for file in (ROOT / folder).rglob("*.py"))
TREES = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text("utf-8")) for file in FILES}
ARRAY = r"NDArray|ndarray|KerasTensor|tf\.Tensor"
SHAPE = re.compile(r"\((?:\.\.\.|[\w+*/. -]+),[\w+*/, .-]*\)")  # (n,), (S, S, 3), (..., C)
DTYPE = re.compile(r"\b(?:u?int|float|bool|str)\d*\b")
REFERENCE = re.compile(r"\bas (?:for|of|in|from|to) `|\bsee `")  # to a docstring that states them


def aliases(tree: ast.Module) -> set[str]:
    """The names that a module gives to types of arrays, such as Weights = NDArray[np.float64]."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and re.search(ARRAY, ast.unparse(node.value))
        for target in node.targets
        if isinstance(target, ast.Name) and target.id[0].isupper()
    }


def kinds(tree: ast.Module) -> re.Pattern[str]:
    """A pattern of all types of arrays that a module uses, including those imported from other modules."""
    names = aliases(tree)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            source = f"{(node.module or '').replace('.', '/')}.py"
            if source in TREES:
                names |= {imported.name for imported in node.names} & aliases(TREES[source])
    return re.compile(rf"\b(?:{'|'.join([ARRAY, *sorted(names)])})\b")


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions of a module and the methods of its classes whose names have no leading underscore."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, f"{node.name}.")


def uses_arrays(function: ast.FunctionDef, array_types: re.Pattern[str]) -> bool:
    """Whether an argument or the result is an array."""
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    annotations = [*(argument.annotation for argument in arguments), function.returns]
    return any(array_types.search(ast.unparse(annotation)) for annotation in annotations if annotation)


def test_arrays_have_shapes_and_dtypes() -> None:
    functions = [
        (file, name, ast.get_docstring(function) or "")
        for file, tree in TREES.items()
        for name, function in public(tree.body)
        if uses_arrays(function, kinds(tree))
    ]
    silent = [
        f"{file}: {name}"
        for file, name, text in functions
        if not (SHAPE.search(text) and DTYPE.search(text)) and not REFERENCE.search(text)
    ]
    assert len(functions) > 100 and not silent, "\n".join(silent)
