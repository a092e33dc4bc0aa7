"""The scores.json of an explanation as tables and text."""

from typing import Any

from keras_dr.reports.tables import Table, counted, show, text_table

# beginning of a score's name in scores.json -> its title for a reader
_TITLES = {
    "share_outside_fundus": "heat outside the fundus",
    "share_on_optic_disc": "heat on the optic disc",
    "share_on_": "heat on ",
    "area_of_": "area of ",
    "enrichment_": "heat / area, ",
    "pointing_": "pointing game, ",
    "auprc_": "AUPRC, ",
    "iou_": "IoU, ",
}
_PER_LESION = ("enrichment_", "auprc_")  # shown for each kind of lesion; scores.json holds the others as well


def explanation_table(scores: dict[str, Any]) -> Table:
    """Return the summary of scores.json: one row per score, one column per method or baseline."""
    summary = scores["summary"]
    names = dict.fromkeys(name for figures in summary.values() for name in figures)
    rows = []
    for prefix, title in _TITLES.items():
        kinds = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        for kind in kinds:
            if kind not in ("", "lesions") and prefix not in _PER_LESION:
                continue
            scored = [figures.get(prefix + kind) or {"n": 0, "mean": None} for figures in summary.values()]
            photographs = max(figures["n"] for figures in scored)
            if photographs:
                rows.append((title + kind.replace("_", " "), *map(_interval, scored), photographs))
    return Table(("score", *summary, "photographs"), rows)


def _interval(figures: dict[str, Any]) -> str:
    """Return mean and 95 % interval as the text of a cell, such as "0.123 (0.098 to 0.151)"."""
    if figures["mean"] is None or figures["low"] is None:
        return show(figures["mean"])
    return f"{figures['mean']:.3f} ({figures['low']:.3f} to {figures['high']:.3f})"


def _further_tables(scores: dict[str, Any]) -> dict[str, Table]:
    """Return the further tables that scores.json may hold, by title."""
    tables = {}
    if scores.get("agreement"):
        rows = [(pair, _interval(figures), figures["n"]) for pair, figures in scores["agreement"].items()]
        tables["Agreement of methods, Spearman correlation"] = Table(("methods", "rho", "photographs"), rows)
    nested = {
        "faithfulness": "AUC of deletion (low is faithful) and insertion (high is faithful)",
        "sanity": "Spearman correlation with the map of randomised weights (low is sane)",
    }
    for key, title in nested.items():
        if scores.get(key):
            columns = list(next(iter(scores[key].values())))
            rows = [
                (method, *(_interval(figures[name]) for name in columns)) for method, figures in scores[key].items()
            ]
            tables[title] = Table(("method", *columns), rows)
    if scores.get("bundle"):
        rows = [(name, _interval(figures), figures["n"]) for name, figures in scores["bundle"].items()]
        tables["Heat maps of the bundle and of the float model, Pearson correlation"] = Table(
            ("model", "r", "photographs"), rows
        )
    return tables


def explanation_text(scores: dict[str, Any]) -> str:
    """Return scores.json as text for the terminal: mean (95 % interval) over photographs."""
    scored = counted(scores["photographs_scored"], "photograph was", "photographs were")
    lines = [f"{scored} scored ({scores['sampling']}); mean (95 % interval)."]
    if scores["photographs_left_out"]:
        left_out = counted(scores["photographs_left_out"], "photograph was", "photographs were")
        lines.append(f"{left_out} left out, because the run was trained on them or on copies of them.")
    lines.append(text_table(explanation_table(scores)))
    for title, table in _further_tables(scores).items():
        lines += ["", f"{title}:", text_table(table)]
    return "\n".join(lines)


def photograph_text(scores: dict[str, Any]) -> str:
    """Return the scores of one photograph as text for the terminal."""
    probabilities = ", ".join(f"{name} {value:.3f}" for name, value in scores["probabilities"].items())
    rows = []
    for method, change in scores["decision_changes"].items():
        own = scores["scores"][method]
        share = change["blurred_share"]
        becomes = "unchanged" if share is None else f"{share:.0%} -> {change['becomes']}"
        rows.append((method, becomes, own["share_outside_fundus"], own.get("enrichment_lesions")))
    table = Table(
        ("method", "grade after blurring the hottest", "heat outside the fundus", "heat / area, lesions"), rows
    )
    return f"{scores['image_id']}: true {scores['label'] or 'unknown'}; {probabilities}\n{text_table(table)}"
