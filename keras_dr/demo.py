"""The whole of it on synthetic photographs, in minutes, ending in one report."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Stage, no_progress
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.reports import explanation, html
from keras_dr.reports.bundle import bundle_table, profile_table
from keras_dr.reports.evaluation import evaluation_sections
from keras_dr.reports.html import Picture, Section
from keras_dr.reports.tables import Table
from keras_dr.synthetic.photographs import write_dataset

SIZE = 160


def demo_recipe() -> Recipe:
    """A small network from random weights: the frozen phase can do little, the second does the work."""
    return recipe_from_dict(
        {
            "backbone": "tiny",
            "weights": "none",
            "dropout": 0.1,
            "ordinal_smoothing": 0.3,
            "frozen": {"epochs": 2, "learning_rate": 1e-2},
            "finetune": {
                "epochs": 30,
                "learning_rate": 4e-3,
                "warmup_epochs": 1,
                "train_batch_norm": True,
                "patience": 30,
            },
            "augmentation": {"brightness": 0.15, "contrast": 0.15},
        }
    )


def run_demo(
    out: Path, count: int = 400, seed: int = 42, overwrite: bool = False, stage: Stage | None = None
) -> dict[str, Any]:
    """Make photographs, prepare, train, evaluate, explain, export, profile, and write OUT/report.html.

    A stage whose result is there already is not done again, so an interrupted demo goes on.

    Args:
        out: folder to write.
        count: synthetic photographs.
        seed: of the photographs and the training.
        overwrite: start anew.
        stage: context manager that is given a stage's name and yields its progress function.

    Returns:
        What metrics.json says of the test split.

    Raises:
        KerasDrError: `out` holds something that is no demo, or a finished one and `overwrite` is false.
    """
    import keras_dr as dr

    stage = stage or (lambda name: nullcontext(no_progress))
    photographs = out / "photographs"
    prepared = out / "prepared"
    run = out / "run"
    bundle = out / "bundle"
    _check_folder(out, {"count": count, "seed": seed}, overwrite)
    if not (photographs / "labels.csv").is_file():
        with stage("draw photographs") as progress:
            write_dataset(photographs, count, seed, progress=lambda done: progress(done, count))
    if not prepared.exists():
        with stage("prepare") as progress:
            dr.prepare(
                photographs, prepared, dataset="csv", size=SIZE, val=0.15, test=0.2, seed=seed, progress=progress
            )
    if not run.exists():
        with stage("train") as progress:
            dr.train(prepared, run, demo_recipe(), progress=progress)
    evaluated = run / "evaluation" / "prepared-test"
    if not evaluated.exists():
        with stage("evaluate") as progress:
            dr.evaluate(run, progress=progress)
    explained = run / "explanations" / "prepared-test"
    if not explained.exists():
        with stage("explain") as progress:
            dr.explain(run, n=10, progress=progress)
    if not bundle.exists():
        with stage("export") as progress:
            # with so few validation photographs two that flip fail int8's gate; the report says so, the demo goes on
            dr.export(run, bundle, ["float32", "int8"], allow_drift=True, progress=progress)
    with stage("profile"):
        first = dr.PreparedSet.load(prepared).split("test").rows[0]["image_id"]
        dr.profile(bundle, image=photographs / "images" / f"{first}.jpg")
    _write_report(out, evaluated, explained, count)
    return folders.read_json(evaluated / "metrics.json")


def _check_folder(out: Path, plan: dict[str, int], overwrite: bool) -> None:
    """Begin a demo in `out`, or recognise an unfinished one with the same plan."""
    plan_file = out / "demo.json"
    if overwrite and plan_file.is_file():
        folders.remove_folder(out)
    if (out / "report.html").is_file():
        message = f"The folder {out} holds a finished demo already."
        raise KerasDrError(message, f"Open {out / 'report.html'}, or pass --overwrite.")
    if (
        out.exists()
        and any(out.iterdir())
        and not (plan_file.is_file() and plan_file.read_bytes() == folders.to_json(plan))
    ):
        message = f"The folder {out} is not empty, and does not hold an unfinished demo of {plan}."
        raise KerasDrError(message, "Name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    folders.write_json(plan_file, plan)


def _write_report(out: Path, evaluated: Path, explained: Path, count: int) -> None:
    figures = folders.read_json(evaluated / "metrics.json")
    scores = folders.read_json(explained / "scores.json")
    bundle = folders.read_manifest(out / "bundle", "bundle")
    figures_of_variants = folders.read_json(out / "bundle" / "parity.json")["figures"]
    profile = folders.read_json(out / "bundle" / "profile.json")
    about = folders.read_manifest(out / "prepared", "prepared")
    splits = Table(
        ("split", *about["classes"]), [(split, *counts.values()) for split, counts in about["counts"].items()]
    )
    kappa, agreed = figures["quadratic_kappa"], figures_of_variants["int8"]["grade_agreement"]
    sections = [
        Section(
            "Summary",
            [
                f"A small network learned to grade drawn photographs by diabetic retinopathy, 0 to 4. On "
                f"{figures['photographs']} test photographs of patients that it never saw, quadratic kappa is "
                f"{kappa:.3f} and accuracy {figures['accuracy']:.3f}. Its int8 file for a device gives the same grade "
                f"on {agreed:.1%} of the validation photographs. Drawn photographs are far easier than patients': "
                "these figures show that everything runs, and nothing about a clinic."
            ],
        ),
        Section(
            "The photographs",
            [
                f"{count} drawn photographs, two eyes a patient; patients, not photographs, are split.",
                splits,
                Picture(out / "prepared" / "preview.png", "Prepared photographs, a line a grade"),
            ],
        ),
        Section("Training", [Picture(out / "run" / "curves.png", "Frozen backbone, then the whole network")]),
        *evaluation_sections(evaluated, figures),
        Section(
            "Explanation",
            [
                explanation.explanation_table(scores),
                Picture(explained / "board.png", "Grad-CAM of the predicted grade: original beside overlay"),
            ],
        ),
        Section("On the device", [bundle_table(bundle, figures_of_variants), profile_table(profile)]),
    ]
    html.write_html(out / "report.html", "keras_dr on synthetic photographs", sections)
