import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_demo import __main__ as command
from edge_demo.journal import Journal
from edge_demo.results import ROTATE_MIB
from edge_demo.trail import head_file, parts_of, verify
from keras_dr.core.errors import KerasDrError
from keras_dr.core.privacy import Privacy


@pytest.fixture
def privacy(tmp_path: Path) -> Privacy:
    return Privacy(tmp_path / "settings" / "key")


@pytest.fixture
def journal(tmp_path: Path, privacy: Privacy) -> Path:
    """A journal of five lines."""
    journal = tmp_path / "gradings.jsonl"
    append(journal, privacy, *(f"eye{number}.jpg" for number in range(5)))
    return journal


def append(journal: Path, privacy: Privacy, *names: str, rotate_mib: float = ROTATE_MIB) -> str:
    """Append lines as a process of watch does; return what it said of a repair."""
    with Journal(journal, privacy, rotate_mib) as kept:
        for name in names:
            kept.append({"file": name, "bytes": 10, "changed_ns": 5, "grade": "mild"})
        return kept.repaired


def test_each_code_is_over_the_line_and_the_code_before(journal: Path, privacy: Privacy) -> None:
    before = "0" * 64
    for number, text in enumerate(journal.read_text().splitlines(), start=1):
        line = json.loads(text)
        body = json.dumps({name: line[name] for name in line if name != "code"})
        message = f"trail:{before}\n{body}".encode()
        assert line["code"] == hmac.new(privacy.key(), message, hashlib.sha256).hexdigest()
        assert line["line"] == number
        before = line["code"]
    assert verify(journal, privacy).lines == 5 and not verify(journal, privacy).fault


