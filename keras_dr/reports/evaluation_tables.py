"""Tables of metrics.json: figures with their intervals, classes, operating points, subgroups; and of folds."""

from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from keras_dr.core.names import class_words
from keras_dr.reports.tables import Table, show, show_interval, text_table, with_interval

# name in metrics.json or its operating_point -> name for a reader
MAIN_FIGURES = {
    "quadratic_kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc_referable": "AUROC",
    "auprc_referable": "AUPRC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
MAIN = ("set", "split", "photographs", "positive", *MAIN_FIGURES, "operating_point", "intervals")
LEVEL = "95 % interval"


def figure_of(figures: dict[str, Any], name: str) -> tuple[float | None, Sequence[float] | None]:
    """Return a main figure of metrics.json and its interval, each of them None if it does not exist."""
    holder = figures["operating_point"] if name in figures["operating_point"] else figures
    return holder.get(name), holder["intervals"].get(name)


def summary_table(figures: dict[str, Any]) -> Table:
    """Return the main figures of metrics.json with their intervals; internal ones next to external ones."""
    internal = figures.get("internal")
    positive = figures["positive"] or "no positive class"
    rows: list[list[Any]] = []
    for name, title in MAIN_FIGURES.items():
        value, interval = figure_of(figures, name)
        about_referral = name in figures["operating_point"] or name.endswith("_referable")
        rows.append([f"{title}, {positive}" if about_referral else title, value, show_interval(interval)])
        if internal:
            rows[-1].append(with_interval(*figure_of(internal, name)))
        if name == "auroc_referable":
            delong = show_interval(figures["intervals"]["auroc_referable_delong"])
            rows.append(["the same, interval by DeLong", value, delong])
            if internal:
                rows[-1].append(None)
    if internal:
        own = f"internal: {internal['set']}, {internal['split']}"
        return Table(("figure", f"{figures['set']}, {figures['split']}", LEVEL, own), rows)
    return Table(("figure", "value", LEVEL), rows)


def class_table(figures: dict[str, Any], intervals: bool = True) -> Table:
    """Return the classification report of metrics.json: one row per class, and the two averages."""
    titles = ("precision", "recall", "specificity", "F1", "AUROC", "photographs")
    columns = ("precision", "recall", "specificity", "f1", "auroc", "support")
    rows = []
    limits = figures["intervals"]
    for name, values in figures["classes"].items():
        own = limits["classes"][name] if intervals else {}
        rows.append((name, *(_cell(values[key], own.get(key)) for key in columns)))
    for name in ("macro", "weighted"):
        own = limits[name] if intervals else {}
        rows.append((f"{name} average", *(_cell(figures[name].get(key), own.get(key)) for key in columns)))
    return Table(("class", *titles), [(class_words(str(row[0])), *row[1:]) for row in rows])


def _cell(value: Any, interval: Sequence[float] | None) -> Any:
    return with_interval(value, interval) if interval else value


def points_table(figures: dict[str, Any]) -> Table:
    """Return all operating points, chosen on validation: targets, measured values, and whether the targets held."""
    rows = []
    for name, point in points_by_name(figures).items():
        targets = ", ".join(f"{key} {value:g}" for key, value in point["targets"].items()) or "-"
        held = {True: "held", False: "missed", None: "-"}[point["held"]]
        cells = (with_interval(point[key], point["intervals"][key]) for key in ("sensitivity", "specificity"))
        # at a threshold above 1, referable grades alone are referred
        threshold = f"{point['threshold']:.3f}" if point["threshold"] <= 1 else "none"
        rows.append((name, threshold, targets, held, *cells))
    return Table(("point", "threshold", "target", "on this set", "sensitivity", "specificity"), rows)


def predictive_table(figures: dict[str, Any]) -> Table:
    """Return predictive values at all operating points, for this set and for the requested prevalence."""
    prevalence = figures["operating_point"]["prevalence"]
    keys = {"ppv": "PPV here", "npv": "NPV here"}
    if prevalence is not None:
        keys |= {f"{key}_at_prevalence": f"{key.upper()} at {prevalence:.1%}" for key in ("ppv", "npv")}
    rows = [
        (name, *(with_interval(point.get(key), point["intervals"].get(key)) for key in keys))
        for name, point in points_by_name(figures).items()
    ]
    return Table(("point", *keys.values()), rows)


def points_by_name(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operating points of metrics.json, the one in use first."""
    in_use = figures.get("point_name", "referral")  # the name that older versions gave it
    return {in_use: figures["operating_point"], **figures["operating_points"]}


def subgroup_table(figures: dict[str, Any]) -> Table:
    """Return the figures of each subgroup next to those of the rest of the set."""
    rows = []
    for group in figures["subgroups"]:
        subgroup = f"{group['column']}: {group['value']}"
        for name, figure in group["figures"].items():
            if figure["value"] is None:
                continue
            inside = with_interval(figure["value"], figure["interval"])
            rest = with_interval(figure["rest"], figure["rest_interval"])
            flag = "differs" if figure["flagged"] else ""
            rows.append((subgroup, group["photographs"], MAIN_FIGURES[name], inside, rest, flag))
    return Table(("subgroup", "photographs", "figure", "in the subgroup", "in the rest", ""), rows)


def robustness_table(figures: dict[str, Any]) -> Table:
    """Return the figures under each change of the photographs, and their means over the changes."""
    columns = ("photographs", f"quadratic kappa, {LEVEL}", "AUROC", "same class", "same referral", "mean shift")
    rows = []
    for row in figures["robustness"]["changes"]:
        limits = None
        if row["quadratic_kappa_low"] is not None:
            limits = (row["quadratic_kappa_low"], row["quadratic_kappa_high"])
        kappa = with_interval(row["quadratic_kappa"], limits)
        rows.append((row["change"], kappa, row["auroc"], row["same_class"], row["same_referral"], row["mean_shift"]))
    mean = figures["robustness"]["mean"]
    rows.append(("mean over the changes", show(mean["quadratic_kappa"]), mean["auroc"], None, None, None))
    return Table(columns, rows)


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
