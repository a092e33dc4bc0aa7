"""Sentences about the figures of metrics.json: warnings, and a summary for clinicians."""

from typing import Any

from keras_dr.core.operating_point import hundred_words, per_hundred
from keras_dr.preparation.splits import CALIBRATION
from keras_dr.reports.tables import counted, with_interval

# "Few" clusters may be fewer than 20 to 50: A. C. Cameron and D. L. Miller, Journal of Human Resources 50(2), 2015.
FEW_PATIENTS = 20


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


def size_in_words(figures: dict[str, Any]) -> str:
    """Return such as "60 photographs of 30 patients", or that the patients are not known."""
    photographs = counted(figures["photographs"], "photograph", "photographs")
    if not figures.get("patients_known", True):
        return f"{photographs} of unknown patients"
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
