"""Compares evaluated runs, or cross-validations, and writes the comparison into a folder."""

from collections.abc import Sequence
from pathlib import Path

from keras_dr.evaluation.comparison import Comparison, compare_contenders
from keras_dr.evaluation.comparison_files import check_folder, write_comparison
from keras_dr.evaluation.contenders import load_contenders


def compare(
    runs: Sequence[Path | str], out: Path | str | None = None, split: str | None = None, overwrite: bool = False
) -> Comparison:
    """Compare evaluated runs on the same photographs: figures, paired differences, costs and training curves.

    Cross-validations are compared in the same way: each photograph is graded by the run of a fold that was not trained
    on it, and photographs that stay together in the folds are drawn together. TensorFlow is not needed: everything is
    read from the files that `evaluate` or `cross_validate` wrote.

    Args:
        runs: folders of two or more evaluated runs, or of two or more cross-validations.
        out: a folder to write the tables and pictures into; by default nothing is written.
        split: the split of its own Prepared set on which each run was evaluated; by default "test". None for
            cross-validations.
        overwrite: whether files in `out` that have the names of the tables and pictures, but were not written by a
            comparison, are replaced; by default they are refused.

    Returns:
        The comparison.

    Raises:
        KerasDrError: there are fewer than two runs; one is named more than once; a run was not evaluated, or its
            photographs, labels or classes are not those of the first run; runs and cross-validations are mixed; or
            `out` lies in a run, or holds other files of the same names.

    Example:
        >>> dr.compare(["runs/first", "runs/second"]).values[0]["accuracy"]
        0.64
    """
    folders = [Path(run) for run in runs]
    if out is not None:
        check_folder(Path(out), folders, overwrite)
    comparison = compare_contenders(load_contenders(folders, split))
    if out is not None:
        write_comparison(Path(out), comparison)
    return comparison
