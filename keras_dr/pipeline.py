"""Prepared set -> tf.data batches; seed and epoch alone set order and augmentation, so a resumed run repeats them."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.config import Augmentation, Recipe
from keras_dr.preprocessing import decode_rgb

_MEMORY_BYTES = 4 << 30  # prepared photographs up to this size stay decoded in memory


class Photographs:
    """Prepared photographs by index, uint8 RGB (S, S, 3), decoded in memory where they fit.

    Args:
        files: PNG files of one size.
        size: their side S in pixels.
    """

    def __init__(self, files: Sequence[str], size: int) -> None:
        self.files, self.size = list(files), size
        self._decoded: tf.Tensor | None = None
        if len(self.files) * size * size * 3 <= _MEMORY_BYTES:
            self._decoded = tf.constant(self.array())
        self._files = tf.constant(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def array(self) -> NDArray[np.uint8]:
        """All of them, uint8 (n, S, S, 3)."""
        if self._decoded is not None:
            return self._decoded.numpy()
        images = np.empty((len(self.files), self.size, self.size, 3), np.uint8)

        def read(index: int) -> None:
            images[index] = decode_rgb(Path(self.files[index]).read_bytes())

        with ThreadPoolExecutor() as pool:
            list(pool.map(read, range(len(self.files))))
        return images

    def get(self, index: tf.Tensor) -> tf.Tensor:
        """One photograph inside tf.data: int64 () -> uint8 (S, S, 3)."""
        if self._decoded is not None:
            return self._decoded[index]
        image = tf.io.decode_png(tf.io.read_file(self._files[index]), channels=3)
        return tf.ensure_shape(image, (self.size, self.size, 3))

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """float32 (b, S, S, 3) in 0..255, in order, unchanged."""
        indices = tf.data.Dataset.range(len(self))
        images = indices.map(lambda index: tf.cast(self.get(index), tf.float32), tf.data.AUTOTUNE)
        return images.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def target_matrix(classes: int, recipe: Recipe) -> NDArray[np.float32]:
    """Row k: what the network is taught for label k. float32 (C, C), rows summing to 1.

    One-hot; with `ordinal_smoothing` t, softmax(-|i - k| / t) over classes i (R. Diaz and A. Marathe, "Soft Labels for
    Ordinal Regression", CVPR 2019); then `label_smoothing` s of it spread evenly (Szegedy et al., CVPR 2016).
    """
    index = np.arange(classes)
    targets = np.eye(classes)
    if recipe.ordinal_smoothing:
        targets = np.exp(-np.abs(index[:, None] - index[None, :]) / recipe.ordinal_smoothing)
        targets /= targets.sum(axis=1, keepdims=True)
    smoothed = (1 - recipe.label_smoothing) * targets + recipe.label_smoothing / classes
    return smoothed.astype(np.float32)


def class_weights(labels: NDArray[np.int64], classes: int, kind: str) -> NDArray[np.float32]:
    """Weight of each class in the loss, float32 (C,), mean 1 over the photographs.

    "balanced" is n / (C * count), as in scikit-learn; "sqrt" its square root, rescaled.
    """
    counts = np.bincount(labels, minlength=classes)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.maximum(counts, 1.0) ** -power
    return (weights * len(labels) / (weights * counts).sum()).astype(np.float32)


def training_batches(
    photographs: Photographs, labels: NDArray[np.int64], classes: int, recipe: Recipe, epoch: int, augment: bool
) -> tf.data.Dataset:
    """One epoch: (image float32 (b, S, S, 3) in 0..255, target float32 (b, C), weight float32 (b,)) batches.

    Args:
        photographs: the training photographs.
        labels: int64 (n,), class indices.
        classes: number C of classes.
        recipe: seed, batch size, targets, weights and augmentation.
        epoch: counted from 0 over both phases; sets order and augmentation together with the seed.
        augment: whether photographs are changed at random.
    """
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(photographs))
    targets = tf.constant(target_matrix(classes, recipe))
    weights = tf.constant(class_weights(labels, classes, recipe.class_weights))

    def load(index: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image = tf.cast(photographs.get(index), tf.float32)
        if augment:
            image = augmented(image, recipe.augmentation, tf.stack([recipe.seed * 100_003 + epoch, index]))
        return image, targets[label], weights[label]

    dataset = tf.data.Dataset.from_tensor_slices((order, labels[order]))
    return dataset.map(load, tf.data.AUTOTUNE).batch(recipe.batch_size).prefetch(tf.data.AUTOTUNE)


def augmented(image: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """A photograph changed at random; black surround stays black.

    Args:
        image: float32 (S, S, 3) in 0..255.
        settings: what may change, and how much.
        seed: int (2,); the same seed gives the same change.

    Returns:
        float32 (S, S, 3) in 0..255.
    """
    draws = tf.random.stateless_uniform((8,), seed)

    def factor(draw: tf.Tensor, strength: float) -> tf.Tensor:
        return 1 + strength * (2 * draw - 1)

    if settings.flip:
        image = tf.cond(draws[0] < 0.5, lambda: tf.reverse(image, [0]), lambda: image)
        image = tf.cond(draws[1] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
    if settings.quarter_turns:
        image = tf.image.rot90(image, tf.cast(draws[2] * 4, tf.int32))
    if settings.rotation or settings.zoom:
        angle = (factor(draws[3], settings.rotation) - 1) * (math.pi / 180)
        image = _turn_and_zoom(image, angle, factor(draws[4], settings.zoom))
    surround = tf.reduce_max(image, axis=2, keepdims=True) > 0
    if settings.saturation:
        grey = tf.reduce_mean(image, axis=2, keepdims=True)
        image = grey + (image - grey) * factor(draws[5], settings.saturation)
    if settings.contrast:
        mean = tf.reduce_mean(image)
        image = mean + (image - mean) * factor(draws[6], settings.contrast)
    if settings.brightness:
        image *= factor(draws[7], settings.brightness)
    return tf.where(surround, tf.clip_by_value(image, 0, 255), 0)


def _turn_and_zoom(image: tf.Tensor, angle: tf.Tensor, zoom: tf.Tensor) -> tf.Tensor:
    """Turn about the centre by an angle in radians and enlarge, bilinear, black where nothing was."""
    centre = (image.shape[0] - 1) / 2
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    transform = tf.stack(
        [cos, -sin, centre * (1 - cos + sin), sin, cos, centre * (1 - sin - cos), tf.zeros(()), tf.zeros(())]
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform[None],
        output_shape=image.shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
