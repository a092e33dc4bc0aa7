"""Prepared set -> tf.data batches; seed and epoch alone set order and augmentation, so a resumed run repeats them.

Photographs are read and augmented by NumPy and OpenCV in tf.data's threads, a batch a call, while the one before it
trains: OpenCV moves and colours a photograph in a tenth of the time that the same takes in TensorFlow's operations.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core.decoding import Image
from keras_dr.core.errors import KerasDrError
from keras_dr.preparation.prepared_set import read_image
from keras_dr.recipe import Recipe
from keras_dr.training.augmentation import augmented
from keras_dr.training.spread import DeviceSpread

_MEMORY_BYTES = 4 << 30  # prepared photographs up to this size stay decoded in memory


class Photographs:
    """Prepared photographs by index, uint8 RGB (S, S, 3).

    Args:
        files: PNG files of one size.
        size: their side S in pixels.
        keep: whether they will be read more than once, and so stay decoded in memory where they fit.
    """

    def __init__(self, files: Sequence[str], size: int, keep: bool = True) -> None:
        self.files, self.size = list(files), size
        self._decoded: NDArray[np.uint8] | None = None
        if keep and len(self.files) * size * size * 3 <= min(_MEMORY_BYTES, _memory_bytes() // 4):
            self._decoded = self.array()

    def __len__(self) -> int:
        return len(self.files)

    def array(self) -> NDArray[np.uint8]:
        """All of them, uint8 (n, S, S, 3)."""
        if self._decoded is not None:
            return self._decoded
        images = np.empty((len(self), self.size, self.size, 3), np.uint8)

        def fill(index: int) -> None:
            images[index] = self._decode(index)

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(len(self))))
        return images

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some of them, in this order, uint8 (n, S, S, 3), the caller's own."""
        if self._decoded is not None:
            return self._decoded[indices]
        return np.stack([self._decode(index) for index in indices])

    def _decode(self, index: int) -> Image:
        return read_image(Path(self.files[index]), self.size)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """float32 (b, S, S, 3) in 0..255, in order, unchanged."""
        indices = tf.data.Dataset.range(len(self)).batch(batch_size)
        return indices.map(self.tensor, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def tensor(self, indices: tf.Tensor, read: Callable[[NDArray[np.int64]], NDArray[np.uint8]] | None = None) -> Any:
        """Inside tf.data: int64 (b,) -> float32 (b, S, S, 3) in 0..255, by `self.read` or another function like it."""
        images = tf.numpy_function(read or self.read, [indices], tf.uint8)
        return tf.cast(tf.ensure_shape(images, (None, self.size, self.size, 3)), tf.float32)


def _memory_bytes() -> int:
    """What the machine has; as much as anyone asks for where it does not tell."""
    if not hasattr(os, "sysconf"):  # Windows
        return 1 << 62
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def target_matrix(classes: int, recipe: Recipe) -> NDArray[np.float32]:
    """Row k: the classes that label k is said to be, in shares. float32 (C, C), rows summing to 1.

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


def drawing_order(labels: NDArray[np.int64], classes: int, recipe: Recipe, epoch: int) -> NDArray[np.int64]:
    """Indices of the photographs of an epoch, int64 (n,): each once, or drawn with replacement where oversampled.

    Args:
        labels: int64 (n,), class indices.
        classes: number C of classes.
        recipe: seed and oversampling, whose weights are of one photograph of each class.
        epoch: counted from 0 over both phases.

    Raises:
        KerasDrError: another number of weights than classes, or none above 0 for a class that is there.
    """
    random = np.random.default_rng([recipe.seed, epoch])
    if recipe.oversampling == "none":
        return random.permutation(len(labels))
    counts = np.bincount(labels, minlength=classes)
    balanced = recipe.oversampling == "balanced"
    weights = 1 / np.maximum(counts, 1) if balanced else np.asarray(recipe.oversampling)
    if len(weights) != classes or not weights[labels].any():
        expected = f"{classes} weights of classes under oversampling, not all 0"
        raise KerasDrError(expected, str(recipe.oversampling), "Correct the recipe.")
    shares = weights[labels] / weights[labels].sum()
    return random.choice(len(labels), len(labels), p=shares)


@dataclass(frozen=True)
class Batches:
    """What is taught: labels, as targets and weights.

    Attributes:
        labels: int64 (n,), class indices of the photographs.
        targets: float32 (C, K), row k is what the logits are taught for class k.
        weights: float32 (C,), of a class in the loss.
        recipe: seed, batch size, order and augmentation.
        spread: which devices share each batch.
    """

    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    recipe: Recipe
    spread: DeviceSpread = field(default_factory=DeviceSpread)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return -(-len(self.labels) // self.recipe.batch_size)

    def stretches(self, first_step: int = 0) -> Iterator[tuple[int, int | None, bool]]:
        """What of an epoch is trained alike, see `Spread.stretches`."""
        return self.spread.stretches(len(self.labels), self.recipe.batch_size, first_step)

    def batches(
        self,
        read: Callable[[tf.Tensor], tf.Tensor],
        epoch: int,
        first_step: int = 0,
        last_step: int | None = None,
        divided: bool = True,
    ) -> tf.data.Dataset:
        """One epoch, or a stretch of it: (what `read` gives, target (b, K), weight (b,)) batches.

        Args:
            read: inside tf.data, int64 (b,) indices -> float32 (b, ...).
            epoch: counted from 0 over both phases; sets order and augmentation together with the seed.
            first_step, last_step, divided: of the stretch, from `stretches`.
        """
        size = self.recipe.batch_size
        order = drawing_order(self.labels, len(self.targets), self.recipe, epoch)
        order = order[first_step * size : None if last_step is None else last_step * size]
        order, size = self.spread.share(order, size, divided)
        targets, weights = tf.constant(self.targets), tf.constant(self.weights)

        def load(indices: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return read(indices), tf.gather(targets, label), tf.gather(weights, label)

        dataset = tf.data.Dataset.from_tensor_slices((order, self.labels[order])).batch(size)
        return dataset.map(load, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def augmented_reader(photographs: Photographs, recipe: Recipe, epoch: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Inside tf.data: int64 (b,) indices -> float32 (b, S, S, 3) in 0..255, changed at random for this epoch."""

    def read(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = photographs.read(indices)
        for image, index in zip(images, indices, strict=True):
            image[:] = augmented(image, recipe.augmentation, np.random.default_rng([recipe.seed, epoch, index]))
        return images

    return lambda indices: photographs.tensor(indices, read)
