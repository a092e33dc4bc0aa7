"""Class folders `<class>/*.jpg`, also with train/, val/ and test/ above or below them. A class is a grade or a name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import is_prepared_set
from keras_dr.core.image_files import SkippedFiles, printable, why_no_image
from keras_dr.core.tables import fold
from keras_dr.datasets.grades import find_grade, is_known_class
from keras_dr.datasets.naming import is_mask_folder, is_no_class, split_of_folder
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.patients import groups_of_folders, name_patients
from keras_dr.datasets.photograph_index import image_stem
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import Record, safe_id

NAME = "folder"
_DEPTH = 4  # folders below a class in which its photographs may lie


@dataclass(frozen=True)
class _ClassFolder:
    """A folder of one class, and the split in the name of a folder above or below it ("" if there is none)."""

    folder: Path
    split: str
    above: tuple[str, ...] = ()  # folders between SOURCE and the class that are not splits

    @property
    def name(self) -> str:
        return self.folder.name


def recognises(source: Path, options: SourceOptions | None = None) -> bool:
    """Whether the subfolders of a folder, or of its split folders, are grades or two or more classes with photographs.

    Args:
        source: the folder.
        options: classes that the user named; None: none.
    """
    if not source.is_dir():
        return False
    folders = _class_folders(source, options or SourceOptions())
    if folders and all(find_grade(class_folder.name) is not None for class_folder in folders):
        return True
    filled = {class_folder.name for class_folder in folders if next(_photographs(class_folder.folder), None)}
    return len(filled) > 1


def read(source: Path) -> list[Record]:
    """Return the records of class folders, as `understand` reads them without options."""
    return list(understand(source, SourceOptions()).records)


def understand(source: Path, options: SourceOptions) -> Reading:
    """Read class folders.

    Args:
        source: the folder that holds them.
        options: the classes, and where patients come from.

    Raises:
        KerasDrError: a class folder is empty, or two levels of folders may be the classes.
    """
    folders = _chosen_level(_class_folders(source, options), options)
    _refuse_other_splits(source, folders)
    records = []
    for class_folder in folders:
        photographs = list(_photographs(class_folder.folder))
        if not photographs:
            message = f"The class folder {class_folder.folder} has no photographs{_other_files(class_folder.folder)}."
            raise KerasDrError(message, "Fill it or remove it.")
        records += [_record(class_folder, path) for path in photographs]
    stems = [image_stem(record.path.name) for record in records]
    named, patients, notes = name_patients(stems, options)
    if named:
        records = [
            replace(record, patient_id=patient, eye=eye) for record, (patient, eye) in zip(records, named, strict=True)
        ]
    elif options.patients == "auto":
        groups = groups_of_folders(_inner_folders(records, folders))
        if groups:
            records = [replace(record, neighbours=group) for record, group in zip(records, groups, strict=True)]
            example = min(filter(None, groups))
            note = f"Folders below the classes, such as {example}, may be patients, so the photographs of one folder "
            notes = [f"{note}stay in one split.", *notes]
    return Reading(
        records=records,
        why="its folders are the classes",
        patients=patients,
        splits="the folders' names" if any(class_folder.split for class_folder in folders) else "",
        not_used=_not_used(source, folders),
        notes=tuple(notes),
    )


def _record(class_folder: _ClassFolder, path: Path) -> Record:
    name = class_folder.name
    below = path.relative_to(class_folder.folder).parts[:-1]
    split = class_folder.split or next(filter(None, map(split_of_folder, below)), "")
    below = tuple(part for part in below if not split_of_folder(part))
    parts = (split, *class_folder.above, name, *below, image_stem(path.name))
    image_id = safe_id("_".join(filter(None, parts)))
    return Record(image_id, path, find_grade(name), split=split, label=printable(name))


def _inner_folders(records: Sequence[Record], folders: Sequence[_ClassFolder]) -> list[str]:
    """Return the folder of each photograph; "" if it lies in the class folder itself, or in a split below it."""
    classes = {class_folder.folder for class_folder in folders}
    parents = [record.path.parent for record in records]
    return ["" if parent in classes or split_of_folder(parent.name) else parent.name for parent in parents]


def _other_files(folder: Path) -> str:
    """Return what a folder without photographs holds, for a message."""
    skipped = SkippedFiles()
    for path in folder.rglob("*"):
        if not path.is_dir():
            skipped.add(path, why_no_image(path))
    return f", but {'; '.join(skipped.lines())}" if skipped.counts else ""


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden folders, those of the system, and Prepared sets."""
    inside = (path for path in folder.iterdir() if path.is_dir())
    return sorted(path for path in inside if not path.name.startswith((".", "__")) and not is_prepared_set(path))


