"""What prepare, audit and cross validation found, as text for a terminal."""

from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from keras_dr.core.preprocessing import COPY_SIDE
from keras_dr.core.quality import MEASURES
from keras_dr.preparation.audit import COLUMNS, Audit, is_leak
from keras_dr.reports.tables import Table, text_table

_TOO_SMALL = f"photographs show under {COPY_SIDE} pixels: of their copies only identical ones are told."


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return indent(text_table(Table(columns, rows)), "  ")


def prepared_text(about: Mapping[str, Any]) -> str:
    """Classes before and after preparing, and what stood out, from prepared.json."""
    counts = {"source": about["source_counts"], **about["counts"]}
    classes = list(about["counts"]["train"])  # [""] where the set has no grades
    prepared = {name: sum(split[name] for split in about["counts"].values()) for name in classes}
    rows = [(name, *split.values(), sum(split.values())) for name, split in (counts | {"prepared": prepared}).items()]
    lines = [_table(("", *(name or "not graded" for name in classes), "all"), rows)]
    dropped = 0 if about["leaks_kept"] else about["leaks"]
    small = about["too_small_for_near_copies"]
    notes = {
        "photographs could not be used; rejected.csv lists them with the reason.": about["rejected"] - dropped,
        "photographs show no fundus circle; the whole image was used.": about["fundus_not_found"],
        _TOO_SMALL: small,
        "photographs are pixel for pixel the same as another one.": about["duplicates"],
        "photographs are near copies of another one: re-encoded, resized, mirrored, brightened.": about[
            "near_duplicates"
        ],
        "groups of copies, which stay on one side; duplicates.csv lists them.": about["duplicate_groups"],
        "groups of copies have different grades (conflict in duplicates.csv).": about["conflicting_groups"],
        "photographs stand out as hard to grade (gradable in manifest.csv).": about["not_gradable"],
    }
    lines += [f"{count} {note}" for note, count in notes.items() if count]
    if 2 * about["fundus_not_found"] > sum(sum(split.values()) for split in about["counts"].values()):
        lines.append("Warning: most photographs show no fundus circle; if this is no fundus set, pass --fundus none.")
    untaught = [name for name, count in about["counts"]["train"].items() if not count]
    if untaught:
        lines.append(f"Warning: no training photograph of {', '.join(untaught)}: no model can learn it from this set.")
    if about["leaks"]:
        done = "kept, as you asked: figures will be too good" if about["leaks_kept"] else "left out; see rejected.csv"
        lines.append(
            f"Warning: {about['leaks']} official training photographs are copies of ones that judge it: {done}."
        )
    if about["patients_on_both_sides"]:
        lines.append(f"Warning: {about['patients_on_both_sides']} patients lie on two sides of the official split.")
    return "\n".join(lines)


def audit_text(found: Audit, most: int) -> str:
    """Counts, where groups of copies lie, and the copies themselves, `most` at most, leaks and conflicts first."""
    counts = found.counts
    lines = [
        f"{found.photographs} photographs: {counts['duplicates']} identical, {counts['near_duplicates']} near copies "
        f"in {counts['duplicate_groups']} groups, {counts['conflicting_groups']} of them with different grades."
    ]
    if found.too_small:
        lines.append(f"{found.too_small} {_TOO_SMALL}")
    if found.shared:
        rows = [
            (f"{' '.join(one)} | {' '.join(other)}", count, "LEAK" if is_leak((one[1], other[1])) else "")
            for (one, other), count in found.shared.items()
        ]
        lines += ["Groups of copies that lie on both of two sides:", _table(("sides", "groups", ""), rows)]
    listed = sorted(found.copies, key=lambda row: (row["leak"] == "no", row["conflict"] == "no"))[:most]
    if listed:
        lines += ["Copies:", _table(COLUMNS, [[row[key] for key in COLUMNS] for row in listed])]
        if len(found.copies) > most:
            lines.append(f"  and {len(found.copies) - most} more; --out FILE writes them all.")
    leaks = f"Warning: {found.leaks} test photographs have a copy in train or val."
    return "\n".join([*lines, leaks if found.leaks else "No test photograph has a copy in train or val."])


def quality_text(row: Mapping[str, str]) -> str:
    """The quality columns of a manifest row."""
    measures = ", ".join(f"{name} {row[name]}" for name in MEASURES)
    return f"{measures}; gradable: {row['gradable']}" + (f" ({row['reasons']})" if row["reasons"] else "")
