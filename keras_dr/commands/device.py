"""From a run to a device: export, predict, profile."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_dr.commands.terms import Overwrite, RunFolder, bar, command, done, say
from keras_dr.console import load_tensorflow


def export(
    run: RunFolder,
    bundle: Annotated[Path, typer.Argument(help="Folder to write.")],
    variants: Annotated[
        str, typer.Option(help="Joined by commas: float32, float16, dynamic, int8, int16x8.")
    ] = "float32,int8",
    prepared: Annotated[Path | None, typer.Option(help="The run's prepared set, if it has moved.")] = None,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Keep variants that fail parity, not under failed/.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert a run to TFLite files for a device, and check each against the float model on validation photographs."""
    load_tensorflow()
    from export.bundle import export_run
    from keras_dr.report import bundle_text

    with bar("export") as progress:
        about = export_run(run, bundle, variants.split(","), overwrite, allow_drift, progress, prepared)
    say(bundle_text(about, about["figures"]))
    done(bundle, command("profile", bundle))


def predict(
    source: Annotated[Path, typer.Argument(help="Folder that train or export wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="CSV file; predictions.csv without it.")] = None,
    engine: Annotated[str, typer.Option(help="litert, or keras (for a run).")] = "litert",
) -> None:
    """Grade photographs as published; a run is turned into a float32 TFLite file once."""
    from edge_demo.files import find_images
    from edge_demo.results import results_csv
    from export.predicting import predict as grade
    from keras_dr.runs import check_writable, write_bytes

    file = out or Path("predictions.csv")
    check_writable(file)
    with bar("predict") as progress:
        found = grade(source, find_images(images), engine, progress)
    write_bytes(file, results_csv(found.bundle, found.gradings).encode())
    for image, message in found.failures:
        typer.echo(f"Error: {image}: {message}", err=True)
    referred = sum(grading.action.startswith("refer") for grading in found.gradings)
    say(f"Graded {len(found.gradings)} photographs, {referred} to be referred; {len(found.failures)} failed.")
    say(f"Result: {file}")
    if found.failures:
        raise typer.Exit(1)


def profile(
    bundle: Annotated[Path, typer.Argument(help="Folder that export wrote.")],
    out: Annotated[Path | None, typer.Option(help="Folder for profile.json; default: the bundle.")] = None,
    image: Annotated[Path | None, typer.Option(help="Photograph to grade; default: a drawn one.")] = None,
    threads: Annotated[str, typer.Option(help="Joined by commas.")] = "1,2",
    repeats: Annotated[int, typer.Option(min=1)] = 50,
    runs: Annotated[int, typer.Option(min=1, help="Do it all so often, to show the noise.")] = 1,
    budget_ms: Annotated[float | None, typer.Option(help="Say which variants stay below.")] = None,
    budget_mib: Annotated[float | None, typer.Option(help="Say which variants stay below.")] = None,
) -> None:
    """Measure latency, memory and size of each model of a bundle, each in a fresh process without TensorFlow."""
    from edge_demo import profiler

    counts = profiler.parse_threads(threads)
    file = (out or bundle) / "profile.json"
    if out:
        out.mkdir(parents=True, exist_ok=True)
    data = image.read_bytes() if image else None
    measurements = profiler.profile(bundle, None, counts, data, repeats, runs=runs)
    say(profiler.table(measurements))
    if budget_ms is not None or budget_mib is not None:
        say(profiler.fitting(measurements, budget_ms, budget_mib))
    profiler.write_json(file, measurements)
    _draw_profile(bundle, file.with_suffix(".png"), measurements)
    done(file, shlex.join(["python", "-m", "edge_demo", "grade", str(bundle), "IMAGE"]))


def _draw_profile(bundle: Path, file: Path, measurements: list[Any]) -> None:
    """The chart, where parity.json knows the variants' kappa."""
    from keras_dr import plots, runs

    parity = bundle / "parity.json"
    figures = runs.read_json(parity)["figures"] if parity.is_file() else {}
    most = max(one.threads for one in measurements)
    rows = [
        {"variant": m.variant, "latency_ms": m.total.p50_ms, "quality": quality, "size_mib": m.size_mib}
        for m in measurements
        if m.threads == most and m.run == 0 and (quality := figures.get(m.variant, {}).get("quadratic_kappa_variant"))
    ]
    if rows:
        plots.plot_variants(file, rows)
        say(f"Chart: {file}")
