"""An explanation's scores.json as tables and text."""

from typing import Any

from keras_dr.reports.tables import Table, show, text_table

_EXPLAINED = {
    "share_outside_fundus": "heat outside the fundus",
    "share_on_optic_disc": "heat on the optic disc",
    "share_on_": "heat on ",
    "area_of_": "area of ",
    "enrichment_": "heat / area, ",
    "pointing_": "pointing game, ",
    "auprc_": "AUPRC, ",
    "iou_": "IoU, ",
}


_BY_KIND = ("enrichment_", "auprc_")  # the others of each kind of lesion are in scores.json


def explanation_table(scores: dict[str, Any]) -> Table:
    """The summary of an explanation's scores.json: a row a score, a column a method or baseline."""
    summary = scores["summary"]
    names = dict.fromkeys(name for figures in summary.values() for name in figures)
    rows = []
    for prefix, title in _EXPLAINED.items():
        kinds = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        for kind in [one for one in kinds if one in ("", "lesions") or prefix in _BY_KIND]:
            known = [figures.get(prefix + kind) or {"n": 0, "mean": None} for figures in summary.values()]
            most = max(one["n"] for one in known)
            if most:
                rows.append((title + kind.replace("_", " "), *map(_interval, known), most))
    return Table(("score", *summary, "photographs"), rows)


def _interval(figures: dict[str, Any]) -> str:
    """Mean and 95 % interval, as a cell says them: ".123 (.098 to .151)"."""
    if figures["mean"] is None or figures["low"] is None:
        return show(figures["mean"])
    return f"{figures['mean']:.3f} ({figures['low']:.3f} to {figures['high']:.3f})"


def _further_tables(scores: dict[str, Any]) -> dict[str, Table]:
    """What else scores.json may hold, by title."""
    tables = {}
    if scores.get("agreement"):
        rows = [(pair, _interval(figures), figures["n"]) for pair, figures in scores["agreement"].items()]
        tables["Agreement of methods, Spearman"] = Table(("methods", "rho", "photographs"), rows)
    nested = {
        "faithfulness": "Deletion (low is faithful) and insertion (high is faithful), AUC",
        "sanity": "Correlation with the map of randomised weights, Spearman (low is sane)",
    }
    for key, title in nested.items():
        if scores.get(key):
            columns = list(next(iter(scores[key].values())))
            rows = [(method, *(_interval(one[name]) for name in columns)) for method, one in scores[key].items()]
            tables[title] = Table(("method", *columns), rows)
    if scores.get("bundle"):
        rows = [(name, _interval(figures), figures["n"]) for name, figures in scores["bundle"].items()]
        tables["Heat maps of the bundle against the float model, Pearson"] = Table(("model", "r", "photographs"), rows)
    return tables


def explanation_text(scores: dict[str, Any]) -> str:
    """An explanation's scores.json for the terminal: mean (95 % interval) over photographs."""
    scored, left_out = scores["photographs_scored"], scores["photographs_left_out"]
    lines = [f"{scored} photographs scored ({scores['sampling']}); mean (95 % interval)."]
    if left_out:
        lines.append(f"{left_out} photographs left out: the run learned from them, or from copies.")
    lines.append(text_table(explanation_table(scores)))
    for title, table in _further_tables(scores).items():
        lines += ["", f"{title}:", text_table(table)]
    return "\n".join(lines)


def photograph_text(scores: dict[str, Any]) -> str:
    """What is known of one photograph, for the terminal."""
    said = ", ".join(f"{name} {value:.3f}" for name, value in scores["probabilities"].items())
    rows = []
    for method, change in scores["decision_changes"].items():
        own, share = scores["scores"][method], change["blurred_share"]
        becomes = "nothing" if share is None else f"{share:.0%} -> {change['becomes']}"
        rows.append((method, becomes, own["share_outside_fundus"], own.get("enrichment_lesions")))
    table = Table(("method", "blurring the hottest changes", "heat outside the fundus", "heat / area, lesions"), rows)
    return f"{scores['image_id']}: true {scores['label'] or 'unknown'}; {said}\n{text_table(table)}"
