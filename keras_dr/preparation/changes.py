"""Changes that another camera, a careless shot or another file format makes to a photograph.

Training applies some of them at random (`training.augmentation`); `evaluation.robustness` applies fixed ones.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image

_LUMA = np.array([0.299, 0.587, 0.114])  # grey of RGB, Rec. ITU-R BT.601


def with_gains(image: Image, gains: Sequence[float]) -> Image:
    """Multiply each colour by its own factor, as another white balance does.

    Args:
        image: uint8 RGB (H, W, 3).
        gains: the factors of red, green and blue, each at least 0.

    Returns:
        uint8 RGB (H, W, 3), cut off at 255.
    """
    return cv2.transform(image, np.diag(gains).astype(np.float64))


def with_saturation(image: Image, factor: float) -> Image:
    """Scale the distance of each pixel from its grey (Rec. ITU-R BT.601).

    Args:
        image: uint8 RGB (H, W, 3).
        factor: at least 0; 0 removes all colour, 1 changes nothing.

    Returns:
        uint8 RGB (H, W, 3).
    """
    return cv2.transform(image, saturation_matrix(factor))


def saturation_matrix(factor: float) -> NDArray[np.float64]:
    """Return the matrix of `with_saturation`.

    Args:
        factor: at least 0.

    Returns:
        float64 (3, 3), from RGB to RGB.
    """
    return factor * np.eye(3) + (1 - factor) * _LUMA


def with_gamma(image: Image, exponent: float) -> Image:
    """Raise each value, as a share of 255, to a power; an exponent above 1 darkens.

    Args:
        image: uint8 RGB (H, W, 3).
        exponent: > 0.

    Returns:
        uint8 RGB (H, W, 3).
    """
    levels = np.rint(255 * (np.arange(256) / 255) ** exponent)
    return cv2.LUT(image, levels.astype(np.uint8))


def at_resolution(image: Image, share: float) -> Image:
    """Reduce a photograph to a share of its sides, by averaging areas, and enlarge it again, bilinearly.

    Args:
        image: uint8 RGB (H, W, 3).
        share: in (0, 1].

    Returns:
        uint8 RGB (H, W, 3).
    """
    height, width = image.shape[:2]
    smaller = (max(1, round(width * share)), max(1, round(height * share)))
    if smaller == (width, height):
        return image
    reduced = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)


def blurred(image: Image, deviation: float) -> Image:
    """Blur with a Gaussian.

    Args:
        image: uint8 RGB (H, W, 3).
        deviation: standard deviation in pixels, at least 0; below a fifth of a pixel nothing changes.

    Returns:
        uint8 RGB (H, W, 3).
    """
    if deviation < 0.2:
        return image
    return cv2.GaussianBlur(image, (0, 0), deviation)


def compressed(image: Image, quality: int) -> Image:
    """Encode as a baseline JPEG file (4:2:0) and decode it.

    Args:
        image: uint8 RGB (H, W, 3).
        quality: 1 to 100, as libjpeg counts it.

    Returns:
        uint8 RGB (H, W, 3).
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    file = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def with_vignette(image: Image, strength: float) -> Image:
    """Darken a photograph towards its corners by 1 - strength (d / D)^2, d from the centre, D half the diagonal.

    Args:
        image: uint8 RGB (H, W, 3).
        strength: the share of light that the corners lose, 0 to 1.

    Returns:
        uint8 RGB (H, W, 3).
    """
    height, width = image.shape[:2]
    rows = np.arange(height) - (height - 1) / 2
    columns = np.arange(width) - (width - 1) / 2
    distance = (rows[:, None] ** 2 + columns**2) / (height**2 + width**2) * 4
    light = (1 - strength * distance).astype(np.float32)
    return np.rint(image * light[..., None]).astype(np.uint8)


def with_border(image: Image, share: float) -> Image:
    """Add a black border on the left and on top, so that the fundus is no longer in the middle.

    Args:
        image: uint8 RGB (H, W, 3).
        share: the width of the border as a share of the longer side, at least 0.

    Returns:
        uint8 RGB (H + b, W + b, 3).
    """
    border = round(share * max(image.shape[:2]))
    return cv2.copyMakeBorder(image, border, 0, border, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def squashed(image: Image, share: float) -> Image:
    """Make a photograph narrower but not lower, so that the fundus becomes an ellipse.

    Args:
        image: uint8 RGB (H, W, 3).
        share: the new width as a share of the old one, above 0.

    Returns:
        uint8 RGB (H, share W, 3).
    """
    height, width = image.shape[:2]
    return cv2.resize(image, (max(1, round(width * share)), height), interpolation=cv2.INTER_AREA)


def with_exposure(image: Image, factor: float) -> Image:
    """Multiply all colours by a factor, as less or more light does.

    Args:
        image: uint8 RGB (H, W, 3).
        factor: at least 0; below 1 the photograph becomes darker.

    Returns:
        uint8 RGB (H, W, 3), cut off at 255.
    """
    return with_gains(image, (factor, factor, factor))


def with_glare(image: Image, strength: float) -> Image:
    """Add a white reflection left of and above the middle; what is black around the fundus stays black.

    The light is a Gaussian whose standard deviation is a fifth of the longer side. It fills a share of the distance
    between a pixel and white.

    Args:
        image: uint8 RGB (H, W, 3).
        strength: that share at the brightest place, 0 to 1.

    Returns:
        uint8 RGB (H, W, 3).
    """
    height, width = image.shape[:2]
    spread = 0.2 * max(height, width)
    rows = (np.arange(height, dtype=np.float32) - 0.4 * height) / spread
    columns = (np.arange(width, dtype=np.float32) - 0.4 * width) / spread
    light = strength * np.exp(-(rows[:, None] ** 2 + columns**2) / 2) * _in_the_fundus(image)
    return np.rint(image + (255 - image.astype(np.float32)) * light[..., None]).astype(np.uint8)


def with_contrast(image: Image, factor: float) -> Image:
    """Scale the distance of each pixel from the mean colour of the fundus, as haze in front of the retina does.

    Args:
        image: uint8 RGB (H, W, 3).
        factor: 0 to 1; 0 leaves one colour, 1 changes nothing.

    Returns:
        uint8 RGB (H, W, 3); what is black around the fundus stays black.
    """
    inside = _in_the_fundus(image)
    mean = np.average(image.reshape(-1, 3), axis=0, weights=inside.ravel() + 1e-6).astype(np.float32)
    share = (1 - factor) * inside[..., None]
    return np.rint(image * (1 - share) + mean * share).astype(np.uint8)


def with_occlusion(image: Image, share: float) -> Image:
    """Make the upper part of a photograph black, as a lid or an iris in front of the camera does.

    Args:
        image: uint8 RGB (H, W, 3).
        share: the share of the rows, 0 to 1.

    Returns:
        uint8 RGB (H, W, 3).
    """
    occluded = image.copy()
    occluded[: round(share * image.shape[0])] = 0
    return occluded


def _in_the_fundus(image: Image) -> NDArray[np.float32]:
    """Return how far each pixel is from black, float32 (H, W): 0 is black, 1 is a sixth of white or brighter."""
    return np.minimum(image.max(axis=2).astype(np.float32) / (255 / 6), 1)
