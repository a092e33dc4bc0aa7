"""A bundle with calibrated sets of grades states them in every answer; one without says why it states none."""

import csv
import json
from pathlib import Path

import dicom_fixtures as made
import pytest
from edge_fixtures import change

from edge_demo.__main__ import main
from edge_demo.bundle import Bundle
from edge_demo.dicom_report import read_report
from edge_demo.grader import Grader
from keras_dr.core.errors import KerasDrError
from keras_dr.core.grade_sets import NO_SETS, GradeSets

SETS = GradeSets(0.6, 0.9, "patients", 120, "clinic", 0.08, (0.04, 0.14))


@pytest.fixture
def with_sets(bundle_folder: Path) -> Path:
    change(bundle_folder, grade_sets=SETS.to_dict())
    return bundle_folder


def test_line_table_and_json_state_the_set(
    with_sets: Path, photograph: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eye.png").write_bytes(photograph)
    files = ["--csv", str(tmp_path / "out.csv"), "--json", str(tmp_path / "out.json")]
    assert main(["grade", str(with_sets), str(tmp_path / "eye.png"), *files]) == 0
    grading = Grader(with_sets).grade(photograph)
    assert grading.grade in grading.grade_set
    assert grading.grade_set_sentence == f"With 90 % coverage the grade is {grading.grade_set_in_words}."
    assert grading.grade_set_sentence in capsys.readouterr().out
    with (tmp_path / "out.csv").open(newline="") as stream:
        assert next(csv.DictReader(stream))["grade_set"] == grading.grade_set_in_words
    stated = json.loads((tmp_path / "out.json").read_text())["photographs"][0]["grade_set"]
    assert stated == {"grades": list(grading.grade_set), "words": grading.grade_set_in_words, "coverage": 0.9}
    assert main(["grade", str(with_sets), str(tmp_path / "eye.png"), *files]) == 0  # over what it wrote itself


def test_a_structured_report_states_the_set(with_sets: Path, tmp_path: Path) -> None:
    made.save(made.dataset(made.colours()), tmp_path / "eye.dcm")
    assert main(["grade", str(with_sets), str(tmp_path / "eye.dcm"), "--dicom-out", str(tmp_path / "out")]) == 0
    report = read_report(tmp_path / "out" / "eye_report.dcm")
    grading = Grader(with_sets).grade(tmp_path / "eye.dcm")
    assert report["grade_set"] == grading.grade_set_in_words
    assert grading.grade_set_sentence in report["comments"]


def test_the_points_say_what_sets_promise_or_why_there_are_none(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["points", str(bundle_folder)]) == 0
    assert NO_SETS in capsys.readouterr().out
    change(bundle_folder, grade_sets=SETS.to_dict())
    assert main(["points", str(bundle_folder)]) == 0
    assert SETS.in_words("referable DR") in capsys.readouterr().out


def test_damaged_sets_are_refused(bundle_folder: Path) -> None:
    change(bundle_folder, grade_sets={"limit": "much"})
    with pytest.raises(KerasDrError, match=r"'grade_sets' in .* cannot be read"):
        Bundle.load(bundle_folder)


def test_the_shipped_grader_states_no_set() -> None:
    assert NO_SETS in Bundle.load("idrid-lite").points_text()
