"""The runner of the documentation's commands finds them, leaves out what says so, and sees a failure."""

from pathlib import Path

import pytest
from documented_commands import Sandbox, blocks, lines, why_not

PAGE = """Text.

```sh
python cli.py train A \\
  B   # joined
# a comment
pip install x
```

<!-- not run: needs a GPU -->
```sh
python cli.py train A B
```

```text
no command
```
"""


def test_commands_are_found_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    found = [(line, why_not(block, line)) for block in blocks(tmp_path / "page.md") for line in lines(block)]
    assert [(" ".join(line.split()), reason) for line, reason in found] == [
        ("python cli.py train A B", ""),
        ("pip install x", "installs packages"),
        ("python cli.py train A B", "needs a GPU"),
    ]


def test_a_word_is_stood_in_for_once(tmp_path: Path) -> None:
    made = []
    sandbox = Sandbox(tmp_path, {"IDRID": lambda path: (made.append(path), path.write_text("x"))})
    sandbox.run("cat IDRID > out")
    sandbox.run("cat IDRID >> out")
    assert made == [tmp_path / "IDRID"] and (tmp_path / "out").read_text() == "xx"


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="cat nothing"):
        Sandbox(tmp_path, {}).run("cat nothing")
