"""Drawing of a heat map over its prepared image; the picture is the same on the workstation and on the device."""

import cv2
import numpy as np
from numpy.typing import NDArray

OPACITY = 0.6  # at the hottest point
# RGB at 0, 1/2 and 1: blues that grow lighter. They differ from an orange fundus also for the colour-blind, and from
# exudates, which are yellow or white.
STOPS = ((16, 16, 96), (0, 92, 230), (40, 225, 255))
_CHANNELS = [np.interp(np.linspace(0, 2, 256), (0, 1, 2), channel) for channel in zip(*STOPS, strict=True)]
_COLOURS = np.rint(np.stack(_CHANNELS, axis=1)).astype(np.uint8)[:, None]  # RGB (256, 1, 3)


def normalise(heatmap: NDArray[np.floating]) -> NDArray[np.float32]:
    """Divide positive evidence by its maximum: float (h, w) -> float32 (h, w) in 0..1; zeros if there is none."""
    positive = np.maximum(np.asarray(heatmap, np.float32), 0)
    peak = positive.max()
    return positive / peak if peak > 0 else positive


def enlarge(heatmap: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Enlarge a heat map by bilinear interpolation: float (h, w) -> float32 (size, size)."""
    return cv2.resize(np.asarray(heatmap, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def blend(image: NDArray[np.uint8], heatmap: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Draw a heat map over a prepared image, more opaque where it is hotter; the black surround stays black.

    Args:
        image: uint8 RGB (S, S, 3).
        heatmap: float (h, w) of any scale; positive values are evidence for the class.

    Returns:
        uint8 RGB (S, S, 3).
    """
    return lay_over(image, enlarge(normalise(heatmap), image.shape[0]))


def lay_over(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw heat over an image of the same size; black stays black.

    Args:
        image: uint8 RGB (H, W, 3).
        heat: float32 (H, W), 0..1.

    Returns:
        uint8 RGB (H, W, 3).
    """
    colours = cv2.applyColorMap(cv2.convertScaleAbs(heat, alpha=255), _COLOURS)
    opacity = np.float32(OPACITY) * heat
    opacity[cv2.inRange(image, (0, 0, 0), (0, 0, 0)) > 0] = 0
    # OpenCV needs a tenth of NumPy's time. It adds 1e-5 to the sum of the weights, which changes few pixels, by 1.
    return cv2.blendLinear(image, colours, 1 - opacity, opacity)
