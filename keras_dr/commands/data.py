"""Data sets: prepare, audit, show."""

from pathlib import Path
from typing import Annotated

import typer

from keras_dr.commands.shared import Address, Overwrite, PreparedFolder, Seed, bar, command, done, say

_TASK_HELP = (
    "auto, icdr (five grades), icdr-ungradable, referable (grade 2 and above), or classes as the data set names."
)


def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of a published data set, or a CSV file.")],
    prepared: Annotated[Path, typer.Argument(help="Folder to write.")],
    dataset: Annotated[str, typer.Option(help="auto, or the name of a data set; see docs/datasets.md.")] = "auto",
    task: Annotated[str, typer.Option(help=_TASK_HELP)] = "auto",
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
    from keras_dr import prepare as prepare_set
    from keras_dr.reports.preparation import prepared_text

    with bar("prepare") as progress:
        data = prepare_set(
            source,
            prepared,
            dataset=dataset,
            task=task,
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
    say(f"Read as {data.about['dataset']}, task {data.task.name}.")
    say(prepared_text(data.about))
    done(prepared, command("train", prepared, "RUN") if data.labelled else command("explain", "RUN", prepared))


def audit(
    prepared: Annotated[list[Path], typer.Argument(help="Folders that prepare wrote.")],
    show: Annotated[int, typer.Option("-n", min=0, help="Photographs to list.")] = 20,
    out: Annotated[Path | None, typer.Option(help="CSV file for the whole list.")] = None,
) -> None:
    """Find copies within and across prepared sets, their conflicting grades, and test photographs seen in training."""
    from keras_dr.preparation import audit as auditing
    from keras_dr.reports.preparation import audit_text

    found = auditing.audit(prepared)
    say(audit_text(found, show))
    if out:
        auditing.write_copies(out, found)
        say(f"Result: {out}")


def show(
    prepared: PreparedFolder,
    image_id: Annotated[str, typer.Argument(help="From manifest.csv.")],
    out: Annotated[Path | None, typer.Option(help="PNG file to write; IMAGE_ID.png without it.")] = None,
) -> None:
    """Draw one photograph: the original with the circle that was found, what became of it, and its masks."""
    from keras_dr.core import folders
    from keras_dr.core.encoding import encode_png
    from keras_dr.preparation import preview
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.reports.preparation import quality_text

    data, file = PreparedSet.load(prepared), out or Path(f"{image_id}.png")
    picture, missing = preview.draw_photograph(data, image_id)
    folders.write_bytes(file, encode_png(picture))
    say(quality_text(next(row for row in data.rows if row["image_id"] == image_id)))
    if missing:
        say(missing)
    say(f"Result: {file}")
