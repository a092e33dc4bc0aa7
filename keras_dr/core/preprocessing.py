"""The one definition of how a photograph becomes the model's input, on the workstation and on the device.

decode -> stretch what was squashed -> find the fundus circle -> square crop around it -> area resize -> enhance ->
blacken outside the circle. Where no circle is found, or none sought, the whole photograph is padded to a square.
A JPEG is decoded at the smallest scale at which the fundus is still as wide as the model's input: an eighth of a
photograph's width takes a tenth of the time, and averages over the pixels that the resize would average over.
Needs NumPy, OpenCV and simplejpeg alone; `edge_demo` runs this very module.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import PAGES, Header, Image, decode_rgb, read_header
from keras_dr.core.errors import KerasDrError, brief
from keras_dr.core.fundus import THUMBNAIL, Finding, Fundus, examine, find_fundus
from keras_dr.core.samples import DEPTHS, UNDECIDED

SIZES = (28, 1024)  # from MedMNIST's; fundus photographs show their lesions at 224 to 768
FUNDUS = ("auto", "none")
_MAKE_AGAIN = "Copy the folder with prepared.json, run.json or bundle.json again, or make it again."
_CORRECT = "Correct --{}; if it stands in prepared.json, run.json or bundle.json, make that folder again."
COPY_SIDE = 64  # of the square on which `duplicates` knows copies: a photograph is decoded at least that wide


@dataclass(frozen=True, eq=False)
class Photograph:
    """A decoded photograph, reduced where the model's input needs no more.

    Attributes:
        pixels: uint8 RGB (h, w, 3), stretched.
        reduction: full width / w, but for rounding: 1, 2, 4 or 8.
        shape: (H, W) of the full photograph in its file, upright.
        fundus: its circle in pixels of the full photograph once it is stretched; None where there is none.
        stretched: (H, W) of the full photograph once it is stretched; None where it was not squashed.
        several: whether it shows two fundi or more.
    """

    pixels: Image
    reduction: int
    shape: tuple[int, int]
    fundus: Fundus | None
    stretched: tuple[int, int] | None = None
    several: bool = False


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a photograph before the model; travels in prepared.json, run.json and bundle.json.

    The last three stand there only where they differ from what was done before there were such choices: sets, runs and
    bundles made then keep their pixels.

    Attributes:
        size: side S of the prepared square, in pixels.
        enhance: "none", or names from `ENHANCEMENTS` joined by "+", applied in that order ("clahe+green").
        fundus: "auto": the crop is the circle of the fundus where there is one; "none": always the whole photograph,
            for sets that show no fundus, in which something round would now and then be taken for one.
        stretch: whether a fundus that is an ellipse, as the photograph was squashed, becomes a circle again; only where
            a fundus is sought. Before: no.
        page: which page of a TIFF file of several, "largest" or "first". Before: the first.
        bits: how many bits the samples of the set's sixteen-bit files use, see `samples.to_eight_bits`: 8, 10, 12, 14
            or 16; 0 where the set holds none. Before: None, the upper eight of sixteen.
    """

    size: int = 224
    enhance: str = "none"
    fundus: str = "auto"
    stretch: bool = True
    page: str = "largest"
    bits: int | None = UNDECIDED

    def __post_init__(self) -> None:
        if not SIZES[0] <= self.size <= SIZES[1]:
            message = f"The image size is {self.size}; it must be from {SIZES[0]} to {SIZES[1]}."
            raise KerasDrError(message, _CORRECT.format("size"))
        if self.enhance.count("+") >= len(ENHANCEMENTS):
            message = f"The enhancement {brief(self.enhance)} names one of its parts more than once."
            raise KerasDrError(message, "Leave out what is repeated.")
        unknown = [name for name in self.enhance.split("+") if name not in ("none", *ENHANCEMENTS)]
        if unknown:
            known = ", ".join(("none", *ENHANCEMENTS))
            message = f"There is no enhancement {brief(unknown[0])}; there are {known}."
            raise KerasDrError(message, "Join several by '+', as in clahe+green.")
        if self.fundus not in FUNDUS:
            message = f"The fundus option is {brief(self.fundus)}; it must be {' or '.join(FUNDUS)}."
            raise KerasDrError(message, _CORRECT.format("fundus"))
        if self.page not in PAGES:
            raise KerasDrError(f"The page is {brief(self.page)}, neither first nor largest.", _MAKE_AGAIN)
        if self.bits not in (None, UNDECIDED, *DEPTHS):
            depths = ", ".join(map(str, DEPTHS))
            raise KerasDrError(f"The number of bits is {brief(self.bits)}, none of 0, {depths}.", _MAKE_AGAIN)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """From `to_dict`'s dictionary, as read back from JSON; older ones know no `fundus`, and none of what follows.

        Raises:
            KerasDrError: a value out of range, or of another kind.
            LookupError: no `size` or `enhance`.
        """
        size, enhance = int(values["size"]), str(values["enhance"])
        bits, stretch = values.get("bits"), values.get("stretch", False)
        if not isinstance(stretch, bool):
            raise KerasDrError(f"The key stretch is {brief(stretch)}, neither true nor false.", _MAKE_AGAIN)
        if bits is not None and (not isinstance(bits, int) or isinstance(bits, bool)):
            raise KerasDrError(f"The number of bits is {brief(bits)}, no whole number.", _MAKE_AGAIN)
        page = str(values.get("page", "first"))
        fundus = str(values.get("fundus", "auto"))
        return cls(size, enhance, fundus, stretch, page, bits)

    def as_before(self) -> "Preprocessing":
        """The same as it was before photographs were stretched, pages chosen and bits counted."""
        return replace(self, stretch=False, page="first", bits=None)

    @property
    def options(self) -> str:
        """The options of `prepare` that ask for it."""
        return f"--size {self.size} --enhance {self.enhance} --fundus {self.fundus}"

    def fits(self, other: "Preprocessing") -> bool:
        """Whether a model can be given what the other prepares: of the same size, enhanced and cropped alike.

        How squashed photographs, pages and samples of many bits are read may differ: it belongs to the files.
        """
        return (self.size, self.enhance, self.fundus) == (other.size, other.enhance, other.fundus)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        values: dict[str, Any] = {"size": self.size, "enhance": self.enhance, "fundus": self.fundus}
        if self.stretch:
            values["stretch"] = True
        if self.page != "first":
            values["page"] = self.page
        if self.bits is not None:
            values["bits"] = self.bits
        return values


