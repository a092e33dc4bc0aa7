"""Gradings as text, JSON and a table."""

from collections.abc import Sequence
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, Grading, image_id
from keras_dr.core.encoding import encode_csv
from keras_dr.core.image_files import printable

FOOTER = "Research use only, not a medical device."


def describe(grading: Grading, bundle: Bundle) -> str:
    """Two lines of text, a third where something is wrong with the photograph or the result is uncertain."""
    probabilities = "  ".join(f"{name} {value:.3f}" for name, value in grading.probabilities.items())
    referable = f"{'yes' if grading.referred else 'no'} ({grading.p_referable:.3f}, threshold {bundle.threshold:.3f})"
    said = f"{grading.grade}, referable: {referable}" if bundle.referable else grading.grade
    lines = [f"{grading.path}: {said}", f"  {probabilities}"]
    if grading.faults:
        lines.append(f"  Look at the photograph before you trust this: {', '.join(grading.faults)}. Better retake it.")
    elif grading.action == "refer: uncertain":
        lines.append("  Uncertain, so close to the threshold: refer.")
    return "\n".join(lines)


def results_json(grader: Grader, gradings: Sequence[Grading], failures: Sequence[dict[str, str]]) -> dict[str, Any]:
    """JSON value: with what was graded, each `Grading.to_dict()`, each failed photograph and its error."""
    bundle = grader.bundle
    return {
        "schema_version": 1,
        "kind": "gradings",
        "bundle": printable(bundle.folder),
        "variant": grader.variant,
        "model_sha256": bundle.models[grader.variant].sha256,
        "threshold": bundle.threshold,
        "referable": [bundle.classes[index] for index in bundle.referable],
        "photographs": [grading.to_dict() for grading in gradings],
        "failures": list(failures),
        "notice": FOOTER,
    }


def table_columns(bundle: Bundle) -> list[str]:
    """The columns of predictions.csv that apply to photographs without a grade, and three that only a grader fills."""
    # A dictionary, because a class may itself be called "referable": then both columns are one.
    columns = dict.fromkeys([*(f"p_{name}" for name in bundle.classes), "p_referable"])
    return ["image_id", "path", "prediction", *columns, "referred", "fundus_found", "faults", "action"]


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


def results_csv(bundle: Bundle, gradings: Sequence[Grading]) -> bytes:
    """A table of `table_columns`, as a CSV file."""
    return encode_csv(table_columns(bundle), map(table_row, gradings))
