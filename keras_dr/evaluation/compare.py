"""Compares evaluated runs, and writes the comparison into a folder."""

from collections.abc import Sequence
from pathlib import Path

from keras_dr.evaluation.comparison import Comparison, compare_evaluated, load_evaluated_runs
from keras_dr.evaluation.comparison_files import check_folder, write_comparison


def compare(
    runs: Sequence[Path | str], out: Path | str | None = None, split: str = "test", overwrite: bool = False
) -> Comparison:
    """Compare evaluated runs on the same photographs: figures, paired differences, costs and training curves.

    TensorFlow is not needed: everything is read from the files that `evaluate` wrote.

    Args:
        runs: folders of two or more evaluated runs.
        out: a folder to write the tables and pictures into; by default nothing is written.
        split: the split of its own Prepared set on which each run was evaluated; by default "test".
        overwrite: whether files in `out` that have the names of the tables and pictures, but were not written by a
            comparison, are replaced; by default they are refused.

    Returns:
        The comparison.

    Raises:
        KerasDrError: there are fewer than two runs; a run was not evaluated, or its photographs, labels or classes are
            not those of the first run; or `out` lies in a run, or holds other files of the same names.

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
