"""Whether several cross-validations grade better together than each alone: what a student could learn from them.

    python benchmarks/averages.py TABLE TABLE ... [--task icdr]

Each TABLE is the out_of_fold.csv of `train --folds`; all are of the same photographs. The probabilities are averaged as
`train --teacher` averages those of its teachers: as logarithms, normalised again. Printed are kappa and AUROC of each
table, the mean of these figures (which is that of a recipe, if the tables are of several seeds), those of the average,
and of the average minus each table, with 95 % intervals from a bootstrap over the groups that are never divided between
folds. Nothing is compared with a peer.
"""

from dataclasses import replace
from pathlib import Path

import common
import numpy as np
from numpy.typing import NDArray
from probes import FIGURES, figures, line, row

from keras_dr.core.folders import sha256_of
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.predictions import Predictions, positions_of, read_predictions
from keras_dr.metrics.weighted import Weights
from keras_dr.training.distillation import mean_of_logarithms


def read(files: list[Path], task: str) -> list[Predictions]:
    """Return the predictions of each table, in the order of the first one's photographs."""
    tables = []
    order: list[str] = []
    for file in files:
        ids, predictions, _ = read_predictions(file, sha256_of(file), TASKS[task], "argmax")
        order = order or ids
        if sorted(ids) != sorted(order):
            raise SystemExit(f"{file} is of other photographs than {files[0]}.")
        tables.append(predictions.subset(positions_of(order, ids)))
        if (tables[-1].labels != tables[0].labels).any():
            raise SystemExit(f"{file} has other grades than {files[0]}.")
    return tables


def mean_line(tables: list[Predictions]) -> str:
    """Return the row of the means of the tables' figures; all tables are drawn alike in the bootstrap."""

    def values(weights: Weights) -> dict[str, NDArray[np.float64]]:
        of_each = [figures(table, weights) for table in tables]
        return {key: np.mean([found[key] for found in of_each], axis=0) for key in FIGURES}

    return row("mean of these figures", values, tables[0])


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--task", choices=list(TASKS), default="icdr")
    given = parser.parse_args()
    tables = read(given.tables, given.task)
    average = replace(tables[0], probabilities=mean_of_logarithms(np.stack([table.probabilities for table in tables])))
    print("| predictions | quadratic kappa | AUROC |\n|---|---|---|")
    for file, table in zip(given.tables, tables, strict=True):
        print(line(str(file), table), flush=True)
    print(mean_line(tables), flush=True)
    print(line("the average", average), flush=True)
    for file, table in zip(given.tables, tables, strict=True):
        print(line(f"the average minus {file}", table, average), flush=True)


if __name__ == "__main__":
    main()
