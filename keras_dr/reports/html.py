"""Reports made from saved results alone: tables for the terminal, and one HTML file that needs nothing else."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_dr import runs


@dataclass(frozen=True)
class Table:
    """Column names, and rows of as many cells; numbers are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    file: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading, and below it text, tables and pictures in the order given."""

    title: str
    parts: Sequence[str | Table | Picture]


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --paper: #fff; --line: #d5dae1; --soft: #f4f6f9; --accent: #1f5fa8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --paper: #14181f; --line: #343c48; --soft: #1d232c; --accent: #7fb2ea } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem } h2 { font-size: 1.2rem; margin-top: 2.4rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left }
th { color: var(--accent); font-weight: 600 } .number { text-align: right }
td small { opacity: .75; white-space: nowrap }
figure { margin: 1.2rem 0 } img { max-width: 100%; background: #fff; border: 1px solid var(--line) }
figcaption, footer { font-size: .9rem; opacity: .8 } footer { margin: 3rem 0; border-top: 1px solid var(--line) }
.scroll { overflow-x: auto }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } figure, table { break-inside: avoid } }
"""

_NUMBER = ' class="number"'

NOTICE = "For research. Not a medical device: no decision about a patient may rest on it."


def write_html(file: Path, title: str, sections: Sequence[Section]) -> None:
    """Write a self-contained page: pictures inside, no script, light and dark, printable; all text is escaped."""
    body = "\n".join(_section(section) for section in sections)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n<footer>{NOTICE}</footer></body></html>\n"
    )
    runs.write_bytes(file, page.encode())


def _section(section: Section) -> str:
    return "\n".join([f"<h2>{html.escape(section.title)}</h2>", *map(_part, section.parts)])


def _part(part: str | Table | Picture) -> str:
    if isinstance(part, Table):
        cells = [[show(value) for value in row] for row in part.rows]
        numeric = [any(text[:1].isdigit() for text in column) for column in zip(*cells, strict=True)]
        rows = ["".join(map(_cell, row, numeric)) for row in cells]
        head = "".join(map(_head, part.columns, numeric or [False] * len(part.columns)))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    if isinstance(part, Picture):
        data = base64.b64encode(part.file.read_bytes()).decode()
        caption = html.escape(part.caption)
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return f"<p>{html.escape(part)}</p>"


def _head(name: str, numeric: bool) -> str:
    return f"<th{_NUMBER if numeric else ''}>{html.escape(name)}</th>"


def _cell(text: str, numeric: bool) -> str:
    """A cell; what stands in brackets behind a number, its interval, goes below it."""
    if numeric and text[:1].isdigit() and text.endswith(")"):
        value, _, interval = text.partition(" (")
        return f"<td{_NUMBER}>{html.escape(value)}<br><small>({html.escape(interval)}</small></td>"
    return f"<td{_NUMBER if numeric else ''}>{html.escape(text)}</td>"


def show(value: Any) -> str:
    """A cell's text: fractions with three decimals, "-" for a figure that does not exist."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def show_interval(interval: Sequence[float] | None) -> str:
    """An interval's cell: ".593 to .826" with three decimals, "-" where there is none."""
    return "-" if interval is None else f"{show(float(interval[0]))} to {show(float(interval[1]))}"


def with_interval(value: Any, interval: Sequence[float] | None) -> str:
    """A figure and its interval in one cell."""
    return show(value) if interval is None else f"{show(value)} ({show_interval(interval)})"


def text_table(table: Table) -> str:
    """A table for the terminal."""
    cells = [list(table.columns), *([show(value) for value in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        others = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)


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


def bundle_table(bundle: dict[str, Any], figures: dict[str, Any]) -> Table:
    """The models of bundle.json, and how far each is from the float model on validation photographs."""
    columns = ("model", "MiB", "grades agree", "largest difference", "heat-map r", "kappa", "AUROC", "gate")
    rows = []
    models = bundle["models"] | ({"onnx": bundle["onnx"]} if "onnx" in bundle else {})
    for name, model in models.items():
        one = figures[name]
        rows.append(
            (
                name,
                model["size_bytes"] / 2**20,
                one["grade_agreement"],
                f"{one['largest_probability_difference']:.1g}",
                one["heatmap_correlation"],
                f"{show(one['quadratic_kappa_float'])} -> {show(one['quadratic_kappa_variant'])}",
                f"{show(one['auroc_float'])} -> {show(one['auroc_variant'])}",
                "failed" if name in bundle["parity"]["failures"] else "passed",
            )
        )
    return Table(columns, rows)


def bundle_text(bundle: dict[str, Any], figures: dict[str, Any]) -> str:
    """`bundle_table` for the terminal."""
    return text_table(bundle_table(bundle, figures))


def profile_table(profile: dict[str, Any]) -> Table:
    """The measurements of profile.json: medians of each stage, 90th percentile of the whole, peak memory."""
    stages = ("decode", "prepare", "invoke", "overlay")
    columns = ("model", "threads", "load ms", *(f"{stage} ms" for stage in stages), "all ms", "p90 ms", "peak MiB")
    rows = []
    for one in profile["measurements"]:
        medians = (one["stages"][stage]["p50_ms"] for stage in stages)
        total = one["total"]
        figures = (one["load_ms"], *medians, total["p50_ms"], total["p90_ms"], one["peak_rss_mib"])
        rows.append((one["variant"], one["threads"], *(f"{value:.1f}" for value in figures)))
    return Table(columns, rows)
