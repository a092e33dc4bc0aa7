"""export.parity: the figures of a variant, and the gate."""

import numpy as np
import pytest

from edge_demo.interpreter import Outputs
from export.parity import compare, failures, limits_of
from export.variants import ONNX, VARIANTS
from keras_dr.datasets.grades import TASKS
from keras_dr.recipe import ParityLimits, Recipe

REFERABLE = TASKS["referable"]
LIMITS = limits_of(ParityLimits())


def fake(referable: list[float], maps: list[list[float]]) -> Outputs:
    p = np.array(referable)
    heatmap = np.array(maps, np.float32).reshape(len(p), 1, -1, 1)
    return Outputs(np.column_stack([1 - p, p]), np.repeat(heatmap, 2, axis=-1))


def test_parity_by_hand() -> None:
    reference = fake([0.1, 0.4, 0.8, 0.9], [[1, 2, 3], [1, 2, 3], [1, 2, 3], [5, 5, 5]])
    variant = fake([0.1, 0.6, 0.8, 0.7], [[2, 4, 6], [3, 2, 1], [1, 2, 3], [1, 2, 3]])
    figures = compare(reference, variant, np.array([0, 0, 1, 1]), REFERABLE, 0.75)
    assert figures.to_dict() == {
        "photographs": 4,
        "largest_probability_difference": pytest.approx(0.2),
        "mean_probability_difference": pytest.approx(0.1),
        "grade_agreement": 0.75,
        "heatmap_correlation": pytest.approx((1 - 1 + 1) / 3),
        "quadratic_kappa_float": 1.0,
        "quadratic_kappa_variant": pytest.approx(0.5),
        "auroc_float": 1.0,
        "auroc_variant": 1.0,
        "sensitivity_float": 1.0,
        "sensitivity_variant": 1.0,  # the second and the fourth are referred by their class, below the threshold
        "specificity_float": 1.0,
        "specificity_variant": 0.5,
        "quadratic_kappa_loss": pytest.approx(0.5),
        "auroc_loss": 0.0,
    }


def test_constant_heatmaps_have_no_correlation() -> None:
    flat = fake([0.1], [[1, 1]])
    assert compare(flat, flat, np.array([0]), REFERABLE, 0.5).heatmap_correlation is None


def test_gate_says_which_figure_fails() -> None:
    reference = fake([0.1, 0.9], [[1, 2], [1, 2]])
    variant = fake([0.6, 0.9], [[1, 2], [1, 2]])
    figures = compare(reference, variant, np.array([0, 1]), REFERABLE, 0.5)
    assert failures(figures, LIMITS["int8"]) == [
        "grade_agreement 0.5, at least 0.97 required",
        "quadratic_kappa_loss 1, at most 0.01 allowed",
    ]
    assert failures(compare(reference, reference, np.array([0, 1]), REFERABLE, 0.5), LIMITS["float32"]) == []


def test_every_variant_has_limits() -> None:
    assert LIMITS.keys() == {*VARIANTS, ONNX}


def test_a_recipe_moves_one_limit_and_drops_another() -> None:
    recipe = Recipe.load(None, ["parity.int8.grade_agreement=.9", "parity.int8.auroc_loss=null"])
    assert limits_of(recipe.parity)["int8"] == {
        "grade_agreement": ("at least", 0.9),
        "heatmap_correlation": ("at least", 0.9),
        "quadratic_kappa_loss": ("at most", 0.01),
    }
