"""The figures of gradability as text: what the grader does at each strength of each fault, and the limits."""

from collections.abc import Mapping
from typing import Any

from keras_dr.reports.evaluation_tables import LEVEL
from keras_dr.reports.tables import Table, counted, show, text_table, with_interval


def gradability_text(figures: Mapping[str, Any]) -> str:
    """Return gradability.json as text for the terminal."""
    count = counted(figures["photographs"], "validation photograph", "validation photographs")
    limits = ", ".join(f"{fault} {value:g}" for fault, value in figures["limits"].items())
    parts = [
        f"{count}, degraded step by step.",
        "The grader holds if it keeps .9 of its sensitivity and four of five grades, and tells photographs apart.",
        "",
        text_table(steps_table(figures)),
        "",
        text_table(limits_table(figures)),
        "",
        f"Limits: {limits or 'none; it holds at all strengths that were tried'}.",
    ]
    refused = figures["refused"]
    if refused:
        words = counted(refused["refused"], "photograph as taken lies", "photographs as taken lie")
        parts.append(f"{words} beyond them, {show(refused['share'])} of all.")
    return "\n".join(parts)


def steps_table(figures: Mapping[str, Any]) -> Table:
    """Return what the grader does at each strength."""
    columns = ("fault", "strength", "measured, median", f"sensitivity, {LEVEL}", f"same grade, {LEVEL}", "holds")
    rows = [
        (
            row["fault"],
            row["strength"],
            "-" if row["value"] is None else f"{row['measure']} {row['value']:.3f}",
            with_interval(row["sensitivity"], row["sensitivity_interval"]),
            with_interval(row["same_grade"], row["same_grade_interval"]),
            "yes" if row["holds"] else "no",
        )
        for row in figures["steps"]
    ]
    return Table(columns, rows)


def limits_table(figures: Mapping[str, Any]) -> Table:
    """Return the limit of each fault, and what the grader does on either side of it."""
    columns = ("fault", "limit", "as taken, refused", "same grade within", "beyond", "sensitivity within", "beyond ")
    keys = ("refused", "same_grade_within", "same_grade_beyond", "sensitivity_within", "sensitivity_beyond")
    rows = []
    for row in figures["faults"]:
        limit = "none" if row["limit"] is None else f"{row['measure']} {row['limit']:g}"
        rows.append((row["fault"], limit, *(row.get(key) for key in keys)))
    return Table(columns, rows)
