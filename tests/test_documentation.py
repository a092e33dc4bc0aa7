"""The documentation: its commands run, its Python holds, its links lead somewhere, its figures are all explained."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import documented_commands as commands
import pytest
import typer

import cli
import keras_dr as dr
from edge_demo.__main__ import parser
from keras_dr.models import backbones
from keras_dr.reports.evaluation_tables import MAIN_FIGURES
from keras_dr.synthetic.photographs import write_dataset

ROOT = commands.ROOT


def copy_run(source: Path, prepared_folder: Path, target: Path) -> None:
    """A run beside which its prepared set does not lie."""
    shutil.copytree(source, target)
    about = json.loads((target / "run.json").read_text())
    about["data"]["prepared"] = str(prepared_folder)
    (target / "run.json").write_text(json.dumps(about))


@pytest.fixture
def sandbox(
    tmp_path: Path,
    photographs: Path,
    prepared_folder: Path,
    run_folder: Path,
    bundle_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> commands.Sandbox:
    """A folder like the repository, and drawn photographs for every name that the pages use."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("cli.py", "export", "recipes", "web"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("edge_demo", "keras_dr"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    image = next((photographs / "images").iterdir())

    def source(path: Path) -> None:
        shutil.copytree(photographs, path)

    return commands.Sandbox(
        folder,
        {
            **dict.fromkeys(("SOURCE", "IDRID", "APTOS"), source),
            "ELSEWHERE": lambda path: write_dataset(path, count=40, seed=9, size=(96, 128), workers=1),
            "PREPARED": lambda path: shutil.copytree(prepared_folder, path),
            **dict.fromkeys(("RUN-1", "RUN-2"), lambda path: copy_run(run_folder, prepared_folder, path)),
            "OTHER": lambda path: shutil.copytree(folder / "RUN", path),  # a cross-validation
            "runs/other": lambda path: shutil.copytree(folder / "runs/own", path),
            "BUNDLE": lambda path: shutil.copytree(bundle_folder, path),
            "PHOTOGRAPH.jpg": lambda path: shutil.copy(image, path),
            "CAMERA": lambda path: (path.mkdir(), shutil.copy(image, path)),
        },
    )


def runnable(language: tuple[str, ...]) -> list[Path]:
    """Pages with something of these languages that is run."""

    def some(page: Path) -> bool:
        of_it = (block for block in commands.blocks(page) if block.language in language)
        return any(not commands.why_not(block, line) for block in of_it for line in commands.lines(block))

    return [page for page in commands.PAGES if some(page)]


@pytest.mark.slow  # a page of commands prepares, trains, explains and exports
@pytest.mark.parametrize("page", runnable(commands.SHELL), ids=lambda page: page.stem)
def test_commands_run_in_their_order(page: Path, sandbox: commands.Sandbox) -> None:
    for block in commands.blocks(page):
        for line in commands.lines(block) if block.language in commands.SHELL else ():
            if not commands.why_not(block, line):
                sandbox.run(line)


@pytest.mark.slow  # builds networks
@pytest.mark.parametrize("page", runnable(("python",)), ids=lambda page: page.stem)
def test_python_runs_and_its_tests_pass(
    page: Path, sandbox: commands.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "BACKBONES", backbones.BACKBONES)  # put back what a page adds
    known, names = dict(backbones.BACKBONES), {}
    try:
        for block in commands.blocks(page):
            if block.language == "python" and not block.reason:
                exec(compile(sandbox.python(block.text), page.name, "exec"), names)
        for name, test in list(names.items()):
            if name.startswith("test_"):
                test(*([tmp_path] if test.__code__.co_argcount else []))
    finally:
        backbones.BACKBONES.clear()
        backbones.BACKBONES.update(known)


def device_commands() -> list[str]:
    """The names of the commands of edge_demo."""
    (commands_action,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return list(commands_action.choices)


def parse(words: list[str]) -> None:
    """Read a command line as the program would, and do nothing; SystemExit or click's exception if it is wrong."""
    if words[:3] == ["python", "-m", "edge_demo"]:
        parser().parse_args(words[3:])
        return
    command, words = typer.main.get_command(cli.app), words[2:]
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    if words:
        command.make_context(name, words)


def test_every_command_has_the_options_that_it_is_given() -> None:
    read = 0
    for file, line in commands.every_command():
        words = shlex.split(line)
        words = words[next((i for i, word in enumerate(words) if word == "python"), len(words)) :]
        if words[1:2] == ["cli.py"] or words[1:3] == ["-m", "edge_demo"]:
            if "COMMAND" in words or words[-1] in ("--help", "cli.py", "edge_demo"):
                continue
            if words[:3] == ["python", "-m", "edge_demo"] and len(words) == 4:  # a sentence names the command alone
                assert words[3] in device_commands(), f"{file}: {line}"
                continue
            read += 1
            try:
                parse(words)
            except (click.ClickException, SystemExit, AssertionError) as error:
                pytest.fail(f"{file}: {line}: {error}")
    assert read > 40


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    named = re.findall(r"^::: ([\w.]+)\n    options: \{heading: dr\.(\w+),", page, re.M)
    modules = {name: path.rpartition(".")[0] for path, name in named}
    assert modules == dr._MODULES


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    app = typer.main.get_command(cli.app)
    missing = [name for name in app.commands if f"`keras-dr {name}" not in text]
    missing += [name for name in device_commands() if f"`keras-dr-edge {name}" not in text and f"`{name} " not in text]
    assert not missing


def test_the_readme_is_short_and_folds_nothing_away() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150 and "<details" not in text


@pytest.mark.parametrize("page", commands.PAGES, ids=lambda page: page.stem)
def test_tables_have_as_many_cells_in_every_row(page: Path) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text("utf-8"), re.M):
        cells = {len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1, table


def test_links_in_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_what_is_not_run_has_a_reason_and_is_the_less() -> None:
    said = re.search(r"(\d+) not run, (\d+) run$", commands.listing())  # those that install are counted apart
    assert said and 0 < 2 * int(said[1]) < int(said[2]), commands.listing()


def test_every_main_figure_is_explained() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8").lower()
    assert [title for title in MAIN_FIGURES.values() if title.lower().split(" (")[0] not in page] == []


@pytest.mark.slow  # starts a process that renders all pages
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "mkdocstrings_handlers.python"):
        pytest.importorskip(package, reason="mkdocs-material and mkdocstrings are in requirements-dev.txt")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "metrics" / "index.html").is_file(), done.stderr
