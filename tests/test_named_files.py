"""The files and folders of the repository that its texts name."""

import re

import pytest
from places import ROOT

TEXTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{file.name}" for file in ROOT.glob("docs/*.md"))]
FOLDERS = ("keras_dr", "edge_demo", "export", "tests", "benchmarks", "recipes", "docs", "web")


@pytest.mark.parametrize("text", TEXTS)
def test_a_file_that_a_text_names_exists(text: str) -> None:
    names = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", (ROOT / text).read_text("utf-8"))
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not missing
