"""What a command wrote and said of it, read back."""

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pyarrow import parquet

CLOSING = re.compile(
    r"^(\d+) photographs? given: (\d+) to be referred, (\d+) to be retaken, (\d+) no action, (\d+) failed\.$",
    re.MULTILINE,
)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a table, by a package that is not ours; a cell without a value is None or ""."""
    if file.suffix == ".parquet":
        return parquet.read_table(file).to_pylist()
    if file.suffix == ".xlsx":
        (sheet,) = openpyxl.load_workbook(file, data_only=True).worksheets
        names, *rows = sheet.iter_rows(values_only=True)
        return [dict(zip(names, row, strict=True)) for row in rows]
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def read_json_rows(file: Path) -> list[dict[str, Any]]:
    """The photographs and the failures of a JSON file of gradings as rows of the table."""
    about = json.loads(file.read_text("utf-8"))
    rows = []
    for one in about["photographs"]:
        row = {"prediction": one["grade"], "faults": ";".join(one["faults"])}
        row |= {f"p_{name}": value for name, value in one["probabilities"].items()}
        row |= {name: one[name] for name in ("image_id", "path", "p_referable", "action", "reason")}
        rows.append(row | {name: int(one[name]) for name in ("referred", "fundus_found")})
    return [*rows, *about["failures"]]


def assert_same(rows: Iterable[dict[str, Any]], expected: Iterable[dict[str, str]]) -> None:
    """Rows in any order hold what the rows of a CSV file hold; numbers to the digits of float32."""
    by_path = {row["path"]: row for row in rows}
    lines = {row["path"]: row for row in expected}
    assert by_path.keys() == lines.keys()
    for path, line in lines.items():
        for name, text in line.items():
            cell = by_path[path].get(name)
            if isinstance(cell, (int, float)):
                assert cell == pytest.approx(float(text), rel=1e-6), (path, name)
            else:
                assert (cell or "") == text or (name == "image_id" and cell is None), (path, name)


def closing_counts(output: str) -> dict[str, int]:
    """The figures of the one closing line, which must add up to the photographs given."""
    ((given, *others),) = CLOSING.findall(output)
    counts = dict(zip(("referred", "retake", "no_action", "failed"), map(int, others), strict=True))
    assert sum(counts.values()) == int(given)
    return {"given": int(given), **counts}
