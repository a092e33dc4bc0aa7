"""The one definition of how a photograph becomes the model's input, on the workstation and on the device.

decode -> find the fundus circle -> square crop around it -> area resize -> enhance -> blacken outside the circle.
Needs NumPy and OpenCV alone; `edge_demo` runs this very module.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.errors import KerasDrError

Image = NDArray[np.uint8]

SIZES = (32, 1024)  # 224 to 768 are meant for use; smaller ones keep tests quick
_THUMBNAIL = 256  # longest side in pixels of the copy on which the fundus is sought
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Fundus:
    """The circle of the fundus in a photograph.

    Attributes:
        x, y: centre in pixels of the photograph, x to the right, y down, (0, 0) the centre of the first pixel.
        radius: in pixels.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a photograph before the model; travels in prepared.json, run.json and bundle.json.

    Attributes:
        size: side S of the prepared square, in pixels.
        enhance: "none", or names from `ENHANCEMENTS` joined by "+", applied in that order ("clahe+green").
    """

    size: int = 224
    enhance: str = "none"

    def __post_init__(self) -> None:
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise KerasDrError(f"an image size from {SIZES[0]} to {SIZES[1]}", str(self.size), "Choose another --size.")
        unknown = [name for name in self.enhance.split("+") if name not in ("none", *ENHANCEMENTS)]
        if unknown:
            known = ", ".join(("none", *ENHANCEMENTS))
            raise KerasDrError(f"an enhancement among {known}", unknown[0], "Join several by '+', as in clahe+green.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """From `to_dict`'s dictionary, as read back from JSON."""
        return cls(size=int(values["size"]), enhance=str(values["enhance"]))

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)


def decode_rgb(data: bytes) -> Image:
    """Decode JPEG, PNG, TIFF, BMP or WebP: grey, RGB, RGBA, CMYK (JPEG); 8 or 16 bits; EXIF orientation applied.

    Transparent pixels are laid on black. Sixteen-bit samples keep their upper eight bits.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        KerasDrError: empty, or no image that OpenCV reads.
    """
    image = None
    if data:
        try:
            # JPEG has no alpha; only the "color" mode turns EXIF orientation and CMYK into upright RGB.
            upright = cv2.IMREAD_COLOR if data.startswith(_JPEG) else cv2.IMREAD_UNCHANGED
            image = cv2.imdecode(np.frombuffer(data, np.uint8), upright)
        except cv2.error:
            image = None
    if image is None:
        found = f"{len(data)} bytes that no decoder reads" if data else "an empty file"
        raise KerasDrError("a JPEG, PNG, TIFF, BMP or WebP photograph", found, "Copy the file again from its source.")
    return _to_rgb(image)


def _to_rgb(image: NDArray[Any]) -> Image:
    """uint8 RGB (H, W, 3) from any layout that cv2.imdecode returns (grey, BGR, BGRA; 8 or 16 bits, float)."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.uint16)
        image = ((image[..., :3] * alpha + 127) // 255).astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def find_fundus(image: Image) -> Fundus | None:
    """Find the circle of the fundus, also where the sensor cuts it at the sides and on dark photographs.

    On a thumbnail: pixels brighter than the surround by a tenth of the bright end's excess over it are foreground;
    a circle is fitted to the outline of its largest part (algebraic least squares: Kasa, IEEE Trans. Instrum. Meas.
    25(1), 1976), leaving out points on the image's border (there the sensor cut the disc) and, in three rounds, the
    points farthest from the circle.

    Args:
        image: uint8 RGB (H, W, 3).

    Returns:
        The circle, or None where there is no bright disc on a dark surround.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _THUMBNAIL / max(height, width))
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    mask = _foreground(small)
    if mask is None:
        return None
    circle = _fit_circle(mask)
    if circle is None or not _plausible(circle, mask):
        return None
    x, y, radius = circle / scale
    shift = (1 / scale - 1) / 2  # pixel centres, not corners, are the coordinates' origin
    return Fundus(float(x + shift), float(y + shift), float(radius))


