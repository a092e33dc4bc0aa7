"""One small adapter a published data set: a folder on disk -> its records.

An adapter is a module with `NAME`, `recognises(folder) -> bool` and `read(folder) -> list[Record]`. To add one: write
the module and list it in `_ADAPTERS`, the particular before the general.
"""

from pathlib import Path
from types import ModuleType

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets import (
    aptos,
    csv_file,
    deepdrid,
    eyepacs,
    folder,
    idrid,
    idrid_segmentation,
    medmnist,
    messidor2,
    oia_ddr,
)
from keras_dr.datasets.records import Record

_ADAPTERS = (
    *(idrid, idrid_segmentation, aptos, eyepacs, oia_ddr, messidor2, deepdrid, medmnist),
    *(csv_file, folder),
)
DATASETS: dict[str, ModuleType] = {adapter.NAME: adapter for adapter in _ADAPTERS}


def find_adapter(source: Path) -> str:
    """The name of the adapter that recognises this folder.

    Raises:
        KerasDrError: none does, or the folder does not exist.
    """
    if not source.exists():
        raise KerasDrError(f"a data set at {source}", "no such folder", "Check the path.")
    for name, adapter in DATASETS.items():
        if adapter.recognises(source):
            return name
    found = ", ".join(sorted(path.name for path in source.iterdir())[:6]) if source.is_dir() else "a file"
    raise KerasDrError(
        f"in {source} the layout of one of: {', '.join(DATASETS)}",
        found or "an empty folder",
        "Name the file, or the folder that holds the CSV or the class folders, or choose with --dataset.",
    )


def read_records(source: Path, dataset: str = "auto") -> tuple[str, list[Record]]:
    """The data set's adapter and its records, ids unique, files not opened.

    Raises:
        KerasDrError: unknown adapter, a layout that it does not read, two records of one name, no record at all.
    """
    if dataset != "auto" and dataset not in DATASETS:
        raise KerasDrError(f"a data set among auto, {', '.join(DATASETS)}", dataset, "Correct --dataset.")
    name = find_adapter(source) if dataset == "auto" else dataset
    if not source.exists():
        raise KerasDrError(f"a data set at {source}", "no such folder", "Check the path.")
    records = DATASETS[name].read(source)
    if not records:
        raise KerasDrError(f"photographs in {source} (read as {name})", "none", "Check the path and --dataset.")
    counts: dict[str, int] = {}
    for record in records:
        counts[record.image_id] = counts.get(record.image_id, 0) + 1
    twice = [image_id for image_id, count in counts.items() if count > 1]
    if twice:
        raise KerasDrError(
            "each photograph once", f"{twice[0]!r} {counts[twice[0]]} times in {source}", "Remove its other rows."
        )
    return name, records
