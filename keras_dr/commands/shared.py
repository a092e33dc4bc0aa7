"""The arguments and options that several commands share, and the output of commands."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_dr.core.progress import Progress, no_progress

if TYPE_CHECKING:
    from rich.console import Console

PreparedFolder = Annotated[Path, typer.Argument(help="Folder that prepare wrote.")]
OtherPrepared = Annotated[Path | None, typer.Argument(help="Another prepared set; default: the run's own.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder that train wrote.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]
Split = Annotated[str, typer.Option(help="train, val, test, calibration or all.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster as host:port; default: start one here.")]
Identified = Annotated[bool, typer.Option("--identified", help="Keep the patients' ids of DICOM files.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="Key of the patients' hashes; default: ~/.config/keras_dr/key, made if missing.")
]
OperatingPointName = Annotated[
    str | None, typer.Option("--operating-point", help="Point to refer at; the command points lists them.")
]
OwnThreshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0, max=1, help="A threshold on the probability of referable DR."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random choices.")]


@dataclass(frozen=True)
class GlobalOptions:
    """The options that come before the command."""

    quiet: bool = False
    debug: bool = False


GLOBAL_OPTIONS = ContextVar("GLOBAL_OPTIONS", default=GlobalOptions())


def bar(label: str) -> AbstractContextManager[Progress]:
    """Return a progress bar for a terminal, or lines for other outputs; --quiet shows nothing."""
    return progress_bar(label, GLOBAL_OPTIONS.get().quiet)


def command(*words: str | Path) -> str:
    """Return a command line of this program, called as the user called it, and quoted for a shell."""
    program = ["python", "cli.py"] if Path(sys.argv[0]).name == "cli.py" else ["keras-dr"]
    return shlex.join([*program, *map(str, words)])


def say(text: str) -> None:
    """Print a line for the user."""
    typer.echo(text)


def done(result: Path, next_command: str) -> None:
    """Print where the result is, and a command that may follow."""
    say(f"Result: {result}")
    say(f"Next:   {next_command}")


@contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Progress]:
    """Yield the progress function of a bar with the remaining time on a terminal, and of lines of text elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet:
        yield no_progress
    elif console.is_terminal:
        with _bar(console, label) as progress:
            yield progress
    else:
        lines = _Lines(label)
        try:
            yield lines
        finally:
            lines.end()


@contextmanager
def _bar(console: "Console", label: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        row = bar.add_task(label, total=None)
        yield lambda done, total, text="": bar.update(
            row, completed=done, total=total, description=f"{label} {text}".strip()
        )


class _Lines:
    """Prints the texts of a progress, one line each.

    A text that only extends the text before it replaces it, so that each epoch gives one line, with its score.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._text = ""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        if not text.startswith(self._text):
            self.end()
        self._text = text

    def end(self) -> None:
        """Print the last text."""
        if self._text:
            typer.echo(f"{self._label}: {self._text}")
        self._text = ""
