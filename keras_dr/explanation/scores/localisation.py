"""Agreement of heat with lesion pixels: average precision, intersection over union, and the pointing game.

Masks give the share of each pixel that a lesion covers. Counts of lesion pixels are sums of these shares, so that a
lesion smaller than a pixel of the prepared photograph counts with its area.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.linspace(0.05, 0.95, 19)  # shares of a map's maximum, tried for the overlap
TOLERANCE = 0.03  # of the side, by which the hottest point may miss: 15 pixels of 500, as in Zhang et al.


@dataclass(frozen=True, eq=False)
class Localisation:
    """How well one map locates the lesions of one kind.

    Attributes:
        auprc: 0..1, average precision of the heat as a detector of lesion pixels inside the fundus; chance is the
            lesions' share of the fundus.
        pointing: whether the hottest point lies on a lesion or within `TOLERANCE` of one (J. Zhang et al., "Top-Down
            Neural Attention by Excitation Backprop", IJCV 2018); of several equally hot points, the share 0..1 that do.
        iou: float64 (19,), intersection over union of lesions and heat >= each of `THRESHOLDS`, 0..1.
    """

    auprc: float
    pointing: float
    iou: NDArray[np.float64]


class Ranking:
    """The pixels of a fundus from hot to cold, sorted once and compared with every kind of lesion.

    Args:
        heat: float (S, S), 0..1, above 0 in at least one pixel of the fundus.
        fundus: bool (S, S).
    """

    def __init__(self, heat: NDArray[np.floating], fundus: NDArray[np.bool_]) -> None:
        self.fundus = fundus
        inside = np.asarray(heat, np.float32)[fundus]
        self._order = np.argsort(-inside, kind="stable")
        falling = -inside[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # the last of equally hot pixels
        self._hotter = np.searchsorted(falling, -THRESHOLDS.astype(np.float32), side="right")

    def localise(self, mask: NDArray[np.floating]) -> Localisation | None:
        """Compare the heat with the lesions of one kind.

        Args:
            mask: float (S, S), the share 0..1 of each pixel that they cover.

        Returns:
            The figures, or None where the fundus has no lesion of this kind.
        """
        cover = mask[self.fundus].astype(np.float64)
        if not cover.any():
            return None
        covered = np.cumsum(cover[self._order])  # lesion pixels among the hottest 1, 2, ... pixels
        precision = covered[self._ends] / (self._ends + 1)
        recall = covered[self._ends] / covered[-1]
        intersection = np.append(0, covered)[self._hotter]
        hottest = self._order[: self._ends[0] + 1]
        near_lesion = _widened(mask)[self.fundus][hottest]
        return Localisation(
            auprc=float((np.diff(recall, prepend=0) * precision).sum()),
            pointing=float(near_lesion.mean()),
            iou=intersection / (covered[-1] + self._hotter - intersection),
        )


def _widened(mask: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each pixel lies on a lesion or within `TOLERANCE` of one: bool (S, S), from float (S, S)."""
    radius = round(TOLERANCE * mask.shape[0])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate((mask > 0).astype(np.uint8), disc) > 0
