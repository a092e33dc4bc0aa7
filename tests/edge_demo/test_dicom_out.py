"""The reports and overlays that `grade --dicom-out` writes: valid, complete, and the same grading when read back."""

import csv
import json
from pathlib import Path

import cv2
import dicom_fixtures as made
import highdicom
import numpy as np
import pydicom
import pytest
from edge_fixtures import change

from edge_demo.__main__ import main as edge
from edge_demo.dicom_report import SCHEME, read_report
from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.quality import COLOURS, MEASURES


@pytest.fixture
def graded(bundle_folder: Path, tmp_path: Path) -> Path:
    """A folder with the photographs eye.dcm and two.dcm (two frames), and in out/ what was written of them."""
    made.save(made.dataset(made.colours()), tmp_path / "eye.dcm")
    frames = np.stack([made.colours(), made.colours() // 2])
    made.save(made.dataset(frames, made.TRUE_COLOUR, number=2, StudyID=None), tmp_path / "two.dcm")
    words = [str(tmp_path / "eye.dcm"), str(tmp_path / "two.dcm"), "--dicom-out", str(tmp_path / "out")]
    assert edge(["grade", str(bundle_folder), *words, "--json", str(tmp_path / "gradings.json")]) == 0
    return tmp_path


def test_every_photograph_has_a_report_and_an_overlay(graded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stems = ["eye", "two_frame-1", "two_frame-2"]
    expected = [f"{stem}_{kind}.dcm" for stem in stems for kind in ("overlay", "report")]
    assert sorted(file.name for file in (graded / "out").iterdir()) == expected


def test_a_report_reads_back_as_the_grading(graded: Path) -> None:
    gradings = json.loads((graded / "gradings.json").read_text())["photographs"]
    for stem, grading in zip(("eye", "two_frame-1", "two_frame-2"), gradings, strict=True):
        report = read_report(graded / "out" / f"{stem}_report.dcm")
        assert report["grade"] == grading["grade"] and report["action"] == grading["action"]
        assert report["referable"] == ("yes" if grading["referred"] else "no")
        assert report["probabilities"] == pytest.approx(grading["probabilities"], abs=1e-6)
        assert report["p_referable"] == pytest.approx(grading["p_referable"], abs=1e-6)
        assert grading["reason"] in report["comments"] and "Research use only" in report["comments"][-1]
    assert report["source"] == f"{made.STUDY}.1.2"
    assert any("model SHA-256" in text for text in report["algorithm"])


def test_no_checker_finds_an_error(graded: Path) -> None:
    for file in (graded / "out").iterdir():
        assert "Error" not in made.call("dciodvfy", file)
        if "report" in file.name:
            printed = made.call("dsrdump", file)
            assert "Action proposed by an algorithm" in printed and "\nE:" not in printed


def test_highdicom_reads_the_report_and_its_scheme(graded: Path) -> None:
    report = highdicom.sr.srread(graded / "out" / "two_frame-2_report.dcm")
    (group,) = report.content.get_image_measurement_groups()
    meanings = [item.value.meaning for item in group.get_qualitative_evaluations()]
    assert meanings[0] in ("no_dr", "proliferative") and meanings[-1] in ("gradable", "faults")
    image = next(item for item in group[0].ContentSequence if item.ValueType == "IMAGE")
    assert image.ReferencedSOPSequence[0].ReferencedFrameNumber == 2
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == SCHEME
    assert (report.PatientID, report.StudyInstanceUID) == (made.PATIENT, made.STUDY)


def test_the_overlay_says_research_use_only_in_its_pixels(graded: Path) -> None:
    overlay = pydicom.dcmread(graded / "out" / "eye_overlay.dcm")
    strip = overlay.pixel_array[-40:]
    assert (strip > 200).all(axis=2).sum() > 300  # the letters
    assert overlay.Laterality == "R" and overlay.StudyInstanceUID == made.STUDY
    with pytest.raises(KerasDrError, match="heat map"):  # never graded itself
        decode_rgb((graded / "out" / "eye_overlay.dcm").read_bytes())


def test_the_eye_of_a_list_is_in_the_overlay(bundle_folder: Path, tmp_path: Path) -> None:
    frames = np.stack([made.colours(), made.colours() // 2])
    made.save(made.dataset(frames, made.TRUE_COLOUR, ImageLaterality=None), tmp_path / "two.dcm")
    (tmp_path / "list.csv").write_text("image,eye\ntwo.dcm,left\n")
    identifiers = []
    for given in ("two.dcm", "list.csv"):
        words = [str(tmp_path / given), "--dicom-out", str(tmp_path / f"of {given}")]
        assert edge(["grade", str(bundle_folder), *words]) == 0
        overlay = pydicom.dcmread(tmp_path / f"of {given}" / "two_frame-2_overlay.dcm")
        assert overlay.Laterality == ("L" if given == "list.csv" else "")
        identifiers.append(overlay.SOPInstanceUID)
    assert identifiers[0] != identifiers[1]


def test_a_report_names_unusual_colours(graded: Path, bundle_folder: Path) -> None:
    usual = {name: [-1e9, 1e9] for name in MEASURES}
    change(bundle_folder, quality_limits=usual, colour_limits={name: [50, 99] for name in COLOURS})
    words = [str(graded / "eye.dcm"), "--dicom-out", str(graded / "colours"), "--csv", str(graded / "a.csv")]
    assert edge(["grade", str(bundle_folder), *words]) == 0
    (row,) = csv.DictReader((graded / "a.csv").read_text().splitlines())
    assert row["unfamiliar"] == "less red;less blue" and list(row)[-1] == "unfamiliar"
    comments = read_report(graded / "colours" / "eye_report.dcm")["comments"]
    words_of_colours = "unlike those of the training photographs (less red, less blue): the grade may be shifted."
    assert any(words_of_colours in text for text in comments)
    assert "Error" not in made.call("dciodvfy", graded / "colours" / "eye_report.dcm")


def test_a_report_that_is_written_twice_is_one_object(graded: Path, bundle_folder: Path) -> None:
    words = [str(graded / "eye.dcm"), "--dicom-out", str(graded / "again")]
    assert edge(["grade", str(bundle_folder), *words]) == 0
    assert edge(["grade", str(bundle_folder), *words[:-1], str(graded / "other"), "--threshold", "0.25"]) == 0
    uids = [pydicom.dcmread(graded / folder / "eye_report.dcm").SOPInstanceUID for folder in ("out", "again", "other")]
    assert uids[0] == uids[1] != uids[2]


def test_what_changes_a_report_changes_its_identifiers(graded: Path, bundle_folder: Path) -> None:
    """An archive keeps the first of two objects with one identifier, and drops the other."""
    photograph = str(graded / "eye.dcm")
    identifiers = []
    for number, options in enumerate((["--margin", "0"], ["--margin", "0.25"], ["--margin", "0"])):
        if number == 2:  # the model and the operating point stay the same, but every photograph has faults now
            change(bundle_folder, gradability_limits={"blurred": 1e9})
        words = [photograph, "--dicom-out", str(graded / f"r{number}"), "--threshold", "0.3", *options]
        assert edge(["grade", str(bundle_folder), *words, "--json", str(graded / f"r{number}.json")]) == 0
        files = [graded / f"r{number}" / f"eye_{kind}.dcm" for kind in ("report", "overlay")]
        identifiers += [pydicom.dcmread(file).SOPInstanceUID for file in files]
        assert json.loads((graded / f"r{number}.json").read_text())["margin"] == float(options[1])
        point = f"operating point own threshold, threshold 0.3, margin {float(options[1])}"
        assert point in read_report(files[0])["algorithm"]
    assert len(set(identifiers)) == 6


def test_photographs_of_the_same_name_each_have_a_report(bundle_folder: Path, tmp_path: Path) -> None:
    """Archives number the files of each series anew, so that both eyes may be called OP000000.dcm."""
    for number, series in enumerate(("OP", "OP1"), start=1):
        (tmp_path / "study" / series).mkdir(parents=True)
        made.save(made.dataset(made.colours(), number=number), tmp_path / "study" / series / "OP000000.dcm")
    words = ["grade", str(bundle_folder), str(tmp_path / "study"), "--dicom-out", str(tmp_path / "out")]
    assert edge(words) == 0 and edge(words) == 0  # the second time, the same objects replace those of the first
    reports = sorted((tmp_path / "out").glob("*_report.dcm"))
    assert [file.name for file in reports] == ["OP000000-2_report.dcm", "OP000000_report.dcm"]
    assert [read_report(file)["source"] for file in reports] == [f"{made.STUDY}.1.2", f"{made.STUDY}.1.1"]
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_other_photographs_get_no_report(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "eye.png"), made.colours())
    words = [str(tmp_path / "eye.png"), "--dicom-out", str(tmp_path / "out")]
    assert edge(["grade", str(bundle_folder), *words]) == 1
    assert "no identifiers of a DICOM study" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
