"""The exported graph of an ordinal head; that of a softmax is tested in test_export.py."""

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
    """Of Keras and of the float32 file, and the logits; temperature 1.5."""
    model = build_model("tiny", 32, request.param, head="ordinal")
    model.get_layer("logits").set_weights(
        [3 * model.get_layer("logits").get_weights()[0], np.linspace(1, -1, request.param - 1)]
    )
    logits = model.predict(IMAGES.astype(np.float32), verbose=0)
    file = convert(build_graph(model, 1.5))
    return parity.float_outputs(model, 1.5, IMAGES), interpreter.outputs_of_file(file, IMAGES), logits


def test_probabilities_equal_keras(outputs: tuple) -> None:
    keras_says, file_says, logits = outputs
    assert file_says.probabilities == pytest.approx(keras_says.probabilities, abs=1e-5)
    assert keras_says.probabilities == pytest.approx(probabilities(logits, file_says.probabilities.shape[1], 1.5))
    assert file_says.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_heat_maps_speak_for_a_higher_grade(outputs: tuple) -> None:
    keras_says, file_says, logits = outputs
    assert file_says.heatmaps == pytest.approx(keras_says.heatmaps, abs=1e-4)
    assert np.array_equal(file_says.heatmaps[..., 0], -file_says.heatmaps[..., 1])
    classes = file_says.probabilities.shape[1]
    expected = file_says.heatmaps[..., 1:].mean(axis=(1, 2)) + np.linspace(1, -1, classes - 1)
    assert expected == pytest.approx(logits, abs=1e-4)


def test_the_median_is_what_the_logits_say(outputs: tuple) -> None:
    _, file_says, logits = outputs
    assert np.array_equal(decide(file_says.probabilities, "median"), (logits > 0).sum(axis=1))