def crop_square(image: NDArray[np.uint8], fundus: Fundus | None, size: int) -> NDArray[np.uint8]:
    """The square around the fundus, padded with black, resized by area; without one, the whole photograph.

    Args:
        image: uint8 (H, W) or (H, W, C).
        fundus: circle in the image's pixels, or None.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size) or (size, size, C).
    """
    if fundus is None:
        return _letterbox(image, size)
    side = max(1, round(2 * fundus.radius))
    left, top = round(fundus.x + 0.5 - side / 2), round(fundus.y + 0.5 - side / 2)
    cut = image[max(top, 0) : top + side, max(left, 0) : left + side]
    above, before = max(-top, 0), max(-left, 0)
    below, behind = side - cut.shape[0] - above, side - cut.shape[1] - before
    cut = cv2.copyMakeBorder(cut, above, below, before, behind, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR)


def _letterbox(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The whole photograph, resized before it is padded: the square of 1 x 60,000 pixels would take 10.8 GB."""
    scale = size / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    strip = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale <= 1 else cv2.INTER_LINEAR)
    above, before = (size - height) // 2, (size - width) // 2
    below, behind = size - height - above, size - width - before
    return cv2.copyMakeBorder(strip, above, below, before, behind, cv2.BORDER_CONSTANT, value=(0, 0, 0))


@lru_cache(maxsize=8)
def circle_mask(size: int) -> NDArray[np.bool_]:
    """bool (size, size), read-only, True inside the inscribed circle: the fundus of a prepared image that has one."""
    axis = np.arange(size) - (size - 1) / 2
    mask = np.hypot(axis[:, None], axis[None, :]) <= size / 2
    mask.flags.writeable = False
    return mask


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


def read_photograph(data: bytes, spec: Preprocessing) -> Photograph:
    """Decode a photograph as far as the model's input needs it, stretch it where it was squashed, and find its fundus.

    Raises:
        KerasDrError: the bytes are no photograph, end within it, or hold samples that do not fit the spec.
    """
    header, size, seek = read_header(data, spec.page), max(spec.size, COPY_SIDE), spec.fundus == "auto"
    # most fundi are at least as wide as the photograph's shorter side: a guess that saves decoding twice
    reduction = _reduction(header, (min if seek else max)(header.height, header.width), size)
    pixels = decode_rgb(data, reduction, header, spec.bits)
    shape = (header.height, header.width) if reduction > 1 else pixels.shape[:2]
    finding = examine(pixels) if seek else Finding()
    fundus, stretched = finding.fundus, stretched_shape(shape, finding) if spec.stretch else None
    if stretched:
        longer = stretch(pixels, stretched, reduction)
        fundus = find_fundus(longer)
        pixels, stretched = (longer, stretched) if fundus else (pixels, None)
        fundus = fundus or finding.fundus
    if reduction > 1 and fundus and 2 * fundus.radius < size:
        reduction = _reduction(header, 2 * fundus.radius * reduction, size)
        pixels = decode_rgb(data, reduction, header, spec.bits)
        pixels = stretch(pixels, stretched, reduction) if stretched else pixels
        fundus = find_fundus(pixels)
    shape = shape if reduction > 1 else (header.height, header.width) if stretched else pixels.shape[:2]
    return Photograph(pixels, reduction, shape, fundus and fundus.scaled(reduction), stretched, finding.several)


def stretched_shape(shape: tuple[int, int], finding: Finding) -> tuple[int, int] | None:
    """(H, W) that a squashed photograph of (H, W) pixels must have for its fundus to be a circle; None if it is one.

    The shorter axis of its ellipse becomes as long as the other one, so that nothing is lost.
    """
    height, width = round(shape[0] * finding.heighten), round(shape[1] * finding.widen)
    return None if (height, width) == tuple(shape) else (height, width)


def stretch(pixels: NDArray[np.uint8], shape: tuple[int, int], reduction: int = 1) -> NDArray[np.uint8]:
    """A squashed photograph as it was before, bilinearly, by OpenCV's exact integer arithmetic.

    Args:
        pixels: uint8 (h, w) or (h, w, C).
        shape: (H, W) of the full photograph once it is stretched.
        reduction: by which `pixels` are smaller.
    """
    height, width = (-(-side // reduction) for side in shape)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)


def _reduction(header: Header, width: float, size: int) -> int:
    """The largest that leaves `size` pixels of `width`, and the thumbnail that shows the fundus what it needs."""
    longest = max(header.height, header.width)
    enough = [r for r in header.reductions if width >= size * r and longest >= THUMBNAIL * r]
    return max(enough, default=1)


def prepare_photograph(photograph: Photograph, spec: Preprocessing) -> tuple[Image, Fundus | None]:
    """What `prepare_image` does after `read_photograph`.

    Args:
        photograph: wide enough for the spec's size, as `read_photograph` with the same spec makes it.
        spec: what to do.

    Returns:
        uint8 RGB (S, S, 3), and the photograph's fundus circle (None: the whole photograph was used).
    """
    fundus = photograph.fundus
    image = crop_square(photograph.pixels, fundus and fundus.scaled(1 / photograph.reduction), spec.size)
    for name in spec.enhance.split("+"):
        if name != "none":
            image = ENHANCEMENTS[name](image)
    if fundus is not None:
        image = cv2.copyTo(image, circle_mask(spec.size).view(np.uint8))
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
    return prepare_photograph(read_photograph(data, spec), spec)[0]
