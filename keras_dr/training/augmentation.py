"""Random changes of training photographs: one affine map for all movements, one matrix for all colour changes.

Both together take two OpenCV calls per photograph, a third of a millisecond at 224 pixels on one core, so that training
on the same cores hardly waits for them. Effects of another camera or file format (gamma, blur, resolution, compression)
are added if the recipe asks for them. TensorFlow is not needed.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image
from keras_dr.preparation.changes import at_resolution, blurred, compressed, saturation_matrix, with_gamma
from keras_dr.recipe import Augmentation

_MOVES = ("left_right", "up_down", "quarter", "rotation", "zoom", "x", "y")
_COLOURS = ("grayscale", "hue", "saturation", "contrast", "brightness")
_CAMERA = ("red", "green", "blue", "gamma", "resolution", "blur", "compression")
_QUARTER = np.array([[0, 1], [-1, 0]])
_NEXT_AXIS = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # red -> green -> blue -> red
Draws = dict[str, float]


def augmented(image: Image, settings: Augmentation, random: np.random.Generator) -> Image:
    """Return a randomly changed copy of a photograph; its black surround stays black.

    Args:
        image: uint8 RGB (S, S, 3).
        settings: what may change, and how much.
        random: the generator of random numbers; the same state gives the same change.

    Returns:
        uint8 RGB (S, S, 3).
    """
    # all numbers are drawn, so that one setting does not change the draws of another
    names = _MOVES + _COLOURS + _CAMERA
    draws = dict(zip(names, random.uniform(-1, 1, len(names)).tolist(), strict=True))
    side = image.shape[0]
    moved = cv2.warpAffine(image, movement(side, settings, draws), (side, side))
    coloured = cv2.transform(moved, colouring(np.array(cv2.mean(moved)[:3]), settings, draws))
    result = as_if_taken(coloured, settings, draws)
    return cv2.copyTo(result, cv2.bitwise_not(cv2.inRange(moved, (0, 0, 0), (0, 0, 0))))


def movement(side: int, settings: Augmentation, draws: Draws) -> NDArray[np.float64]:
    """Return the affine map of flips, then quarter turns, rotation and zoom about the centre, then translation.

    Args:
        side: the side of the photograph in pixels.
        settings: what may change, and how much.
        draws: a number in [-1, 1) for each of `_MOVES`.

    Returns:
        float64 (2, 3), from pixel (x, y, 1) of the photograph to pixel (x, y) of the result. All entries are whole
        numbers if there are only flips and quarter turns, so that these lose nothing.
    """
    linear = np.eye(2)
    if settings.flip:
        linear = np.diag([math.copysign(1, draws["left_right"]), math.copysign(1, draws["up_down"])])
    if settings.quarter_turns:
        linear = np.linalg.matrix_power(_QUARTER, math.floor(2 * draws["quarter"]) % 4) @ linear
    angle = math.radians(settings.rotation * draws["rotation"])
    zoom = 1 + settings.zoom * draws["zoom"]
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    linear = zoom * turn @ linear
    centre = np.full(2, (side - 1) / 2)
    shift = settings.translation * side * np.array([draws["x"], draws["y"]])
    return np.column_stack([linear, centre - linear @ centre + shift])


def colouring(mean: NDArray[np.float64], settings: Augmentation, draws: Draws) -> NDArray[np.float64]:
    """Return the matrix of all colour changes.

    Their order is hue, saturation or grey, contrast about the mean grey level, brightness, gains. Hue rotates
    colours about the grey axis by Rodrigues' formula (as P. Haeberli, "Matrix Operations for Image Processing", 1993),
    which leaves grey as it is.

    Args:
        mean: float64 (3,), mean RGB of the photograph in 0..255.
        settings: what may change, and how much.
        draws: a number in [-1, 1) for each of `_COLOURS`, and for "red", "green" and "blue".

    Returns:
        float64 (3, 4), from (R, G, B, 1) to RGB.
    """
    angle = math.radians(settings.hue * draws["hue"])
    cross_product = _NEXT_AXIS - _NEXT_AXIS.T  # with (1, 1, 1)
    hue = math.cos(angle) * np.eye(3) + (1 - math.cos(angle)) / 3 + math.sin(angle) / math.sqrt(3) * cross_product
    grey = (draws["grayscale"] + 1) / 2 < settings.grayscale
    saturation = 0.0 if grey else 1 + settings.saturation * draws["saturation"]
    matrix = saturation_matrix(saturation) @ hue
    contrast = 1 + settings.contrast * draws["contrast"]
    offset = (1 - contrast) * np.full((3, 1), (matrix @ mean).mean())
    brightness = 1 + settings.brightness * draws["brightness"]
    gains = 1 + settings.channel_gain * np.array([[draws["red"]], [draws["green"]], [draws["blue"]]])
    return gains * brightness * np.hstack([contrast * matrix, offset])


def as_if_taken(image: Image, settings: Augmentation, draws: Draws) -> Image:
    """Return the photograph with another camera's gamma, resolution, blur and compression, applied in this order.

    Args:
        image: uint8 RGB (S, S, 3).
        settings: what may change, and how much.
        draws: a number in [-1, 1) for each of "gamma", "resolution", "blur" and "compression".

    Returns:
        uint8 RGB (S, S, 3); the same array if none of these settings is used.
    """
    shares = {name: (draws[name] + 1) / 2 for name in _CAMERA}  # in [0, 1)
    side = image.shape[0]
    if settings.gamma:
        image = with_gamma(image, (1 + settings.gamma) ** draws["gamma"])
    if settings.resolution:
        image = at_resolution(image, 1 - settings.resolution * shares["resolution"])
    if settings.blur:
        image = blurred(image, settings.blur * shares["blur"] * side / 1000)
    if settings.compression:
        image = compressed(image, round(100 - settings.compression * shares["compression"]))
    return image
