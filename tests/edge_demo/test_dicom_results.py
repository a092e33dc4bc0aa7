"""All that the commands write of DICOM files names no patient, unless --identified asks for it."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dicom_fixtures as made
import numpy as np
import pytest

import keras_dr as dr
from edge_demo.__main__ import main as edge
from keras_dr.core.privacy import Privacy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of a study: two photographs in folders and files named after the patient, one without a suffix."""
    folder = tmp_path / f"study_{made.PATIENT}"
    (folder / "Mustermann").mkdir(parents=True)
    made.save(made.dataset(made.colours()), folder / "Mustermann" / f"Erika_{made.STUDY}.1.1.dcm")
    frames = np.stack([made.colours(), np.flip(made.colours(), axis=1)])
    made.save(made.dataset(frames, made.TRUE_COLOUR, number=2, ImageLaterality="L"), folder / f"{made.STUDY}.1.2")
    made.save(made.dataset(made.colours(32), made.OCT, number=3), folder / "OCT.dcm")
    return folder


def read(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each name and content below a folder that identifies somebody."""
    for path in folder.rglob("*"):
        content = path.read_bytes().decode("latin-1") if path.is_file() else ""
        for secret in made.SECRETS:
            if secret.lower() in (str(path.relative_to(folder)) + content).lower():
                yield secret, str(path)


def test_grade_names_no_patient(
    study: Path, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    words = ["--json", str(out / "a.json"), "--csv", str(out / "a.csv"), "--heatmap", str(out / "maps")]
    assert edge(["grade", str(bundle_folder), str(study), *words, "--key", str(tmp_path / "key")]) == 0
    assert not list(texts(out))
    printed = capsys.readouterr().out
    assert not any(secret.lower() in printed.lower() for secret in made.SECRETS if secret != made.STUDY)
    rows = read(out / "a.csv")
    patient = Privacy(tmp_path / "key").patient(made.PATIENT)
    assert [row["patient"] for row in rows] == [patient] * 3
    assert sorted(row["eye"] for row in rows) == ["left", "left", "right"]
    assert {(row["date"], row["device"]) for row in rows} == {("2026-11-19", "Maker Camera 3")}
    assert len(list((out / "maps").iterdir())) == 3
    assert json.loads((out / "a.json").read_text())["photographs"][0]["subject"]["patient"] == patient


@pytest.mark.parametrize("identified", [True, False])
def test_heat_maps_and_reports_have_the_names_of_the_rows(
    study: Path, bundle_folder: Path, tmp_path: Path, identified: bool
) -> None:
    made.save(made.dataset(made.colours(), number=4), study / f"{made.STUDY}.1.4")  # a name without a suffix
    made.save(made.dataset(made.colours(), number=5), study / "left.eye.DICOM")
    words = ["--csv", str(tmp_path / "a.csv"), "--heatmap", str(tmp_path / "maps"), *["--identified"] * identified]
    assert edge(["grade", str(bundle_folder), str(study), *words, "--dicom-out", str(tmp_path / "out")]) == 0
    names = sorted(row["image_id"] for row in read(tmp_path / "a.csv"))
    assert len(names) == 5 and "left.eye" in names
    assert sorted(file.name.removesuffix(".png") for file in (tmp_path / "maps").iterdir()) == names
    if identified:  # the reports always are
        reports = [file.name for file in (tmp_path / "out").glob("*_report.dcm")]
        assert sorted(name.removesuffix("_report.dcm") for name in reports) == names


def test_grade_keeps_identifiers_where_it_is_asked_to(study: Path, bundle_folder: Path, tmp_path: Path) -> None:
    words = ["--csv", str(tmp_path / "a.csv"), "--identified"]
    assert edge(["grade", str(bundle_folder), str(study), *words]) == 0
    rows = read(tmp_path / "a.csv")
    assert {row["patient"] for row in rows} == {made.PATIENT}
    assert {row["study_uid"] for row in rows} == {made.STUDY}
    assert "Mustermann" in "".join(row["path"] for row in rows)  # the path of the file


def test_a_failure_names_no_patient(bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made.save(made.dataset(made.colours(), HighBit=5), tmp_path / f"{made.PATIENT}.dcm")
    assert edge(["grade", str(bundle_folder), str(file), "--json", str(tmp_path / "a.json")]) == 1
    assert made.PATIENT not in (tmp_path / "a.json").read_text() + "".join(capsys.readouterr())


def test_watch_names_no_patient(study: Path, bundle_folder: Path, tmp_path: Path) -> None:
    words = ["--journal", str(tmp_path / "journal.jsonl"), "--once", "--interval", "0"]
    assert edge(["watch", str(bundle_folder), str(study), *words]) == 0
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and all("grade" in line for line in lines)
    journal = (tmp_path / "journal.jsonl").read_text().lower()
    assert not any(secret.lower() in journal for secret in made.SECRETS)
    assert edge(["watch", str(bundle_folder), str(study), *words]) == 0
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 3  # each photograph once


def run(*words: str | Path) -> str:
    """Run the command line of the workstation, and return what it printed."""
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_predict_names_no_patient(study: Path, bundle_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run("predict", bundle_folder, study, "--out", out / "a.csv")
    assert not list(texts(out))
    assert len({row["patient"] for row in read(out / "a.csv")}) == 1


def graded_photographs(parent: Path, patients: int, each: int) -> Path:
    """Write a folder with one folder per grade, whose files are named after their patients, and return it."""
    folder = parent / "photographs_Mustermann"
    for number in range(patients * each):
        grade = folder / str(number % 3)
        grade.mkdir(parents=True, exist_ok=True)
        patient = f"{made.PATIENT}-{number // each}"
        pixels = np.roll(made.colours(), 9 * number, axis=0)
        dataset = made.dataset(pixels, number=number, PatientID=patient, ImageLaterality="LR"[number % 2])
        made.save(dataset, grade / f"{patient}_Erika_{number}.dcm")
    return folder


@pytest.mark.slow
def test_prepare_and_inspect_name_no_patient(tmp_path: Path) -> None:
    folder = graded_photographs(tmp_path, patients=6, each=2)
    frames = np.stack([made.colours(200), np.flip(made.colours(200), axis=1)])
    made.save(made.dataset(frames, made.TRUE_COLOUR, number=20), folder / "0" / f"{made.PATIENT}-7_stereo.dcm")
    (folder / "1" / f"{made.PATIENT}-0_broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (folder / "2" / f"{made.PATIENT}-1_Erika.jpg").write_bytes(made.jpeg(quality=50))  # named like the DICOM files
    assert made.PATIENT not in run("inspect", folder).replace(str(folder), "")
    printed = run("prepare", folder, tmp_path / "prepared", "--size", "64", "--workers", "1")
    assert "the DICOM files" in printed
    assert not list(texts(tmp_path / "prepared"))
    rows = read(tmp_path / "prepared" / "manifest.csv")
    assert len(rows) == 15 and len({row["patient_id"] for row in rows}) == 8
    assert len(read(tmp_path / "prepared" / "rejected.csv")) == 1
    of_dicom = [row for row in rows if row["source"].endswith(".dcm") or "frame-" in row["source"]]
    assert len(of_dicom) == 14 and all(row["patient_id"].startswith("id-") for row in of_dicom)
    assert {row["eye"] for row in of_dicom} == {"left", "right"}
    assert sum("frame-" in row["image_id"] for row in rows) == 2


@pytest.mark.slow
def test_what_follows_from_a_prepared_set_names_no_patient(tmp_path: Path, recipe: dr.Recipe) -> None:
    folder = graded_photographs(tmp_path, patients=30, each=1)
    out = tmp_path / "out"
    data = dr.prepare(folder, out / "prepared", size=64, workers=1)
    run_of_set = dr.train(data, out / "run", recipe)
    dr.evaluate(run_of_set, split="val")
    dr.explain(run_of_set, split="val", n=2)
    dr.export(run_of_set, out / "bundle", ["float32"], allow_drift=True)
    dr.export_web(out / "bundle", out / "site")
    assert (out / "run" / "evaluation").is_dir() and (out / "run" / "explanations").is_dir()
    assert not list(texts(out))
