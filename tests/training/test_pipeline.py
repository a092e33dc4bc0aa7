import numpy as np
import pytest
from drawn import SIZE

from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import recipe_from_dict
from keras_dr.training.pipeline import (
    Batches,
    Photographs,
    augmented_reader,
    class_weights,
    drawing_order,
    target_matrix,
)


@pytest.fixture(scope="module")
def loaded(prepared_folder) -> Photographs:
    return Photographs(PreparedSet.load(prepared_folder).image_files(), SIZE)


def batches(loaded: Photographs, epoch: int, augment: bool = True, **settings: object) -> list:
    recipe = recipe_from_dict(settings)
    labels = np.arange(len(loaded)) % 5
    weights = class_weights(labels, 5, recipe.class_weights)
    train_batches = Batches(labels, target_matrix(5, recipe), weights, recipe)
    return list(train_batches.batches(augmented_reader(loaded, recipe, epoch) if augment else loaded.tensor, epoch))


def images(result: list) -> np.ndarray:
    return np.concatenate([batch[0] for batch in result])


def test_batches_hold_the_prepared_pixels_in_order(loaded: Photographs, prepared_folder) -> None:
    data = PreparedSet.load(prepared_folder)
    pixels = np.concatenate(list(loaded.batches(16).as_numpy_iterator()))
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels, [data.image(index) for index in range(len(data.rows))])


def test_reading_from_disk_equals_reading_from_memory(loaded: Photographs, monkeypatch) -> None:
    monkeypatch.setattr("keras_dr.training.pipeline._MEMORY_BYTES", 0)
    on_disk = Photographs(loaded.files, SIZE)
    assert np.array_equal(images(batches(on_disk, 0)), images(batches(loaded, 0)))
    assert np.array_equal(on_disk.array(), loaded.array())


def test_photographs_read_once_are_not_kept_in_memory(loaded: Photographs, monkeypatch) -> None:
    monkeypatch.setattr(Photographs, "array", lambda self: pytest.fail("all were decoded"))
    once = Photographs(loaded.files, SIZE, keep=False)
    assert np.array_equal(once.read(np.array([3])), loaded.read(np.array([3])))


def test_an_epoch_can_be_repeated_and_the_next_differs(loaded: Photographs) -> None:
    first, again, following = (images(batches(loaded, epoch)) for epoch in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, following)


def test_augmentation_does_not_depend_on_the_batch_size(loaded: Photographs) -> None:
    assert np.array_equal(images(batches(loaded, 2, batch_size=7)), images(batches(loaded, 2, batch_size=16)))


def test_augmentation_leaves_the_photographs_in_memory_alone(loaded: Photographs) -> None:
    before = loaded.array().copy()
    batches(loaded, 0)
    assert np.array_equal(loaded.array(), before)


def test_the_end_of_an_epoch_waits_for_no_thread_that_tunes_it(loaded: Photographs) -> None:
    train_batches = Batches(
        np.zeros(len(loaded), np.int64), np.eye(5, dtype=np.float32), np.ones(5), recipe_from_dict({})
    )
    for dataset in (loaded.batches(4), train_batches.batches(loaded.tensor, 0)):
        assert dataset.options().autotune.enabled is False


def test_weights_follow_the_labels(loaded: Photographs) -> None:
    result = batches(loaded, 1, class_weights="balanced")
    labels = np.concatenate([batch[1] for batch in result]).argmax(axis=1)
    expected = class_weights(np.arange(len(loaded)) % 5, 5, "balanced")[labels]
    assert np.array_equal(np.concatenate([batch[2] for batch in result]), expected)


def test_each_photograph_comes_once_per_epoch_with_its_own_label(loaded: Photographs) -> None:
    result = batches(loaded, 0, augment=False)
    drawn_images = images(result)
    labels = np.concatenate([batch[1] for batch in result]).argmax(axis=1)
    originals = loaded.array()
    order = [int(np.flatnonzero((originals == image).all(axis=(1, 2, 3)))[0]) for image in drawn_images]
    assert sorted(order) == list(range(len(loaded)))
    assert labels.tolist() == [index % 5 for index in order]


def test_augmentation_keeps_the_surround_black_and_the_range(loaded: Photographs) -> None:
    strong = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 90, "rotation": 180, "zoom": 0.2}
    pixels = images(batches(loaded, 0, augmentation=strong))
    assert pixels.min() == 0 and 200 < pixels.max() <= 255
    assert not pixels[:, 0, 0].any() and not pixels[:, -1, -1].any()


def test_balanced_weights_equal_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights(labels, 3, "balanced") == pytest.approx(expected)
    assert class_weights(labels, 3, "none") == pytest.approx([1, 1, 1])
    assert class_weights(labels, 3, "sqrt")[labels].mean() == pytest.approx(1)


def test_targets_by_hand() -> None:
    assert target_matrix(3, recipe_from_dict({})).tolist() == np.eye(3).tolist()
    assert target_matrix(4, recipe_from_dict({"label_smoothing": 0.2}))[1] == pytest.approx([0.05, 0.85, 0.05, 0.05])
    near, far = np.exp(-2), np.exp(-4)
    soft = target_matrix(3, recipe_from_dict({"ordinal_smoothing": 0.5}))
    assert soft[0] == pytest.approx(np.array([1, near, far]) / (1 + near + far))


def test_oversampled_photographs_are_drawn_in_proportion_to_their_weights() -> None:
    labels = np.repeat([0, 1, 2], [9000, 900, 100])
    drawn = labels[drawing_order(labels, 3, recipe_from_dict({"oversampling": [0.1, 1, 0]}), 0)]
    assert np.bincount(drawn, minlength=3) / len(drawn) == pytest.approx([0.5, 0.5, 0], abs=0.02)
    drawn = labels[drawing_order(labels, 3, recipe_from_dict({"oversampling": "balanced"}), 1)]
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.02)


def test_the_rest_of_an_epoch_is_its_end(loaded: Photographs) -> None:
    recipe = recipe_from_dict({"batch_size": 8})
    labels = np.arange(len(loaded)) % 5
    train_batches = Batches(labels, target_matrix(5, recipe), class_weights(labels, 5, "none"), recipe)
    whole, rest = (list(train_batches.batches(loaded.tensor, 4, step).as_numpy_iterator()) for step in (0, 3))
    assert len(rest) == len(whole) - 3 == train_batches.steps - 3
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(whole[3:], rest, strict=True))
