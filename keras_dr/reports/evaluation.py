"""The report of an evaluation, made only from its saved results: tables, a summary in words, report.html."""

import csv
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from keras_dr.core.grade_sets import NO_SETS, GradeSets
from keras_dr.core.operating_point import Promise, hundred_words, per_hundred
from keras_dr.metrics.intervals import RESAMPLES
from keras_dr.preparation.splits import CALIBRATION
from keras_dr.reports.evaluation_tables import (
    LEVEL,
    class_table,
    points_table,
    predictive_table,
    robustness_table,
    subgroup_table,
    summary_table,
)
from keras_dr.reports.html import Picture, Section, write_html
from keras_dr.reports.tables import Table, counted, show, show_interval, text_table, with_interval

# "Few" clusters may be fewer than 20 to 50: A. C. Cameron and D. L. Miller, Journal of Human Resources 50(2), 2015.
FEW_PATIENTS = 20
_MOST_COPIES = 20
_MOST_EYES = 10  # that a sentence names


def warnings(figures: dict[str, Any]) -> list[str]:
    """Return the warnings that a reader must know before the figures."""
    texts = []
    if figures.get("learned_nothing"):
        texts.append(f"Warning: {figures['learned_nothing'][0].lower()}{figures['learned_nothing'][1:]}")
    texts += _about_photographs(figures)
    for doubt in figures.get("point_doubts", ()):
        texts.append(f"Operating point {figures['point_name']}: {doubt[0].lower()}{doubt[1:]}")
    if figures.get("turned"):
        texts.append(
            "Outputs are means over eight views of each photograph; the models of a bundle see each photograph once."
        )
    if figures["without_class"]:
        left_out = counted(
            figures["without_class"],
            "photograph has no class in the run's task and was left out",
            "photographs have no class in the run's task and were left out",
        )
        texts.append(f"{left_out}.")
    missing = [name for name, values in figures["classes"].items() if not values["support"]]
    if missing:
        texts.append(f"No photograph is truly {' or '.join(missing)}, so some figures do not exist.")
    if figures["patients"] < FEW_PATIENTS:
        patients = counted(figures["patients"], "patient", "patients")
        texts.append(f"The set has only {patients}; intervals from so few are too narrow to be relied on.")
    return texts


def _about_photographs(figures: dict[str, Any]) -> list[str]:
    """Return what it means that the run learned from the photographs, or that they are of the calibration split."""
    if figures["external"]:
        seen_in_training = figures["seen_in_training"]
        if seen_in_training is None:
            return ["Warning: it is unknown whether the run was trained on these photographs: its set is missing."]
        if sum(seen_in_training.values()):
            return [
                f"Warning: {_of_all(sum(seen_in_training.values()), figures['photographs'])} in the run's own train or "
                "validation split, so the figures are too good."
            ]
    elif figures["split"] == CALIBRATION:
        return [
            "The calibration split chose nothing but promises and sets of grades, which hold here by construction. "
            "Measuring on it spends nothing, unless a run, a threshold or a setting is then chosen by these figures: "
            "the promises of that run would no longer hold."
        ]
    elif figures["split"] != "test":
        return [
            "Warning: some of these photographs were used for training or for the choice of the epoch and the "
            "thresholds, so the figures are too good."
        ]
    return []


def _of_all(count: int, total: int) -> str:
    """Return such as "3 of 60 photographs are"."""
    return f"{count} of {total} photographs {'is' if count == 1 else 'are'}"


def positive_lines(figures: dict[str, Any]) -> list[str]:
    """Return the line that says which classes are positive; no line for figures that an older version measured."""
    if "positive_classes" not in figures:
        return []
    return [f"Positive: {', '.join(figures['positive_classes']) or 'none, so that nobody is referred'}."]


def metrics_text(figures: dict[str, Any]) -> str:
    """Return the figures of metrics.json as text for the terminal."""
    parts = [_size(figures) + ".", *positive_lines(figures), *warnings(figures)]
    parts += grade_sets_words(figures)
    parts += ["", text_table(summary_table(figures))]
    parts += ["", text_table(class_table(figures, intervals=False))]
    if figures["positive"]:
        parts += ["", text_table(points_table(figures)), "", text_table(predictive_table(figures))]
    if "robustness" in figures:
        parts += ["", text_table(robustness_table(figures))]
    return "\n".join(parts)


