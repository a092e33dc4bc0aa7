"""From a run to a device: export, predict, profile."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_dr.commands.shared import Address, Overwrite, RunFolder, bar, command, done, say
from keras_dr.quiet import load_tensorflow


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
    load_tensorflow()
    from export.export_run import export_run
    from keras_dr.reports.bundle import bundle_text

    with bar("export") as progress:
        about = export_run(run, bundle, variants.split(","), overwrite, allow_drift, progress, prepared)
    say(bundle_text(about, about["figures"]))
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
    runs: Annotated[int, typer.Option(min=1, help="Do it all so often, to show the noise.")] = 1,
    operators: Annotated[bool, typer.Option("--operators", help="Say which operators the time goes to.")] = False,
    compare: Annotated[
        str | None, typer.Option(help="Other engines for float32, joined by commas: onnxruntime, openvino.")
    ] = None,
    budget_ms: Annotated[float | None, typer.Option(help="Say which variants stay below.")] = None,
    budget_mib: Annotated[float | None, typer.Option(help="Say which variants stay below.")] = None,
) -> None:
    """Measure latency, memory and size of each model of a bundle, each in a fresh process without TensorFlow."""
    from edge_demo import profiler
    from edge_demo.bundle import Bundle
    from edge_demo.operators import profile_operators
    from edge_demo.operators import table as operators_table
    from export import engines

    counts = profiler.parse_threads(threads)
    files = engines.engine_files(bundle, compare) if compare else {}
    file = (out or bundle) / "profile.json"
    if out:
        out.mkdir(parents=True, exist_ok=True)
    data = image.read_bytes() if image else None
    measurements = profiler.profile(bundle, None, counts, data, repeats, runs=runs)
    say(profiler.table(measurements))
    if budget_ms is not None or budget_mib is not None:
        say(profiler.fitting(measurements, budget_ms, budget_mib))
    found = profile_operators(bundle, None, counts, repeats) if operators else []
    if found:
        say(operators_table(found))
    spec = Bundle.load(bundle).preprocessing
    times = engines.compare_engines(files, spec, counts, repeats, runs, data) if files else []
    if times:
        say(engines.table(times))
    profiler.write_json(file, measurements, operators=found, engines=times)
    _draw_profile(bundle, file.with_suffix(".png"), measurements)
    done(file, shlex.join(["python", "-m", "edge_demo", "grade", str(bundle), "IMAGE"]))


def _draw_profile(bundle: Path, file: Path, measurements: list[Any]) -> None:
    """The chart, where parity.json knows the variants' kappa."""
    from keras_dr.core import folders
    from keras_dr.reports import plots

    parity = bundle / "parity.json"
    figures = folders.read_json(parity)["figures"] if parity.is_file() else {}
    most = max(one.threads for one in measurements)
    rows = [
        {"variant": m.variant, "latency_ms": m.total.p50_ms, "quality": quality, "size_mib": m.size_mib}
        for m in measurements
        if m.threads == most and m.run == 0 and (quality := figures.get(m.variant, {}).get("quadratic_kappa_variant"))
    ]
    if rows:
        plots.plot_variants(file, rows)
        say(f"Chart: {file}")
