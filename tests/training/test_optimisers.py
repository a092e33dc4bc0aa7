import keras
import numpy as np
import pytest
from keras import layers

from keras_dr.recipe import Finetune, Phase
from keras_dr.training.optimisers import WarmupSchedule, layer_rates, make_optimizer, plateau_rate


def chain(*units: int) -> keras.Model:
    inputs = keras.Input((units[0],))
    x = inputs
    for width in units[1:]:
        x = layers.Dense(width)(x)
    return keras.Model(inputs, x)


def test_schedule_by_hand() -> None:
    schedule = WarmupSchedule(1.0, warmup_steps=4, total_steps=12, cosine=True)
    rates = [float(schedule(step)) for step in (0, 3, 4, 8, 12)]
    assert rates == pytest.approx([0.25, 1.0, 1.0, 0.5, 0.0], abs=1e-6)
    assert float(WarmupSchedule(0.5, 0, 10, cosine=False)(9)) == pytest.approx(0.5)


def test_plateau_halves_after_three_epochs_without_a_better_one() -> None:
    assert plateau_rate(1.0, []) == 1.0
    assert plateau_rate(1.0, [0.5, 0.4, 0.4]) == 1.0
    assert plateau_rate(1.0, [0.5, 0.4, 0.4, 0.5]) == 0.5
    assert plateau_rate(1.0, [0.5, 0.4, 0.4, 0.5, 0.1, 0.1, 0.1]) == 0.25
    assert plateau_rate(1.0, [0.5, 0.4, 0.4, 0.6, 0.1, 0.1]) == 1.0


def test_layer_rates_fall_geometrically_towards_the_image() -> None:
    settings = Finetune(epochs=1, learning_rate=1.0, first_layer_rate=0.01)
    assert layer_rates(settings, chain(2, 3, 4, 5)) == pytest.approx([0.01, 0.01, 0.1, 0.1, 1, 1])


def step(settings: Phase, count: int = 1) -> tuple[list[np.ndarray], list[np.ndarray], keras.Model, object]:
    """Return the weights before and after `count` steps of a gradient of ones."""
    model = chain(2, 3, 4)
    optimizer = make_optimizer(settings, 10, model)
    before = model.get_weights()
    for _ in range(count):
        optimizer.apply([np.ones_like(w) for w in before], model.trainable_variables)
    return before, model.get_weights(), model, optimizer


def test_each_layer_changes_by_its_own_rate() -> None:
    settings = Finetune(epochs=1, learning_rate=0.1, optimizer="sgd", first_layer_rate=0.1)
    before, after, _, _ = step(settings)
    changes = [float((a - b).mean()) for a, b in zip(after, before, strict=True)]
    assert changes[0] == pytest.approx(changes[3] / 10) and changes[3] == pytest.approx(-0.19)  # Nesterov: 1 + momentum


def test_gradients_are_clipped_to_the_norm() -> None:
    before, after, _, _ = step(Phase(epochs=1, learning_rate=1.0, optimizer="sgd", clip_norm=0.5))
    length = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True)))
    assert length == pytest.approx(0.5 * 1.9, rel=1e-5)


def test_weight_decay_spares_biases() -> None:
    settings = Phase(epochs=1, learning_rate=0.1, weight_decay=0.5)
    model = chain(2, 3)
    model.get_layer(index=1).set_weights([np.ones((2, 3)), np.ones(3)])
    make_optimizer(settings, 10, model).apply([np.zeros((2, 3)), np.zeros(3)], model.trainable_variables)
    kernel, bias = model.get_weights()
    assert kernel == pytest.approx(0.95) and bias == pytest.approx(1)


def test_accumulated_gradients_make_one_step_of_their_mean() -> None:
    settings = Phase(epochs=1, learning_rate=1.0, optimizer="sgd", accumulate=2)
    before, after, _, _ = step(settings, 1)
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
    before, after, _, _ = step(settings, 2)
    assert float((after[0] - before[0]).mean()) == pytest.approx(-1.9)


def test_running_means_of_the_weights_by_hand() -> None:
    settings = Phase(epochs=1, learning_rate=0.1, optimizer="sgd", ema=0.75)
    model = chain(1, 1)
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    optimizer = make_optimizer(settings, 10, model)
    kernels = []
    for _ in range(3):
        optimizer.apply([np.ones((1, 1)), np.ones(1)], model.trainable_variables)
        kernels.append(float(model.get_weights()[0][0, 0]))
    mean = kernels[0]  # Keras begins with the weights after the first step
    for kernel in kernels[1:]:
        mean = 0.75 * mean + 0.25 * kernel
    with optimizer.averaged():
        assert model.get_weights()[0][0, 0] == pytest.approx(mean, rel=1e-5)
    assert model.get_weights()[0][0, 0] == kernels[-1]
