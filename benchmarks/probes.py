"""Which pretrained network sees most in the photographs: linear probes on its frozen features, cross-validated.

    python benchmarks/probes.py PREPARED [--networks mobilenetv2 efficientnetlite0] [--weights NETWORK=FILE] [--folds 5]
        [--fine-tuned NETWORK=out_of_fold.csv] [--features FOLDER]

The pooled features of each train and validation photograph are computed once, as the mean over its eight orientations;
with `--features` they are kept there, so that an interrupted call goes on and another one need not compute them again.
A logistic regression on standardised features is fitted on all folds but one and judged on that one; its penalty is
chosen inside the training folds by quadratic kappa. Folds keep patients and copies together, and are those of
`train --folds`. Printed are kappa and AUROC of all photographs together, with 95 % intervals from a bootstrap over the
groups that are never divided between folds, as `train --folds` makes them, for each network and for the features of
all networks side by side. A network that was fine-tuned on the same folds is compared with its probe, by differences on
the same photographs. Nothing is compared with a peer.
"""

import hashlib
from collections.abc import Callable
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
from keras_dr.core.folders import sha256_of
from keras_dr.metrics import intervals, measure
from keras_dr.metrics.predictions import Predictions, group_codes, positions_of, read_predictions
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


def kept_features(folder: Path | None, network: str, weights: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `pooled_features`, from the folder if they are there, and keep them there."""
    if folder is None:
        return pooled_features(network, weights, images)
    origin = sha256_of(Path(weights)) if Path(weights).is_file() else weights
    about = hashlib.sha256(images.tobytes() + origin.encode()).hexdigest()
    return common.kept_array(folder / f"{network}-{about[:16]}.npy", lambda: pooled_features(network, weights, images))


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


def cross_validated(data: dr.PreparedSet, features: NDArray[np.float32], folds: int) -> Predictions:
    """Return the prediction for each photograph by the probe that was not fitted on it."""
    labels = data.labels()
    groups = group_codes(data.rows)
    result = np.zeros((len(labels), len(data.task.classes)))
    for number in range(1, folds + 1):
        sides = {row["image_id"]: row["split"] for row in data.folded(Fold(number, folds)).rows}
        held_out = np.array([sides[row["image_id"]] == "val" for row in data.rows])
        penalty = best_penalty(features[~held_out], labels[~held_out], groups[~held_out])
        probe = fitted(features[~held_out], labels[~held_out], penalty)
        result[np.ix_(held_out, probe.classes_)] = probe.predict_proba(features[held_out])
    return Predictions(labels, result, data.task, "argmax", groups)


def fine_tuned(file: Path, data: dr.PreparedSet) -> Predictions:
    """Return the predictions of a cross-validation, in the order of the set's photographs."""
    ids, predictions, _ = read_predictions(file, sha256_of(file), data.task, "argmax")
    return predictions.subset(positions_of([row["image_id"] for row in data.rows], ids))


def figures(predictions: Predictions, weights: Weights) -> dict[str, NDArray[np.float64]]:
    """Return kappa and AUROC under weights."""
    overall = measure.overall(predictions, weights)
    return {key: overall[key] for key in FIGURES}


def line(name: str, probe: Predictions, tuned: Predictions | None = None) -> str:
    """Return a row of the table: the figures of a probe, or what the fine-tuned network has more than its probe."""

    def values(weights: Weights) -> dict[str, NDArray[np.float64]]:
        of_probe = figures(probe, weights)
        if tuned is None:
            return of_probe
        return {key: value - of_probe[key] for key, value in figures(tuned, weights).items()}

    return row(name, values, probe)


def row(name: str, values: Callable[[Weights], dict[str, NDArray[np.float64]]], photographs: Predictions) -> str:
    """Return a row of figures with their intervals, by a bootstrap over the groups of the photographs."""
    whole = values(np.ones((1, len(photographs.labels))))
    limits = intervals.bootstrap(values, photographs.patients)
    cells = [with_interval(measure.single(whole[key]), limits[key]) for key in FIGURES]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, folds=5)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--weights", nargs="*", default=[], help="NETWORK=FILE, where ImageNet's cannot be downloaded")
    parser.add_argument("--fine-tuned", nargs="*", default=[], help="NETWORK=FILE, the file out_of_fold.csv")
    parser.add_argument("--features", type=Path, help="folder in which the features are kept")
    given = parser.parse_args()
    files = dict(pair.split("=", 1) for pair in given.weights)
    tuned = dict(pair.split("=", 1) for pair in given.fine_tuned)
    whole = dr.PreparedSet.load(given.prepared)
    rows = tuple(row for row in whole.rows if row["split"] in ("train", "val"))
    data = dr.PreparedSet(whole.folder, whole.task, whole.preprocessing, rows, whole.source)
    images = data.images()
    print("| features | quadratic kappa | AUROC |\n|---|---|---|", flush=True)
    features = []
    for network in given.networks:
        features.append(kept_features(given.features, network, files.get(network, "imagenet"), images))
        probe = cross_validated(data, features[-1], given.folds)
        print(line(network, probe), flush=True)
        if network in tuned:
            print(line(f"{network}, fine-tuned minus probe", probe, fine_tuned(Path(tuned[network]), data)), flush=True)
    if len(features) > 1:
        together = cross_validated(data, np.concatenate(features, axis=1), given.folds)
        print(line("all of these together", together), flush=True)


if __name__ == "__main__":
    main()
