"""keras_dr.prediction.parts: no photograph is graded twice or left out, and a deadly photograph fails alone."""

from pathlib import Path

import pytest

from keras_dr.prediction.parts import Counts, find_journals, grade_with_journal, part_file, read_part_rows, write_part

PHOTOGRAPHS = [Path(f"{n}.jpg") for n in range(6)]
COLUMNS = {"path": "string", "p_mild": "float32", "action": "string", "error": "string"}


class Killed(BaseException):
    """Stands for the end of the process, because nothing catches it."""


class Worker:
    """Grades photographs, and dies while it grades one of them."""

    def __init__(self, deadly: str = "") -> None:
        self.deadly = deadly
        self.graded: list[str] = []

    def __call__(self, photograph: Path) -> dict:
        if photograph.stem == self.deadly:
            raise Killed
        self.graded.append(photograph.stem)
        return {"path": str(photograph), "p_mild": 0.5, "action": "refer"}


def test_what_a_killed_worker_graded_is_not_graded_again(tmp_path: Path) -> None:
    file = part_file(tmp_path, 3, ".csv")
    first = Worker("4")
    second = Worker()
    with pytest.raises(Killed):
        grade_with_journal(file, PHOTOGRAPHS, first)
    rows = grade_with_journal(file, PHOTOGRAPHS, second)
    assert (first.graded, second.graded) == (["0", "1", "2", "3"], ["4", "5"])
    assert [row["path"] for row in rows] == [str(path) for path in PHOTOGRAPHS]


def test_a_photograph_that_kills_two_workers_fails_alone(tmp_path: Path) -> None:
    file = part_file(tmp_path, 0, ".csv")
    for _ in range(2):
        with pytest.raises(Killed):
            grade_with_journal(file, PHOTOGRAPHS, Worker("2"))
    rows = grade_with_journal(file, PHOTOGRAPHS, Worker("2"))
    assert [row["path"] for row in rows if "error" in row] == ["2.jpg"] and "worker process died" in rows[2]["error"]


def test_a_line_cut_in_the_middle_is_graded_again(tmp_path: Path) -> None:
    file = part_file(tmp_path, 0, ".csv")
    grade_with_journal(file, PHOTOGRAPHS, Worker())
    (journal,) = find_journals(file)
    journal.write_bytes(journal.read_bytes()[:-9])
    again = Worker()
    grade_with_journal(file, PHOTOGRAPHS, again)
    assert again.graded == ["5"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_written_part_can_be_read_and_its_journals_are_removed(ending: str, tmp_path: Path) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    file = part_file(tmp_path, 0, ending)
    rows = [*grade_with_journal(file, PHOTOGRAPHS[:2], Worker()), {"path": "x.jpg", "error": "no image"}]
    write_part(file, COLUMNS, rows)
    assert Counts.from_rows(read_part_rows(file)) == Counts(3, 2, 1, (("x.jpg", "no image"),)) == Counts.from_rows(rows)
    assert list(tmp_path.iterdir()) == [file]


def test_parquet_keeps_every_bit_and_missing_values(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    third = 0.3333333432674408  # 1/3 as float32
    write_part(tmp_path / "a.parquet", COLUMNS, [{"path": "a", "p_mild": third}, {"path": "b", "error": "no"}])
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table["p_mild"].to_pylist() == [third, None] and str(table.schema.field("p_mild").type) == "float"
