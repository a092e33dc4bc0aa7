"""The report of an evaluation, made only from its saved results: text for the terminal, and report.html."""

import csv
from pathlib import Path
from typing import Any

from keras_dr.core.grade_sets import NO_SETS, GradeSets
from keras_dr.core.operating_point import Promise
from keras_dr.metrics.intervals import RESAMPLES
from keras_dr.reports.evaluation_tables import (
    LEVEL,
    class_table,
    points_table,
    predictive_table,
    robustness_table,
    subgroup_table,
    summary_table,
)
from keras_dr.reports.evaluation_words import grade_sets_words, in_words, positive_lines, size_in_words, warnings
from keras_dr.reports.html import Picture, Section, write_html
from keras_dr.reports.tables import Table, counted, show, show_interval, text_table, with_interval

_MOST_COPIES = 20
_MOST_EYES = 10  # that a sentence names


def metrics_text(figures: dict[str, Any]) -> str:
    """Return the figures of metrics.json as text for the terminal."""
    parts = [size_in_words(figures) + ".", *positive_lines(figures), *warnings(figures)]
    parts += grade_sets_words(figures)
    parts += ["", text_table(summary_table(figures))]
    parts += ["", text_table(class_table(figures, intervals=False))]
    if figures["positive"]:
        parts += ["", text_table(points_table(figures)), "", text_table(predictive_table(figures))]
    if "robustness" in figures:
        parts += ["", text_table(robustness_table(figures))]
    return "\n".join(parts)


def evaluation_sections(folder: Path, figures: dict[str, Any]) -> list[Section]:
    """Return the sections on figures, for this report and others."""
    sections = [
        Section("Figures", [*positive_lines(figures), summary_table(figures)]),
        Section(
            "Classes",
            [
                class_table(figures),
                Picture(
                    folder / "confusion.png", "Confusion matrix: rows are true classes, columns are predicted ones"
                ),
            ],
        ),
    ]
    if figures["positive"]:
        parts: list[Any] = [
            "Thresholds were chosen on validation photographs; here they are only measured. Sensitivity, specificity "
            "and predictive values are those of the final action: a photograph is referred by its grade, by the "
            "threshold, or because it is uncertain. The curves show the probability alone, without the grade."
        ]
        parts += [
            points_table(figures),
            predictive_table(figures),
            Picture(folder / "roc-pr.png", f"ROC and precision-recall curves: {figures['positive']}"),
        ]
        sections.append(Section("Referral", parts))
    if figures.get("promises"):
        sections.append(_promises(figures))
    if figures.get("states_sets"):
        sections.append(_grade_sets(figures))
    return sections + [_patients(figures), _calibration(folder, figures), _uncertain(folder, figures)]


def _promises(figures: dict[str, Any]) -> Section:
    """Return what was promised, and how many patients are missed here."""
    parts: list[Any] = []
    rows = []
    for name, measured in figures["promises"].items():
        parts.append(Promise(**measured["promise"]).in_words(figures["positive"]))
        promised = f"at most {measured['promise']['risk']:g}"
        missed = f"{measured['missed']} of {measured['patients']} {measured.get('unit', 'patients')}"
        rows.append((name, promised, missed, with_interval(measured["share"], measured["interval"])))
    table = Table(("point", "share missed, promised", "missed here", f"share, {LEVEL}"), rows)
    return Section("Promises", [*parts, table])


def _grade_sets(figures: dict[str, Any]) -> Section:
    """Return what sets of grades promise, and their coverage here; or why none are stated."""
    measured = figures["grade_sets"]
    if not measured:
        return Section("Sets of grades", [NO_SETS])
    sets = GradeSets.from_dict(measured["sets"])
    rows: list[tuple[Any, ...]] = [
        ("coverage, promised", f"{sets.coverage:g} on the mean", ""),
        ("coverage here", measured["coverage"], show_interval(measured["coverage_interval"])),
        ("grades in a set, mean", measured["size"], ""),
        ("sets with one grade", measured["single"], ""),
    ]
    if measured["added"] is not None:
        name = "referred in addition, if every set with a referable grade were"
        rows.append((name, measured["added"], show_interval(measured["added_interval"])))
    return Section("Sets of grades", [sets.in_words(figures["positive"]), Table(("figure", "value", LEVEL), rows)])


