import numpy as np
import pytest
from sklearn import metrics as sk

from keras_dr.core.decision import decide
from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions

ICDR = TASKS["icdr"]


@pytest.fixture
def graded() -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    logits = rng.normal(0, 1, (200, 5)) + 2 * np.eye(5)[labels]
    return Predictions(labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), ICDR)


def certain(labels: list[int], predictions: list[int], task: Task = ICDR) -> Predictions:
    return Predictions(np.array(labels), np.eye(len(task.classes))[predictions], task)


def test_quadratic_kappa_by_hand() -> None:
    # confusion [[1, 1], [0, 2]]: observed disagreement 1/4, by chance (2*3 + 2*1) / 16 = 1/2
    assert measure.quadratic_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2) == pytest.approx(0.5)


def test_quadratic_kappa_leaves_out_classes_without_an_order() -> None:
    labels = np.array([0, 4, 5, 0, 2])
    predicted = np.array([0, 4, 0, 5, 1])
    expected = sk.cohen_kappa_score(labels[[0, 1, 4]], predicted[[0, 1, 4]], weights="quadratic", labels=range(5))
    assert measure.quadratic_kappa(labels, predicted, 6, 5) == pytest.approx(expected)
    task = TASKS["icdr-ungradable"]
    assert measure.validation_scores(labels, np.eye(6)[predicted], task)["val_quadratic_kappa"] == pytest.approx(
        expected
    )


def test_figures_equal_scikit_learn(graded: Predictions) -> None:
    figures = measure.measure(graded, OperatingPoint(0.5), resamples=0)
    labels = graded.labels
    p = graded.probabilities
    predictions = p.argmax(1)
    positive = labels >= 2
    scores = p[:, 2:].sum(1)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, predictions)
    expected = {
        "quadratic_kappa": sk.cohen_kappa_score(labels, predictions, weights="quadratic"),
        "accuracy": sk.accuracy_score(labels, predictions),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predictions),
        "auroc_referable": sk.roc_auc_score(positive, scores),
        "auprc_referable": sk.average_precision_score(positive, scores),
        "brier": sk.brier_score_loss(labels, p),
        "brier_referable": sk.brier_score_loss(positive, scores),
        "log_loss": sk.log_loss(labels, p),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    for average in ("macro", "weighted"):
        assert figures[average]["f1"] == pytest.approx(sk.f1_score(labels, predictions, average=average), abs=1e-12)
    for index, name in enumerate(ICDR.classes):
        own = figures["classes"][name]
        inside = labels == index
        assert [own["precision"], own["recall"], own["f1"]] == pytest.approx(
            [precision[index], recall[index], f1[index]], abs=1e-12
        )
        assert own["auroc"] == pytest.approx(sk.roc_auc_score(inside, p[:, index]), abs=1e-12)
        assert own["auprc"] == pytest.approx(sk.average_precision_score(inside, p[:, index]), abs=1e-12)
        assert own["specificity"] == pytest.approx(sk.recall_score(~inside, predictions != index), abs=1e-12)
    point = figures["operating_point"]
    referred = (predictions >= 2) | (scores >= 0.45)  # by the grade, or within the margin of the threshold
    assert point["sensitivity"] == pytest.approx(sk.recall_score(positive, referred), abs=1e-12)
    assert point["ppv"] == pytest.approx(sk.precision_score(positive, referred), abs=1e-12)


def test_each_figure_lies_in_its_interval(graded: Predictions) -> None:
    figures = measure.measure(graded, OperatingPoint(0.5), resamples=300)

    def check(values: dict, limits: dict) -> int:
        checked = 0
        for name, interval in limits.items():
            if isinstance(interval, dict):
                checked += check(values[name], interval)
            elif name in values and name not in ("ece", "ece_referable"):  # resampling makes these errors larger
                assert interval[0] <= values[name] <= interval[1], name
                checked += 1
        return checked

    assert check(figures, figures["intervals"]) == 44
    assert check(figures["operating_point"], figures["operating_point"]["intervals"]) == 4


def test_confusion_matrix_has_true_rows() -> None:
    matrix = measure.measure(certain([0, 1, 4], [1, 1, 4]), OperatingPoint(0.5), resamples=0)["confusion_matrix"]
    assert matrix[0][1] == matrix[1][1] == matrix[4][4] == 1


