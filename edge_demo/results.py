"""Gradings as text, JSON and a table, which list every photograph in the given order."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.grading import FOOTER, Grading, image_id
from keras_dr.core.encoding import PLAIN, CsvStyle, encode_table
from keras_dr.core.image_files import printable, shown
from keras_dr.core.outputs import Known, is_json, is_table, known_by_suffix

JOURNAL = "gradings.jsonl"  # the file that watch appends to, in the folder of the camera
ROTATE_MIB = 64  # the size at which a journal is renamed
_BEFORE = ("image_id", "path", "prediction")
_AFTER = ("p_referable", "referred", "fundus_found", "faults", "action", "reason", "error")
_TRAINED_ON = "trained_on"  # a further column if the bundle says it
_GRADE_SET = "grade_set"  # a further column if the bundle has calibrated sets of grades
_MODEL_DOUBT = "model_doubt"  # a further column if the model failed its comparison at export
_SUBJECT = ("patient", "eye", "date", "device")  # further columns of tables with DICOM files
_IDENTIFIERS = ("study_uid", "instance_uid")  # and those of --identified
UNFAMILIAR = "unfamiliar"  # a further column if a photograph has unusual colours
_FURTHER = (_MODEL_DOUBT, *_SUBJECT, *_IDENTIFIERS, UNFAMILIAR)


@dataclass(frozen=True)
class Failure:
    """A photograph that could not be graded.

    Attributes:
        path: the name under which the caller gave the photograph.
        error: the reason.
    """

    path: str
    error: str


Outcome = Grading | Failure


def notice(bundle: Bundle) -> str:
    """Return what every answer ends with: what the grader was trained on, if the bundle says so, and `FOOTER`."""
    if not bundle.trained_on:
        return FOOTER
    return f"{bundle.trained_on[0].upper()}{bundle.trained_on[1:]}. {FOOTER}"


def describe(grading: Grading) -> str:
    """Return two lines of text, and further ones for a set of grades, a doubtful model, faults or unusual colours."""
    probabilities = "  ".join(f"{name} {value:.3f}" for name, value in grading.probabilities.items())
    lines = [f"{shown(grading.path)}: {grading.grade}; {grading.action_in_words}. {grading.reason}"]
    lines.append(f"  {probabilities}")
    if grading.grade_set:
        lines.append(f"  {grading.grade_set_sentence}")
    if grading.subject.get("burned_in"):
        lines.append("  The file says that text is part of its pixels; it may name the patient, also in a heat map.")
    if grading.model_doubt:
        lines.append(f"  {grading.model_doubt}")
    if grading.stretched:
        lines.append("  Its fundus was an ellipse, as in a squashed photograph; it was stretched to a circle.")
    if grading.unfamiliar:
        lines.append(f"  {grading.unfamiliar_sentence}")
    if grading.faults:
        lines.append(f"  Faults of the photograph: {', '.join(grading.faults)}. Check it, and better retake it.")
    return "\n".join(lines)


def outcomes_json(bundle: Bundle, variant: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return a JSON value: bundle and variant, each `Grading.to_dict()`, each failure and its error, the counts."""
    return {
        "schema_version": 1,
        "kind": "gradings",
        "bundle": printable(bundle.folder),
        "variant": variant,
        "model_sha256": bundle.models[variant].sha256,
        "operating_point": bundle.point_name,
        "threshold": bundle.threshold,
        "margin": bundle.margin,
        "referable": [bundle.classes[index] for index in bundle.referable],
        "photographs": [outcome.to_dict() for outcome in outcomes if isinstance(outcome, Grading)],
        "failures": [
            {"path": outcome.path, "error": outcome.error} for outcome in outcomes if isinstance(outcome, Failure)
        ],
        "counts": count_actions(map(outcome_row, outcomes)),
        "notice": notice(bundle),
    }


