"""Compares evaluated runs, and writes what was found."""

from collections.abc import Sequence
from pathlib import Path

from keras_dr.evaluation.comparison import Comparison, compare_evaluated, load_evaluated_runs
from keras_dr.evaluation.comparison_files import write_comparison


def compare(runs: Sequence[Path | str], out: Path | str | None = None, split: str = "test") -> Comparison:
    """Set evaluated runs side by side on the same photographs: figures, paired differences, costs, training curves.

    TensorFlow is not needed: all is read from what `evaluate` wrote.

    Args:
        runs: folders of two or more evaluated runs.
        out: a folder to write the tables and pictures into; by default nothing is written.
        split: the split on which each was evaluated, of its own Prepared set.

    Returns:
        The comparison.

    Raises:
        KerasDrError: fewer than two runs, one that was not evaluated, or other photographs, labels or classes than the
            first one's.

    Example:
        >>> dr.compare(["runs/first", "runs/second"]).values[0]["accuracy"]
        0.64
    """
    comparison = compare_evaluated(load_evaluated_runs([Path(run) for run in runs], split))
    if out is not None:
        write_comparison(Path(out), comparison)
    return comparison