def test_figures_that_do_not_exist_are_none() -> None:
    figures = measure.measure(certain([0, 0, 0], [0, 0, 0]), OperatingPoint(0.5), resamples=20)
    assert figures["quadratic_kappa"] is figures["auroc_referable"] is figures["auprc_referable"] is None
    assert figures["intervals"]["quadratic_kappa"] is None
    assert figures["operating_point"]["sensitivity"] is None
    assert figures["operating_point"]["specificity"] == 1.0
    assert figures["classes"]["mild"] == dict.fromkeys(("precision", "recall", "f1", "auroc", "auprc")) | {
        "specificity": 1.0,
        "support": 0,
    }
    assert figures["macro"]["f1"] == 1.0


def test_a_class_that_is_never_predicted_has_no_precision_and_lowers_the_macro_average() -> None:
    figures = measure.measure(certain([0, 1], [0, 0]), OperatingPoint(0.5), resamples=0)
    assert figures["classes"]["mild"]["precision"] is None and figures["classes"]["mild"]["recall"] == 0
    assert figures["macro"]["precision"] == pytest.approx((0.5 + 0) / 2)


def test_identical_scores_rank_nothing() -> None:
    predictions = Predictions(np.array([0, 1, 2, 3]), np.full((4, 5), 0.2), ICDR)
    figures = measure.measure(predictions, OperatingPoint(0.5), resamples=50)
    assert (figures["auroc_referable"], figures["auprc_referable"]) == (0.5, 0.5)
    assert figures["operating_point"]["specificity"] == 0.0 and figures["operating_point"]["npv"] is None
    assert figures["intervals"]["auroc_referable_delong"] == (0.5, 0.5)


def test_kappa_uses_ordered_classes_only() -> None:
    named = Task("classes", ("oval", "round", "square"), ())
    assert (
        measure.measure(certain([0, 1, 2], [0, 1, 2], named), OperatingPoint(1.0), resamples=0)["quadratic_kappa"]
        is None
    )
    ungradable = certain([0, 4, 5, 0], [0, 4, 0, 5], TASKS["icdr-ungradable"])
    assert measure.measure(ungradable, OperatingPoint(0.5), resamples=0)["quadratic_kappa"] == 1.0


def test_the_median_is_the_first_class_that_reaches_one_half() -> None:
    p = np.array([[0.4, 0.15, 0.45], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
    assert decide(p, "median").tolist() == [1, 0, 2]
    assert decide(p).tolist() == [2, 0, 2]


def test_predictive_values_at_another_prevalence_by_hand() -> None:
    # sensitivity 3/4, specificity 1/2; at a prevalence of 10 %: PPV .075 / (.075 + .45), NPV .45 / (.45 + .025)
    predictions = certain([2, 2, 2, 2, 0, 0], [2, 2, 2, 0, 2, 0])
    figures = measure.measure_point(predictions, OperatingPoint(0.5, {"sensitivity": 0.8}), prevalence=0.1)
    assert figures["ppv_at_prevalence"] == pytest.approx(0.075 / 0.525)
    assert figures["npv_at_prevalence"] == pytest.approx(0.45 / 0.475)
    assert figures["held"] is False and figures["ppv"] == 0.75
    # Wilson's limits of 9 of 10 and of 50 of 50: .59585 to .98213, .92865 to 1
    sure = certain([2] * 10 + [0] * 50, [2] * 9 + [0] * 51)
    interval = measure.measure_point(sure, OperatingPoint(0.5), prevalence=0.05)["intervals"]["ppv_at_prevalence"]
    low = 0.59585 * 0.05 / (0.59585 * 0.05 + (1 - 0.92865) * 0.95)
    assert interval == pytest.approx((low, 1), abs=1e-4)


def test_nan_probabilities_have_no_figures() -> None:
    broken = np.full((2, 5), np.nan)
    with pytest.raises(KerasDrError, match="NaN or infinity"):
        Predictions(np.array([0, 2]), broken, ICDR)
    assert set(measure.validation_scores(np.array([0, 2]), broken, ICDR).values()) == {None}


def test_named_classes_have_no_quadratic_kappa() -> None:
    task = Task("classes", ("oval", "round", "square"), ())
    scores = measure.validation_scores(np.array([0, 1, 2]), np.eye(3), task)
    assert (scores["val_quadratic_kappa"], scores["val_accuracy"]) == (None, 1.0)