def _foreground(small: Image) -> Image | None:
    """uint8 (h, w), 1 on the largest bright part of the thumbnail with its holes filled; None if all is alike."""
    if min(small.shape[:2]) < 8:
        return None
    light = cv2.medianBlur(np.ascontiguousarray(small.max(axis=2)), 5)
    surround, bright = np.percentile(light, (1, 95))
    if bright - surround < 8:
        return None
    mask = (light > surround + max(3.0, 0.1 * (bright - surround))).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    return cv2.drawContours(np.zeros_like(mask), [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)


def _fit_circle(mask: Image) -> NDArray[np.float64] | None:
    """(x, y, radius) in thumbnail pixels of the circle through the mask's outline, or None."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = contours[0][:, 0, :].astype(np.float64)
    limit = np.array(mask.shape[::-1]) - 3
    points = points[((points > 2) & (points < limit)).all(axis=1)]
    circle = None
    for keep in (1.0, 0.9, 0.8):
        if len(points) < 24:
            return None
        if circle is not None:
            off = np.abs(np.hypot(*(points - circle[:2]).T) - circle[2])
            points = points[off <= np.quantile(off, keep)]
        system = np.column_stack([2 * points, np.ones(len(points))])
        (x, y, c), *_ = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)
        circle = np.array([x, y, np.sqrt(max(c + x * x + y * y, 0.0)) + 0.5])
    return circle


def _plausible(circle: NDArray[np.float64], mask: Image) -> bool:
    """Whether the circle is of a fundus's size, its inside is foreground, and its outside is not (each to 85 %)."""
    x, y, radius = circle
    height, width = mask.shape
    if not 0.2 * min(height, width) <= radius <= 0.75 * max(height, width):
        return False
    rows, columns = np.ogrid[:height, :width]
    inside = np.hypot(columns - x, rows - y) <= radius
    if inside.all() or not inside.any():
        return False
    return bool(mask[inside].mean() >= 0.85 and mask[~inside].mean() <= 0.15)


def crop_square(image: NDArray[np.uint8], fundus: Fundus | None, size: int) -> NDArray[np.uint8]:
    """The square around the fundus (the whole photograph without one), padded with black, resized by area.

    Args:
        image: uint8 (H, W) or (H, W, C).
        fundus: circle in the image's pixels, or None.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size) or (size, size, C).
    """
    height, width = image.shape[:2]
    whole = Fundus((width - 1) / 2, (height - 1) / 2, max(height, width) / 2)
    circle = fundus or whole
    side = max(1, round(2 * circle.radius))
    left, top = round(circle.x + 0.5 - side / 2), round(circle.y + 0.5 - side / 2)
    cut = image[max(top, 0) : top + side, max(left, 0) : left + side]
    above, before = max(-top, 0), max(-left, 0)
    below, behind = side - cut.shape[0] - above, side - cut.shape[1] - before
    cut = cv2.copyMakeBorder(cut, above, below, before, behind, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR)


def circle_mask(size: int) -> NDArray[np.bool_]:
    """bool (size, size), True inside the inscribed circle: the fundus of a prepared image whose circle was found."""
    axis = np.arange(size) - (size - 1) / 2
    return np.hypot(axis[:, None], axis[None, :]) <= size / 2


def _clahe(image: Image) -> Image:
    """Contrast-limited adaptive histogram equalisation of L in CIE Lab, clip limit 2.0, 8x8 tiles (Zuiderveld 1994)."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _green(image: Image) -> Image:
    """Green emphasis: .1 R + .8 G + .1 B on all three channels (as published with dr-xai)."""
    grey = cv2.transform(image, np.array([[0.1, 0.8, 0.1]], np.float32))
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _ben_graham(image: Image) -> Image:
    """Subtract the local mean: 4 I - 4 G(I) + 128, G Gaussian of sigma S/30 (B. Graham, Kaggle DR report, 2015)."""
    local_mean = cv2.GaussianBlur(image, (0, 0), image.shape[0] / 30)
    return cv2.addWeighted(image, 4, local_mean, -4, 128)


ENHANCEMENTS: dict[str, Callable[[Image], Image]] = {"clahe": _clahe, "green": _green, "ben-graham": _ben_graham}


def prepare_decoded(photograph: Image, spec: Preprocessing) -> tuple[Image, Fundus | None]:
    """What `prepare_image` does after decoding.

    Args:
        photograph: uint8 RGB (H, W, 3).
        spec: what to do.

    Returns:
        uint8 RGB (S, S, 3), and the circle that was found in the photograph (None: the whole photograph was used).
    """
    fundus = find_fundus(photograph)
    image = crop_square(photograph, fundus, spec.size)
    for name in spec.enhance.split("+"):
        if name != "none":
            image = ENHANCEMENTS[name](image)
    if fundus is not None:
        image[~circle_mask(spec.size)] = 0
    return image, fundus


def prepare_image(data: bytes, spec: Preprocessing) -> Image:
    """The model's input from a photograph's file.

    Args:
        data: the bytes of the file.
        spec: what to do.

    Returns:
        uint8 RGB (S, S, 3), black outside the fundus.

    Raises:
        KerasDrError: the bytes are no photograph.
    """
    return prepare_decoded(decode_rgb(data), spec)[0]
