"""Batches of a Prepared set in tf.data.

Order and augmentation depend only on the seed and the epoch, so that a resumed run repeats them.

Photographs are read and augmented by NumPy and OpenCV in tf.data's threads, one batch per call, while the network
learns from the previous batch: OpenCV transforms a photograph in a tenth of the time that TensorFlow's operations take.
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
from keras_dr.core.machine import usable_cores
from keras_dr.preparation.prepared_set import read_image
from keras_dr.recipe import Recipe
from keras_dr.training.augmentation import augmented
from keras_dr.training.spread import DeviceSpread

_LOADERS = 8  # batches that are loaded at the same time at most; more would take memory, and wait for each other
_MEMORY_BYTES = 4 << 30  # prepared photographs up to this size stay decoded in memory


class Photographs:
    """Prepared photographs by index, uint8 RGB (S, S, 3).

    Args:
        files: PNG files of one size.
        size: their side S in pixels.
        keep: whether they will be read more than once; if so, they stay decoded in memory if they fit.
    """

    def __init__(self, files: Sequence[str], size: int, keep: bool = True) -> None:
        self.files = list(files)
        self.size = size
        self._decoded: NDArray[np.uint8] | None = None
        if keep and len(self.files) * size * size * 3 <= min(_MEMORY_BYTES, _memory_bytes() // 4):
            self._decoded = self.array()

    def __len__(self) -> int:
        return len(self.files)

    def array(self) -> NDArray[np.uint8]:
        """Return all photographs, uint8 (n, S, S, 3)."""
        if self._decoded is not None:
            return self._decoded
        images = np.empty((len(self), self.size, self.size, 3), np.uint8)

        def fill(index: int) -> None:
            images[index] = self._decode(index)

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(len(self))))
        return images

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the photographs at these indices, uint8 (n, S, S, 3), in an array that the caller may change."""
        if self._decoded is not None:
            return self._decoded[indices]
        return np.stack([self._decode(index) for index in indices])

    def _decode(self, index: int) -> Image:
        return read_image(Path(self.files[index]), self.size)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Return all photographs in order and unchanged, in batches float32 (b, S, S, 3) in 0..255."""
        indices = tf.data.Dataset.range(len(self)).batch(batch_size)
        return loaded(indices, self.tensor)

    def tensor(self, indices: tf.Tensor, read: Callable[[NDArray[np.int64]], NDArray[np.uint8]] | None = None) -> Any:
        """Return the photographs at the indices, inside tf.data, float32 (b, S, S, 3) in 0..255.

        Args:
            indices: int64 (b,).
            read: a function like `self.read`; None: `self.read`.
        """
        images = tf.numpy_function(read or self.read, [indices], tf.uint8)
        return tf.cast(tf.ensure_shape(images, (None, self.size, self.size, 3)), tf.float32)


def loaded(elements: tf.data.Dataset, load: Callable[..., Any]) -> tf.data.Dataset:
    """Return the elements of a dataset after `load`, in their order, some of them ahead of their use.

    How many are loaded at the same time is fixed. If tf.data chose it (`tf.data.AUTOTUNE`), the end of an epoch would
    wait for the thread that chooses: it sleeps 10 ms, then 20 ms, 40 ms and so on. With TensorFlow 2.21 an epoch of
    8.7 s took 10.25 s, and one of 21 s would take 41 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return elements.map(load, min(usable_cores(), _LOADERS)).prefetch(2).with_options(options)


def _memory_bytes() -> int:
    """Return the memory of the machine in bytes; a very large number if the system does not report it."""
    if not hasattr(os, "sysconf"):  # Windows
        return 1 << 62
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def target_matrix(classes: int, recipe: Recipe) -> NDArray[np.float32]:
    """Return the training targets of the labels: row k holds the shares of the classes for label k, float32 (C, C).

    Each row sums to 1. Targets are one-hot; with `ordinal_smoothing` t, they are softmax(-|i - k| / t) over classes i
    (R. Diaz and A. Marathe, "Soft Labels for Ordinal Regression", CVPR 2019). Then a share `label_smoothing` of each
    row is spread evenly over the classes (Szegedy et al., CVPR 2016).
    """
    index = np.arange(classes)
    targets = np.eye(classes)
    if recipe.ordinal_smoothing:
        targets = np.exp(-np.abs(index[:, None] - index[None, :]) / recipe.ordinal_smoothing)
        targets /= targets.sum(axis=1, keepdims=True)
    smoothed = (1 - recipe.label_smoothing) * targets + recipe.label_smoothing / classes
    return smoothed.astype(np.float32)


