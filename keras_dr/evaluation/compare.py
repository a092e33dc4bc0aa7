"""Compares evaluated runs, and writes what was found."""

from collections.abc import Sequence
from pathlib import Path

from keras_dr.evaluation.comparison import Comparison, compare_evaluated, load_evaluated_runs
from keras_dr.evaluation.comparison_files import check_folder, write_comparison


def compare(
    runs: Sequence[Path | str], out: Path | str | None = None, split: str = "test", overwrite: bool = False
) -> Comparison:
    """Set evaluated runs side by side on the same photographs: figures, paired differences, costs, training curves.

    TensorFlow is not needed: all is read from what `evaluate` wrote.

    Args:
        runs: folders of two or more evaluated runs.
        out: a folder to write the tables and pictures into; by default nothing is written.
        split: the split on which each was evaluated, of its own Prepared set.
        overwrite: whether files in `out` that no comparison wrote are replaced; by default they are refused.

    Returns:
        The comparison.

    Raises:
        KerasDrError: fewer than two runs, one that was not evaluated, or other photographs, labels or classes than the
            first one's; or `out` lies in a run, or holds other files of the same names.

    Example:
        >>> dr.compare(["runs/first", "runs/second"]).values[0]["accuracy"]
        0.64
    """
    folders = [Path(run) for run in runs]
    if out is not None:
        check_folder(Path(out), folders, overwrite)
    comparison = compare_evaluated(load_evaluated_runs(folders, split))
    if out is not None:
        write_comparison(Path(out), comparison)
    return comparison
