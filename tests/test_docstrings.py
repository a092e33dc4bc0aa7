"""Public functions that take or give arrays say their shapes and dtypes."""

import ast
import re
from collections.abc import Iterator

from places import ROOT

FILES = sorted(file for folder in ("keras_dr", "export", "edge_demo") for file in (ROOT / folder).rglob("*.py"))
TREES = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text("utf-8")) for file in FILES}
ARRAY = r"NDArray|ndarray|KerasTensor|tf\.Tensor"
SHAPE = re.compile(r"\((?:\.\.\.|[\w+*/. -]+),[\w+*/, .-]*\)")  # (n,), (S, S, 3), (..., C)
DTYPE = re.compile(r"\b(?:u?int|float|bool|str)\d*\b")
REFERENCE = re.compile(r"\bas (?:for|of|in|from|to) `|\bsee `")  # to a docstring that says it


def aliases(tree: ast.Module) -> set[str]:
    """Names that a module gives to types of arrays, such as Weights = NDArray[np.float64]."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and re.search(ARRAY, ast.unparse(node.value))
        for target in node.targets
        if isinstance(target, ast.Name) and target.id[0].isupper()
    }


def kinds(tree: ast.Module) -> re.Pattern[str]:
    """Every type of array that a module knows, those imported from other modules too."""
    known = aliases(tree)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (source := f"{(node.module or '').replace('.', '/')}.py") in TREES:
            known |= {one.name for one in node.names} & aliases(TREES[source])
    return re.compile(rf"\b(?:{'|'.join([ARRAY, *sorted(known)])})\b")


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions of a module and methods of its classes, whose names have no leading underscore."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, f"{node.name}.")


def takes_arrays(function: ast.FunctionDef, known: re.Pattern[str]) -> bool:
    """Whether an argument or the result is an array."""
    given = function.args
    types = [one.annotation for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)] + [function.returns]
    return any(known.search(ast.unparse(one)) for one in types if one)


def test_arrays_have_shapes_and_dtypes() -> None:
    found = [
        (file, name, ast.get_docstring(function) or "")
        for file, tree in TREES.items()
        for name, function in public(tree.body)
        if takes_arrays(function, kinds(tree))
    ]
    silent = [
        f"{file}: {name}"
        for file, name, text in found
        if not (SHAPE.search(text) and DTYPE.search(text)) and not REFERENCE.search(text)
    ]
    assert len(found) > 100 and not silent, "\n".join(silent)
