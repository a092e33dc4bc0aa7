"""Which pretrained network sees most in the photographs: linear probes on its frozen features, cross-validated.

    python benchmarks/probes.py PREPARED [--networks mobilenetv2 efficientnetlite0] [--weights NETWORK=FILE] [--folds 5]

The pooled features of each train and validation photograph are computed once, as the mean over its eight orientations.
A logistic regression on standardised features is fitted on all folds but one and judged on that one; its penalty is
chosen inside the training folds by quadratic kappa. Folds keep patients and copies together, and are those of
`train --folds`. Printed are kappa and AUROC of all photographs together, with 95 % intervals from a bootstrap over the
groups that are never divided between folds, as `train --folds` makes them, for each network and for the features of
all networks side by side. Nothing is compared with a peer.
"""

from itertools import product
from pathlib import Path

import common
import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_dr as dr
from keras_dr.metrics import intervals, measure
from keras_dr.metrics.predictions import Predictions, group_codes
from keras_dr.metrics.weighted import Weights
from keras_dr.models.features import build_features
from keras_dr.preparation.splits import Fold
from keras_dr.reports.tables import with_interval

NETWORKS = ("efficientnetlite0", "efficientnetlite1", "efficientnetlite2")
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # C of scikit-learn: smaller is a stronger penalty
BATCH = 8
FIGURES = ("quadratic_kappa", "auroc_referable")


def pooled_features(network: str, weights: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return float32 (n, channels): features averaged over the map and over the eight orientations of a photograph.

    Args:
        network: a backbone's name.
        weights: as for `build_features`.
        images: uint8 RGB (n, S, S, 3).
    """
    backbone = build_features(network, keras.Input(images.shape[1:]), weights)
    total = 0.0
    for turns, mirrored in product(range(4), (False, True)):
        view = np.rot90(images[:, :, ::-1] if mirrored else images, turns, (1, 2))
        batches = [view[first : first + BATCH].astype(np.float32) for first in range(0, len(view), BATCH)]
        total = total + np.concatenate([backbone.predict_on_batch(batch).mean(axis=(1, 2)) for batch in batches])
    return np.asarray(total / 8, np.float32)


def fitted(features: NDArray[np.float32], labels: NDArray[np.int64], penalty: float) -> object:
    """Return the pipeline of standardisation and logistic regression, fitted."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000)).fit(features, labels)


def best_penalty(features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    """Return the penalty with the best kappa in a cross-validation of the training folds alone."""
    scores = []
    for penalty in PENALTIES:
        predicted = np.empty_like(labels)
        for train, test in GroupKFold(5).split(features, labels, groups):
            predicted[test] = fitted(features[train], labels[train], penalty).predict(features[test])
        scores.append(measure.quadratic_kappa(labels, predicted, int(labels.max()) + 1) or 0.0)
    return PENALTIES[int(np.argmax(scores))]


def cross_validated(data: dr.PreparedSet, features: NDArray[np.float32], folds: int) -> NDArray[np.float64]:
    """Return the probabilities float64 (n, C) of each photograph by the probe that was not fitted on it."""
    labels = data.labels()
    groups = group_codes(data.rows)
    result = np.zeros((len(labels), len(data.task.classes)))
    for number in range(1, folds + 1):
        sides = {row["image_id"]: row["split"] for row in data.folded(Fold(number, folds)).rows}
        held_out = np.array([sides[row["image_id"]] == "val" for row in data.rows])
        penalty = best_penalty(features[~held_out], labels[~held_out], groups[~held_out])
        probe = fitted(features[~held_out], labels[~held_out], penalty)
        result[np.ix_(held_out, probe.classes_)] = probe.predict_proba(features[held_out])
    return result


def line(name: str, data: dr.PreparedSet, probabilities: NDArray[np.float64]) -> str:
    """Return a row of the table."""
    predictions = Predictions(data.labels(), probabilities, data.task, "argmax", group_codes(data.rows))

    def figures(weights: Weights) -> dict[str, NDArray[np.float64]]:
        overall = measure.overall(predictions, weights)
        return {key: overall[key] for key in FIGURES}

    values = figures(np.ones((1, len(predictions.labels))))
    limits = intervals.bootstrap(figures, predictions.patients)
    cells = [with_interval(measure.single(values[key]), limits[key]) for key in FIGURES]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, folds=5)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--weights", nargs="*", default=[], help="NETWORK=FILE, where ImageNet's cannot be downloaded")
    given = parser.parse_args()
    files = dict(pair.split("=", 1) for pair in given.weights)
    whole = dr.PreparedSet.load(given.prepared)
    rows = tuple(row for row in whole.rows if row["split"] in ("train", "val"))
    data = dr.PreparedSet(whole.folder, whole.task, whole.preprocessing, rows, whole.source)
    images = data.images()
    print("| features | quadratic kappa | AUROC |\n|---|---|---|", flush=True)
    features = []
    for network in given.networks:
        features.append(pooled_features(network, files.get(network, "imagenet"), images))
        print(line(network, data, cross_validated(data, features[-1], given.folds)), flush=True)
    if len(features) > 1:
        together = cross_validated(data, np.concatenate(features, axis=1), given.folds)
        print(line("all of these together", data, together), flush=True)


if __name__ == "__main__":
    main()
