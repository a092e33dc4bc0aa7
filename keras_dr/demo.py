"""All steps on synthetic photographs, from preparation to a device, in minutes and with one report."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.names import class_words
from keras_dr.core.progress import Stage, no_progress
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.reports import html
from keras_dr.reports.bundle import bundle_table, profile_table
from keras_dr.reports.evaluation import evaluation_sections
from keras_dr.reports.explanation import explanation_table
from keras_dr.reports.html import Picture, Section
from keras_dr.reports.tables import Table
from keras_dr.synthetic.photographs import write_dataset

SIZE = 160
SHIPPED = "idrid-lite"  # the grader of a real photograph
REAL = "IDRiD_003.jpg"


def demo_recipe() -> Recipe:
    """Return the recipe: a small network with random weights, which learns mostly in the second phase."""
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
    """Draw photographs, prepare, train, evaluate, explain, export, profile and grade, and write OUT/report.html.

    OUT/site is the page of the shipped grader for the browser.

    A stage whose result exists is skipped, so that an interrupted demo continues where it stopped.

    Args:
        out: the folder to write.
        count: the number of synthetic photographs.
        seed: the seed of the photographs and of their division into splits.
        overwrite: whether an existing demo is replaced; by default a finished one is refused.
        stage: a context manager that takes the name of a stage and yields its progress function; by default progress
            is not shown.

    Returns:
        The figures of the test split, as in metrics.json.

    Raises:
        KerasDrError: `out` holds something other than a demo, or a finished demo that is not to be replaced.
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
    evaluation = run / "evaluation" / "prepared-test"
    if not evaluation.exists():
        with stage("evaluate") as progress:
            dr.evaluate(run, progress=progress)
    explanation = run / "explanations" / "prepared-test"
    if not explanation.exists():
        with stage("explain") as progress:
            dr.explain(run, n=10, progress=progress)
    if not bundle.exists():
        with stage("export") as progress:
            # With so few validation photographs, int8 fails if two grades change. The report says so; the demo goes on.
            dr.export(run, bundle, ["float32", "int8"], allow_drift=True, progress=progress)
    graded = photographs / "images" / f"{_gravest(dr.PreparedSet.load(prepared).split('test').rows)}.jpg"
    with stage("profile"):
        dr.profile(bundle, image=graded)
    with stage("grade"):
        pictures = _grade(out, bundle, graded)
    site = out / "site"
    if not site.exists():
        dr.export_web("idrid-lite", site)
    _write_report(out, evaluation, explanation, count, pictures)
    return folders.read_json(evaluation / "metrics.json")


