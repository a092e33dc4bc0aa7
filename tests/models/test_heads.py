import keras
import numpy as np
import pytest

from keras_dr.core.decision import decide
from keras_dr.metrics import measure
from keras_dr.models.heads import HEADS, OrdinalHead, evidence_kernel, probabilities, softmax
from keras_dr.recipe import recipe_from_dict
from keras_dr.training.finish import cut_points, finished_head
from keras_dr.training.pipeline import target_matrix


def test_targets_of_each_head_by_hand() -> None:
    shares = target_matrix(4, recipe_from_dict({}))
    assert HEADS["softmax"].targets(shares).tolist() == np.eye(4).tolist()
    assert HEADS["ordinal"].targets(shares).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert HEADS["regression"].targets(shares)[:, 0].tolist() == [0, 1, 2, 3]


def test_probabilities_of_an_ordinal_head_by_hand() -> None:
    logits = np.log([[0.8 / 0.2, 0.3 / 0.7]])  # above the first step with .8, above the second with .3
    assert probabilities(logits, 3) == pytest.approx(np.array([[0.2, 0.5, 0.3]]))
    halved = 1 / (1 + np.exp(-logits[0] / 2))
    expected = [1 - halved[0], halved[0] - halved[1], halved[1]]
    assert probabilities(logits, 3, temperature=2)[0] == pytest.approx(expected)


def test_probabilities_of_extreme_logits_are_finite() -> None:
    assert probabilities(np.array([[1e4, -1e4]]), 3).tolist() == [[0, 1, 0]]
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1, 0]]


def test_a_regression_that_learns_is_cut_halfway_between_the_grades() -> None:
    likely = probabilities(np.array([[0.4], [1.6], [3.9]]), 5)
    assert decide(likely, "median").tolist() == [0, 2, 4]


def test_median_is_the_number_of_steps_above_one_half() -> None:
    logits = np.array([[-1.0, -2.0, -3.0], [2.0, 0.5, -0.1], [3.0, 2.0, 1.0]])
    assert decide(probabilities(logits, 4), "median").tolist() == [0, 2, 3]
    likely = np.array([[0.4, 0.25, 0.35]])
    assert decide(likely, "argmax").tolist() == [0]
    assert decide(likely, "median").tolist() == [1]


def test_losses_equal_the_formulas() -> None:
    targets, logits = np.array([[1.0, 0.0]], np.float32), np.array([[0.3, -0.8]], np.float32)
    p = 1 / (1 + np.exp(-logits))
    cross_entropy = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    assert float(HEADS["ordinal"].loss(0.0)(targets, logits)) == pytest.approx(cross_entropy, rel=1e-5)
    q = np.exp(logits[0]) / np.exp(logits[0]).sum()
    focal = -((1 - q[0]) ** 2) * np.log(q[0])
    assert float(HEADS["softmax"].loss(2.0)(targets, logits)) == pytest.approx(focal, rel=1e-5)
    assert float(HEADS["regression"].loss(0.0)(targets[:, :1], logits[:, :1])) == pytest.approx(0.49, rel=1e-5)


@pytest.mark.parametrize(
    ("head", "targets", "logits", "expected"),
    [
        ("softmax", [[0, 1, 0], [1, 0, 0]], [[1, 3, 2], [1, 3, 2]], [1, 0]),
        ("ordinal", [[1, 0], [1, 1]], [[2, -1], [2, -1]], [1, 0]),
        ("regression", [[2], [1]], [[1.6], [1.6]], [1, 0]),
        ("regression", [[0], [4]], [[-0.6], [4.7]], [1, 1]),
    ],
)
def test_right_compares_classes(head: str, targets: list, logits: list, expected: list) -> None:
    right = HEADS[head].right(np.array(targets, np.float32), np.array(logits, np.float32))
    assert np.asarray(right).tolist() == expected


def test_ordinal_head_is_one_direction_and_can_be_saved(tmp_path) -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, OrdinalHead(4, name="logits")(inputs))
    x = np.eye(3, dtype=np.float32)
    kernel, bias = model.get_layer("logits").get_weights()
    assert model.predict(x, verbose=0) == pytest.approx(x @ kernel + bias)
    assert (np.diff(bias) < 0).all()
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert evidence_kernel(model.get_layer("logits")).tolist() == np.hstack([-kernel, *[kernel] * 4]).tolist()


def test_cut_points_separate_what_can_be_separated() -> None:
    labels = np.repeat(np.arange(3), 4)
    scores = np.concatenate([np.linspace(-1, 0, 4), np.linspace(0.1, 0.2, 4), np.linspace(2, 3, 4)])
    cuts = cut_points(labels, scores, 3)
    assert ((scores[:, None] > cuts).sum(axis=1) == labels).all()


def test_cut_points_are_no_worse_than_rounding() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 200)
    scores = 0.6 * labels + random.normal(0, 0.7, 200)
    fixed = measure.quadratic_kappa(labels, np.clip(np.round(scores), 0, 4).astype(int), 5)
    chosen = measure.quadratic_kappa(labels, (scores[:, None] > cut_points(labels, scores, 5)).sum(axis=1), 5)
    assert chosen > fixed + 0.05


def test_a_finished_regression_predicts_by_its_cut_points() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(100, 3)).astype(np.float32)
    labels = np.clip(np.round(1.5 * features[:, 0] + 2), 0, 4).astype(int)
    layer = HEADS["regression"].layer(5)
    outputs = np.asarray(layer(features))
    kernel, bias = finished_head(recipe_from_dict({"head": "regression"}), 5, layer, labels, outputs)
    predictions = decide(probabilities(features @ kernel + bias, 5), "median")
    assert np.array_equal(predictions, (outputs > cut_points(labels, outputs[:, 0], 5)).sum(axis=1))
