"""The exported graph of an ordinal head; that of a softmax is tested in test_bundle_files.py."""

import numpy as np
import pytest

from edge_demo import interpreter
from export import parity
from export.graph import build_graph
from export.variants import convert
from keras_dr.core.decision import decide
from keras_dr.models.grader import build_model
from keras_dr.models.heads import probabilities

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module", params=[2, 5])
def outputs(request: pytest.FixtureRequest) -> tuple[interpreter.Outputs, interpreter.Outputs, np.ndarray]:
    """The outputs of Keras and of the float32 file, and the logits; temperature 1.5."""
    model = build_model("tiny", 32, request.param, head="ordinal")
    model.get_layer("logits").set_weights(
        [3 * model.get_layer("logits").get_weights()[0], np.linspace(1, -1, request.param - 1)]
    )
    logits = model.predict(IMAGES.astype(np.float32), verbose=0)
    file = convert(build_graph(model, 1.5))
    return parity.float_outputs(model, 1.5, IMAGES), interpreter.outputs_of_file(file, IMAGES), logits


def test_probabilities_equal_keras(outputs: tuple) -> None:
    keras_outputs, file_outputs, logits = outputs
    assert file_outputs.probabilities == pytest.approx(keras_outputs.probabilities, abs=1e-5)
    assert keras_outputs.probabilities == pytest.approx(probabilities(logits, file_outputs.probabilities.shape[1], 1.5))
    assert file_outputs.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_heat_maps_are_evidence_for_a_higher_grade(outputs: tuple) -> None:
    keras_outputs, file_outputs, logits = outputs
    assert file_outputs.heatmaps == pytest.approx(keras_outputs.heatmaps, abs=1e-4)
    assert np.array_equal(file_outputs.heatmaps[..., 0], -file_outputs.heatmaps[..., 1])
    classes = file_outputs.probabilities.shape[1]
    expected = file_outputs.heatmaps[..., 1:].mean(axis=(1, 2)) + np.linspace(1, -1, classes - 1)
    assert expected == pytest.approx(logits, abs=1e-4)


def test_the_median_counts_the_positive_logits(outputs: tuple) -> None:
    _, file_outputs, logits = outputs
    assert np.array_equal(decide(file_outputs.probabilities, "median"), (logits > 0).sum(axis=1))
