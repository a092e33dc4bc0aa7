import numpy as np
import pytest
from sklearn import metrics as sk

from keras_dr import metrics
from keras_dr.grades import TASKS

ICDR = TASKS["icdr"]


@pytest.fixture
def graded() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    logits = rng.normal(0, 1, (200, 5)) + 2 * np.eye(5)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_quadratic_kappa_by_hand() -> None:
    # confusion [[1, 1], [0, 2]]: observed disagreement 1/4, by chance (2*3 + 2*1) / 16 = 1/2
    assert metrics.quadratic_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2) == pytest.approx(0.5)


def test_figures_equal_scikit_learn(graded: tuple) -> None:
    labels, p = graded
    figures = metrics.evaluate(labels, p, ICDR, 0.5)
    predictions, positive, scores = p.argmax(1), labels >= 2, p[:, 2:].sum(1)
    assert figures["quadratic_kappa"] == pytest.approx(
        sk.cohen_kappa_score(labels, predictions, weights="quadratic"), abs=1e-12
    )
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(labels, predictions), abs=1e-12)
    assert figures["auroc_referable"] == pytest.approx(sk.roc_auc_score(positive, scores), abs=1e-12)
    assert figures["auprc_referable"] == pytest.approx(sk.average_precision_score(positive, scores), abs=1e-12)
    assert figures["macro"]["f1"] == pytest.approx(sk.f1_score(labels, predictions, average="macro"), abs=1e-12)
    assert figures["operating_point"]["sensitivity"] == pytest.approx(sk.recall_score(positive, scores >= 0.5))
    assert metrics.log_loss(labels, p) == pytest.approx(sk.log_loss(labels, p), abs=1e-12)


def test_confusion_matrix_has_true_rows() -> None:
    p = np.eye(5)[[1, 1, 4]]
    matrix = metrics.evaluate(np.array([0, 1, 4]), p, ICDR, 0.5)["confusion_matrix"]
    assert matrix[0][1] == matrix[1][1] == matrix[4][4] == 1


def test_what_does_not_exist_is_none() -> None:
    figures = metrics.evaluate(np.zeros(3, int), np.eye(5)[[0, 0, 0]], ICDR, 0.5)
    assert figures["quadratic_kappa"] is figures["auroc_referable"] is figures["auprc_referable"] is None
    assert figures["operating_point"]["sensitivity"] is None
    assert figures["operating_point"]["specificity"] == 1.0


POSITIVE = np.array([False] * 10 + [True] * 4)
SCORES = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.8, 0.45, 0.6, 0.7, 0.9])


def test_target_specificity_is_reached_not_approached() -> None:
    chosen = metrics.choose_threshold(POSITIVE, SCORES, "specificity", 0.85)  # 8 of 10 is too few: 9 it is
    assert (chosen.specificity, chosen.sensitivity) == (0.9, 0.75)
    assert 0.5 < chosen.value < 0.6


def test_target_sensitivity_is_reached_with_the_best_specificity() -> None:
    chosen = metrics.choose_threshold(POSITIVE, SCORES, "sensitivity", 0.9)
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)
    assert 0.4 < chosen.value < 0.45


def test_identical_scores_refer_nobody_to_reach_specificity() -> None:
    chosen = metrics.choose_threshold(POSITIVE, np.full(14, 0.3), "specificity", 0.9)
    assert (chosen.specificity, chosen.sensitivity) == (1.0, 0.0)


def test_threshold_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="referable"):
        metrics.choose_threshold(np.ones(3, bool), np.ones(3), "specificity", 0.9)
