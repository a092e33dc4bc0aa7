"""The report of an evaluation, made from its saved results alone: tables, words for a clinician, report.html."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from keras_dr.metrics.intervals import RESAMPLES
from keras_dr.reports.evaluation_tables import (
    LEVEL,
    class_table,
    points_table,
    predictive_table,
    subgroup_table,
    summary_table,
)
from keras_dr.reports.html import Picture, Section, write_html
from keras_dr.reports.tables import Table, show, show_interval, text_table, with_interval

# "Few" clusters may be fewer than 20 to 50: A. C. Cameron and D. L. Miller, Journal of Human Resources 50(2), 2015.
FEW_PATIENTS = 20
_MOST_COPIES = 20


def warnings(figures: dict[str, Any]) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    if figures["external"]:
        seen = figures["seen_in_training"]
        if seen is None:
            found.append("Warning: whether these photographs were in the training is unknown: the run's set is gone.")
        elif sum(seen.values()):
            found.append(
                f"Warning: {sum(seen.values())} of {figures['photographs']} photographs were in the run's own train or "
                "validation split: these figures are too good."
            )
    elif figures["split"] != "test":
        found.append("Warning: the run was trained or chosen on photographs among these: the figures are too good.")
    if figures.get("turned"):
        found.append("Outputs are means over eight views of each photograph; a bundle's models see it once.")
    if figures["without_class"]:
        found.append(f"{figures['without_class']} photographs have no class of the run's task and were left out.")
    missing = [name for name, values in figures["classes"].items() if not values["support"]]
    if missing:
        found.append(f"No photograph is truly {' or '.join(missing)}: figures of it do not exist.")
    if figures["patients"] < FEW_PATIENTS:
        found.append(
            f"Only {figures['patients']} patients: intervals from so few are too narrow, and not to be relied on."
        )
    return found


def metrics_text(figures: dict[str, Any]) -> str:
    """The figures of metrics.json for the terminal."""
    head = f"{figures['photographs']} photographs of {figures['patients']} patients."
    parts = [head, *warnings(figures), "", text_table(summary_table(figures)), ""]
    parts += [text_table(class_table(figures, intervals=False))]
    if figures["positive"]:
        parts += ["", text_table(points_table(figures)), "", text_table(predictive_table(figures))]
    return "\n".join(parts)


def folds_text(about: Mapping[str, Any]) -> str:
    """Scores of each fold, their mean and deviation, and those of the pooled predictions, of cross_validation.json."""
    names = list(about["pooled"])
    folds = {f"fold {number}": scores for number, scores in enumerate(about["folds"], 1)}
    rows = folds | {name: about[name] for name in ("mean", "deviation", "pooled")}
    return indent(
        text_table(Table(("", *names), [(title, *(scores[name] for name in names)) for title, scores in rows.items()])),
        "  ",
    )


def _percent(value: float, interval: Sequence[float] | None = None) -> str:
    text = f"{100 * value:.0f}"
    return text if interval is None else f"{text} ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"


def in_words(figures: dict[str, Any]) -> list[str]:
    """The summary as a clinician reads it; numbers in brackets are 95 % intervals."""
    point, limits = figures["operating_point"], figures["operating_point"]["intervals"]
    found, positive = [], figures["positive"]
    if point["sensitivity"] is not None:
        share, missed = _percent(point["sensitivity"], limits["sensitivity"]), _percent(1 - point["sensitivity"])
        found.append(f"Of 100 photographs with {positive}, the grader refers {share} and misses {missed}.")
    if point["specificity"] is not None:
        share = _percent(1 - point["specificity"], _turned(limits["specificity"]))
        found.append(f"Of 100 without, it refers {share} needlessly.")
    if point["ppv"] is not None:
        found.append(f"Of 100 that it refers here, {_percent(point['ppv'], limits['ppv'])} have {positive}.")
    if point["prevalence"] is not None and point.get("ppv_at_prevalence") is not None:
        own = _percent(point["ppv_at_prevalence"], limits.get("ppv_at_prevalence"))
        found.append(f"Where {point['prevalence']:.1%} of photographs have it, {own} of 100 referred would.")
    exact = _percent(figures["accuracy"], figures["intervals"]["accuracy"])
    found.append(f"It names the exact class of {exact} of 100 photographs.")
    if figures["quadratic_kappa"] is not None:
        kappa = with_interval(figures["quadratic_kappa"], figures["intervals"]["quadratic_kappa"])
        found.append(f"Agreement with the reference beyond chance, quadratic kappa: {kappa}.")
    band = next((one for one in figures["bands"] if one["aimed"] == figures["left_to_human"]), None)
    kind = "referral_error" if positive else "grade_error"
    if band and band[kind] is not None:
        found.append(
            f"Left to a human, the least certain photographs ({band['aimed']:.0%} of validation, {band['sent']:.0%} "
            f"here) leave {_percent(band[kind], band[kind + '_interval'])} wrong decisions in 100 of the rest."
        )
    return [" ".join(found), "In brackets: 95 % intervals."]


def _turned(interval: Sequence[float] | None) -> Sequence[float] | None:
    return None if interval is None else (1 - interval[1], 1 - interval[0])


def evaluation_sections(folder: Path, figures: dict[str, Any]) -> list[Section]:
    """The sections on figures, for this report and others."""
    sections = [
        Section("Figures", [summary_table(figures)]),
        Section(
            "Classes",
            [class_table(figures), Picture(folder / "confusion.png", "Confusion matrix: rows true, columns predicted")],
        ),
    ]
    if figures["positive"]:
        parts: list[Any] = ["Thresholds were chosen on validation photographs and are only measured here."]
        parts += [
            points_table(figures),
            predictive_table(figures),
            Picture(folder / "roc-pr.png", f"ROC and precision-recall: {figures['positive']}"),
        ]
        sections.append(Section("Referral", parts))
    return sections + [_patients(figures), _calibration(folder, figures), _uncertain(folder, figures)]


def _patients(figures: dict[str, Any]) -> Section:
    parts: list[Any] = []
    columns = ("what", "positive", "negative", "sensitivity", "specificity")
    groups = {"patients, by the worse eye": figures["per_patient"]}
    if figures["ungradable"]:
        cases = figures["ungradable"]
        imageability = with_interval(cases["imageability"], cases["imageability_interval"])
        parts.append(
            f"Imageability, the share of gradable photographs that the grader does not turn down: {imageability}."
        )
        groups |= {
            "photographs, ungradable ones counted as referred": cases["counted_as_referred"],
            "photographs, ungradable ones left out": cases["left_out"],
        }
    rows = [
        (
            name,
            one["positive"],
            one["negative"],
            with_interval(one["sensitivity"], one["sensitivity_interval"]),
            with_interval(one["specificity"], one["specificity_interval"]),
        )
        for name, one in groups.items()
        if one
    ]
    if rows:
        parts.append(Table(columns, rows))
    return Section("Patients", parts or [f"{figures['patients']} patients; the task refers nobody."])


def _calibration(folder: Path, figures: dict[str, Any]) -> Section:
    before = figures["calibration"]["before"]
    rows = [
        (name, before[key], figures[key], show_interval(figures["intervals"][key]))
        for key, name in (("ece", "calibration error (ECE)"), ("log_loss", "log loss"), ("brier", "Brier score"))
    ]
    temperature = figures["calibration"]["temperature"]
    text = f"Logits are divided by the temperature {temperature:.3f}, fitted on validation photographs."
    if temperature == 1:
        text = "Temperature 1: probabilities are as the network gives them."
    elif figures["log_loss"] > before["log_loss"]:
        text += " On these photographs that made the probabilities worse: validation was easier than they are."
    table = Table(("figure", "before", "after", f"after, {LEVEL}"), rows)
    caption = "What the grader's probability is worth; the numbers count photographs"
    return Section("Calibration", [text, table, Picture(folder / "reliability.png", caption)])


def _uncertain(folder: Path, figures: dict[str, Any]) -> Section:
    parts: list[Any] = [Picture(folder / "coverage.png", "Errors among the photographs that the grader is surest of")]
    if figures["bands"]:
        rows = [
            (
                f"{band['aimed']:.0%}",
                with_interval(band["sent"], band["sent_interval"]),
                with_interval(band["referral_error"], band["referral_error_interval"]),
                with_interval(band["grade_error"], band["grade_error_interval"]),
            )
            for band in figures["bands"]
        ]
        columns = ("limit for this share of validation", "sent to a human here", "wrong referral", "wrong class")
        parts.append(Table(columns, rows))
    return Section("What is left to a human", parts)


def _data(prepared: Path, figures: dict[str, Any]) -> Section:
    parts: list[Any] = [f"{figures['photographs']} photographs of {figures['patients']} patients in {figures['set']}."]
    file = prepared / "duplicates.csv"
    rows = []
    if file.is_file():
        with file.open(newline="", encoding="utf-8") as stream:
            rows = sorted(csv.DictReader(stream), key=lambda row: row["conflict"] == "no")
    conflicts = len({row["copy_of"] for row in rows if row["conflict"] == "yes"})
    parts.append(
        f"{len(rows)} photographs of the whole set have a copy; {conflicts} groups of copies bear different grades."
        + (f" The first {_MOST_COPIES}, conflicts first:" if len(rows) > _MOST_COPIES else "")
    )
    columns = ("image_id", "copy_of", "split", "grade", "kind", "conflict")
    if rows:
        parts.append(Table(columns, [[row[key] for key in columns] for row in rows[:_MOST_COPIES]]))
    return Section("The data", parts)


def write_report(folder: Path, about: dict[str, Any], figures: dict[str, Any], prepared: Path) -> None:
    """Write FOLDER/report.html.

    Args:
        folder: of the evaluation, with its plots.
        about: run.json.
        figures: metrics.json.
        prepared: folder of the Prepared set that was measured on.
    """
    recipe = about["recipe"]
    sections = [Section("Summary", [*warnings(figures), *in_words(figures)]), *evaluation_sections(folder, figures)]
    if figures["subgroups"]:
        note = "“Apart”: the two intervals do not overlap."
        sections.append(Section("Subgroups", [note, subgroup_table(figures)]))
    pictures = [Picture(folder / "samples.png", "Right and wrong predictions, as many of each class as there are")]
    if (folder / "mistakes.png").is_file():
        pictures.insert(0, Picture(folder / "mistakes.png", "The gravest mistakes, each beside its heat map"))
    how = (
        f"{recipe['backbone']} at {about['preprocessing']['size']} pixels, trained on "
        f"{about['data']['photographs']['train']} photographs, model {about['model_sha256'][:12]}. Intervals: Wilson "
        "for proportions, corrected for several photographs of one patient; percentile bootstrap over patients for the "
        f"others, {show(RESAMPLES)} resamples."
    )
    sections += [Section("Photographs", pictures), _data(prepared, figures), Section("How", [how])]
    where = "external validation" if figures["external"] else figures["split"]
    write_html(folder / "report.html", f"{recipe['backbone']} on {figures['set']}, {where}", sections)
