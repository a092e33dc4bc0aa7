"""Writes a comparison into a folder.

OUT/ figures.csv differences.csv costs.csv comparison.md figures.png curves.png
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.core.outputs import check_apart, is_result
from keras_dr.evaluation import comparison
from keras_dr.evaluation.comparison import TITLES, Comparison
from keras_dr.metrics.intervals import Interval, bootstrap
from keras_dr.reports.run_plots import draw_curves, draw_intervals
from keras_dr.reports.tables import Table, markdown, text_table

FILES = ("comparison.md", "figures.csv", "differences.csv", "costs.csv", "figures.png", "curves.png")
_HEAD = re.compile(r"# \d+ (runs|cross-validations) on \d+ photographs( of \d+ patients| in \d+ groups)?$")
_OTHER_FOLDER = "Choose another folder."
NOTE = (
    "* The best run beyond chance: the 95 % interval of its difference to every other run excludes zero. The intervals "
    "come from a bootstrap over patients with the same resamples for all runs, or from DeLong's test for AUROC. The p "
    "of accuracy is that of McNemar's exact test."
)
FOLDS_NOTE = (
    "* The best cross-validation beyond chance: the 95 % interval of its difference to every other one excludes zero. "
    "The intervals come from a bootstrap over the groups of photographs that stay together in the folds, with the same "
    "resamples for all. Sensitivity and specificity are slightly too good, because the threshold of each fold was "
    "chosen on the photographs that it grades."
)
_SMOOTHING = 0.6  # weight of the earlier epochs in each smoothed value


def check_folder(folder: Path, runs: Sequence[Path], overwrite: bool = False) -> None:
    """Check, before the work begins, that a comparison may be written to a folder.

    Args:
        folder: the folder to write.
        runs: the runs that are compared.
        overwrite: whether files that have the names of a comparison's files, but were not written by one, are replaced;
            by default they are refused.

    Raises:
        KerasDrError: the folder lies in a run, is a file or another result, or holds such files.
    """
    check_apart(folder, runs)
    if folder.exists() and not folder.is_dir():
        raise KerasDrError(f"The comparison {folder} cannot be written: there is a file of that name.", _OTHER_FOLDER)
    if is_result(folder):
        raise KerasDrError(f"The folder {folder} holds another result.", _OTHER_FOLDER)
    existing = [name for name in FILES if (folder / name).exists()]
    if existing and not overwrite and not _is_comparison(folder / "comparison.md"):
        message = f"The folder {folder} already holds a file {existing[0]}, which no comparison wrote."
        raise KerasDrError(message, f"{_OTHER_FOLDER[:-1]}, or pass --overwrite to replace it.")


def _is_comparison(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8") as stream:
            return _HEAD.match(stream.readline(200)) is not None
    except (OSError, ValueError):
        return False


def write_comparison(folder: Path, compared: Comparison) -> None:
    """Write the comparison's tables and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "figures": comparison.figures_table(compared),
        "differences": comparison.differences_table(compared),
        "costs": comparison.cost_table(compared),
    }
    for name, table in tables.items():
        folders.write_bytes(folder / f"{name}.csv", _csv(table))
    predictions = compared.contenders[0].predictions
    patients = int(predictions.patients.max()) + 1
    kind, unit = ("cross-validations", "in {} groups") if _of_folds(compared) else ("runs", "of {} patients")
    head = f"# {len(compared.contenders)} {kind} on {len(predictions.labels)} photographs"
    if patients < len(predictions.labels):  # otherwise each photograph may only stand for a patient who is not known
        head += f" {unit.format(patients)}"
    body = "\n\n".join(f"## {name.capitalize()}\n\n{markdown(table)}" for name, table in tables.items())
    folders.write_bytes(folder / "comparison.md", f"{head}\n\n{body}\n\n{_note(compared)}\n".encode())
    names = [run.name for run in compared.contenders]
    draw_intervals(folder / "figures.png", names, [_intervals(compared, index) for index in range(len(names))])
    histories = {run.name: run.history for run in compared.contenders if run.history}
    if histories:
        draw_curves(folder / "curves.png", histories, smoothed)


def _csv(table: Table) -> bytes:
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return encode_csv(list(table.columns), rows)


def _intervals(compared: Comparison, index: int) -> dict[str, tuple[float | None, Interval]]:
    """Return the value and the interval of each figure of a run, by the title of the figure."""
    run = compared.contenders[index]
    intervals = bootstrap(lambda weights: comparison.figures(run, weights), run.predictions.patients)
    return {TITLES[key]: (value, intervals[key]) for key, value in compared.values[index].items()}


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponential moving average, corrected for its start at zero, float (n,); NaN is skipped.

    TensorBoard draws curves in the same way. For the correction, see D. Kingma and J. Ba, ICLR 2015, section 3.
    """
    average = 0.0
    weight = 0.0
    curve = []
    for value in values:
        if not np.isnan(value):
            average = _SMOOTHING * average + (1 - _SMOOTHING) * value
            weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        curve.append(average / weight if weight else np.nan)
    return np.array(curve)


def comparison_text(compared: Comparison) -> str:
    """Return the tables for the terminal, with only those differences that are clear."""
    tables = [comparison.figures_table(compared), comparison.cost_table(compared)]
    differences = comparison.differences_table(compared)
    clear = [row for row in differences.rows if row[-1]]
    differences_text = text_table(Table(differences.columns, clear)) if clear else "No difference excludes zero."
    return "\n\n".join([*map(text_table, tables), differences_text, _note(compared)])


def _of_folds(compared: Comparison) -> bool:
    return compared.contenders[0].is_cross_validation


def _note(compared: Comparison) -> str:
    return FOLDS_NOTE if _of_folds(compared) else NOTE
