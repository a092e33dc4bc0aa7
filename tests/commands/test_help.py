"""The help of the command line at the usual width of a terminal."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import app


def help_texts(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The words of each command, and what its --help prints at 80 columns."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    yield words, result.output
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from help_texts(subcommand, (*words, name))


@pytest.fixture(scope="module")
def texts() -> dict[tuple[str, ...], str]:
    return dict(help_texts(typer.main.get_command(app)))


def test_no_summary_in_a_list_of_commands_is_cut_off(texts: dict[tuple[str, ...], str]) -> None:
    lists = {words: text.partition("\nCommands:\n")[2].splitlines() for words, text in texts.items()}
    lists = {words: lines for words, lines in lists.items() if lines}
    assert set(lists) == {(), ("recipe",)} and len(texts) > 15
    cut_off = [line for lines in lists.values() for line in lines if line.endswith(("...", "…"))]
    assert not cut_off


def test_lines_fit_a_terminal_of_80_columns(texts: dict[tuple[str, ...], str]) -> None:
    assert all(len(line) <= 80 for text in texts.values() for line in text.splitlines())


def test_inspect_and_prepare_share_the_options_of_a_source(texts: dict[tuple[str, ...], str]) -> None:
    names = ("image-column", "label-column", "patient-column", "eye-column", "split-column")
    for name in (*names, "images", "classes", "positive", "map", "patients"):
        assert f"--{name} " in texts[("inspect",)] and f"--{name} " in texts[("prepare",)]
