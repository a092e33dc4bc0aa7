import hashlib
import hmac
from pathlib import Path

import dicom_fixtures as made
import pytest

from keras_dr.core.dicom import describe
from keras_dr.core.errors import KerasDrError
from keras_dr.core.privacy import Privacy, default_key_file, shown_name


def test_a_patient_is_a_keyed_hash(tmp_path: Path) -> None:
    file = tmp_path / "settings" / "key"
    named = Privacy(file).patient(made.PATIENT)
    key = bytes.fromhex(file.read_text())
    expected = hmac.new(key, b"patient:" + made.PATIENT.encode(), hashlib.sha256).hexdigest()[:16]
    assert named == f"id-{expected}"
    assert file.stat().st_mode & 0o777 == 0o600 and len(key) == 32
    assert Privacy(file).patient(made.PATIENT) == named  # the key stays
    assert Privacy(tmp_path / "another").patient(made.PATIENT) != named
    assert Privacy(file, identified=True).patient(made.PATIENT) == made.PATIENT


def test_the_key_lies_among_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/clinic")
    assert default_key_file() == Path("/home/clinic/.config/keras_dr/key")


@pytest.mark.parametrize("content", ["", "no key", "00" * 31, "00" * 33])
def test_another_file_is_no_key(content: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(KerasDrError, match="key"):
        Privacy(file).key()
    assert file.read_text() == content


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    Privacy(file).key()
    file.chmod(0o640)
    with pytest.raises(KerasDrError, match="chmod 600"):
        Privacy(file).key()


@pytest.mark.parametrize("manifest", ["run.json", "bundle.json", "prepared.json", "sw.js"])
def test_no_key_is_made_in_a_result(manifest: str, tmp_path: Path) -> None:
    (tmp_path / manifest).write_text("{}")
    with pytest.raises(KerasDrError, match="would lie in a result"):
        Privacy(tmp_path / "inside" / "key").key()
    assert not (tmp_path / "inside").exists()


def test_names_of_files_lose_what_identifies(tmp_path: Path) -> None:
    file = tmp_path / f"{made.PATIENT}_Mustermann_{made.STUDY}.1.1.dcm"
    made.save(made.dataset(made.colours(32)), file)
    shown = shown_name(file, Privacy(tmp_path / "key"))
    assert shown.startswith(f"{tmp_path}/id-") and shown.endswith(".dcm")
    assert not any(secret.lower() in shown.lower() for secret in made.SECRETS)
    assert shown_name(file, Privacy(tmp_path / "key", identified=True)) == str(file)


@pytest.mark.parametrize(
    ("patient", "name", "kept"),
    [
        ("7", "7_left_17.dcm", "_left_17.dcm"),  # a short identifier is replaced where it stands alone
        ("P-1", "born 1962-03-14.dcm", "born "),
        ("P-1", "14.03.1962_eye.dcm", "_eye.dcm"),
        ("HOSP-4711", "hosp4711 1.dcm", " 1.dcm"),  # as Orthanc names folders
        ("HOSP-4711", "HOSP_4711.dcm", ".dcm"),
        ("", "eye.dcm", "eye.dcm"),
    ],
)
def test_short_identifiers_and_dates_of_birth_in_names(patient: str, name: str, kept: str, tmp_path: Path) -> None:
    made.save(made.dataset(made.colours(32), PatientID=patient), tmp_path / name)
    shown = shown_name(tmp_path / name, Privacy(tmp_path / "key"), tmp_path)
    assert kept in shown
    assert ("id-" in shown) == (name != "eye.dcm") and "1962" not in shown and not shown.startswith(("7", "h", "H"))


def test_what_a_result_says_of_a_subject(tmp_path: Path) -> None:
    made.save(made.dataset(made.colours(32), BurnedInAnnotation="YES"), tmp_path / "eye.dcm")
    subject = describe((tmp_path / "eye.dcm").read_bytes())
    privacy = Privacy(tmp_path / "key")
    about = privacy.about(subject)
    assert about == {
        "patient": privacy.patient(made.PATIENT),
        "eye": "right",
        "date": "2026-11-19",
        "device": "Maker Camera 3",
        "burned_in": "yes",
    }
    identified = Privacy(tmp_path / "key", identified=True).about(subject)
    assert identified["patient"] == made.PATIENT and identified["instance_uid"] == f"{made.STUDY}.1.1"
