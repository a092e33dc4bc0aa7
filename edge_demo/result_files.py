"""Names the files of heat maps, and checks the files of results before the work."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_demo.grading import HEATMAP, image_id
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import printable, resolved
from keras_dr.core.outputs import Known, check_apart, check_output, is_png
from keras_dr.core.privacy import Privacy, shown_name


def heatmap_files(target: Path, images: Sequence[Path], privacy: Privacy | None = None) -> list[Path]:
    """Return the PNG file of each photograph's heat map: `target` itself, or a file in it named by the image_id.

    Args:
        target: the file or the folder.
        images: the photographs.
        privacy: how results name the patients of DICOM files; by default by a keyed hash.

    Raises:
        KerasDrError: `target` is a .png file for several photographs, or a heat map would overwrite a photograph.
    """
    single = target.suffix.lower() == ".png" and not target.is_dir()
    if single and len(images) > 1:
        message = f"The {len(images)} heat maps need a folder, but {target} names one .png file."
        raise KerasDrError(message, "Pass a name without .png.")
    files = []
    taken: set[str] = set()
    for image in images:
        stem = image_id(shown_name(image, privacy or Privacy()))
        name = stem
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        files.append(target if single else target / f"{name}.png")
    photographs = {resolved(image) for image in images}
    for file in files:
        if resolved(file) in photographs:
            message = f"The heat map {file} would overwrite a photograph."
            raise KerasDrError(message, "Choose another --heatmap.")
    return files


def check_results(
    files: Iterable[tuple[Path, tuple[str, ...], Known]], inputs: Sequence[Path], overwrite: bool
) -> None:
    """Check before the work that every result can be written and replaces only an earlier result.

    Args:
        files: each file, the suffixes that it may have, and the function that recognises an earlier result.
        inputs: the bundle, the photographs and the lists that name them.
        overwrite: whether other files may be replaced.

    Raises:
        KerasDrError: see `check_output`; or two results have the same name.
    """
    taken: set[Path] = set()
    for file, formats, known in files:
        if resolved(file) in taken:
            raise KerasDrError(
                f"Two results would be written to {printable(file)}.", "Choose another name for one of them."
            )
        taken.add(resolved(file))
        check_output(file, formats, inputs=inputs, known=known, overwrite=overwrite)


def check_heatmaps(folder: Path | None, heatmaps: Sequence[Path], inputs: Sequence[Path], overwrite: bool) -> None:
    """Check the heat maps as `check_results` does; their folder need not exist yet.

    Args:
        folder: the folder or the file that the user named; None: none.
        heatmaps: the file of each heat map.
        inputs: the bundle, the photographs and the lists that name them.
        overwrite: whether other files may be replaced.

    Raises:
        KerasDrError: as for `check_results`; or a file has the name of the folder.
    """
    for file in heatmaps:
        check_apart(file, inputs)
    in_existing_folders = [file for file in heatmaps if file.parent.is_dir()]
    check_results([(file, (".png",), is_png(HEATMAP)) for file in in_existing_folders], inputs, overwrite)
    if folder and folder.exists() and not folder.is_dir() and folder not in heatmaps:
        message = f"The heat maps cannot be written to {printable(folder)}: a file has that name."
        raise KerasDrError(message, "Choose the name of a folder.")


def check_tables_apart(tables: Iterable[Path], target: Path | None, heatmaps: Iterable[Path]) -> None:
    """Refuse a table with the name of the heat maps' folder.

    Args:
        tables: the tables of results.
        target: the file or the folder of the heat maps that the user named; None: none.
        heatmaps: the file of each heat map.

    Raises:
        KerasDrError: a table has that name.
    """
    folders = {resolved(file.parent) for file in heatmaps if file != target}
    for table in tables:
        if resolved(table) in folders:
            message = f"The table {printable(table)} has the same name as the folder of the heat maps."
            raise KerasDrError(message, "Choose another name for one of them.")
