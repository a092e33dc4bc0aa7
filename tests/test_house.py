"""CONTRIBUTING.md maps every module."""

import house


def test_the_map_is_the_house() -> None:
    text = house.FILE.read_text("utf-8")
    assert house.drawn(text) == text, "a module is new, gone or says something else: run python tests/house.py"


def test_every_module_says_what_it_is() -> None:
    silent = [str(file) for file in house.modules() if house.line(file).rstrip().endswith(("`", "**"))]
    assert not silent and len(house.modules()) > 100
