"""The commands for data sets: inspect, prepare, audit, show."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_dr.commands.shared import Address, Overwrite, PreparedFolder, Seed, bar, command, done, say
from keras_dr.commands.source_options import with_source_options

if TYPE_CHECKING:
    from keras_dr.datasets.options import SourceOptions

_TASK_HELP = "auto, icdr (five grades), icdr-ungradable, referable (grade 2 and above), or classes (the set's own)."
_PICTURE = "photograph shown"  # the purpose that is noted in the PNG file that show writes

Source = Annotated[Path, typer.Argument(help="Folder of photographs or of a published data set, or a table.")]
Dataset = Annotated[str, typer.Option(help="auto, or the name of a data set; see docs/own-data.md.")]
TaskName = Annotated[str, typer.Option(help=_TASK_HELP)]


@with_source_options
def inspect(source: Source, dataset: Dataset = "auto", task: TaskName = "auto", *, options: "SourceOptions") -> None:
    """Report how a source is understood; write nothing.

    The report names the columns, patients, classes and files.
    """
    from keras_dr import inspect as inspect_source

    say(str(inspect_source(source, dataset, task, options)))


@with_source_options
def prepare(
    source: Source,
    prepared: Annotated[Path, typer.Argument(help="Folder to write.")],
    dataset: Dataset = "auto",
    task: TaskName = "auto",
    *,
    options: "SourceOptions",
    size: Annotated[int, typer.Option(help="Side of the prepared square in pixels, 28 to 1024.")] = 224,
    enhance: Annotated[str, typer.Option(help="none, clahe, green or ben-graham; join several with +.")] = "none",
    fundus: Annotated[str, typer.Option(help="auto: crop to the fundus circle; none: use the whole image.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Number of processes; default: one per core.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray to work on a cluster; see docs/scaling.md.")] = "local",
    address: Address = None,
    val: Annotated[float, typer.Option(help="Share for validation, if the set has no such split.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share for test, if the set has no such split.")] = 0.2,
    calibration: Annotated[
        float, typer.Option(help="Share of whole patients that choose nothing, for promises; see docs/promises.md.")
    ] = 0.0,
    seed: Seed = 42,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Keep official training photographs that are copies of test ones.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Crop, resize and split the photographs of a data set.

    After an interruption, the same command continues where it stopped.
    """
    from keras_dr import inspect as inspect_source
    from keras_dr import prepare as prepare_set
    from keras_dr.core.folders import check_target
    from keras_dr.preparation.settings import PreparationSettings
    from keras_dr.reports.preparation import prepared_text

    settings = PreparationSettings(
        task=task,
        size=size,
        enhance=enhance,
        fundus=fundus,
        val=val,
        test=test,
        calibration=calibration,
        engine=engine,
        address=address,
    )
    check_target(prepared, "prepared", overwrite)  # before a large source is read
    inspection = inspect_source(source, dataset, task, options)
    say(str(inspection))
    with bar("prepare") as progress:
        data = prepare_set(
            inspection,
            prepared,
            **asdict(settings),
            seed=seed,
            workers=workers,
            keep_leaks=keep_leaks,
            overwrite=overwrite,
            progress=progress,
        )
    say(prepared_text(data.about))
    done(prepared, command("train", prepared, "RUN") if data.labelled else command("explain", "RUN", prepared))


def audit(
    prepared: Annotated[list[Path], typer.Argument(help="Folders that prepare wrote.")],
    show: Annotated[int, typer.Option("-n", min=0, help="Number of copies to list.")] = 20,
    out: Annotated[Path | None, typer.Option(help="File for the whole list: .csv, .xlsx or .parquet.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find copies within and across prepared sets.

    Copies with conflicting grades and copies of test photographs in training or validation are reported as well.
    """
    from keras_dr.core.encoding import check_format
    from keras_dr.core.outputs import TABLE_FORMATS, check_output, is_table, known_by_suffix
    from keras_dr.preparation import audit as auditing
    from keras_dr.reports.preparation import audit_text

    if out:
        table = is_table(auditing.COLUMNS)
        known = known_by_suffix(csv=table, xlsx=table, parquet=table)
        check_output(out, TABLE_FORMATS, inputs=prepared, known=known, overwrite=overwrite)
        check_format(out.suffix.lower())
    result = auditing.audit(prepared)
    say(audit_text(result, show))
    if out:
        auditing.write_copies(out, result)
        say(f"Result: {out}")


def show(
    prepared: PreparedFolder,
    image_id: Annotated[str, typer.Argument(help="image_id in manifest.csv.")],
    out: Annotated[Path | None, typer.Option(help="PNG file to write; default: IMAGE_ID.png.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw one photograph before and after its preparation.

    The picture shows the original with the detected circle, the prepared photograph, and its masks.
    """
    from keras_dr.core import folders
    from keras_dr.core.encoding import encode_png
    from keras_dr.core.outputs import check_output, is_png
    from keras_dr.core.png_marks import mark_png
    from keras_dr.preparation import preview
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.reports.preparation import quality_text

    data = PreparedSet.load(prepared)
    file = out or Path(f"{image_id}.png")
    original = data.source / data.rows[data.index_of(image_id)]["source"]
    check_output(file, (".png",), inputs=(prepared, original), known=is_png(_PICTURE), overwrite=overwrite)
    picture, missing = preview.draw_photograph(data, image_id)
    folders.write_bytes(file, mark_png(encode_png(picture), _PICTURE))
    say(quality_text(next(row for row in data.rows if row["image_id"] == image_id)))
    if missing:
        say(missing)
    say(f"Result: {file}")
