"""Class folders `<class>/*.jpg`, or with train/, val/ and test/ above them. A class is a grade or any other name."""

from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES, printable
from keras_dr.datasets.grades import find_grade
from keras_dr.datasets.records import Record, safe_id

NAME = "folder"
_SPLIT_FOLDERS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
_SPLIT_FOLDERS |= {"test": "test", "testing": "test"}


def recognises(source: Path) -> bool:
    """A folder whose subfolders, or those of its split folders, are grades, or two or more classes with photographs."""
    if not source.is_dir():
        return False
    folders = [folder for _, folder in _class_folders(source)]
    if folders and all(find_grade(folder.name) is not None for folder in folders):
        return True
    return len({folder.name for folder in folders}) > 1 and all(map(_photographs, folders))


def _photographs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _class_folders(source: Path) -> list[tuple[str, Path]]:
    """(split or "", class folder), empty ones too."""
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = [(path, _SPLIT_FOLDERS[path.name.lower()]) for path in folders if path.name.lower() in _SPLIT_FOLDERS]
    if splits:
        return [(split, folder) for path, split in splits for folder in sorted(path.iterdir()) if folder.is_dir()]
    return [("", folder) for folder in folders]


def read(source: Path) -> list[Record]:
    """The folders' records.

    Raises:
        KerasDrError: a class folder is empty.
    """
    records = []
    for split, folder in _class_folders(source):
        photographs = _photographs(folder)
        if not photographs:
            raise KerasDrError(f"photographs in the class folder {folder}", "none", "Fill it or remove it.")
        for path in photographs:
            image_id = safe_id("_".join(filter(None, (split, folder.name, path.stem))))
            records.append(Record(image_id, path, find_grade(folder.name), split=split, label=printable(folder.name)))
    return records
