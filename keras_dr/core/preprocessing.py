"""The one definition of how a photograph becomes the model's input, on the workstation and on the device.

decode -> stretch a squashed photograph -> find the fundus circle -> square crop around it -> area resize -> enhance ->
blacken outside the circle. If no circle is found or searched for, the whole photograph is padded to a square.
A JPEG is decoded at the smallest scale at which the fundus is still as wide as the model's input: decoding at an eighth
of the width takes a tenth of the time, and averages over the same pixels as the resize.
Needs only NumPy, OpenCV and simplejpeg, because `edge_demo` runs this module too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image, decode_rgb
from keras_dr.core.dicom import unwrap
from keras_dr.core.errors import KerasDrError, brief
from keras_dr.core.exact import equalise, shrink
from keras_dr.core.fundus import THUMBNAIL, Finding, Fundus, examine, find_fundus
from keras_dr.core.headers import PAGES, Header, read_header
from keras_dr.core.samples import DEPTHS, UNDECIDED

SIZES = (28, 1024)  # 28 is the size of MedMNIST; fundus photographs show their lesions at 224 to 768
FUNDUS = ("auto", "none")
_MAKE_AGAIN = "Copy the folder with prepared.json, run.json or bundle.json again, or create it again."
_CORRECT = "Correct --{}; if the value is in prepared.json, run.json or bundle.json, create that folder again."
COPY_SIDE = 64  # side of the square on which `duplicates` detects copies; photographs are decoded at least so wide


@dataclass(frozen=True, eq=False)
class Photograph:
    """A decoded photograph, which is reduced if the model's input needs fewer pixels.

    Attributes:
        pixels: uint8 RGB (h, w, 3), stretched if the photograph was squashed.
        reduction: the full width divided by w, except for rounding: 1, 2, 4 or 8.
        shape: (H, W) of the full photograph in its file, upright.
        fundus: the circle in pixels of the full photograph after stretching; None if there is none.
        stretched: (H, W) of the full photograph after stretching; None if it was not squashed.
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
    """The settings of preprocessing, which are stored in prepared.json, run.json and bundle.json.

    The last three are stored only if they differ from what older versions did, which had no such settings: sets, runs
    and bundles of those versions keep their pixels.

    Attributes:
        size: side S of the prepared square, in pixels.
        enhance: "none", or names from `ENHANCEMENTS` joined by "+", applied in that order ("clahe+green").
        fundus: "auto": crop to the circle of the fundus if there is one; "none": always use the whole photograph. That
            is for sets without fundi, in which another round object could be taken for one.
        stretch: whether a fundus that is an ellipse, because the photograph was squashed, becomes a circle again. It
            has no effect if `fundus` is "none". Older versions: False.
        page: which page of a TIFF file with several pages is read, "largest" or "first". Older versions: "first".
        bits: how many bits the samples of the set's sixteen-bit files use: 8, 10, 12, 14 or 16; 0 if the set has no
            such files. See `samples.to_eight_bits`. Older versions: None, which takes the upper eight of sixteen.
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
        parts = self.enhance.split("+")
        if len(set(parts)) < len(parts):
            message = f"The enhancement {brief(self.enhance)} names one of its parts more than once."
            raise KerasDrError(message, "Name each part once.")
        unknown = [name for name in parts if name not in ("none", *ENHANCEMENTS)]
        if unknown:
            known = ", ".join(("none", *ENHANCEMENTS))
            message = f"There is no enhancement {brief(unknown[0])}. Known are {known}."
            raise KerasDrError(message, "Join several by '+', as in clahe+green.")
        if self.fundus not in FUNDUS:
            message = f"The fundus option is {brief(self.fundus)}; it must be {' or '.join(FUNDUS)}."
            raise KerasDrError(message, _CORRECT.format("fundus"))
        if self.page not in PAGES:
            raise KerasDrError(f"The page is {brief(self.page)}; it must be first or largest.", _MAKE_AGAIN)
        if self.bits not in (None, UNDECIDED, *DEPTHS):
            depths = ", ".join(map(str, DEPTHS))
            raise KerasDrError(f"The number of bits is {brief(self.bits)}; it must be one of 0, {depths}.", _MAKE_AGAIN)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Return the settings in a dictionary from `to_dict`; those of older versions lack `fundus` and the later keys.

        Args:
            values: the dictionary, as it was read from JSON.

        Raises:
            KerasDrError: a value is out of range or of another type.
            LookupError: `size` or `enhance` is missing.
        """
        size = int(values["size"])
        enhance = str(values["enhance"])
        bits = values.get("bits")
        stretch = values.get("stretch", False)
        if not isinstance(stretch, bool):
            raise KerasDrError(f"The key stretch is {brief(stretch)}; it must be true or false.", _MAKE_AGAIN)
        if bits is not None and (not isinstance(bits, int) or isinstance(bits, bool)):
            raise KerasDrError(f"The number of bits is {brief(bits)}; it must be a whole number.", _MAKE_AGAIN)
        page = str(values.get("page", "first"))
        fundus = str(values.get("fundus", "auto"))
        return cls(size, enhance, fundus, stretch, page, bits)

    def as_before(self) -> "Preprocessing":
        """Return the settings that older versions used, which did not stretch, choose pages or count bits."""
        return replace(self, stretch=False, page="first", bits=None)

    @property
    def options(self) -> str:
        """The options of the command `prepare` for these settings."""
        return f"--size {self.size} --enhance {self.enhance} --fundus {self.fundus}"

    def fits(self, other: "Preprocessing") -> bool:
        """Whether a model trained with these settings can grade images prepared with the other settings.

        Size, enhancement and crop must be equal. The treatment of squashed photographs, pages and bits may differ,
        because it depends on the files.

        Args:
            other: the other settings.
        """
        return (self.size, self.enhance, self.fundus) == (other.size, other.enhance, other.fundus)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary for JSON."""
        values: dict[str, Any] = {"size": self.size, "enhance": self.enhance, "fundus": self.fundus}
        if self.stretch:
            values["stretch"] = True
        if self.page != "first":
            values["page"] = self.page
        if self.bits is not None:
            values["bits"] = self.bits
        return values


def crop_square(image: NDArray[np.uint8], fundus: Fundus | None, size: int) -> NDArray[np.uint8]:
    """Crop an image to the square around the fundus, pad it with black, and resize it by area.

    Args:
        image: uint8 (H, W) or (H, W, C).
        fundus: the circle in pixels of the image; None: the whole image is used.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size) or (size, size, C).
    """
    if fundus is None:
        return _letterbox(image, size)
    side = max(1, round(2 * fundus.radius))
    left = round(fundus.x + 0.5 - side / 2)
    top = round(fundus.y + 0.5 - side / 2)
    cut = image[max(top, 0) : top + side, max(left, 0) : left + side]
    cut = _pad(cut, side, max(-top, 0), max(-left, 0))
    if side >= size:
        return shrink(cut, size, size)
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_LINEAR)


def _letterbox(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Pad the whole photograph to a square.

    It is resized first, because the square of a photograph of 1 x 60,000 pixels would take 10.8 GB.
    """
    scale = size / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    if scale <= 1:
        strip = shrink(image, width, height)
    else:
        strip = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return _pad(strip, size, (size - height) // 2, (size - width) // 2)


def _pad(image: NDArray[np.uint8], side: int, top: int, left: int) -> NDArray[np.uint8]:
    """Pad an image with black to a square, with so many rows above it and columns to its left."""
    bottom = side - image.shape[0] - top
    right = side - image.shape[1] - left
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))


