"""Which recipe stands changes of the camera best: cross-validations compared on changed photographs.

    python benchmarks/folds_robustness.py FOLDS [FOLDS ...]

FOLDS are folders that `train --folds` wrote from one prepared set. Each photograph is graded by the run that was not
trained on it: as taken, and under each change of `evaluate --robustness`. Kappa and AUROC are those of all photographs
together; the interval of the kappa is from a bootstrap over patients. Nothing is compared with a peer.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np

import keras_dr as dr


def pooled_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of `robustness.robustness_rows` for a cross-validation."""
    from keras_dr.evaluation.robustness import Graded, grade_changed, robustness_rows

    runs = [dr.Run.load(fold) for fold in sorted(folder.glob("fold-*"))]
    held_out = [run.own_set().split("val") for run in runs]
    graded = [grade_changed(run, data) for run, data in zip(runs, held_out, strict=True)]
    together = [
        Graded(sets[0].name, np.concatenate([one_fold.probabilities for one_fold in sets]))
        for sets in zip(*graded, strict=True)
    ]
    data = replace(held_out[0], rows=tuple(row for fold in held_out for row in fold.rows), fold=None)
    return robustness_rows(together, data, runs[0])


def main() -> None:
    """Parse, measure, print."""
    from keras_dr.evaluation.robustness import mean_over_changes
    from keras_dr.reports.tables import Table, markdown, show, with_interval

    parser = common.parser(__doc__)
    parser.add_argument("folds", type=Path, nargs="+")
    for folder in parser.parse_args().folds:
        rows = pooled_rows(folder)
        cells = [
            (
                row["change"],
                with_interval(row["quadratic_kappa"], (row["quadratic_kappa_low"], row["quadratic_kappa_high"])),
                row["auroc"],
                row["same_class"],
                row["mean_shift"],
            )
            for row in rows
        ]
        mean = mean_over_changes(rows)
        cells.append(("mean over the changes", show(mean["quadratic_kappa"]), mean["auroc"], None, None))
        columns = ("photographs", "quadratic kappa (95 % interval)", "AUROC", "same class", "mean shift")
        print(f"{folder}\n\n{markdown(Table(columns, cells))}\n", flush=True)


if __name__ == "__main__":
    main()
