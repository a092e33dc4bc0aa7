"""One small adapter per published data set, which reads a folder on disk as records.

An adapter is a module with `NAME`, `recognises(folder) -> bool` and `read(folder) -> list[Record]`. To add an adapter,
write the module and list it in `_PUBLISHED`, before adapters that are more general. The two general adapters, which
read tables and class folders, also take the user's options: `understand(source, options) -> Reading`. An adapter may
also state the `ORIGIN` of its photographs in words, such as "one camera in one clinic", if its publication names it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import printable
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
from keras_dr.datasets.dicom_records import complete_reading
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.patients import name_patients
from keras_dr.datasets.photograph_index import image_stem
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import Record
from keras_dr.datasets.table_files import tables_of

_PUBLISHED = (idrid, idrid_segmentation, aptos, eyepacs, oia_ddr, messidor2, deepdrid, medmnist)
_GENERAL = (csv_file, folder)
DATASETS: dict[str, ModuleType] = {adapter.NAME: adapter for adapter in (*_PUBLISHED, *_GENERAL)}
PUBLISHED = tuple(adapter.NAME for adapter in _PUBLISHED)


def origin_of(dataset: str) -> str:
    """Return where the photographs of a data set come from, in words; "" if that is not known.

    Args:
        dataset: the name of an adapter, as in prepared.json.
    """
    return getattr(DATASETS.get(dataset), "ORIGIN", "")


def find_adapter(source: Path, options: SourceOptions | None = None) -> str:
    """Return the name of the adapter that recognises a source.

    Args:
        source: the folder of a data set, or a table.
        options: what the user has said about the source; None: nothing.

    Raises:
        KerasDrError: no adapter recognises it, or it does not exist.
    """
    options = options or SourceOptions()
    _check_there(source)
    if (source / "prepared.json").is_file():
        raise KerasDrError(
            f"{source} is already a prepared set.", "Pass it to train, or name the folder that it was made from."
        )
    if options.names_a_table:
        return csv_file.NAME
    for adapter in _PUBLISHED:
        if adapter.recognises(source):
            return adapter.NAME
    for general in _GENERAL:
        if general.recognises(source, options):
            return general.NAME
    if source.is_dir() and tables_of(source):  # its error names the column that is missing
        return csv_file.NAME
    raise _unknown_layout(source)


def _check_there(source: Path) -> None:
    if not source.exists():
        raise KerasDrError(f"There is no folder or file {source}.", "Check the path.")


def _unknown_layout(source: Path) -> KerasDrError:
    """Return the error that says what the source holds instead of a known layout."""
    if source.is_file():
        if source.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
            return KerasDrError(f"{source} is an archive, which is not read.", "Unpack it, and name its folder.")
        message = f"{source} is neither a table nor an .npz file, so its layout is unknown."
        return KerasDrError(message, "Name the folder of the photographs, or the table that lists them.")
    entries = sorted(source.iterdir())
    folders = [printable(path.name) for path in entries if path.is_dir() and not path.name.startswith(".")]
    files = [printable(path.name) for path in entries if not path.is_dir()]
    parts = [
        f"the {kind} {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
        for kind, names in (("folders", folders), ("files", files))
        if names
    ]
    if not parts:
        return KerasDrError(f"The folder {source} holds nothing to read.", "Name the folder of the photographs.")
    message = f"The layout of {source} is unknown: it holds {' and '.join(parts)}"
    message += (
        ", but no table with a column for the photographs and a column for the class, and no two folders whose names "
        "are known classes."
    )
    old = next(source.rglob("*.xls"), None)
    if old:
        message += f" {printable(old.relative_to(source))} is in Excel's old format, which is not read."
    remedy = (
        "Name the table with the classes as SOURCE, or put the photographs into one folder per class, or name the "
        "folders that are classes with --classes. To choose a layout, pass --dataset with one of "
        f"{', '.join(DATASETS)}."
    )
    return KerasDrError(message, remedy)


def read_source(source: Path, dataset: str = "auto", options: SourceOptions | None = None) -> tuple[str, Reading]:
    """Read the records of a data set, whose ids are unique; photographs are not opened.

    Args:
        source: the folder of a data set, or a table.
        dataset: the name of an adapter (a key of `DATASETS`); "auto": the adapter that recognises the source.
        options: what the user has said about the source; None: nothing.

    Returns:
        The name of the adapter, and what it read.

    Raises:
        KerasDrError: the adapter is unknown or cannot read this layout, two records have the same id, or there is no
            record.
    """
    options = options or SourceOptions()
    if dataset != "auto" and dataset not in DATASETS:
        message = f"There is no data set {dataset!r}. Known are auto, {', '.join(DATASETS)}."
        raise KerasDrError(message, "Correct --dataset.")
    _check_there(source)
    name, place = _find_place(source, options) if dataset == "auto" else (dataset, source)
    adapter = DATASETS[name]
    general = adapter in _GENERAL
    reading = adapter.understand(place, options) if general else _read_published(adapter, place, options)
    reading = complete_reading(reading, options.privacy)
    _check_ids(reading.records, source, name)
    if place != source:
        reading = replace(reading, why=f"{reading.why}, in the folder {printable(place.relative_to(source))}")
    return name, reading


def _find_place(source: Path, options: SourceOptions) -> tuple[str, Path]:
    """Return the name of the adapter and the folder that it recognises.

    The folder is the source, or the only folder in the source: archives often unpack into such a folder.

    Raises:
        KerasDrError: no adapter recognises the source.
    """
    try:
        return find_adapter(source, options), source
    except KerasDrError:
        inside = [path for path in source.iterdir() if path.name[0] not in "._"] if source.is_dir() else []
        if len(inside) != 1 or not inside[0].is_dir():
            raise
        try:
            return _find_place(inside[0], options)
        except KerasDrError:
            pass
        raise


def _read_published(adapter: ModuleType, source: Path, options: SourceOptions) -> Reading:
    """Read a published set; the first line of the adapter's docstring says what was recognised."""
    records = adapter.read(source)
    about = (adapter.__doc__ or "").split(":")[0].split("\n")[0]
    patients = "the data set itself"
    notes: list[str] = []
    if options.patients != "auto":
        pairs, patients, notes = name_patients([image_stem(record.path.name) for record in records], options)
        named = pairs or [("", "")] * len(records)
        records = [replace(record, patient_id=patient) for record, (patient, _) in zip(records, named, strict=True)]
    no_patients = all(record.patient_id == record.image_id for record in records)
    splits = sorted({record.split for record in records} - {""})
    return Reading(
        records=records,
        why=f"the published layout of {about}",
        patients="" if no_patients else patients,
        notes=tuple(notes),
        splits="the official splits" if splits else "",
    )


