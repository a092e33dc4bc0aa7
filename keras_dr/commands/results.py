"""What a run is worth: evaluate, compare, explain."""

from pathlib import Path
from typing import Annotated

import typer

from keras_dr.commands.shared import OtherPrepared, Overwrite, RunFolder, Split, bar, command, done, say
from keras_dr.quiet import load_tensorflow

_METHOD_HELP = (
    "grad-cam, grad-cam++, layercam, score-cam, or finer: grad-cam-dilated, grad-cam-crops, layercam-2x, layercam-4x; "
    "may be repeated."
)


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
    from keras_dr.evaluation import evaluate
    from keras_dr.reports.evaluation import metrics_text
    from keras_dr.training import forward
    from keras_dr.training.run import Run

    wishes, grader = evaluate.EvaluationOptions(prevalence, human, tuple(by or ())), Run.load(run)
    data = grader.prepared_set(prepared).split(split)
    if tta:
        grader = forward.with_tta(grader, data.folder if grader.is_own(data) else None)
    name = grader.result_name(data, split)
    with bar("evaluate") as progress:
        folder, figures = evaluate.evaluate(grader, data, name, overwrite, progress, wishes)
    say(metrics_text(figures))
    done(folder / "report.html", command("explain", run))


def compare(
    run: Annotated[list[Path], typer.Argument(help="Folders that train wrote and evaluate measured.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("comparison"),
    split: Split = "test",
) -> None:
    """Set evaluated runs side by side on the same photographs, with paired differences, costs and training curves."""
    from keras_dr.evaluation.compare import compare as compare_runs
    from keras_dr.evaluation.compare import load_evaluated_runs
    from keras_dr.evaluation.comparison_files import comparison_text, write_comparison

    found = compare_runs(load_evaluated_runs(run, split))
    write_comparison(out, found)
    say(comparison_text(found))
    done(out / "comparison.md", command("export", run[0], "BUNDLE"))


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
    from keras_dr.explanation.explain_run import explain_run, explain_run_photograph
    from keras_dr.explanation.job import ExplanationOptions
    from keras_dr.explanation.methods import METHODS
    from keras_dr.reports.explanation import explanation_text, photograph_text
    from keras_dr.training.run import Run

    grader = Run.load(run)
    with bar("explain") as progress:
        if image_id:
            methods = tuple(method or METHODS)
            target, scores = explain_run_photograph(grader, prepared, image_id, methods, overwrite, progress)
        else:
            options = ExplanationOptions(
                n, tuple(method or ("grad-cam",)), layer, faithfulness=faithfulness, sanity=sanity
            )
            target, scores = explain_run(grader, prepared, split, options, bundle, overwrite, progress)
    say(photograph_text(scores) if image_id else explanation_text(scores))
    done(target, command("export", run, "BUNDLE"))
