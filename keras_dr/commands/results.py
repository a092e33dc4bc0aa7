"""The commands that measure a run: evaluate, compare, explain."""

from pathlib import Path
from typing import Annotated

import typer

from edge_demo.shipped import find_bundle
from keras_dr.commands.shared import (
    OperatingPointName,
    OtherPrepared,
    Overwrite,
    OwnThreshold,
    RunFolder,
    Split,
    bar,
    command,
    done,
    say,
)

_METHOD_HELP = (
    "grad-cam, grad-cam++, layercam, score-cam; or, for finer maps, grad-cam-dilated, grad-cam-crops, layercam-2x, "
    "layercam-4x. May be repeated."
)

Untouched = Annotated[
    Path | None,
    typer.Argument(help="Prepared set of patients that chose nothing; default: the calibration split of the own set."),
]
UntouchedSplit = Annotated[
    str | None, typer.Option("--split", help="train, val, test, calibration or all; default: calibration, or all.")
]


def evaluate(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    operating_point: OperatingPointName = None,
    threshold: OwnThreshold = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over flips and quarter turns.")] = False,
    prevalence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Also report PPV and NPV at this share of positives, 0 to 1.")
    ] = None,
    human: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of photographs to leave to a human, 0 to 1.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(help="Column of manifest.csv for subgroups; may be repeated.")] = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also grade the photographs with changed colours, sharpness and shape."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure a run on the photographs of one split.

    On another prepared set than the run's own, this is an external validation.
    """
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is reported before TensorFlow starts
    from keras_dr import evaluate as evaluate_run

    with bar("evaluate") as progress:
        result = evaluate_run(
            run,
            prepared,
            split,
            operating_point=operating_point,
            threshold=threshold,
            tta=tta,
            prevalence=prevalence,
            human=human,
            by=by or (),
            robustness=robustness,
            overwrite=overwrite,
            progress=progress,
        )
    say(str(result))
    done(result.folder / "report.html", command("explain", run))


def promise(
    run: RunFolder,
    prepared: Untouched = None,
    split: UntouchedSplit = None,
    risk: Annotated[float, typer.Option(help="Share of patients with the condition that may be missed.")] = 0.1,
    confidence: Annotated[float, typer.Option(help="Probability that the promise holds.")] = 0.95,
) -> None:
    """Add a threshold at which few patients are missed.

    It is calibrated on patients who chose nothing, and holds for patients like these.
    """
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is reported before TensorFlow starts
    from keras_dr import Run
    from keras_dr import promise as add_promise

    point = add_promise(run, prepared, split, risk=risk, confidence=confidence)
    say(f"promise-{100 * risk:g}: {point.in_words(Run.load(run).task.positive)}")
    done(run, command("points", run))


def prediction_sets(
    run: RunFolder,
    prepared: Untouched = None,
    split: UntouchedSplit = None,
    coverage: Annotated[float, typer.Option(help="Share of photographs whose true grade is in its set.")] = 0.9,
) -> None:
    """Add sets of grades, such as "moderate or severe".

    They are calibrated on patients who chose nothing, and hold for patients like these.
    """
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is reported before TensorFlow starts
    from keras_dr import Run
    from keras_dr import prediction_sets as add_sets

    sets = add_sets(run, prepared, split, coverage=coverage)
    say(sets.in_words(Run.load(run).task.positive))
    done(run, command("export", run, "BUNDLE"))


def gradability(
    run: RunFolder,
    prepared: Annotated[Path | None, typer.Argument(help="The run's prepared set, if it has moved.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find how blurred, dark or covered a photograph may be.

    Validation photographs are degraded step by step and graded again. The limits travel with bundles.
    """
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is reported before TensorFlow starts
    from keras_dr import gradability as find_limits

    with bar("gradability") as progress:
        result = find_limits(run, prepared, overwrite=overwrite, progress=progress)
    say(str(result))
    done(result.folder / "gradability.png", command("export", run, "BUNDLE"))


def compare(
    run: Annotated[
        list[Path], typer.Argument(help="Folders that train wrote and evaluate measured; or folders of train --folds.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("comparison"),
    split: Annotated[
        str | None,
        typer.Option(help="train, val, test, calibration or all; default: test; not for folders of --folds."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare evaluated runs or cross-validations.

    They must be of the same photographs. The result holds their figures, paired
    differences, costs and training curves.
    """
    from keras_dr import compare as compare_runs
    from keras_dr.evaluation.comparison_files import comparison_text

    comparison = compare_runs(run, out, split, overwrite)
    say(comparison_text(comparison))
    best = run[comparison.best_by_validation()]
    if comparison.contenders[0].is_cross_validation:
        done(out / "comparison.md", command("ensemble", "RUN", best))
    else:
        done(out / "comparison.md", command("export", best, "BUNDLE"))


def explain(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of photographs on the board.")] = 12,
    method: Annotated[list[str] | None, typer.Option(help=_METHOD_HELP)] = None,
    layer: Annotated[str | None, typer.Option(help="Layer where maps are made; default: the feature layer.")] = None,
    engine: Annotated[
        str, typer.Option(help="closed-form, or tf-keras-vis for all methods that it has.")
    ] = "closed-form",
    image_id: Annotated[
        str | None, typer.Option("--id", help="Explain one photograph of any split; default: two methods.")
    ] = None,
    faithfulness: Annotated[int, typer.Option(min=0, help="Number of photographs for deletion and insertion.")] = 0,
    sanity: Annotated[
        int, typer.Option(min=0, help="Number of photographs for the check with randomised weights.")
    ] = 0,
    bundle: Annotated[
        Path | None, typer.Option(parser=find_bundle, help="Bundle of the run, whose heat maps are compared.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw heat maps that show where a run sees its evidence.

    The share of the heat on the fundus and on lesions is measured as well.
    """
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is reported before TensorFlow starts
    from keras_dr import explain as explain_run

    with bar("explain") as progress:
        result = explain_run(
            run,
            prepared,
            split,
            n=n,
            methods=method,
            layer=layer,
            engine=engine,
            image_id=image_id,
            faithfulness=faithfulness,
            sanity=sanity,
            bundle=bundle,
            overwrite=overwrite,
            progress=progress,
        )
    say(str(result))
    done(result.folder, command("export", run, "BUNDLE"))
