"""The commands that the documentation gives, found and run on miniature data.

python tests/helpers/documented_commands.py    lists those that are not run, and why
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from places import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SHELL = ("", "sh")  # languages of a fence that holds commands
# <!-- not run: REASON --> stands before a fence that cannot be run; single commands by their first word:
NOT_RUN = {
    "make": "makes an environment of its own and installs into it",
    "pip": "installs packages",
    "python3": "makes an environment",
    ".": "activates an environment",
}
# Smaller, and without a download: a tiny network, one epoch a phase, small photographs, few rounds.
SMALLER = (
    (r"--size \d+", "--size 32"),
    (r"--folds \d+", "--folds 2"),
    (r"(cli\.py prepare .*)", r"\1 --workers 1"),
    (
        r"(cli\.py train .*)",
        r"\1 --backbone tiny --weights none --set frozen.epochs=1 --set finetune.epochs=1",
    ),
    (r"(cli\.py export .*)", r"\1 --allow-drift"),  # its gate is not for a dozen photographs
    (r"(cli\.py profile .*|edge_demo profile .*)", r"\1 --repeats 2"),
)
SMALLER_PYTHON = (
    ("size=512", "size=32"),
    (r"recipe=\"recipes/best.yaml\"", 'recipe="tiny.yaml"'),
    (r"(dr\.export\(.*)\)", r"\1, allow_drift=True)"),
)
TINY_RECIPE = """
backbone: tiny
weights: none
frozen: {epochs: 1, learning_rate: 1.0e-3}
finetune: {epochs: 1, learning_rate: 1.0e-3}
"""
_FENCE = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"`((?:python|pip|keras-dr|keras-dr-edge) [^`]+)`")
# The installed commands are those of the repository.
INSTALLED = {"keras-dr-edge": "python -m edge_demo", "keras-dr": "python cli.py"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: after the fence's backticks; "" for none.
        text: between the fences.
        reason: why it is not run; "" if it is.
    """

    language: str
    text: str
    reason: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page that hold commands or Python."""
    for found in _FENCE.finditer(page.read_text("utf-8")):
        if found["language"] in (*SHELL, "python"):
            yield Block(found["language"], found["text"], found["reason"] or "")


def lines(block: Block) -> list[str]:
    """A block's commands, continued lines joined, comments left out."""
    joined = block.text.replace("\\\n", " ").splitlines()
    stripped = (re.sub(r"\s+# .*", "", line).strip() for line in joined)
    return [in_repository(line) for line in stripped if line and line[0] != "#"]


def in_repository(line: str) -> str:
    """Return a command line with installed commands as they are called in a clone."""
    first, _, rest = line.partition(" ")
    return f"{INSTALLED.get(first, first)} {rest}".strip()


def why_not(block: Block, line: str) -> str:
    """Why a command is not run; "" if it is."""
    return block.reason or NOT_RUN.get(line.split()[0], "")


def every_command() -> Iterator[tuple[str, str]]:
    """(file, command line) of all `python ...` in pages and in the comments of recipes, also of those not run."""
    for page in PAGES:
        for block in blocks(page):
            yield from ((page.name, line) for line in lines(block) if block.language in SHELL)
        yield from ((page.name, in_repository(line)) for line in _INLINE.findall(page.read_text("utf-8")))
    for recipe in sorted((ROOT / "recipes").glob("*.yaml")):
        comment = re.sub(r"\\\n#", " ", recipe.read_text("utf-8"))
        yield from ((recipe.name, line) for line in re.findall(r"^#\s+(python .*)", comment, re.M))


@dataclass
class Sandbox:
    """A folder in which commands run as in the repository.

    Attributes:
        folder: where.
        stand_ins: word of a command -> how to make what it names, at that path.
    """

    folder: Path
    stand_ins: Mapping[str, Callable[[Path], object]]

    def run(self, line: str) -> None:
        """Run a command line on what stands in for its words; AssertionError unless it ends well."""
        for pattern, smaller in SMALLER:
            line = re.sub(pattern, smaller, line)
        words = [word.removeprefix("$") for word in shlex.split(line)]
        self.stand_in(words)
        if words[:2] == ["python", "cli.py"]:  # in this process, which has TensorFlow loaded
            import cli

            assert not cli.app(words[2:], standalone_mode=False), line
            return
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(self.folder)}  # where the key of patients' hashes is made
        done = subprocess.run(line, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def stand_in(self, words: Iterable[str]) -> None:
        """Make what stands in for words, where it is not there yet."""
        for word in words:
            name = word.removeprefix("../")
            path = self.folder / name
            if name in self.stand_ins and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self.stand_ins[name](path)

    def python(self, text: str) -> str:
        """Return a page's Python on miniature data, after making what stands in for the names in it."""
        self.stand_in(re.findall(r"\"([^\"]+)\"", text))
        (self.folder / "tiny.yaml").write_text(TINY_RECIPE)
        for pattern, smaller in SMALLER_PYTHON:
            text = re.sub(pattern, smaller, text)
        return text


def listing() -> str:
    """What is not run and why, and how many are run; those that install packages are counted apart."""
    told, run, installing = [], 0, 0
    for page in PAGES:
        for block in blocks(page):
            for line in lines(block) if block.language in SHELL else ["(Python)"]:
                reason = why_not(block, line)
                run += not reason
                installing += bool(reason) and not block.reason
                told += [f"{page.name}: {line}\n    {reason}"] if reason else []
    return "\n".join([*told, f"{installing} install, {len(told) - installing} not run, {run} run"])


if __name__ == "__main__":
    print(listing())
