"""From a run to a device: export, predict, profile."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from keras_dr.commands.shared import Address, Overwrite, RunFolder, bar, command, done, say


def export(
    run: RunFolder,
    bundle: Annotated[Path, typer.Argument(help="Folder to write.")],
    variants: Annotated[
        str, typer.Option(help="Joined by commas: float32, float16, dynamic, int8, int16x8, onnx.")
    ] = "float32,int8",
    prepared: Annotated[Path | None, typer.Option(help="The run's prepared set, if it has moved.")] = None,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Keep variants that fail parity, not under failed/.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert a run to TFLite files for a device, and check each against the float model on validation photographs."""
    from keras_dr.core.errors import KerasDrError
    from keras_dr.core.folders import check_target, read_json, read_manifest
    from keras_dr.recipe import ParityLimits

    read_manifest(run, "run")  # what is missing or in the way is named before TensorFlow starts
    check_target(bundle, "bundle", overwrite)
    known = list(ParityLimits.model_fields)
    unknown = [name for name in variants.split(",") if name not in known]
    if unknown:
        raise KerasDrError(f"The variant {unknown[0]!r} is not one of {', '.join(known)}.", "Correct --variants.")
    from keras_dr import export as export_run
    from keras_dr.reports.bundle import bundle_text

    with bar("export") as progress:
        export_run(
            run,
            bundle,
            variants.split(","),
            prepared=prepared,
            allow_drift=allow_drift,
            overwrite=overwrite,
            progress=progress,
        )
    say(bundle_text(read_manifest(bundle, "bundle"), read_json(bundle / "parity.json")["figures"]))
    done(bundle, command("profile", bundle))


def predict(
    source: Annotated[Path, typer.Argument(help="Folder that train or export wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Photographs, folders of them, or CSV files that name them.")],
    out: Annotated[Path | None, typer.Option(help="File: .csv, .json, .xlsx or .parquet; of ray a folder.")] = None,
    excel: Annotated[bool, typer.Option("--excel", help="CSV for a spreadsheet: UTF-8 mark, four decimals.")] = False,
    separator: Annotated[
        str | None, typer.Option(help="Of CSV: comma, semicolon, tab, or locale: as it is usual here.")
    ] = None,
    engine: Annotated[str, typer.Option(help="litert, keras (for a run), or ray: on a cluster.")] = "litert",
    address: Address = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Of ray; all cores without it.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Grade photographs as published; a run is turned into a float32 TFLite file once.

    Writes predictions.csv without --out. With --engine ray (docs/scaling.md) it writes a folder of parts,
    predictions.parquet without --out, and the same command goes on where a killed one stopped.
    """
    from edge_demo.results import encode_outcomes, is_own_result, outcomes_json
    from keras_dr.core.encoding import CsvStyle, check_format
    from keras_dr.core.folders import check_writable, to_json, write_bytes
    from keras_dr.core.image_files import SkippedFiles, find_images
    from keras_dr.core.outputs import TABLE_FORMATS, check_output
    from keras_dr.prediction.predict import ENGINES
    from keras_dr.prediction.predict import predict as grade
    from keras_dr.workers.ray_cluster import check_engine

    check_engine(engine, (*ENGINES, "ray"), address)
    style, skipped = CsvStyle.choose(excel, separator), SkippedFiles()
    if engine == "ray":
        _predict_on_cluster(source, images, out or Path("predictions.parquet"), address, workers, overwrite)
        return
    file = out or Path("predictions.csv")
    photographs = list(find_images(images, skipped))
    inputs, formats = (source, *images, *photographs), (*TABLE_FORMATS, ".json")
    check_output(file, formats, inputs=inputs, known=is_own_result(), overwrite=overwrite)
    suffix = file.suffix.lower()
    check_format(suffix)
    check_writable(file)
    with bar("predict") as progress:
        found = grade(source, photographs, engine, progress)
    if suffix == ".json":
        about = outcomes_json(found.bundle, found.bundle.default_variant(), found.outcomes)
        content = to_json(about | {"skipped": dict(skipped.counts)})
    else:
        content = encode_outcomes(found.bundle, found.outcomes, suffix, style)
    write_bytes(file, content)
    say(f"Classes: {', '.join(found.bundle.classes)}; {found.bundle.positive}.")
    _tell(file, found.counts, found.failures, skipped.lines())


def _predict_on_cluster(
    source: Path, images: list[Path], out: Path, address: str | None, workers: int | None, overwrite: bool
) -> None:
    from keras_dr.core.image_files import SkippedFiles
    from keras_dr.core.outputs import check_apart
    from keras_dr.prediction.cluster import check_parts, grade_on_cluster
    from keras_dr.prediction.predict import bundle_at

    skipped = SkippedFiles()
    check_parts(out)
    check_apart(out, (source, *images))
    with bar("predict") as progress:
        found = grade_on_cluster(
            bundle_at(source),
            images,
            out,
            address=address,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
            skipped=skipped,
        )
    _tell(out, found.actions(), found.failures, skipped.lines())


def _tell(result: Path, counts: Mapping[str, int], failures: Sequence[tuple[str, str]], skipped: Sequence[str]) -> None:
    """Say what was graded and skipped, and each failure or the first of them; exit with 1 where there is one."""
    from edge_demo.results import closing_line
    from keras_dr.core.image_files import shown

    for image, message in failures:
        typer.echo(f"Error: {shown(image)}: {message}", err=True)
    if counts["failed"] > len(failures):
        typer.echo(f"Error: and {counts['failed'] - len(failures)} more; see the column error.", err=True)
    for line in skipped:
        say(f"Skipped in folders: {line}.")
    say(closing_line(counts))
    say(f"Result: {shown(result)}")
    if counts["failed"]:
        raise typer.Exit(1)


def profile(
    bundle: Annotated[Path, typer.Argument(help="Folder that export wrote.")],
    out: Annotated[Path | None, typer.Option(help="Folder for profile.json; default: the bundle.")] = None,
    image: Annotated[Path | None, typer.Option(help="Photograph to grade; default: a drawn one.")] = None,
    threads: Annotated[str, typer.Option(help="Joined by commas.")] = "1,2",
    repeats: Annotated[int, typer.Option(min=1)] = 50,
    runs: Annotated[int, typer.Option(min=1, help="Repeat the whole measurement N times to show the variation.")] = 1,
    operators: Annotated[bool, typer.Option("--operators", help="Report the time of each kind of operator.")] = False,
    compare: Annotated[
        str | None, typer.Option(help="Other engines for float32, joined by commas: onnxruntime, openvino.")
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(help="Report which variants meet this latency; exit 1 if none.")
    ] = None,
    budget_mib: Annotated[
        float | None, typer.Option(help="Report which variants meet this memory; exit 1 if none.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure latency, memory and size of each model of a bundle, each in a fresh process without TensorFlow."""
    from edge_demo import profiler
    from keras_dr import profile as profile_bundle

    result = profile_bundle(
        bundle,
        out,
        image=image,
        threads=profiler.parse_threads(threads),
        repeats=repeats,
        runs=runs,
        operators=operators,
        compare=compare.split(",") if compare else (),
        overwrite=overwrite,
    )
    say(str(result))
    fits = True
    if budget_ms is not None or budget_mib is not None:
        text, fits = profiler.fitting(result.measurements, budget_ms, budget_mib)
        say(text)
    if result.chart:
        say(f"Chart: {result.chart}")
    done(result.file, shlex.join(["python", "-m", "edge_demo", "grade", str(bundle), "IMAGE"]))
    if not fits:
        raise typer.Exit(1)