def _patients(figures: dict[str, Any]) -> Section:
    """Return the figures per photograph, per patient, and with photographs of poor quality counted both ways."""
    if not figures["per_patient"]:
        return Section("Patients", [f"The set has {size_in_words(figures)}; the task refers nobody."])
    parts: list[Any] = []
    point = figures["operating_point"]
    limits = point["intervals"]
    counts = {key: sum(figures["classes"][name]["support"] for name in names) for key, names in _sides(figures).items()}
    per_photograph = counts | {key: point[key] for key in ("sensitivity", "specificity")}
    per_photograph |= {f"{key}_interval": limits[key] for key in ("sensitivity", "specificity")}
    groups: dict[str, Any] = {"photographs, each by itself": per_photograph}
    if figures.get("patients_known", True):
        parts.append(
            "A patient is counted by the worse eye, as in patients.csv: positive, or referred, if one or more "
            "photographs are."
        )
        groups["patients, by their worse eye"] = figures["per_patient"]
        parts += _ungradable_eyes(figures)
    else:
        parts.append("The patients of this set are not known, so that photographs cannot be counted by patients.")
    if figures["ungradable"]:
        cases = figures["ungradable"]
        imageability = with_interval(cases["imageability"], cases["imageability_interval"])
        parts.append(
            f"Imageability, the share of gradable photographs that the grader accepts as gradable, is {imageability}."
        )
        groups["photographs, with ungradable ones counted as referred"] = cases["counted_as_referred"]
        groups["photographs, without ungradable ones"] = cases["left_out"]
    refused = figures.get("refused")
    if refused:
        share = with_interval(refused["share"], refused["share_interval"])
        count = counted(refused["refused"], "photograph is", "photographs are")
        parts.append(f"{count} too poor for this grader, beyond its measured limits: a share of {share}.")
        groups["photographs, with those that are too poor counted as referred"] = refused["counted_as_referred"]
        groups["photographs, without those that are too poor"] = refused["left_out"]
    rows = [
        (
            name,
            group["positive"],
            group["negative"],
            with_interval(group["sensitivity"], group["sensitivity_interval"]),
            with_interval(group["specificity"], group["specificity_interval"]),
        )
        for name, group in groups.items()
        if group
    ]
    return Section("Patients", [*parts, Table(("counted", "positive", "negative", "sensitivity", "specificity"), rows)])


def _sides(figures: dict[str, Any]) -> dict[str, list[str]]:
    """Return the positive and the negative classes."""
    positive = figures["positive_classes"]
    return {"positive": positive, "negative": [name for name in figures["classes"] if name not in positive]}


def _ungradable_eyes(figures: dict[str, Any]) -> list[str]:
    """Return a sentence that names the ungradable eyes; none if there are none."""
    eyes = figures.get("ungradable_eyes") or []
    if not eyes:
        return []
    named = ", ".join(eyes[:_MOST_EYES]) + (f" and {len(eyes) - _MOST_EYES} more" if len(eyes) > _MOST_EYES else "")
    count = counted(len(eyes), "eye is", "eyes are")
    return [f"{count} ungradable, because all photographs of the eye have faults: {named}. See patients.csv."]


