"""The results of prepare, audit and quality as text for a terminal."""

from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from keras_dr.core.preprocessing import COPY_SIDE
from keras_dr.core.quality import MEASURES
from keras_dr.preparation.audit import COLUMNS, Audit, is_leak
from keras_dr.reports.tables import Table, counted, text_table

_UNUSABLE = (
    "photograph could not be used; rejected.csv gives the reason.",
    "photographs could not be used; rejected.csv gives the reasons.",
)
_TOO_SMALL = (
    f"photograph shows fewer than {COPY_SIDE} pixels; only identical copies of it are detected.",
    f"photographs show fewer than {COPY_SIDE} pixels; only identical copies of them are detected.",
)
# key of prepared.json -> the sentence after its count, for one and for several
_NOTES = {
    "fundus_not_found": (
        "photograph shows no fundus circle; the whole image was used.",
        "photographs show no fundus circle; the whole images were used.",
    ),
    "stretched": (
        "photograph was squashed (its fundus is an ellipse); it was stretched back to a circle.",
        "photographs were squashed (their fundus is an ellipse); they were stretched back to a circle.",
    ),
    "too_small_for_near_copies": _TOO_SMALL,
    "duplicates": (
        "photograph has exactly the same pixels as another one.",
        "photographs have exactly the same pixels as another one.",
    ),
    "near_duplicates": (
        "photograph is a near copy of another one: encoded again, resized, mirrored or brightened.",
        "photographs are near copies of another one: encoded again, resized, mirrored or brightened.",
    ),
    "duplicate_groups": (
        "group of copies is kept within one split; duplicates.csv lists it.",
        "groups of copies are each kept within one split; duplicates.csv lists them.",
    ),
    "conflicting_groups": (
        "group of copies has different grades (conflict in duplicates.csv).",
        "groups of copies have different grades (conflict in duplicates.csv).",
    ),
    "not_gradable": (
        "photograph stands out as hard to grade (gradable in manifest.csv).",
        "photographs stand out as hard to grade (gradable in manifest.csv).",
    ),
}


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return indent(text_table(Table(columns, rows)), "  ")


def prepared_text(about: Mapping[str, Any]) -> str:
    """Return the counts of prepared.json before and after preparation, notes and warnings."""
    lines = [_counts(about)]
    unusable = about["rejected"] - (0 if about["leaks_kept"] else about["leaks"])
    if unusable:
        lines.append(counted(unusable, *_UNUSABLE))
    for key, (singular, plural) in _NOTES.items():
        if about.get(key):
            lines.append(counted(about[key], singular, plural))
    bits = about["preprocessing"].get("bits")
    if bits:
        reason = f"their largest sample is at most {2**bits - 1}" if bits < 16 else "their samples fill 16 bits"
        lines.append(f"Photographs with 16 bits per sample are read as {bits}-bit ones, because {reason}.")
    return "\n".join([*lines, *_warnings(about)])


def _counts(about: Mapping[str, Any]) -> str:
    """Return the number of photographs per class in the source, in each split, and in all splits."""
    splits = about["counts"]
    classes = list(splits["train"])  # [""] if the set has no grades
    prepared = {name: sum(split[name] for split in splits.values()) for name in classes}
    lines = {"source": about["source_counts"], **splits, "prepared": prepared}
    rows = [(name, *counts.values(), sum(counts.values())) for name, counts in lines.items()]
    return _table(("", *(name or "not graded" for name in classes), "all"), rows)


def _warnings(about: Mapping[str, Any]) -> list[str]:
    warnings = []
    photographs = sum(sum(split.values()) for split in about["counts"].values())
    if 2 * about["fundus_not_found"] > photographs:
        warnings.append(
            "Warning: most photographs show no fundus circle. If these are not fundus photographs, pass --fundus none."
        )
    missing = [name for name, count in about["counts"]["train"].items() if not count]
    if missing:
        warnings.append(
            f"Warning: the train split has no photograph of {' or '.join(missing)}, so no model can learn "
            f"{'this class' if len(missing) == 1 else 'these classes'} from this set."
        )
    if about["leaks"]:
        copies = counted(
            about["leaks"],
            "photograph of the official train or val split has a copy in val or test",
            "photographs of the official train or val split have copies in val or test",
        )
        were = "it was" if about["leaks"] == 1 else "they were"
        outcome = "left out; see rejected.csv"
        if about["leaks_kept"]:
            outcome = "kept because of --keep-leaks, so the figures will be too good"
        warnings.append(f"Warning: {copies}; {were} {outcome}.")
    if about["patients_on_both_sides"]:
        patients = counted(about["patients_on_both_sides"], "patient has", "patients have")
        warnings.append(f"Warning: {patients} photographs in more than one of the official splits.")
    return warnings


def audit_text(result: Audit, most: int) -> str:
    """Return counts, the sets and splits that share copies, and at most `most` copies, leaks and conflicts first."""
    counts = result.counts
    groups = counted(counts["duplicate_groups"], "group", "groups")
    lines = [
        f"{counted(result.photographs, 'photograph', 'photographs')}: {counts['duplicates']} identical, "
        f"{counts['near_duplicates']} near copies in {groups}, {counts['conflicting_groups']} of them with different "
        "grades."
    ]
    if result.too_small:
        lines.append(counted(result.too_small, *_TOO_SMALL))
    if result.shared:
        rows = []
        for (first, second), count in result.shared.items():
            leak = "LEAK" if is_leak((first[1], second[1])) else ""
            rows.append((f"{' '.join(first)} | {' '.join(second)}", count, leak))
        lines += ["Groups of copies that two splits share:", _table(("splits", "groups", ""), rows)]
    listed = sorted(result.copies, key=lambda row: (row["leak"] == "no", row["conflict"] == "no"))[:most]
    if listed:
        lines += ["Copies:", _table(COLUMNS, [[row[key] for key in COLUMNS] for row in listed])]
        if len(result.copies) > most:
            lines.append(f"  and {len(result.copies) - most} more; --out FILE writes them all.")
    if result.leaks:
        leaks = counted(result.leaks, "test photograph has", "test photographs have")
        lines.append(f"Warning: {leaks} a copy in train or val.")
    else:
        lines.append("No test photograph has a copy in train or val.")
    if result.calibration_leaks:
        leaks = counted(result.calibration_leaks, "calibration photograph has", "calibration photographs have")
        lines.append(f"Warning: {leaks} a copy in train or val.")
    return "\n".join(lines)


def quality_text(row: Mapping[str, str]) -> str:
    """Return the quality columns of a manifest row as text."""
    measures = ", ".join(f"{name} {row[name]}" for name in MEASURES)
    reasons = f" ({row['reasons']})" if row["reasons"] else ""
    return f"{measures}; gradable: {row['gradable']}{reasons}"