Change = Callable[[list[str]], list[str]]
FAULTS: dict[str, tuple[Change, str]] = {
    "changed": (lambda lines: [line.replace("eye2", "eye9") for line in lines], "Line 3 was changed"),
    "removed": (lambda lines: lines[:2] + lines[3:], "Line 3 is missing"),
    "exchanged": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "Line 2 is in another place"),
    "doubled": (lambda lines: [*lines[:3], *lines[2:]], "Line 3 is in another place, or there twice"),
    "cut at the end": (lambda lines: lines[:3], "Line 4 is missing"),
    "cut at the beginning": (lambda lines: lines[1:], "Line 1 is missing"),
    "added without a code": (lambda lines: [*lines[:2], '{"file": "eye.jpg"}', *lines[2:]], "a line was added"),
    "added at the end": (lambda lines: [*lines, '{"file": "eye.jpg"}'], "Line 6 was cut short or added"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_the_first_fault_is_named(case: str, journal: Path, privacy: Privacy) -> None:
    change, fault = FAULTS[case]
    journal.write_text("\n".join(change(journal.read_text().splitlines())) + "\n")
    assert fault in verify(journal, privacy).fault


def test_every_cut_of_the_file_shows(journal: Path, privacy: Privacy) -> None:
    content = journal.read_bytes()
    for length in range(0, len(content) - 1, 7):
        journal.write_bytes(content[:length])
        assert verify(journal, privacy).fault


def test_another_key_is_noticed(journal: Path, tmp_path: Path) -> None:
    other = Privacy(tmp_path / "other")
    with pytest.raises(KerasDrError, match=r"There is no key .*other"):
        verify(journal, other)
    assert not (tmp_path / "other").exists()
    other.key()
    assert "Line 1 was changed" in verify(journal, other).fault


@pytest.mark.parametrize("rotate_mib", [ROTATE_MIB, 600 / 2**20])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_another_key_does_not_continue_a_journal(
    count: int, rotate_mib: float, tmp_path: Path, privacy: Privacy
) -> None:
    journal = tmp_path / "gradings.jsonl"
    append(journal, privacy, *(f"eye{number}.jpg" for number in range(count)), rotate_mib=rotate_mib)
    before = journal.read_bytes()
    with pytest.raises(KerasDrError, match=r"gradings\.jsonl was changed, or the key is another one"):
        append(journal, Privacy(tmp_path / "other"), "eye.jpg", rotate_mib=rotate_mib)
    assert journal.read_bytes() == before
    append(journal, privacy, "eye.jpg", rotate_mib=rotate_mib)
    assert (verify(journal, privacy).lines, verify(journal, privacy).fault) == (count + 1, "")


def test_a_head_that_cannot_be_written_is_named(
    journal: Path, privacy: Privacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Journal(journal, privacy) as kept:
        monkeypatch.setattr("edge_demo.trail.write_bytes", full)
        with pytest.raises(KerasDrError, match=r"The head of the journal, .*trails.*No space left"):
            kept.append({"file": "eye5.jpg", "bytes": 10, "changed_ns": 5})
        monkeypatch.undo()
        kept.append({"file": "eye5.jpg", "bytes": 10, "changed_ns": 5})
    assert (verify(journal, privacy).lines, verify(journal, privacy).fault) == (6, "")


@pytest.mark.parametrize("lost", [2, 20, 100])
def test_a_line_cut_by_a_crash_is_noted(lost: int, journal: Path, privacy: Privacy) -> None:
    """The process ends while it writes line 6: the head is still that of line 5."""
    head = head_file(journal, privacy).read_bytes()
    append(journal, privacy, "eye5.jpg")
    head_file(journal, privacy).write_bytes(head)
    journal.write_bytes(journal.read_bytes()[:-lost])
    assert "cut short" in append(journal, privacy, "eye5.jpg")
    result = verify(journal, privacy)
    assert (result.lines, result.repaired, result.fault) == (7, 1, "")


def test_a_line_that_lacks_only_its_end_is_written_again(journal: Path, privacy: Privacy) -> None:
    journal.write_bytes(journal.read_bytes()[:-1])
    assert "cut short" in append(journal, privacy, "eye4.jpg")
    result = verify(journal, privacy)
    assert (result.lines, result.repaired, result.fault) == (6, 1, "")


def test_a_crash_before_the_head_is_written_loses_nothing(journal: Path, privacy: Privacy) -> None:
    head = head_file(journal, privacy).read_bytes()
    append(journal, privacy, "eye5.jpg")
    head_file(journal, privacy).write_bytes(head)
    append(journal, privacy, "eye6.jpg")
    assert (verify(journal, privacy).lines, verify(journal, privacy).fault) == (7, "")


def test_a_journal_that_lost_lines_is_not_continued(journal: Path, privacy: Privacy) -> None:
    journal.write_text("\n".join(journal.read_text().splitlines()[:3]) + "\n")
    with pytest.raises(KerasDrError, match="ends with line 3, but 5 were written"):
        append(journal, privacy)


def test_rotation_keeps_the_chain(tmp_path: Path, privacy: Privacy) -> None:
    journal = tmp_path / "gradings.jsonl"
    for number in range(12):
        append(journal, privacy, f"eye{number}.jpg", rotate_mib=600 / 2**20)
    assert [part.name for part in parts_of(journal)][:2] == ["gradings.000001.jsonl", "gradings.000002.jsonl"]
    assert (verify(journal, privacy).lines, verify(journal, privacy).fault) == (12, "")
    parts_of(journal)[0].unlink()
    assert "Line 1 is missing" in verify(journal, privacy).fault


def test_no_part_is_overwritten_when_an_earlier_one_was_moved(tmp_path: Path, privacy: Privacy) -> None:
    journal = tmp_path / "gradings.jsonl"
    for number in range(3):
        append(journal, privacy, f"eye{number}.jpg", rotate_mib=1e-6)
    parts_of(journal)[0].rename(tmp_path / "elsewhere")
    kept = parts_of(journal)[0].read_bytes()
    said: list[str] = []
    with Journal(journal, privacy, 1e-6, said.append) as again:
        again.append({"file": "eye3.jpg", "bytes": 1, "changed_ns": 2})
    assert [part.name for part in parts_of(journal)] == ["gradings.000002.jsonl", "gradings.000003.jsonl"]
    assert parts_of(journal)[0].read_bytes() == kept
    assert said == [
        "Line 1 of the journal cannot be found: an earlier file of it was moved or deleted. "
        "What only it noted is graded again."
    ]


def test_a_process_that_ends_within_a_rotation(journal: Path, privacy: Privacy) -> None:
    journal.rename(journal.with_name("gradings.000001.jsonl"))
    append(journal, privacy, "eye5.jpg")
    assert (verify(journal, privacy).lines, verify(journal, privacy).fault) == (6, "")


def test_a_journal_of_an_older_version_is_continued(tmp_path: Path, privacy: Privacy) -> None:
    journal = tmp_path / "gradings.jsonl"
    journal.write_text(
        '{"file": "a.jpg", "bytes": 1, "changed_ns": 2}\n{"file": "b.jpg", "bytes": 1, "changed_ns": 2}\n'
    )
    append(journal, privacy, "c.jpg")
    assert (verify(journal, privacy).lines, verify(journal, privacy).fault) == (2, "")
    journal.write_text(journal.read_text().replace("a.jpg", "x.jpg"))
    assert "a line was added" in verify(journal, privacy).fault


def test_the_command(journal: Path, privacy: Privacy, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["trail", "verify", str(journal), "--key", str(privacy.key_file)]
    assert command.main(words) == 0
    assert "5 lines as written. The trail is complete." in capsys.readouterr().out
    journal.write_text(journal.read_text().replace("eye4", "eye5"))
    assert command.main(words) == 1
    assert "4 lines as written. Line 5 was changed" in capsys.readouterr().out


def test_a_photograph_is_not_taken_for_a_journal(tmp_path: Path, privacy: Privacy) -> None:
    (tmp_path / "eye.jpg").write_bytes(b"\xff\xd8 not\n a journal")
    with pytest.raises(KerasDrError, match=r"eye\.jpg is no journal"):
        verify(tmp_path / "eye.jpg", privacy)