def folds_text(about: Mapping[str, Any]) -> str:
    """Return a table of cross_validation.json: each fold, the mean and deviation, and the pooled scores."""
    names = list(about["pooled"])
    folds = {f"fold {number}": scores for number, scores in enumerate(about["folds"], 1)}
    rows = folds | {name: about[name] for name in ("mean", "deviation", "pooled")}
    cells = [(title, *(scores[name] for name in names)) for title, scores in rows.items()]
    limits = about.get("intervals", {})  # an older version wrote none
    if limits:
        cells.append(("95 % interval", *(show_interval(limits.get(name)) for name in names)))
    table = Table(("", *names), cells)
    return indent(text_table(table), "  ")


def _size(figures: dict[str, Any]) -> str:
    photographs = counted(figures["photographs"], "photograph", "photographs")
    return f"{photographs} of {counted(figures['patients'], 'patient', 'patients')}"


def in_words(figures: dict[str, Any]) -> list[str]:
    """Return a summary in words for clinicians; numbers in brackets are 95 % intervals."""
    point = figures["operating_point"]
    limits = point["intervals"]
    positive = figures["positive"]
    texts = []
    sentence = hundred_words(
        positive, point["sensitivity"], point["specificity"], limits["sensitivity"], limits["specificity"]
    )
    if sentence:
        texts += [sentence, *_other_points(figures)]
    if point["ppv"] is not None:
        texts.append(f"Of 100 photographs that it refers, {per_hundred(point['ppv'], limits['ppv'])} have {positive}.")
    if point["prevalence"] is not None and point.get("ppv_at_prevalence") is not None:
        share = per_hundred(point["ppv_at_prevalence"], limits.get("ppv_at_prevalence"))
        texts.append(
            f"At a prevalence of {point['prevalence']:.1%}, {share} of 100 referred photographs would have it."
        )
    exact = per_hundred(figures["accuracy"], figures["intervals"]["accuracy"])
    texts.append(f"It predicts the exact class of {exact} of 100 photographs.")
    if figures["quadratic_kappa"] is not None:
        kappa = with_interval(figures["quadratic_kappa"], figures["intervals"]["quadratic_kappa"])
        texts.append(f"Its agreement with the reference beyond chance, quadratic kappa, is {kappa}.")
    band = next((band for band in figures["bands"] if band["aimed"] == figures["left_to_human"]), None)
    kind = "referral_error" if positive else "grade_error"
    if band and band[kind] is not None:
        texts.append(
            f"If the least certain photographs ({band['aimed']:.0%} of validation, {band['sent']:.0%} here) are left "
            f"to a human, {per_hundred(band[kind], band[kind + '_interval'])} of 100 decisions on the others are wrong."
        )
    return [" ".join(texts), "Numbers in brackets are 95 % intervals."]


def _other_points(figures: dict[str, Any]) -> list[str]:
    """Return a sentence per group of further operating points that do the same, on what they would miss and refer."""
    in_use = (figures["operating_point"]["sensitivity"], figures["operating_point"]["specificity"])
    groups: dict[tuple[float, float], list[str]] = {}
    for name, point in figures["operating_points"].items():
        if point["sensitivity"] is not None and point["specificity"] is not None:
            groups.setdefault((point["sensitivity"], point["specificity"]), []).append(name)
    texts = []
    for (sensitivity, specificity), names in groups.items():
        points = f"point {names[0]}" if len(names) == 1 else f"points {', '.join(names[:-1])} and {names[-1]}"
        if (sensitivity, specificity) == in_use:
            texts.append(f"The {points} {'does' if len(names) == 1 else 'do'} the same here.")
        else:
            missed = per_hundred(1 - sensitivity)
            texts.append(f"The {points} would miss {missed} and refer {per_hundred(1 - specificity)}.")
    return texts


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


def grade_sets_words(figures: dict[str, Any]) -> list[str]:
    """Return the coverage of sets of grades here and the referrals that they add, in words; empty without sets."""
    measured = figures.get("grade_sets")
    if not measured:
        return []
    coverage = per_hundred(measured["coverage"], measured["coverage_interval"])
    text = f"Its sets of grades hold the true grade of {coverage} of 100 photographs"
    if measured["added"] is None:
        return [f"{text}."]
    added = per_hundred(measured["added"], measured["added_interval"])
    return [f"{text}; if every set with a referable grade were referred, {added} of 100 would be in addition."]


def _patients(figures: dict[str, Any]) -> Section:
    """Return the figures per photograph, per patient, and with photographs of poor quality counted both ways."""
    patients = counted(figures["patients"], "patient", "patients")
    if not figures["per_patient"]:
        return Section("Patients", [f"The set has {patients}; the task refers nobody."])
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
    parts: list[Any] = [f"The set is {figures['set']}, with {_size(figures)}."]
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
