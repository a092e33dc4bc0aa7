"""Drawing of a heat map over its prepared image; the picture is the same on the workstation and on the device."""

import cv2
import numpy as np
from numpy.typing import NDArray

OPACITY = 0.6  # at the hottest point
# uint8 RGB (256, 1, 3); perceptually uniform, and distinct from the orange of a fundus
_VIRIDIS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()


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
    heat = enlarge(normalise(heatmap), image.shape[0])
    colours = cv2.applyColorMap(cv2.convertScaleAbs(heat, alpha=255), _VIRIDIS)
    opacity = np.float32(OPACITY) * heat
    opacity[cv2.inRange(image, (0, 0, 0), (0, 0, 0)) > 0] = 0
    # OpenCV needs a tenth of NumPy's time. It adds 1e-5 to the sum of the weights, which changes few pixels, by 1.
    return cv2.blendLinear(image, colours, 1 - opacity, opacity)
