"""Quantisation of weights and biases: calibration, rounding, operators, and the choice of float layers."""

import keras
import numpy as np
import pytest
from graders import TEMPERATURE, grader, photographs

from export.activation_statistics import Statistics, observe, pick_calibration
from export.float_layers import quantise_within
from export.graph import build_graph
from export.rounding import mean_error, pass_errors_on
from export.tflite_graph import FloatModel, Operator
from export.variants import convert, quantise


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return grader()


def test_calibration_holds_classes_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    chosen = pick_calibration(labels, 20)
    assert np.bincount(labels[chosen]).tolist() == [12, 6, 2]
    assert (np.diff(chosen) > 0).all() and chosen.tolist() == pick_calibration(labels, 20).tolist()
    assert pick_calibration(labels, 500).tolist() == list(range(100))


def test_rounding_with_errors_passed_on_keeps_the_grid_and_loses_less() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 12)) + 1
    weights = rng.normal(size=(4, 12)).astype(np.float32)
    scale = np.abs(weights).max(axis=1, keepdims=True) / 127
    nearest = np.rint(weights / scale) * scale
    rounded = pass_errors_on(weights, (inputs.T @ inputs / 500).astype(np.float32))
    np.testing.assert_allclose(rounded / scale, np.rint(rounded / scale), atol=1e-4)
    np.testing.assert_allclose(np.abs(rounded).max(axis=1), np.abs(weights).max(axis=1), rtol=1e-6)
    nearest_error = np.square(inputs @ (weights - nearest).T).mean()
    rounded_error = np.square(inputs @ (weights - rounded).T).mean()
    assert rounded_error < 0.1 * nearest_error


def test_the_bias_compensates_for_the_mean_error_of_rounding() -> None:
    # One output, two inputs with means 1 and 3: (0.1 - 0.0) * 1 + (0.2 - 0.3) * 3 = -0.2.
    statistics = Statistics({}, {"layer": np.array([1.0, 3.0])}, {})
    before = np.array([0.1, 0.2], np.float32).reshape(1, 1, 1, 2)
    after = np.array([0.0, 0.3], np.float32).reshape(1, 1, 1, 2)
    error = mean_error(before, after, Operator(0, "layer", "CONV_2D", (0, 1, 2)), statistics)
    np.testing.assert_allclose(error, [-0.2], atol=1e-6)


def test_operators_of_one_shared_bias_get_biases_of_their_own(model: keras.Model) -> None:
    content = convert(build_graph(model, TEMPERATURE))
    parsed = FloatModel(content)
    first, second = [operator for operator in parsed.body() if operator.is_convolution][:2]
    expected = parsed.bias(second)
    parsed.replace(first, parsed.weights(first), parsed.bias(first) + 7)
    written = FloatModel(parsed.content())
    first, second = [operator for operator in written.body() if operator.is_convolution][:2]
    np.testing.assert_array_equal(written.bias(second), expected)
    assert written.bias(first).max() > 6


def test_the_most_harmful_layers_stay_in_float(model: keras.Model) -> None:
    content = convert(build_graph(model, TEMPERATURE))
    images = photographs(4)
    limits = {"largest_probability_difference": ("at most", 0.0)}
    lines: list[str] = []
    file, kept = quantise_within(content, "int8", observe(content, images), images, limits, progress=lines.append)
    assert lines == ["searching for the layers that lose most in int8"]
    assert len(kept) >= 4 and set(kept) <= {operator.name for operator in FloatModel(content).body()}
    assert len(file) > len(quantise(content, "int8", observe(content, images)))
