"""Gradings as text, JSON and a table: every photograph that was given has its place, in its order."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, Grading, image_id
from keras_dr.core.encoding import PLAIN, CsvStyle, encode_table
from keras_dr.core.image_files import printable, shown
from keras_dr.core.outputs import Known, is_json, is_table, known_by_suffix

FOOTER = "Research use only, not a medical device."
HEATMAP = "heat map"  # what a heat map's file says of its purpose
_BEFORE = ("image_id", "path", "prediction")
_AFTER = ("p_referable", "referred", "fundus_found", "faults", "action", "error")


@dataclass(frozen=True)
class Failure:
    """A photograph that could not be graded.

    Attributes:
        path: the name under which it was given.
        error: why.
    """

    path: str
    error: str


Outcome = Grading | Failure


def describe(grading: Grading, bundle: Bundle) -> str:
    """Two lines of text, more where something is wrong with the photograph or the result is uncertain."""
    probabilities = "  ".join(f"{name} {value:.3f}" for name, value in grading.probabilities.items())
    referable = f"{'yes' if grading.referred else 'no'} ({grading.p_referable:.3f}, threshold {bundle.threshold:.3f})"
    said = f"{grading.grade}, referable: {referable}" if bundle.referable else grading.grade
    lines = [f"{shown(grading.path)}: {said}", f"  {probabilities}"]
    if grading.stretched:
        lines.append("  The photograph was squashed: it was stretched until its fundus was a circle.")
    if grading.unfamiliar:
        words = ", ".join(grading.unfamiliar)
        lines.append(f"  Its colours are unlike those of the training photographs ({words}): the grade may be shifted.")
    if grading.faults:
        lines.append(f"  Look at the photograph before you trust this: {', '.join(grading.faults)}. Better retake it.")
    elif grading.action == "refer: uncertain":
        lines.append("  Uncertain, so close to the threshold: refer.")
    return "\n".join(lines)


def results_json(grader: Grader, gradings: Sequence[Grading], failures: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """JSON value: with what was graded, each `Grading.to_dict()`, each failed photograph and its error."""
    failed = [Failure(failure["path"], failure["error"]) for failure in failures]
    return outcomes_json(grader.bundle, grader.variant, [*gradings, *failed])


def outcomes_json(bundle: Bundle, variant: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """JSON value: with what was graded, each `Grading.to_dict()`, each failed photograph and its error, the counts."""
    return {
        "schema_version": 1,
        "kind": "gradings",
        "bundle": printable(bundle.folder),
        "variant": variant,
        "model_sha256": bundle.models[variant].sha256,
        "threshold": bundle.threshold,
        "referable": [bundle.classes[index] for index in bundle.referable],
        "photographs": [one.to_dict() for one in outcomes if isinstance(one, Grading)],
        "failures": [{"path": one.path, "error": one.error} for one in outcomes if isinstance(one, Failure)],
        "counts": count_actions(map(outcome_row, outcomes)),
        "notice": FOOTER,
    }


def table_columns(bundle: Bundle) -> list[str]:
    """The columns of predictions.csv that apply to photographs without a grade, and four that only a grader fills."""
    # A dictionary, because a class may itself be called "referable": then both columns are one.
    return list(dict.fromkeys([*_BEFORE, *(f"p_{name}" for name in bundle.classes), *_AFTER]))


def column_types(bundle: Bundle) -> dict[str, str]:
    """Column -> type, as Arrow names them, of `table_columns`."""
    kinds = {f"p_{name}": "float32" for name in bundle.classes} | {"p_referable": "float64"}
    kinds |= {"referred": "int8", "fundus_found": "int8"}
    return {name: kinds.get(name, "string") for name in table_columns(bundle)}


def is_own_result() -> Known:
    """Knows a table or a JSON file of gradings."""
    table = is_table((*_BEFORE, *_AFTER), ("p_",))
    return known_by_suffix(csv=table, xlsx=table, parquet=table, json=is_json("gradings"))


def table_row(grading: Grading) -> dict[str, Any]:
    """A grading's values in `table_columns`."""
    row: dict[str, Any] = {"image_id": grading.image_id, "path": grading.path, "prediction": grading.grade}
    row |= {f"p_{name}": value for name, value in grading.probabilities.items()}
    row |= {"p_referable": grading.p_referable, "referred": int(grading.referred)}
    row |= {"fundus_found": int(grading.fundus_found), "faults": ";".join(grading.faults), "action": grading.action}
    return row


def failed_row(path: str, error: str) -> dict[str, Any]:
    """What is left of a row where a photograph could not be graded, and the reason."""
    return {"image_id": image_id(path), "path": path, "error": error}


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """The row of a photograph, whatever became of it."""
    return table_row(outcome) if isinstance(outcome, Grading) else failed_row(outcome.path, outcome.error)


def encode_outcomes(
    bundle: Bundle, outcomes: Iterable[Outcome], suffix: str = ".csv", style: CsvStyle = PLAIN
) -> bytes:
    """A table of `table_columns`, a row a photograph, in the format of a suffix."""
    return encode_table(suffix, column_types(bundle), map(outcome_row, outcomes), style)


def count_actions(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many photographs were given, are to be referred, to be retaken, need no action, and failed; they add up."""
    found: Counter[str] = Counter()
    for row in rows:
        action = row.get("action") or ""
        kind = "referred" if action.startswith("refer") else "retake" if action == "retake" else "no_action"
        found["failed" if row.get("error") else kind] += 1
    return {
        "given": sum(found.values()),
        **{kind: found[kind] for kind in ("referred", "retake", "no_action", "failed")},
    }


def closing_line(counts: Mapping[str, int]) -> str:
    """The counts of `count_actions` in one sentence."""
    given = counts["given"]
    parts = f"{counts['referred']} to be referred, {counts['retake']} to be retaken, {counts['no_action']} no action"
    return f"{given} photograph{'' if given == 1 else 's'} given: {parts}, {counts['failed']} failed."
