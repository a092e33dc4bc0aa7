"""From a run to a device: export, predict, profile."""

import shlex
from collections.abc import Sequence
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
    from keras_dr.core.folders import check_target, read_json, read_manifest

    read_manifest(run, "run")  # what is missing or in the way is named before TensorFlow starts
    check_target(bundle, "bundle", overwrite)
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
    out: Annotated[Path | None, typer.Option(help="CSV file; of ray a folder, .parquet or .csv. See below.")] = None,
    engine: Annotated[str, typer.Option(help="litert, keras (for a run), or ray: on a cluster.")] = "litert",
    address: Address = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Of ray; all cores without it.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Grade photographs as published; a run is turned into a float32 TFLite file once.

    Writes predictions.csv without --out. With --engine ray (docs/scaling.md) it writes a folder of parts,
    predictions.parquet without --out, and the same command goes on where a killed one stopped.
    """
    from edge_demo.results import results_csv
    from keras_dr.core.folders import check_writable, write_bytes
    from keras_dr.core.image_files import find_images
    from keras_dr.prediction.predict import ENGINES
    from keras_dr.prediction.predict import predict as grade
    from keras_dr.workers.ray_cluster import check_engine

    check_engine(engine, (*ENGINES, "ray"), address)
    if engine == "ray":
        _predict_on_cluster(source, images, out or Path("predictions.parquet"), address, workers, overwrite)
        return
    file = out or Path("predictions.csv")
    check_writable(file)
    with bar("predict") as progress:
        found = grade(source, list(find_images(images)), engine, progress)
    write_bytes(file, results_csv(found.bundle, found.gradings))
    referred = sum(grading.action.startswith("refer") for grading in found.gradings)
    say(f"Classes: {', '.join(found.bundle.classes)}; {found.bundle.positive}.")
    _tell(file, len(found.gradings), referred, len(found.failures), found.failures)


def _predict_on_cluster(
    source: Path, images: list[Path], out: Path, address: str | None, workers: int | None, overwrite: bool
) -> None:
    from keras_dr.prediction.cluster import grade_on_cluster
    from keras_dr.prediction.predict import bundle_at

    with bar("predict") as progress:
        found = grade_on_cluster(
            bundle_at(source),
            images,
            out,
            address=address,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    _tell(out, found.photographs - found.failed, found.referred, found.failed, found.failures)


def _tell(result: Path, graded: int, referred: int, failed: int, failures: Sequence[tuple[str, str]]) -> None:
    """Say what was graded, and each failure or the first of them; exit with 1 where there is one."""
    for image, message in failures:
        typer.echo(f"Error: {image}: {message}", err=True)
    if failed > len(failures):
        typer.echo(f"Error: and {failed - len(failures)} more; see the column error.", err=True)
    say(f"Graded {graded} photographs, {referred} to be referred; {failed} failed.")
    say(f"Result: {result}")
    if failed:
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