def class_weights(labels: NDArray[np.int64], classes: int, kind: str) -> NDArray[np.float32]:
    """Return the weight of each class in the loss, float32 (C,), with mean 1 over the photographs.

    "balanced" is n / (C * count), as in scikit-learn; "sqrt" is its square root, rescaled.
    """
    counts = np.bincount(labels, minlength=classes)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.maximum(counts, 1.0) ** -power
    return (weights * len(labels) / (weights * counts).sum()).astype(np.float32)


def drawing_order(labels: NDArray[np.int64], classes: int, recipe: Recipe, epoch: int) -> NDArray[np.int64]:
    """Return the indices of an epoch's photographs, int64 (n,): each once, or drawn with replacement for oversampling.

    Args:
        labels: int64 (n,), class indices.
        classes: number C of classes.
        recipe: sets the seed and oversampling, whose weights are for one photograph of each class.
        epoch: counted from 0 over both phases.

    Raises:
        KerasDrError: there is not one weight per class, or all classes that have photographs have the weight 0.
    """
    random = np.random.default_rng([recipe.seed, epoch])
    if recipe.oversampling == "none":
        return random.permutation(len(labels))
    if recipe.oversampling == "balanced":
        weights = 1 / np.maximum(np.bincount(labels, minlength=classes), 1)
    else:
        weights = np.asarray(recipe.oversampling)
    if len(weights) != classes or not weights[labels].any():
        raise KerasDrError(
            f"oversampling must have {classes} weights of classes, not all 0, but it is {recipe.oversampling}.",
            "Correct the recipe.",
        )
    shares = weights[labels] / weights[labels].sum()
    return random.choice(len(labels), len(labels), p=shares)


@dataclass(frozen=True)
class Batches:
    """Makes the training batches of an epoch.

    Attributes:
        labels: int64 (n,), class indices of the photographs.
        targets: float32 (C, K), row k is the target of the logits for class k.
        weights: float32 (C,), the weight of each class in the loss.
        recipe: sets seed, batch size, order and augmentation.
        spread: the devices that share each batch.
    """

    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    recipe: Recipe
    spread: DeviceSpread = field(default_factory=DeviceSpread)

    @property
    def steps(self) -> int:
        """The number of batches per epoch."""
        return -(-len(self.labels) // self.recipe.batch_size)

    def stretches(self, first_step: int = 0) -> Iterator[tuple[int, int | None, bool]]:
        """Return the stretches of an epoch, see `DeviceSpread.stretches`."""
        return self.spread.stretches(len(self.labels), self.recipe.batch_size, first_step)

    def batches(
        self,
        read: Callable[[tf.Tensor], tf.Tensor],
        epoch: int,
        first_step: int = 0,
        last_step: int | None = None,
        divided: bool = True,
        shares: NDArray[np.float32] | None = None,
    ) -> tf.data.Dataset:
        """Return batches of an epoch or its stretch: inputs from `read`, targets float32 (b, K), weights float32 (b,).

        Args:
            read: inside tf.data, int64 (b,) indices -> float32 (b, ...).
            epoch: counted from 0 over both phases; sets order and augmentation together with the seed.
            first_step: the first step of the stretch, from `stretches`.
            last_step: the step after its last, from `stretches`; None: to the end of the epoch.
            divided: whether its batches are divided among the devices, from `stretches`.
            shares: float32 (n, K), a target for each photograph; None: the targets of their labels.
        """
        size = self.recipe.batch_size
        order = drawing_order(self.labels, len(self.targets), self.recipe, epoch)
        end = len(order) if last_step is None else last_step * size
        order, size = self.spread.share(order[first_step * size : end], size, divided)
        targets = tf.constant(self.targets if shares is None else shares)
        weights = tf.constant(self.weights)

        def load(indices: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            target = tf.gather(targets, label if shares is None else indices)
            return read(indices), target, tf.gather(weights, label)

        dataset = tf.data.Dataset.from_tensor_slices((order, self.labels[order])).batch(size)
        return loaded(dataset, load)


def augmented_reader(photographs: Photographs, recipe: Recipe, epoch: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a reader in tf.data of augmented photographs: int64 (b,) indices -> float32 (b, S, S, 3) in 0..255."""

    def read(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = photographs.read(indices)
        for image, index in zip(images, indices, strict=True):
            image[:] = augmented(image, recipe.augmentation, np.random.default_rng([recipe.seed, epoch, index]))
        return images

    return lambda indices: photographs.tensor(indices, read)
