"""What a run is worth: evaluate, compare, explain."""

from pathlib import Path
from typing import Annotated

import typer

from keras_dr.commands.shared import OtherPrepared, Overwrite, RunFolder, Split, bar, command, done, say

_METHOD_HELP = (
    "grad-cam, grad-cam++, layercam, score-cam, or finer: grad-cam-dilated, grad-cam-crops, layercam-2x, layercam-4x; "
    "may be repeated."
)


def evaluate(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    tta: Annotated[bool, typer.Option("--tta", help="Average over flips and quarter turns.")] = False,
    prevalence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of positives, 0 to 1, to give PPV and NPV for.")
    ] = None,
    human: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of photographs, 0 to 1, to leave to a human.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(help="Column of manifest.csv to split by; may be repeated.")] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Grade also with other colours, blurred, compressed, squashed, ...")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure a run on the photographs of a split; another prepared set means external validation."""
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is named before TensorFlow starts
    from keras_dr import evaluate as evaluate_run

    with bar("evaluate") as progress:
        result = evaluate_run(
            run,
            prepared,
            split,
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


def compare(
    run: Annotated[list[Path], typer.Argument(help="Folders that train wrote and evaluate measured.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("comparison"),
    split: Split = "test",
    overwrite: Overwrite = False,
) -> None:
    """Set evaluated runs side by side on the same photographs, with paired differences, costs and training curves."""
    from keras_dr import compare as compare_runs
    from keras_dr.evaluation.comparison_files import comparison_text

    comparison = compare_runs(run, out, split, overwrite)
    say(comparison_text(comparison))
    done(out / "comparison.md", command("export", run[comparison.best_by_validation()], "BUNDLE"))


def explain(
    run: RunFolder,
    prepared: OtherPrepared = None,
    split: Split = "test",
    n: Annotated[int, typer.Option("-n", min=1, help="Photographs on the board.")] = 12,
    method: Annotated[list[str] | None, typer.Option(help=_METHOD_HELP)] = None,
    layer: Annotated[str | None, typer.Option(help="Where maps are made; the feature layer without it.")] = None,
    engine: Annotated[
        str, typer.Option(help="closed-form, or tf-keras-vis for all methods that it has.")
    ] = "closed-form",
    image_id: Annotated[
        str | None, typer.Option("--id", help="One photograph, whatever its split; all methods.")
    ] = None,
    faithfulness: Annotated[int, typer.Option(min=0, help="Photographs for deletion and insertion.")] = 0,
    sanity: Annotated[int, typer.Option(min=0, help="Photographs for the check with randomised weights.")] = 0,
    bundle: Annotated[Path | None, typer.Option(help="Compare the heat maps of the run's bundle.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw heat maps of where the evidence lies, and measure how much of it lies on the fundus and on lesions."""
    from keras_dr.core.folders import read_manifest

    read_manifest(run, "run")  # a missing run is named before TensorFlow starts
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
