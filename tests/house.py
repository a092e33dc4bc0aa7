"""The map of the house in CONTRIBUTING.md, a line a module, out of the modules' own docstrings.

python tests/house.py    writes it anew
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "CONTRIBUTING.md"
ROOMS = ("keras_dr", "export", "edge_demo", "benchmarks")
BEGIN, END = "<!-- the map: python tests/house.py writes it -->\n", "<!-- end of the map -->\n"


def modules() -> list[Path]:
    """Every module of the program, its folders' own first, by name."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return [ROOT / "cli.py", *sorted(files, key=lambda file: (file.parent, file.name != "__init__.py", file.name))]


def line(file: Path) -> str:
    """A module's name, and the first line of its docstring, as a list's item."""
    first = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split("\n", 1)[0]
    path = file.relative_to(ROOT).as_posix()
    return (
        f"- **`{path.removesuffix('__init__.py')}`** {first}" if file.name == "__init__.py" else f"- `{path}` {first}"
    )


def house() -> str:
    """The map."""
    return "\n".join(map(line, modules())) + "\n"


def drawn(text: str) -> str:
    """CONTRIBUTING.md with the map in its place."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + house() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    FILE.write_text(drawn(FILE.read_text("utf-8")), "utf-8")