@lru_cache(maxsize=8)
def circle_mask(size: int) -> NDArray[np.bool_]:
    """Return where the fundus is in a prepared image: read-only bool (size, size), True in the inscribed circle."""
    axis = np.arange(size) - (size - 1) / 2
    mask = np.hypot(axis[:, None], axis[None, :]) <= size / 2
    mask.flags.writeable = False
    return mask


def _clahe(image: Image) -> Image:
    """Apply contrast-limited adaptive histogram equalisation to L in CIE Lab."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equalise(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _green(image: Image) -> Image:
    """Emphasise green: .1 R + .8 G + .1 B on all three channels (as published with dr-xai)."""
    grey = cv2.transform(image, np.array([[0.1, 0.8, 0.1]], np.float32))
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _ben_graham(image: Image) -> Image:
    """Subtract the local mean: 4 I - 4 G(I) + 128, G Gaussian of sigma S/30 (B. Graham, Kaggle DR report, 2015)."""
    local_mean = cv2.GaussianBlur(image, (0, 0), image.shape[0] / 30)
    return cv2.addWeighted(image, 4, local_mean, -4, 128)


ENHANCEMENTS: dict[str, Callable[[Image], Image]] = {"clahe": _clahe, "green": _green, "ben-graham": _ben_graham}


def read_photograph(data: bytes, spec: Preprocessing) -> Photograph:
    """Decode a photograph at the scale that the input needs, stretch it if it was squashed, and find its fundus.

    Args:
        data: the bytes of the file.
        spec: the settings.

    Raises:
        KerasDrError: the file is not a photograph, is truncated, or has samples that do not fit the settings.
    """
    data = unwrap(data)[0]  # once, although the photograph may be decoded twice
    header = read_header(data, spec.page)
    size = max(spec.size, COPY_SIDE)
    crops = spec.fundus == "auto"
    # most fundi are at least as wide as the shorter side of the photograph, so it is rarely decoded twice
    width = min(header.height, header.width) if crops else max(header.height, header.width)
    reduction = _reduction(header, width, size)
    pixels = decode_rgb(data, reduction, header, spec.bits)
    shape = (header.height, header.width) if reduction > 1 else pixels.shape[:2]
    finding = examine(pixels) if crops else Finding()
    fundus = finding.fundus
    stretched = stretched_shape(shape, finding) if spec.stretch else None
    if stretched:
        stretched_pixels = stretch(pixels, stretched, reduction)
        stretched_fundus = find_fundus(stretched_pixels)
        if stretched_fundus:
            pixels = stretched_pixels
            fundus = stretched_fundus
        else:
            stretched = None
    if reduction > 1 and fundus and 2 * fundus.radius < size:
        reduction = _reduction(header, 2 * fundus.radius * reduction, size)
        pixels = decode_rgb(data, reduction, header, spec.bits)
        if stretched:
            pixels = stretch(pixels, stretched, reduction)
        fundus = find_fundus(pixels)
    if reduction == 1:
        shape = (header.height, header.width) if stretched else pixels.shape[:2]
    full_fundus = fundus.scaled(reduction) if fundus else None
    return Photograph(pixels, reduction, shape, full_fundus, stretched, finding.several)


def stretched_shape(shape: tuple[int, int], finding: Finding) -> tuple[int, int] | None:
    """Return the size of a squashed photograph after stretching; None if it was not squashed.

    The shorter axis of the ellipse becomes as long as the longer one, so that nothing is lost.

    Args:
        shape: (H, W) of the photograph.
        finding: the result of `examine`.
    """
    height = round(shape[0] * finding.heighten)
    width = round(shape[1] * finding.widen)
    return None if (height, width) == tuple(shape) else (height, width)


def stretch(pixels: NDArray[np.uint8], shape: tuple[int, int], reduction: int = 1) -> NDArray[np.uint8]:
    """Stretch a squashed photograph by bilinear interpolation in OpenCV's exact integer arithmetic.

    Args:
        pixels: uint8 (h, w) or (h, w, C).
        shape: (H, W) of the full photograph after stretching.
        reduction: the factor by which `pixels` are smaller than the full photograph.
    """
    height, width = (-(-side // reduction) for side in shape)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)


def _reduction(header: Header, width: float, size: int) -> int:
    """Return the largest reduction that leaves `size` pixels of `width` and enough for the thumbnail of the fundus."""
    longest = max(header.height, header.width)
    possible = [
        reduction for reduction in header.reductions if width >= size * reduction and longest >= THUMBNAIL * reduction
    ]
    return max(possible, default=1)


def prepare_photograph(photograph: Photograph, spec: Preprocessing) -> tuple[Image, Fundus | None]:
    """Crop, resize and enhance a photograph, which is what `prepare_image` does after `read_photograph`.

    Args:
        photograph: the result of `read_photograph` with the same settings, or with a larger or equal size.
        spec: the settings.

    Returns:
        uint8 RGB (S, S, 3), and the fundus circle of the photograph; None: the whole photograph was used.
    """
    fundus = photograph.fundus
    circle = fundus.scaled(1 / photograph.reduction) if fundus else None
    image = crop_square(photograph.pixels, circle, spec.size)
    for name in spec.enhance.split("+"):
        if name != "none":
            image = ENHANCEMENTS[name](image)
    if fundus is not None:
        image = cv2.copyTo(image, circle_mask(spec.size).view(np.uint8))
    return image, fundus


def prepare_image(data: bytes, spec: Preprocessing) -> Image:
    """Return the model's input for a photograph.

    Args:
        data: the bytes of the photograph's file.
        spec: the settings.

    Returns:
        uint8 RGB (S, S, 3), black outside the fundus.

    Raises:
        KerasDrError: the file cannot be read as a photograph.
    """
    return prepare_photograph(read_photograph(data, spec), spec)[0]