def _check_ids(records: Sequence[Record], source: Path, name: str) -> None:
    if not records:
        raise KerasDrError(f"{source}, read as {name}, has no photographs.", "Check the path and --dataset.")
    counts = Counter(record.image_id for record in records)
    image_id, count = counts.most_common(1)[0]
    if count > 1:
        places = [record.origin or record.path.name for record in records if record.image_id == image_id]
        message = f"{source} must name each photograph once, but names {image_id!r} {count} times"
        message += f": {' and '.join(places[:2])}."
        others = sum(number > 1 for number in counts.values()) - 1
        if others:
            message += f" {others} more {'photographs are' if others > 1 else 'photograph is'} named several times."
        raise KerasDrError(message, "Keep one row for each photograph, or rename one of two files with the same name.")
    rows: dict[tuple[Path, tuple[str, int] | None], Record] = {}
    for record in records:
        first = rows.setdefault((record.path, record.member), record)
        if first is not record:
            message = f"{source} must name each photograph once, but names {record.path.name!r} in several rows: "
            message += f"{first.origin or first.image_id} and {record.origin or record.image_id}."
            raise KerasDrError(message, "Keep one row for each photograph.")


def read_records(source: Path, dataset: str = "auto") -> tuple[str, list[Record]]:
    """Return the name of the adapter and the records, as `read_source` reads them without options.

    Args:
        source: the folder of a data set, or a table.
        dataset: the name of an adapter, or "auto".

    Raises:
        KerasDrError: see `read_source`.
    """
    name, reading = read_source(source, dataset)
    return name, list(reading.records)
