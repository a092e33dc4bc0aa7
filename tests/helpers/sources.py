"""Sources in miniature for `inspect`, and short forms of what an inspection says."""

from pathlib import Path

from layouts import put

from keras_dr.datasets.inspection import Inspection, inspect
from keras_dr.datasets.options import parse_options


def write_table(folder: Path, header: str, *rows: str, name: str = "labels.csv", images: str = "images") -> Path:
    """A table, and a photograph for the first cell of each row."""
    put(folder / name, "\n".join([header, *rows, ""]))
    for row in rows:
        cell = row.split(",")[0]
        put(folder / images / (cell if "." in cell else f"{cell}.jpg"))
    return folder


def write_class_folders(folder: Path, *names: str, photographs: tuple[str, ...] = ("a", "b")) -> Path:
    for name in names:
        for photograph in photographs:
            put(folder / name / f"{name.replace('/', '_')}_{photograph}.jpg")
    return folder


def inspect_with(source: Path, dataset: str = "auto", task: str = "auto", **options: object) -> Inspection:
    return inspect(source, dataset, task, parse_options(**options))  # type: ignore[arg-type]


def text_of(inspection: Inspection) -> str:
    """What an inspection says, in one line."""
    return " ".join(str(inspection).split())


def class_counts(inspection: Inspection) -> dict[str, int]:
    """Class -> photographs."""
    counts: dict[str, int] = {}
    for _, name, count in inspection.labels.taken:
        counts[name] = counts.get(name, 0) + count
    return counts
