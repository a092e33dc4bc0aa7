"""Data sets: inspect, prepare, audit, show."""

from pathlib import Path
from typing import Annotated

import typer

from keras_dr.commands.shared import Address, Overwrite, PreparedFolder, Seed, bar, command, done, say

_TASK_HELP = (
    "auto, icdr (five grades), icdr-ungradable, referable (grade 2 and above), or classes as the data set names."
)


_SHOWN = "photograph shown"  # what the picture that show draws says of its purpose

Source = Annotated[Path, typer.Argument(help="Folder of photographs or of a published data set, or a table.")]
Dataset = Annotated[str, typer.Option(help="auto, or the name of a data set; see docs/datasets.md.")]
TaskName = Annotated[str, typer.Option(help=_TASK_HELP)]
ImageColumn = Annotated[str | None, typer.Option(help="Column of the table that names the photographs.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column that holds the class.")]
PatientColumn = Annotated[str | None, typer.Option(help="Column that holds the patient, or none.")]
EyeColumn = Annotated[str | None, typer.Option(help="Column that holds the eye, or none.")]
SplitColumn = Annotated[str | None, typer.Option(help="Column that holds the published split, or none.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the table's photographs.")]
Classes = Annotated[str | None, typer.Option(help="Class names in order: A,B,C.")]
Positive = Annotated[str | None, typer.Option(help="Classes that send a patient on: B,C; or none.")]
Map = Annotated[list[str] | None, typer.Option(help="LABEL=CLASS: what a label means; may be repeated.")]
Patients = Annotated[str, typer.Option(help="auto, names (from 1000_OD, 1000_OS), or none.")]


def inspect(
    source: Source,
    dataset: Dataset = "auto",
    task: TaskName = "auto",
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    patient_column: PatientColumn = None,
    eye_column: EyeColumn = None,
    split_column: SplitColumn = None,
    images: Images = None,
    classes: Classes = None,
    positive: Positive = None,
    map: Map = None,
    patients: Patients = "auto",
) -> None:
    """Say what is understood of a source: columns, patients, classes, files; nothing is written."""
    from keras_dr import inspect as inspect_source
    from keras_dr.datasets.options import parse_options

    options = parse_options(
        image_column=image_column,
        label_column=label_column,
        patient_column=patient_column,
        eye_column=eye_column,
        split_column=split_column,
        images=images,
        classes=classes,
        positive=positive,
        renamed=tuple(map or ()),
        patients=patients,
    )
    say(str(inspect_source(source, dataset, task, options)))


def prepare(
    source: Source,
    prepared: Annotated[Path, typer.Argument(help="Folder to write.")],
    dataset: Dataset = "auto",
    task: TaskName = "auto",
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    patient_column: PatientColumn = None,
    eye_column: EyeColumn = None,
    split_column: SplitColumn = None,
    images: Images = None,
    classes: Classes = None,
    positive: Positive = None,
    map: Map = None,
    patients: Patients = "auto",
    size: Annotated[int, typer.Option(help="Side of the prepared square in pixels, 28 to 1024.")] = 224,
    enhance: Annotated[str, typer.Option(help="none, clahe, green, ben-graham; several joined by +.")] = "none",
    fundus: Annotated[
        str, typer.Option(help="auto: crop to the fundus circle; none: images of something else.")
    ] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores without it.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: on a cluster, see docs/scaling.md.")] = "local",
    address: Address = None,
    val: Annotated[float, typer.Option(help="Share for validation, where the set has none.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share for test, where the set has none.")] = 0.2,
    seed: Seed = 42,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Keep official training photographs that are copies of test ones.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Crop, resize and split the photographs of a data set; interrupted, the same command goes on."""
    from keras_dr import inspect as inspect_source
    from keras_dr import prepare as prepare_set
    from keras_dr.datasets.options import parse_options
    from keras_dr.preparation.prepare import check_arguments
    from keras_dr.reports.preparation import prepared_text

    options = parse_options(
        image_column=image_column,
        label_column=label_column,
        patient_column=patient_column,
        eye_column=eye_column,
        split_column=split_column,
        images=images,
        classes=classes,
        positive=positive,
        renamed=tuple(map or ()),
        patients=patients,
    )
    check_arguments(
        task=task, size=size, enhance=enhance, fundus=fundus, val=val, test=test, engine=engine, address=address
    )
    found = inspect_source(source, dataset, task, options)
    say(str(found))
    with bar("prepare") as progress:
        data = prepare_set(
            found,
            prepared,
            size=size,
            enhance=enhance,
            fundus=fundus,
            val=val,
            test=test,
            seed=seed,
            engine=engine,
            workers=workers,
            address=address,
            keep_leaks=keep_leaks,
            overwrite=overwrite,
            progress=progress,
        )
    say(prepared_text(data.about))
    done(prepared, command("train", prepared, "RUN") if data.labelled else command("explain", "RUN", prepared))


def audit(
    prepared: Annotated[list[Path], typer.Argument(help="Folders that prepare wrote.")],
    show: Annotated[int, typer.Option("-n", min=0, help="Photographs to list.")] = 20,
    out: Annotated[Path | None, typer.Option(help="File for the whole list: .csv, .xlsx or .parquet.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find copies within and across prepared sets, their conflicting grades, and test photographs seen in training."""
    from keras_dr.core.encoding import check_format
    from keras_dr.core.outputs import TABLE_FORMATS, check_output, is_table, known_by_suffix
    from keras_dr.preparation import audit as auditing
    from keras_dr.reports.preparation import audit_text

    if out:
        table = is_table(auditing.COLUMNS)
        known = known_by_suffix(csv=table, xlsx=table, parquet=table)
        check_output(out, TABLE_FORMATS, inputs=prepared, known=known, overwrite=overwrite)
        check_format(out.suffix.lower())
    found = auditing.audit(prepared)
    say(audit_text(found, show))
    if out:
        auditing.write_copies(out, found)
        say(f"Result: {out}")


def show(
    prepared: PreparedFolder,
    image_id: Annotated[str, typer.Argument(help="From manifest.csv.")],
    out: Annotated[Path | None, typer.Option(help="PNG file to write; IMAGE_ID.png without it.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw one photograph: the original with the circle that was found, what became of it, and its masks."""
    from keras_dr.core import folders
    from keras_dr.core.encoding import encode_png
    from keras_dr.core.outputs import check_output, is_png, mark_png
    from keras_dr.preparation import preview
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.reports.preparation import quality_text

    data, file = PreparedSet.load(prepared), out or Path(f"{image_id}.png")
    original = data.source / data.rows[data.index_of(image_id)]["source"]
    check_output(file, (".png",), inputs=(prepared, original), known=is_png(_SHOWN), overwrite=overwrite)
    picture, missing = preview.draw_photograph(data, image_id)
    folders.write_bytes(file, mark_png(encode_png(picture), _SHOWN))
    say(quality_text(next(row for row in data.rows if row["image_id"] == image_id)))
    if missing:
        say(missing)
    say(f"Result: {file}")