def _photographs(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the photographs in a class folder, then those in the folders below it, except masks and Prepared sets."""
    inside = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            inside.append(path)
        elif not why_no_image(path):
            yield path
    for path in inside:
        is_left_out = path.name.startswith((".", "__")) or is_mask_folder(path.name) or is_prepared_set(path)
        if depth and not is_left_out:
            yield from _photographs(path, depth - 1)


def _class_folders(source: Path, options: SourceOptions) -> list[_ClassFolder]:
    """Return the class folders, also empty ones; folders whose names are not classes only if the user named them."""
    folders = _folders(source)
    wanted = _wanted(options)

    def may_be_class(folder: Path) -> bool:
        return fold(folder.name) in wanted or not is_no_class(folder.name)

    splits = [(path, split_of_folder(path.name)) for path in folders if split_of_folder(path.name)]
    if not splits:
        return [_ClassFolder(folder, "") for folder in folders if may_be_class(folder)]
    return [_ClassFolder(folder, split) for path, split in splits for folder in _folders(path) if may_be_class(folder)]


def _wanted(options: SourceOptions) -> set[str]:
    """Return the names of the classes that the user named, as `fold` returns them."""
    return {fold(name) for name in (*options.classes, *(options.positive or ()), *options.renamed)}


def _chosen_level(folders: Sequence[_ClassFolder], options: SourceOptions) -> list[_ClassFolder]:
    """Return the class folders, or the folders in them if those are the classes that the user named.

    Raises:
        KerasDrError: both levels may be the classes.
    """
    inner = [
        _ClassFolder(below, outer.split, (*outer.above, outer.name))
        for outer in folders
        for below in _folders(outer.folder)
        if not is_no_class(below.name) and next(_photographs(below), None)
    ]
    known = [class_folder for class_folder in inner if is_known_class(class_folder.name)]
    if not known:
        return list(folders)
    wanted = _wanted(options)
    if wanted and all(fold(class_folder.name) in wanted for class_folder in folders):
        return list(folders)
    if wanted and all(fold(class_folder.name) in wanted for class_folder in inner):
        return inner
    message = (
        f"The classes may be the folders {_names(folders)}, or the folders in them, {_names(inner)}, such as "
        f"{known[0].above[-1]}/{known[0].name}."
    )
    raise KerasDrError(message, "Name the classes with --classes A,B,...")


def _names(folders: Sequence[_ClassFolder]) -> str:
    names = list(dict.fromkeys(printable(class_folder.name) for class_folder in folders))
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _refuse_other_splits(source: Path, folders: Sequence[_ClassFolder]) -> None:
    """Refuse a folder next to the splits that holds the same classes, because it is unknown which split it is.

    Raises:
        KerasDrError: there is such a folder.
    """
    if not any(class_folder.split for class_folder in folders):
        return
    names = {class_folder.name for class_folder in folders}
    for path in _folders(source):
        same = {folder.name for folder in _folders(path)} & names
        if same and not split_of_folder(path.name):
            message = (
                f"The folder {path} holds classes ({', '.join(sorted(same)[:3])}), but its name is not a split: train, "
                "val or test."
            )
            raise KerasDrError(message, "Rename it to its split, or move it away.")


def _not_used(source: Path, folders: Sequence[_ClassFolder]) -> dict[Path, str]:
    """Return each photograph outside the class folders with the reason why it is not used."""
    used = {class_folder.folder for class_folder in folders}
    reasons: dict[Path, str] = {}
    for folder in (source, *(class_folder.folder.parent for class_folder in folders)):
        for path in sorted(folder.iterdir()):
            if not path.is_dir() and not why_no_image(path):
                reasons[path] = "beside the class folders"
        for inside in _folders(folder):
            if inside not in used and not any(path.is_relative_to(inside) for path in used):
                reason = f"in the folder {printable(inside.name)}, which is not a class"
                reasons |= dict.fromkeys(_photographs(inside), reason)
    return reasons
