"""The command line: each command parses, calls one library function, and prints where its result lies.

TensorFlow takes seconds to import, so commands import what they need when they run.
"""

import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_dr import __version__
from keras_dr.console import load_tensorflow, progress_bar
from keras_dr.errors import KerasDrError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

recipes = typer.Typer(help="Show or check what training would do.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(recipes, name="recipe")

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
RecipeFile = Annotated[Path | None, typer.Option(help="YAML file; see recipes/.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Recipe key=value; may be repeated.")]
_METHOD_HELP = (
    "grad-cam, grad-cam++, layercam, score-cam, or finer: grad-cam-dilated, grad-cam-crops, layercam-2x, layercam-4x; "
    "may be repeated."
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
    size: Annotated[int, typer.Option(help="Side of the prepared square in pixels, 28 to 1024.")] = 224,
    enhance: Annotated[str, typer.Option(help="none, clahe, green, ben-graham; several joined by +.")] = "none",
    fundus: Annotated[
        str, typer.Option(help="auto: crop to the fundus circle; none: images of something else.")
    ] = "auto",
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

    task, spec, shares = check_task(task), Preprocessing(size, enhance, fundus), SplitShares(val, test)
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


@recipes.command("show")
def show_recipe(recipe: RecipeFile = None, settings: Settings = None) -> None:
    """Print a recipe with every setting, the defaults' too, in YAML that train reads."""
    from keras_dr.config import load_recipe, recipe_text

    typer.echo(recipe_text(load_recipe(recipe, settings or [])), nl=False)


@recipes.command("check")
def check_recipes(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.")]) -> None:
    """Read recipes without training, a line each; exit 1 where one is wrong."""
    from keras_dr.config import load_recipe

    wrong = 0
    for file in files:
        try:
            load_recipe(file)
            _say(f"{file}: ok")
        except KerasDrError as error:
            wrong += 1
            _say(f"{file}: {' '.join(str(error).split())}")
    if wrong:
        raise typer.Exit(1)


@app.command()
def train(
    prepared: PreparedFolder,
    run: Annotated[Path, typer.Argument(help="Folder to write.")],
    recipe: RecipeFile = None,
    backbone: Annotated[str | None, typer.Option(help="tiny, mobilenetv2, densenet121, ...")] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet, none, or a file.")] = None,
    settings: Settings = None,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validate: a run a fold of train and val.")] = 0,
    save_every: Annotated[int, typer.Option(min=0, help="Save also after so many steps of an epoch.")] = 0,
    hosts: Annotated[str | None, typer.Option(help="host:port of each process, joined by commas (JAX).")] = None,
    rank: Annotated[int, typer.Option(min=0, help="Which of them this process is, from 0.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train in two phases: head on a frozen backbone, then fine-tuning; interrupted, the same command goes on."""
    from keras_dr.config import load_recipe
    from keras_dr.prepared import load

    chosen = [f"{key}={value}" for key, value in (("backbone", backbone), ("weights", weights)) if value]
    resolved, data = load_recipe(recipe, [*(settings or []), *chosen]), load(prepared)
    if folds and hosts:
        raise typer.BadParameter("a cross validation runs on one host: leave out --hosts", param_hint="--folds")
    load_tensorflow()
    from keras_dr import devices, training

    if hosts:
        from keras_dr.hosts import connect

        connect(hosts, rank, resolved.seed)
    _say(devices.describe(resolved.precision))
    if folds:
        _cross_validate(data, run, resolved, folds, overwrite, save_every)
        return
    with _bar("train") as progress:
        about = training.train(data, run, resolved, overwrite, progress, save_every)
    for phase, result in about["phases"].items():
        value = result[resolved.monitor]
        best = "not run" if value is None else f"best {resolved.monitor} {value:.3f} in epoch {result['epoch']}"
        _say(f"  {phase:9} {best} of {result['epochs']}, {result['seconds']:.0f} s")
    _say(f"Kept: {about['kept']} (better on validation).")
    _done(run, _command("evaluate", run))


def _cross_validate(data: Any, run: Path, recipe: Any, folds: int, overwrite: bool, save_every: int) -> None:
    from keras_dr.folds import cross_validate
    from keras_dr.listings import folds_text

    _say(folds_text(cross_validate(data, run, recipe, folds, overwrite, _bar, save_every)))
    _done(run, _command("evaluate", run / "fold-1"))


@app.command()
def evaluate(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    tta: Annotated[bool, typer.Option("--tta", help="Average over flips and quarter turns.")] = False,
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
    if tta:
        grader = evaluation.turning(grader)
    name = grader.result_name(data, split)
    with _bar("evaluate") as progress:
        folder, figures = evaluation.evaluate(grader, data, name, overwrite, progress, wishes)
    _say(metrics_text(figures))
    _done(folder / "report.html", _command("explain", run))


@app.command()
def ensemble(
    run: Annotated[Path, typer.Argument(help="Folder to write.")],
    members: Annotated[list[Path], typer.Argument(help="Folders that train wrote; of --folds, all of them.")],
    overwrite: Overwrite = False,
) -> None:
    """Join several runs into one that says the mean of what they say, to evaluate, explain and export like any run."""
    load_tensorflow()
    from keras_dr.ensemble import combine

    about = combine(members, run, overwrite)
    _say(f"{len(about['members'])} runs, {about['parameters']:,} weights.")
    _done(run, _command("evaluate", run))


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
    method: Annotated[list[str] | None, typer.Option(help=_METHOD_HELP)] = None,
    layer: Annotated[str | None, typer.Option(help="Where maps are made; the feature layer without it.")] = None,
    image_id: Annotated[
        str | None, typer.Option("--id", help="One photograph, whatever its split; all methods.")
    ] = None,
    faithfulness: Annotated[int, typer.Option(min=0, help="Photographs for deletion and insertion.")] = 0,
    sanity: Annotated[int, typer.Option(min=0, help="Photographs for the check with randomised weights.")] = 0,
    bundle: Annotated[Path | None, typer.Option(help="Compare the heat maps of the run's bundle.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw heat maps of where the evidence lies, and measure how much of it lies on the fundus and on lesions."""
    load_tensorflow()
    from keras_dr import explain as explaining
    from keras_dr.report import explanation_text, photograph_text
    from keras_dr.trained import load_run

    grader = load_run(run)
    with _bar("explain") as progress:
        if image_id:
            methods = tuple(method or explaining.METHODS)
            target, scores = explaining.explain_photograph(grader, prepared, image_id, methods, overwrite, progress)
        else:
            options = explaining.Options(
                n, tuple(method or ("grad-cam",)), layer, faithfulness=faithfulness, sanity=sanity
            )
            target, scores = explaining.explain_run(grader, prepared, split, options, bundle, overwrite, progress)
    _say(photograph_text(scores) if image_id else explanation_text(scores))
    _done(target, _command("export", run, "BUNDLE"))


@app.command()
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

    with _bar("export") as progress:
        about = export_run(run, bundle, variants.split(","), overwrite, allow_drift, progress, prepared)
    _say(bundle_text(about, about["figures"]))
    _done(bundle, _command("profile", bundle))


@app.command()
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
    from keras_dr.runs import write_bytes

    file = out or Path("predictions.csv")
    with _bar("predict") as progress:
        found = grade(source, find_images(images), engine, progress)
    write_bytes(file, results_csv(found.bundle, found.gradings).encode())
    for image, message in found.failures:
        typer.echo(f"Error: {image}: {message}", err=True)
    referred = sum(grading.action.startswith("refer") for grading in found.gradings)
    _say(f"Graded {len(found.gradings)} photographs, {referred} to be referred; {len(found.failures)} failed.")
    _say(f"Result: {file}")
    if found.failures:
        raise typer.Exit(1)


@app.command()
def profile(
    bundle: BundleFolder,
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
    _say(profiler.table(measurements))
    if budget_ms is not None or budget_mib is not None:
        _say(profiler.fitting(measurements, budget_ms, budget_mib))
    profiler.write_json(file, measurements)
    _draw_profile(bundle, file.with_suffix(".png"), measurements)
    _done(file, shlex.join(["python", "-m", "edge_demo", "grade", str(bundle), "IMAGE"]))


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
        _say(f"Chart: {file}")


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
