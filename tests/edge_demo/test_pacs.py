"""A round trip through a real archive: Orthanc on the loopback, as docs/clinic.md describes it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicom_fixtures as made
import pydicom
import pytest

from edge_demo.__main__ import main as edge
from edge_demo.dicom_report import read_report

SECONDS = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Orthanc:
    """An archive in a folder of its own, which listens on the loopback only."""

    folder: Path
    http: int
    dicom: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the archive on its folder, and wait until it answers."""
        program = shutil.which("Orthanc")
        if not program:
            pytest.fail("Orthanc is missing. Install it with: apt-get install orthanc orthanc-dicomweb")
        settings = {
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "DicomAlwaysAllowStore": True,
            "Plugins": [str(next(Path("/usr").rglob("libOrthancDicomWeb.so*")))],
        }
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps(settings))
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([program, str(file)], stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                self.ask("/system")
                return
            except OSError:
                time.sleep(0.2)
        pytest.fail(f"Orthanc does not answer:\n{(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End the archive as a power failure does."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, path: str, accept: str = "application/json") -> Any:
        """Return the answer to a GET request: JSON, or the bytes of another kind."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            content = answer.read()
        return json.loads(content) if "json" in accept else content

    def store(self, *files: Path) -> None:
        """Send files with dcmtk's storescu."""
        made.call("storescu", "-aec", "ORTHANC", "127.0.0.1", str(self.dicom), *files)

    def instances(self) -> dict[str, str]:
        """Return the identifier of each instance of the study -> its class, by DICOMweb (QIDO-RS)."""
        found = self.ask(f"/dicom-web/studies/{made.STUDY}/instances", "application/dicom+json")
        return {item["00080018"]["Value"][0]: item["00080016"]["Value"][0] for item in found}

    def fetch(self, folder: Path) -> None:
        """Fetch the instances of the study by DICOMweb (WADO-RS), as files with neutral names."""
        folder.mkdir(exist_ok=True)
        series = self.ask(f"/dicom-web/studies/{made.STUDY}/instances", "application/dicom+json")
        for number, item in enumerate(series):
            path = f"{made.STUDY}/series/{item['0020000E']['Value'][0]}/instances/{item['00080018']['Value'][0]}"
            kind = 'multipart/related; type="application/dicom"; transfer-syntax=*'
            body = self.ask(f"/dicom-web/studies/{path}", kind)
            (folder / f"image{number:04}.dcm").write_bytes(first_part(body))


def first_part(body: bytes) -> bytes:
    """Return the first part of a multipart answer (RFC 2046)."""
    boundary = body[: body.index(b"\r\n")]
    start = body.index(b"\r\n\r\n") + 4
    return body[start : body.index(b"\r\n" + boundary, start)]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    (tmp_path / "orthanc").mkdir()
    archive = Orthanc(tmp_path / "orthanc", free_port(), free_port())
    archive.start()
    yield archive
    archive.kill()


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Both eyes of a patient, and an object that is no photograph."""
    files = [
        made.save(made.dataset(made.colours(), number=1, ImageLaterality="R"), tmp_path / "right.dcm"),
        made.save(made.dataset(made.colours() // 2, number=2, ImageLaterality="L"), tmp_path / "left.dcm"),
        made.save(made.dataset(made.colours(64), made.OCT, number=3), tmp_path / "oct.dcm"),
    ]
    return files


@pytest.mark.slow
def test_reports_go_back_into_the_study(
    orthanc: Orthanc, study: list[Path], bundle_folder: Path, tmp_path: Path
) -> None:
    orthanc.store(*study)
    orthanc.fetch(tmp_path / "fetched")
    words = ["grade", str(bundle_folder), str(tmp_path / "fetched"), "--json", str(tmp_path / "a.json")]
    assert edge([*words, "--dicom-out", str(tmp_path / "out")]) == 0
    gradings = json.loads((tmp_path / "a.json").read_text())["photographs"]
    assert len(gradings) == 2 and sorted(grading["subject"]["eye"] for grading in gradings) == ["left", "right"]
    orthanc.store(*sorted((tmp_path / "out").iterdir()))
    assert len(orthanc.instances()) == 3 + 4

    orthanc.fetch(tmp_path / "again")
    reports = {}
    for file in (tmp_path / "again").iterdir():
        if pydicom.dcmread(file, stop_before_pixels=True).Modality == "SR":
            report = read_report(file)
            reports[report["source"]] = report
    assert sorted(reports) == [f"{made.STUDY}.1.{number}" for number in (1, 2)]
    assert sorted(report["grade"] for report in reports.values()) == sorted(grading["grade"] for grading in gradings)

    words[2] = str(tmp_path / "again")  # with the reports and overlays: they are no photographs, and nothing is doubled
    assert edge([*words, "--dicom-out", str(tmp_path / "out2")]) == 0
    again = json.loads((tmp_path / "a.json").read_text())
    assert len(again["photographs"]) == 2
    assert again["skipped"]["drawn by this program (DICOM)"] == 4
    orthanc.store(*sorted((tmp_path / "out2").iterdir()))
    assert len(orthanc.instances()) == 3 + 4


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_either_side_is_killed(
    orthanc: Orthanc, study: list[Path], bundle_folder: Path, tmp_path: Path
) -> None:
    orthanc.store(*study)
    orthanc.fetch(tmp_path / "fetched")
    words = ["grade", str(bundle_folder), str(tmp_path / "fetched"), "--dicom-out", str(tmp_path / "out")]
    assert edge(words) == 0
    files = sorted((tmp_path / "out").iterdir())
    orthanc.store(*files[:2])
    orthanc.kill()
    with pytest.raises(AssertionError):  # storescu says that nobody answers
        orthanc.store(*files)
    orthanc.start()
    assert len(orthanc.instances()) == 3 + 2  # what was stored is still there
    sender = subprocess.Popen(
        [made.program("storescu"), "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom), *map(str, files)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    )
    sender.kill()
    sender.wait()
    orthanc.store(*files)
    assert len(orthanc.instances()) == 3 + 4
