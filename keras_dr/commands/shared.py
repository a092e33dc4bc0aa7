"""Arguments and options that several commands share, and how a command speaks."""

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from keras_dr.console import progress_bar

PreparedFolder = Annotated[Path, typer.Argument(help="Folder that prepare wrote.")]
OtherPrepared = Annotated[Path | None, typer.Argument(help="Another prepared set than the run's own.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder that train wrote.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]
Split = Annotated[str, typer.Option(help="train, val, test or all.")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster, host:port; without it one starts in here.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1)]


class Globally:
    """What the options before the command say."""

    quiet = False
    debug = False


def bar(label: str) -> AbstractContextManager[Callable[..., None]]:
    """A progress bar on a terminal, unless --quiet."""
    return progress_bar(label, Globally.quiet)


def command(*words: str | Path) -> str:
    """A command line of this program, quoted for a shell."""
    return shlex.join(["python", "cli.py", *map(str, words)])


def say(text: str) -> None:
    """Print a line for the user."""
    typer.echo(text)


def done(result: Path, following: str) -> None:
    """Print where the result lies and the next command to type."""
    say(f"Result: {result}")
    say(f"Next:   {following}")
