import keras
import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.models.backbones import BACKBONES
from keras_dr.models.grader import build_model, feature_layer, freeze, head_weights
from keras_dr.models.heads import softmax

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)


def test_logits_are_the_pooled_features_times_the_head() -> None:
    model = build_model("tiny", 64, 5)
    features = keras.Model(model.input, feature_layer(model).output).predict(IMAGES, verbose=0)
    kernel, bias = head_weights(model)
    expected = features.mean(axis=(1, 2)) @ kernel + bias
    assert model.predict(IMAGES, verbose=0) == pytest.approx(expected, abs=1e-5)


def learning(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.layers if layer.trainable_weights}


def test_frozen_backbone_leaves_the_head() -> None:
    model = build_model("tiny", 64, 5)
    freeze(model, None)
    assert learning(model) == {"logits"}


def test_batch_norms_stay_in_inference_mode_unless_asked() -> None:
    model = build_model("tiny", 64, 5)
    freeze(model, "all")
    assert not any(name.endswith("_bn") for name in learning(model)) and len(learning(model)) == 11
    freeze(model, "all", train_batch_norm=True)
    assert len(learning(model)) == 21


def test_last_block_and_a_number_of_layers() -> None:
    model = build_model("tiny", 64, 5)
    freeze(model, "last-block")
    assert learning(model) == {"block5a_conv", "block5b_conv", "logits"}
    freeze(model, 3, train_batch_norm=True)
    assert learning(model) == {"block5b_conv", "block5b_bn", "logits"}


def test_unknown_backbone_names_the_known() -> None:
    with pytest.raises(KerasDrError, match="mobilenetv2"):
        build_model("mobilenet", 64, 5)


def test_weights_that_cannot_be_had_are_explained(tmp_path, monkeypatch) -> None:
    with pytest.raises(KerasDrError, match="no such file"):
        build_model("mobilenetv2", 64, 5, str(tmp_path / "none.h5"))
    (tmp_path / "broken.weights.h5").write_bytes(b"x")
    with pytest.raises(KerasDrError, match="does not hold the weights of mobilenetv2"):
        build_model("mobilenetv2", 64, 5, str(tmp_path / "broken.weights.h5"))
    with pytest.raises(KerasDrError, match="no ImageNet weights for tiny"):
        build_model("tiny", 64, 5, "imagenet")

    def offline(*args: object, **settings: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(KerasDrError, match=r"copy that file into ~/\.keras/models"):
        build_model("efficientnetb0", 64, 5, "imagenet")


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    other = BACKBONES["densenet121"].build(include_top=False, weights=None, input_shape=(64, 64, 3))
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(KerasDrError, match="another --backbone"):
        build_model("mobilenetv2", 64, 5, str(tmp_path / "other.weights.h5"))


def test_softmax_by_hand_and_with_temperature() -> None:
    assert softmax(np.log([[1.0, 3.0]])) == pytest.approx(np.array([[0.25, 0.75]]))
    assert softmax(np.log([[1.0, 9.0]]), 2.0) == pytest.approx(np.array([[0.25, 0.75]]))
    assert np.isfinite(softmax(np.array([[1e4, -1e4]]))).all()
