"""Class folders `<class>/*.jpg`, or with train/, val/ and test/ above or below them. A class is a grade or a name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_dr.core.errors import KerasDrError
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
_KEPT = "no cut divides one of them."
_DEPTH = 4  # folders below a class in which its photographs may lie


@dataclass(frozen=True)
class _ClassFolder:
    """A folder of one class, and the split that a folder above or below says ("" where none does)."""

    folder: Path
    split: str
    above: tuple[str, ...] = ()  # folders between SOURCE and the class that are no split

    @property
    def name(self) -> str:
        return self.folder.name


def recognises(source: Path, options: SourceOptions | None = None) -> bool:
    """A folder whose subfolders, or those of its split folders, are grades, or two or more classes with photographs."""
    if not source.is_dir():
        return False
    folders = _class_folders(source, options or SourceOptions())
    if folders and all(find_grade(one.name) is not None for one in folders):
        return True
    filled = {one.name for one in folders if next(_photographs(one.folder), None)}
    return len(filled) > 1


def read(source: Path) -> list[Record]:
    """The folders' records, as `understand` reads them without options."""
    return list(understand(source, SourceOptions()).records)


def understand(source: Path, options: SourceOptions) -> Reading:
    """Read class folders.

    Raises:
        KerasDrError: a class folder is empty, or two levels of folders may be the classes.
    """
    folders = _chosen_level(_class_folders(source, options), options)
    _refuse_other_splits(source, folders)
    records = []
    for one in folders:
        photographs = list(_photographs(one.folder))
        if not photographs:
            raise KerasDrError(
                f"The class folder {one.folder} has no photographs{_others(one.folder)}.", "Fill it or remove it."
            )
        for path in photographs:
            records.append(_record(one, path))
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
            notes = [
                f"Folders below the classes, such as {min(filter(None, groups))}, may be patients: {_KEPT}",
                *notes,
            ]
    splits = sorted({printable(one.folder.parent.name) for one in folders if one.split})
    return Reading(
        records=records,
        why="its folders are the classes",
        patients=patients,
        splits="the folders' names" if splits else "",
        passed=_passed(source, folders),
        notes=tuple(notes),
    )


def _record(one: _ClassFolder, path: Path) -> Record:
    between = path.relative_to(one.folder).parts[:-1]
    split = one.split or next(filter(None, map(split_of_folder, between)), "")
    between = tuple(part for part in between if not split_of_folder(part))
    image_id = safe_id("_".join(filter(None, (split, *one.above, one.name, *between, image_stem(path.name)))))
    return Record(image_id, path, find_grade(one.name), split=split, label=printable(one.name))


def _inner_folders(records: Sequence[Record], folders: Sequence[_ClassFolder]) -> list[str]:
    """The folder of each photograph, "" for one that lies in the class folder itself, or in a split below it."""
    classes = {one.folder for one in folders}
    parents = [record.path.parent for record in records]
    return ["" if parent in classes or split_of_folder(parent.name) else parent.name for parent in parents]


def _others(folder: Path) -> str:
    """What a folder without photographs holds, for a message."""
    skipped = SkippedFiles()
    for path in folder.rglob("*"):
        if not path.is_dir():
            skipped.add(path, why_no_image(path))
    return f", but {'; '.join(skipped.lines())}" if skipped.counts else ""


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; hidden ones and those of the system left out."""
    inside = (path for path in folder.iterdir() if path.is_dir())
    return sorted(path for path in inside if not path.name.startswith((".", "__")))


def _photographs(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """The photographs of a class, sorted, those in folders below it too, masks left out."""
    inside = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            inside.append(path)
        elif not why_no_image(path):
            yield path
    for path in inside:
        if depth and not path.name.startswith((".", "__")) and not is_mask_folder(path.name):
            yield from _photographs(path, depth - 1)


def _class_folders(source: Path, options: SourceOptions) -> list[_ClassFolder]:
    """The class folders, empty ones too; those whose names are no classes left out, unless a person named them."""
    folders, wanted = _folders(source), _wanted(options)
    splits = [(path, split_of_folder(path.name)) for path in folders if split_of_folder(path.name)]
    if splits:
        return [
            _ClassFolder(folder, split)
            for path, split in splits
            for folder in _folders(path)
            if fold(folder.name) in wanted or not is_no_class(folder.name)
        ]
    named = [folder for folder in folders if fold(folder.name) in wanted or not is_no_class(folder.name)]
    return [_ClassFolder(folder, "") for folder in named]


def _wanted(options: SourceOptions) -> set[str]:
    """The names of classes that a person has said, folded."""
    return {fold(name) for name in (*options.classes, *(options.positive or ()), *options.renamed)}


def _chosen_level(folders: Sequence[_ClassFolder], options: SourceOptions) -> list[_ClassFolder]:
    """The class folders, or those in them where these are the classes that a person named.

    Raises:
        KerasDrError: both levels may be the classes.
    """
    inner = [
        _ClassFolder(below, one.split, (*one.above, one.name))
        for one in folders
        for below in _folders(one.folder)
        if not is_no_class(below.name) and next(_photographs(below), None)
    ]
    known = [one for one in inner if is_known_class(one.name)]
    if not known:
        return list(folders)
    wanted = _wanted(options)
    if wanted and all(fold(one.name) in wanted for one in folders):
        return list(folders)
    if wanted and all(fold(one.name) in wanted for one in inner):
        return inner
    message = (
        f"The classes may be the folders {_names(folders)}, or those in them, {_names(inner)}, such as "
        f"{known[0].above[-1]}/{known[0].name}."
    )
    raise KerasDrError(message, "Say which with --classes A,B,...")


def _names(folders: Sequence[_ClassFolder]) -> str:
    names = list(dict.fromkeys(printable(one.name) for one in folders))
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _refuse_other_splits(source: Path, folders: Sequence[_ClassFolder]) -> None:
    """Refuse a folder beside the splits that holds the same classes: which split it is, nobody has said.

    Raises:
        KerasDrError: there is one.
    """
    if not any(one.split for one in folders):
        return
    names = {one.name for one in folders}
    for path in _folders(source):
        same = {folder.name for folder in _folders(path)} & names
        if same and not split_of_folder(path.name):
            message = (
                f"The folder {path} holds classes ({', '.join(sorted(same)[:3])}) and is neither train, val nor test."
            )
            raise KerasDrError(message, "Rename it to the split that it is, or move it away.")


def _passed(source: Path, folders: Sequence[_ClassFolder]) -> dict[Path, str]:
    """Photographs outside the class folders -> the reason why they are not used."""
    used = {one.folder for one in folders}
    found: dict[Path, str] = {}
    for folder in (source, *(one.folder.parent for one in folders)):
        for path in sorted(folder.iterdir()):
            if not path.is_dir() and not why_no_image(path):
                found[path] = "beside the class folders"
        for inside in _folders(folder):
            if inside not in used and not any(one.is_relative_to(inside) for one in used):
                reason = f"in the folder {printable(inside.name)}, which is no class"
                found |= dict.fromkeys(_photographs(inside), reason)
    return found