def _check_folder(out: Path, plan: dict[str, int], overwrite: bool) -> None:
    """Begin a demo in `out`, or accept an unfinished demo with the same plan."""
    plan_file = out / "demo.json"
    if overwrite and plan_file.is_file():
        folders.remove_folder(out)
    if (out / "report.html").is_file():
        message = f"The folder {out} already holds a finished demo."
        raise KerasDrError(message, f"Open {out / 'report.html'}, or pass --overwrite.")
    same_plan = plan_file.is_file() and plan_file.read_bytes() == folders.to_json(plan)
    if out.exists() and any(out.iterdir()) and not same_plan:
        message = f"The folder {out} is not empty, and does not hold an unfinished demo with the settings {plan}."
        raise KerasDrError(message, "Name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    folders.write_json(plan_file, plan)


def _gravest(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the image_id of the first photograph with the highest grade."""
    return max(rows, key=lambda row: int(row["grade"]))["image_id"]


def _grade(out: Path, bundle: Path, drawn: Path) -> list[Picture]:
    """Grade a drawn photograph with the demo's grader and a real one with the shipped grader, and draw them."""
    import edge_demo
    import keras_dr as dr

    pictures = []
    grading = dr.Grader(bundle).grade(drawn)
    grading.save_picture(out / "graded-drawn.png")
    grade = class_words(grading.grade)
    pictures.append(
        Picture(out / "graded-drawn.png", f"A drawn test photograph, graded {grade} by the grader of this demo")
    )
    real = Path(edge_demo.__file__).with_name("examples") / REAL
    if real.is_file():
        grading = dr.Grader(SHIPPED).grade(real)
        grading.save_picture(out / "graded-real.png")
        grade = class_words(grading.grade)
        caption = f"A real photograph of IDRiD (CC BY 4.0), graded {grade} by the shipped grader {SHIPPED}"
        pictures.append(Picture(out / "graded-real.png", caption))
    return pictures


def gate_text(bundle: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return whether the files for devices passed their gates, and what it means if one did not.

    Args:
        bundle: the content of bundle.json.
        figures: variant -> its figures, as in parity.json.
    """
    count = next(iter(figures.values()))["photographs"]
    failures = bundle["parity"]["failures"]
    models = " and ".join(bundle["models"])
    compared = f"Each file was compared with the trained model on {count} validation photographs"
    if not failures:
        return f"{compared}. {models} passed."
    texts = [f"{compared}, and must stay within the limits of its gate."]
    for name, reasons in failures.items():
        texts.append(
            f"{name} did not: {'; '.join(reasons)}. So devices grade with another file; {name} is kept here only to "
            "be looked at."
        )
    texts.append(
        f"Among {count} photographs a single changed grade weighs {1 / count:.1%}, so that small demos often fail "
        "here; with the usual 400 drawn photographs both files passed."
    )
    return " ".join(texts)


def _write_report(out: Path, evaluation: Path, explanation: Path, count: int, graded: Sequence[Picture]) -> None:
    figures = folders.read_json(evaluation / "metrics.json")
    scores = folders.read_json(explanation / "scores.json")
    bundle = folders.read_manifest(out / "bundle", "bundle")
    figures_of_variants = folders.read_json(out / "bundle" / "parity.json")["figures"]
    profile = folders.read_json(out / "bundle" / "profile.json")
    about = folders.read_manifest(out / "prepared", "prepared")
    splits = Table(
        ("split", *about["classes"]), [(split, *counts.values()) for split, counts in about["counts"].items()]
    )
    sections = [
        Section("Summary", [_summary(figures)]),
        Section(
            "The photographs",
            [
                f"The set has {count} drawn photographs, two per patient. Patients, not photographs, are divided into "
                "splits.",
                splits,
                Picture(out / "prepared" / "preview.png", "Prepared photographs, one row per grade"),
            ],
        ),
        Section(
            "Training",
            [Picture(out / "run" / "curves.png", "Training with a frozen backbone, then of the whole network")],
        ),
        *evaluation_sections(evaluation, figures),
        Section(
            "Explanation",
            [
                explanation_table(scores),
                Picture(explanation / "board.png", "Grad-CAM of the predicted grade: original next to overlay"),
            ],
        ),
        Section(
            "On the device",
            [gate_text(bundle, figures_of_variants), bundle_table(bundle, figures_of_variants), profile_table(profile)],
        ),
        Section("The result: photographs as a clinic would see them graded", graded),
    ]
    html.write_html(out / "report.html", "keras_dr on synthetic photographs", sections)


def _summary(figures: Mapping[str, Any]) -> str:
    return (
        "A small network was trained to grade diabetic retinopathy from 0 to 4 on drawn photographs. On "
        f"{figures['photographs']} test photographs of patients that were not used in training, its quadratic kappa is "
        f"{figures['quadratic_kappa']:.3f} and its accuracy {figures['accuracy']:.3f}. Drawn photographs are far "
        "easier to grade than real ones: these figures show that every step works, but say nothing about a clinic. "
        "The report ends with a drawn and a real photograph as they are graded on a device. Beside it, the folder "
        "`site` is the page on which the shipped grader grades in a browser."
    )
