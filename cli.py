"""The command line: each command parses, calls one library function, and prints where its result lies.

TensorFlow takes seconds to import, so commands import what they need when they run.
"""

import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from keras_dr import __version__
from keras_dr.console import load_tensorflow, progress_bar
from keras_dr.errors import KerasDrError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

INTERRUPTED = 130  # what Typer exits with after Ctrl-C
Source = Annotated[Path, typer.Argument(help="Folder of a published data set, or a CSV file.")]
PreparedFolder = Annotated[Path, typer.Argument(help="Folder that prepare wrote.")]
OtherPrepared = Annotated[Path | None, typer.Argument(help="Another prepared set than the run's own.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder that train wrote.")]
BundleFolder = Annotated[Path, typer.Argument(help="Folder that export wrote.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]
Split = Annotated[str, typer.Option(help="train, val, test or all.")]
_TASK_HELP = (
    "auto, icdr (five grades), icdr-ungradable, referable (grade 2 and above), or classes as the data set names."
)
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1)]


class _Options:
    """What the global options say."""

    quiet = False
    debug = False


@app.callback(help=f"Grade diabetic retinopathy on fundus photographs (keras_dr {__version__}). Research use only.")
def options(
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Take the global options."""
    _Options.quiet, _Options.debug = quiet, debug


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("demo"),
    count: Annotated[int, typer.Option(min=100, help="Synthetic photographs.")] = 400,
    seed: Seed = 42,
    overwrite: Overwrite = False,
) -> None:
    """Run everything on synthetic photographs: prepare, train, evaluate, explain, export, profile, report."""
    load_tensorflow()
    from keras_dr.demo import run_demo

    summary = run_demo(out, count, seed, overwrite, stage=_bar)
    _say(f"Quadratic kappa {summary['quadratic_kappa']:.3f} on {summary['photographs']} synthetic test photographs.")
    _done(out / "report.html", "python cli.py prepare --help")


@app.command()
def prepare(
    source: Source,
    prepared: Annotated[Path, typer.Argument(help="Folder to write.")],
    dataset: Annotated[str, typer.Option(help="auto, or the name of a data set; see docs/datasets.md.")] = "auto",
    task: Annotated[str, typer.Option(help=_TASK_HELP)] = "auto",
    size: Annotated[int, typer.Option(help="Side of the prepared square in pixels, 224 to 768.")] = 224,
    enhance: Annotated[str, typer.Option(help="none, clahe, green, ben-graham; several joined by +.")] = "none",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores without it.")] = None,
    val: Annotated[float, typer.Option(help="Share for validation, where the set has none.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share for test, where the set has none.")] = 0.2,
    seed: Seed = 42,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Keep official training photographs that are copies of test ones.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Crop, resize and split the photographs of a data set; interrupted, the same command goes on."""
    from keras_dr import preparing
    from keras_dr.datasets import read_records
    from keras_dr.grades import check_task
    from keras_dr.listings import prepared_text
    from keras_dr.preprocessing import Preprocessing
    from keras_dr.splits import SplitShares

    task, spec, shares = check_task(task), Preprocessing(size, enhance), SplitShares(val, test)
    name, records = read_records(source, dataset)
    with _bar("prepare") as progress:
        about = preparing.prepare(
            records,
            source,
            prepared,
            spec,
            dataset=name,
            task=task,
            shares=shares,
            seed=seed,
            workers=workers,
            overwrite=overwrite,
            keep_leaks=keep_leaks,
            progress=progress,
        )
    _say(f"Read as {name}, task {about['task']}.")
    _say(prepared_text(about))
    graded = "" not in about["counts"]["train"]
    _done(prepared, _command("train", prepared, "RUN") if graded else _command("explain", "RUN", prepared))


@app.command()
def audit(
    prepared: Annotated[list[Path], typer.Argument(help="Folders that prepare wrote.")],
    show: Annotated[int, typer.Option("-n", min=0, help="Photographs to list.")] = 20,
    out: Annotated[Path | None, typer.Option(help="CSV file for the whole list.")] = None,
) -> None:
    """Find copies within and across prepared sets, their conflicting grades, and test photographs seen in training."""
    from keras_dr import audit as auditing
    from keras_dr.listings import audit_text
    from keras_dr.prepared import load

    found = auditing.audit([load(folder) for folder in prepared])
    _say(audit_text(found, show))
    if out:
        auditing.write_copies(out, found)
        _say(f"Result: {out}")


@app.command()
def show(
    prepared: PreparedFolder,
    image_id: Annotated[str, typer.Argument(help="From manifest.csv.")],
    out: Annotated[Path | None, typer.Option(help="PNG file to write; IMAGE_ID.png without it.")] = None,
) -> None:
    """Draw one photograph: the original with the circle that was found, what became of it, and its masks."""
    from keras_dr import pictures, runs
    from keras_dr.files import encode_png
    from keras_dr.listings import quality_text
    from keras_dr.prepared import load

    data, file = load(prepared), out or Path(f"{image_id}.png")
    picture, missing = pictures.draw_photograph(data, image_id)
    runs.write_bytes(file, encode_png(picture))
    _say(quality_text(next(row for row in data.rows if row["image_id"] == image_id)))
    if missing:
        _say(missing)
    _say(f"Result: {file}")


@app.command()
def train(
    prepared: PreparedFolder,
    run: Annotated[Path, typer.Argument(help="Folder to write.")],
    recipe: Annotated[Path | None, typer.Option(help="YAML file; see recipes/.")] = None,
    backbone: Annotated[str | None, typer.Option(help="tiny, mobilenetv2, densenet121, ...")] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet, none, or a file.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Recipe key=value; may be repeated.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Train in two phases: head on a frozen backbone, then fine-tuning; interrupted, the same command goes on."""
    from keras_dr.config import load_recipe
    from keras_dr.prepared import load

    chosen = [f"{key}={value}" for key, value in (("backbone", backbone), ("weights", weights)) if value]
    resolved, data = load_recipe(recipe, [*(settings or []), *chosen]), load(prepared)
    load_tensorflow()
    from keras_dr import training

    with _bar("train") as progress:
        about = training.train(data, run, resolved, overwrite, progress)
    for phase, result in about["phases"].items():
        value = result[resolved.monitor]
        best = "not run" if value is None else f"best {resolved.monitor} {value:.3f} in epoch {result['epoch']}"
        _say(f"  {phase:9} {best} of {result['epochs']}, {result['seconds']:.0f} s")
    _say(f"Kept: {about['kept']} (better on validation).")
    _done(run, _command("evaluate", run))


@app.command()
def evaluate(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    prevalence: Annotated[float | None, typer.Option(help="Share of positives to give PPV and NPV for.")] = None,
    human: Annotated[float | None, typer.Option(help="Share of photographs to leave to a human.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Column of manifest.csv to split by; may be repeated.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a run on the photographs of a split; another prepared set means external validation."""
    load_tensorflow()
    from keras_dr import evaluation
    from keras_dr.evaluation_report import metrics_text
    from keras_dr.trained import load_run

    wishes, grader = evaluation.Wishes(prevalence, human, tuple(by or ())), load_run(run)
    data = grader.prepared_set(prepared).split(split)
    name = grader.result_name(data, split)
    with _bar("evaluate") as progress:
        folder, figures = evaluation.evaluate(grader, data, name, overwrite, progress, wishes)
    _say(metrics_text(figures))
    _done(folder / "report.html", _command("explain", run))


@app.command()
def compare(
    run: Annotated[list[Path], typer.Argument(help="Folders that train wrote and evaluate measured.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("comparison"),
    split: Split = "test",
) -> None:
    """Set evaluated runs side by side on the same photographs, with paired differences, costs and training curves."""
    from keras_dr.comparison import compare as compare_runs
    from keras_dr.comparison import load_contenders
    from keras_dr.comparison_files import comparison_text, write_comparison

    load_contenders(run, split)  # what cannot be compared is told before TensorFlow starts
    load_tensorflow()
    from keras_dr.cost import measure_costs
    from keras_dr.trained import load_run

    found = compare_runs(load_contenders(run, split, measure_costs([load_run(folder) for folder in run])))
    write_comparison(out, found)
    _say(comparison_text(found))
    _done(out / "comparison.md", _command("export", run[0], "BUNDLE"))


@app.command()
def explain(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    n: Annotated[int, typer.Option("-n", min=1, help="Photographs on the board.")] = 12,
    method: Annotated[list[str] | None, typer.Option(help="grad-cam or grad-cam++; may be repeated.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw heat maps of where the evidence lies, and measure how much of it lies on the fundus and on lesions."""
    load_tensorflow()
    from keras_dr import explain as explaining
    from keras_dr.report import explanation_text
    from keras_dr.trained import load_run

    grader = load_run(run)
    data = grader.prepared_set(prepared).split(split)
    target = run / "explanations" / grader.result_name(data, split)
    with _bar("explain") as progress:
        scores = explaining.explain(
            grader.model(),
            data,
            target,
            n=n,
            methods=tuple(method or ("grad-cam",)),
            overwrite=overwrite,
            progress=progress,
        )
    _say(explanation_text(scores))
    _done(target, _command("export", run, "BUNDLE"))


@app.command()
def export(
    run: RunFolder,
    bundle: Annotated[Path, typer.Argument(help="Folder to write.")],
    variants: Annotated[str, typer.Option(help="Joined by commas: float32, int8.")] = "float32,int8",
    prepared: Annotated[Path | None, typer.Option(help="The run's prepared set, if it has moved.")] = None,
    allow_drift: Annotated[bool, typer.Option("--allow-drift", help="Keep variants that fail parity.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert a run to TFLite files for a device, and check each against the float model on validation photographs."""
    load_tensorflow()
    from export.bundle import export_run
    from keras_dr.report import bundle_text

    with _bar("export") as progress:
        about = export_run(run, bundle, variants.split(","), overwrite, allow_drift, progress, prepared)
    _say(bundle_text(about, about["figures"]))
    _done(bundle, _command("profile", bundle))


@app.command()
def profile(
    bundle: BundleFolder,
    out: Annotated[Path | None, typer.Option(help="Folder for profile.json; default: the bundle.")] = None,
    image: Annotated[Path | None, typer.Option(help="Photograph to grade; default: a drawn one.")] = None,
    threads: Annotated[str, typer.Option(help="Joined by commas.")] = "1,2",
    repeats: Annotated[int, typer.Option(min=1)] = 50,
) -> None:
    """Measure latency, memory and size of each model of a bundle, each in a fresh process without TensorFlow."""
    from edge_demo import profiler

    counts = profiler.parse_threads(threads)
    file = (out or bundle) / "profile.json"
    if out:
        out.mkdir(parents=True, exist_ok=True)
    measurements = profiler.profile(bundle, None, counts, image.read_bytes() if image else None, repeats)
    _say(profiler.table(measurements))
    profiler.write_json(file, measurements)
    _done(file, shlex.join(["python", "-m", "edge_demo", "grade", str(bundle), "IMAGE"]))


def _bar(label: str) -> AbstractContextManager[Callable[..., None]]:
    return progress_bar(label, _Options.quiet)


def _command(*words: str | Path) -> str:
    return shlex.join(["python", "cli.py", *map(str, words)])


def _say(text: str) -> None:
    typer.echo(text)


def _done(result: Path, following: str) -> None:
    _say(f"Result: {result}")
    _say(f"Next:   {following}")


def main() -> None:
    """Run the command line; exit 0 done, 1 the work failed, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except (KerasDrError, OSError) as error:
        if _Options.debug:
            raise
        advice = " Check the path, its permissions and the room on its disk." if isinstance(error, OSError) else ""
        typer.echo(f"Error: {error}{advice}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("Interrupted. The same command goes on from here.", err=True)
        raise


if __name__ == "__main__":
    main()