def _calibration(folder: Path, figures: dict[str, Any]) -> Section:
    before = figures["calibration"]["before"]
    rows = [
        (name, before[key], figures[key], show_interval(figures["intervals"][key]))
        for key, name in (("ece", "calibration error (ECE)"), ("log_loss", "log loss"), ("brier", "Brier score"))
    ]
    temperature = figures["calibration"]["temperature"]
    text = f"Logits are divided by the temperature {temperature:.3f}, fitted on validation photographs."
    if temperature == 1:
        text = "The temperature is 1: the probabilities are those of the network."
    elif round(figures["log_loss"], 3) > round(before["log_loss"], 3):
        text += " On these photographs it made the log loss worse."
    table = Table(("figure", "before", "after", f"after, {LEVEL}"), rows)
    caption = "Share of correct predictions by predicted probability"
    return Section("Calibration", [text, table, Picture(folder / "reliability.png", caption)])


def _uncertain(folder: Path, figures: dict[str, Any]) -> Section:
    parts: list[Any] = [
        Picture(folder / "coverage.png", "Errors among the photographs that the grader is most certain of")
    ]
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
    return Section("Photographs left to a human", parts)


def _data(prepared: Path, figures: dict[str, Any]) -> Section:
    parts: list[Any] = [f"The set is {figures['set']}, with {size_in_words(figures)}."]
    file = prepared / "duplicates.csv"
    rows = []
    if file.is_file():
        with file.open(newline="", encoding="utf-8") as stream:
            rows = sorted(csv.DictReader(stream), key=lambda row: row["conflict"] == "no")
    conflicts = len({row["copy_of"] for row in rows if row["conflict"] == "yes"})
    copied = counted(len(rows), "photograph of the whole set has a copy", "photographs of the whole set have a copy")
    text = f"{copied}; {counted(conflicts, 'group of copies has', 'groups of copies have')} different grades."
    if len(rows) > _MOST_COPIES:
        text += f" The first {_MOST_COPIES} are listed, conflicts first."
    parts.append(text)
    columns = ("image_id", "copy_of", "split", "grade", "kind", "conflict")
    if rows:
        parts.append(Table(columns, [[row[key] for key in columns] for row in rows[:_MOST_COPIES]]))
    return Section("The data", parts)


def write_report(folder: Path, about: dict[str, Any], figures: dict[str, Any], prepared: Path) -> None:
    """Write FOLDER/report.html.

    Args:
        folder: folder of the evaluation, with its plots.
        about: run.json.
        figures: metrics.json.
        prepared: folder of the Prepared set that the run was measured on.
    """
    recipe = about["recipe"]
    sections = [
        Section("Summary", [*warnings(figures), *in_words(figures), *grade_sets_words(figures)]),
        *evaluation_sections(folder, figures),
    ]
    if figures["subgroups"]:
        note = "“Differs” means that the two intervals do not overlap."
        sections.append(Section("Subgroups", [note, subgroup_table(figures)]))
    if "robustness" in figures:
        note = (
            "The photographs were changed as another camera or careless use might change them, and prepared again. "
            "“Same class” and “same referral” are the shares of photographs whose class and referral stay the same; "
            "“mean shift” is the mean change of the predicted class, in classes."
        )
        sections.append(Section("Robustness", [note, robustness_table(figures)]))
    pictures = [Picture(folder / "samples.png", "Correct and wrong predictions of each class")]
    if (folder / "mistakes.png").is_file():
        pictures.insert(0, Picture(folder / "mistakes.png", "The gravest mistakes, each next to its heat map"))
    methods = (
        f"The network is {recipe['backbone']} at {about['preprocessing']['size']} pixels, trained on "
        f"{about['data']['photographs']['train']} photographs; the hash of its model begins with "
        f"{about['model_sha256'][:12]}. Intervals of proportions are Wilson's, corrected for several photographs of "
        "one patient; the others are percentile intervals of a bootstrap over patients with "
        f"{show(RESAMPLES)} resamples."
    )
    sections += [Section("Photographs", pictures), _data(prepared, figures), Section("Methods", [methods])]
    split = "external validation" if figures["external"] else figures["split"]
    write_html(folder / "report.html", f"{recipe['backbone']} on {figures['set']}, {split}", sections)