def table_columns(bundle: Bundle, further: Sequence[str] = ()) -> list[str]:
    """Return the columns: those of predictions.csv that need no true grade, those that only a grader fills, others."""
    # A dictionary, because a class may itself be called "referable": then there is one column p_referable.
    columns = [*_BEFORE, *(f"p_{name}" for name in bundle.classes), *_AFTER]
    if bundle.trained_on:
        columns.append(_TRAINED_ON)
    if bundle.grade_sets:
        columns.append(_GRADE_SET)
    return list(dict.fromkeys([*columns, *further]))


def column_types(bundle: Bundle, further: Sequence[str] = ()) -> dict[str, str]:
    """Return the type, in Arrow's words, of each of the `table_columns`; further ones hold text."""
    kinds = {f"p_{name}": "float32" for name in bundle.classes} | {"p_referable": "float64"}
    kinds |= {"referred": "int8", "fundus_found": "int8"}
    return {name: kinds.get(name, "string") for name in table_columns(bundle, further)}


def is_own_result() -> Known:
    """Return a function that recognises a table or a JSON file of gradings."""
    table = is_table((*_BEFORE, *_AFTER), (_TRAINED_ON, _GRADE_SET, *_FURTHER), ("p_",))
    return known_by_suffix(csv=table, xlsx=table, parquet=table, json=is_json("gradings"))


def table_row(grading: Grading) -> dict[str, Any]:
    """Return a grading's values for `table_columns`."""
    row: dict[str, Any] = {"image_id": grading.image_id, "path": grading.path, "prediction": grading.grade}
    row |= {f"p_{name}": value for name, value in grading.probabilities.items()}
    row |= {"p_referable": grading.p_referable, "referred": int(grading.referred)}
    row |= {"fundus_found": int(grading.fundus_found), "faults": ";".join(grading.faults), "action": grading.action}
    row["reason"] = grading.reason
    if grading.trained_on:
        row[_TRAINED_ON] = grading.trained_on
    if grading.grade_set:
        row[_GRADE_SET] = grading.grade_set_in_words
    if grading.model_doubt:
        row[_MODEL_DOUBT] = grading.model_doubt
    if grading.unfamiliar:
        row[UNFAMILIAR] = ";".join(grading.unfamiliar)
    return row | dict(grading.subject)


def failed_row(path: str, error: str) -> dict[str, Any]:
    """Return the row of a photograph that could not be graded, with the reason."""
    return {"image_id": image_id(path), "path": path, "error": error}


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """Return the row of a photograph, whether it was graded or failed."""
    return table_row(outcome) if isinstance(outcome, Grading) else failed_row(outcome.path, outcome.error)


def encode_outcomes(
    bundle: Bundle, outcomes: Iterable[Outcome], suffix: str = ".csv", style: CsvStyle = PLAIN
) -> bytes:
    """Return a table of `table_columns`, one row per photograph, in the format of a suffix."""
    rows = [outcome_row(outcome) for outcome in outcomes]
    further = [name for name in _FURTHER if any(name in row for row in rows)]
    return encode_table(suffix, column_types(bundle, further), rows, style)


def count_actions(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of photographs given, and of those to refer, to retake, without action, and failed."""
    counts = Counter(_action_kind(row) for row in rows)
    kinds = ("referred", "retake", "no_action", "failed")
    return {"given": sum(counts.values()), **{kind: counts[kind] for kind in kinds}}


def _action_kind(row: Mapping[str, Any]) -> str:
    """Return the key of a row in `count_actions`."""
    if row.get("error"):
        return "failed"
    action = row.get("action") or ""
    if action.startswith("refer"):
        return "referred"
    return "retake" if action == "retake" else "no_action"


def closing_line(counts: Mapping[str, int]) -> str:
    """Return the counts of `count_actions` in a line."""
    given = counts["given"]
    parts = f"{counts['referred']} to be referred, {counts['retake']} to be retaken, {counts['no_action']} no action"
    return f"{given} photograph{'' if given == 1 else 's'} given: {parts}, {counts['failed']} failed."
