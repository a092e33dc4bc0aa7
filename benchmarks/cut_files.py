"""Whether files that are cut short are refused, and complete files accepted, in all formats.

    python benchmarks/cut_files.py PHOTOGRAPHS [--cuts 5000] [--seed 1]

Each photograph is written as JPEG (baseline, progressive, with restart marks, grey, CMYK; subsampled or not), PNG,
TIFF, WebP, BMP and PPM. Each file is cut at 30 to 99 % of its length, with and without the format's end mark appended.

Measured on IDRiD's 516 photographs (5,000 cuts): no cut file was accepted, and no complete file was refused.
"""

import argparse
import io
from collections import Counter
from pathlib import Path
from random import Random

import cv2
import numpy as np
from PIL import Image

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.headers import read_header
from keras_dr.core.image_files import walk_images

JPEG_END, PNG_END = b"\xff\xd9", b"\0\0\0\0IEND\xaeB`\x82"
ORIENTATION = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"


def encodings(image: np.ndarray, rng: Random) -> dict[str, bytes]:
    """Return files of uint8 RGB (H, W, 3) by name; a name begins with the file's format."""
    picture = Image.fromarray(image)

    def saved(kind: str, mode: str = "RGB", **settings: object) -> bytes:
        stream = io.BytesIO()
        picture.convert(mode).save(stream, kind, **settings)
        return stream.getvalue()

    def jpeg(*options: int) -> bytes:
        return cv2.imencode(".jpg", image, options)[1].tobytes()

    files: dict[str, bytes] = {}
    for sampling in (0, 1, 2):
        files[f"jpeg {sampling}"] = saved("JPEG", quality=rng.choice((60, 80, 92)), subsampling=sampling)
        files[f"jpeg progressive {sampling}"] = saved("JPEG", subsampling=sampling, progressive=True)
    for interval in (1, 4, 50):
        files[f"jpeg restarts {interval}"] = jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, interval)
    files["jpeg restarts progressive"] = jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 7, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    files["jpeg grey"] = saved("JPEG", "L")
    files["jpeg CMYK"] = saved("JPEG", "CMYK")
    files["jpeg CMYK subsampled"] = saved("JPEG", "CMYK", subsampling=2)
    files["jpeg rotated"] = saved("JPEG", exif=ORIENTATION)
    files["jpeg extraneous"] = files["jpeg 2"][:-2] + b"\0\1\2" + JPEG_END
    files["png"] = saved("PNG")
    files["png small chunks"] = cv2.imencode(".png", image)[1].tobytes()
    files["png 16 bits"] = cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes()
    files["tiff"] = saved("TIFF")
    files["tiff lzw"] = saved("TIFF", compression="tiff_lzw")
    files["tiff jpeg"] = saved("TIFF", compression="jpeg")
    files["webp"] = saved("WEBP")
    files["webp lossless"] = saved("WEBP", lossless=True)
    files["bmp"] = saved("BMP")
    files["ppm"] = saved("PPM")
    return files


def is_accepted(data: bytes, rng: Random) -> bool:
    """Whether the file is decoded, at one of its possible scales."""
    try:
        header = read_header(data)
        decode_rgb(data, rng.choice(header.reductions), header)
    except KerasDrError:
        return False
    return True


def main() -> None:
    """Parse, cut, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--cuts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = Random(arguments.seed)
    files = list(walk_images(arguments.photographs))
    cuts = 0
    complete = 0
    faults: Counter[str] = Counter()
    while cuts < arguments.cuts:
        image = decode_rgb(rng.choice(files).read_bytes())
        scale = rng.choice((0.15, 0.3, 0.6))
        smaller = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for name, data in encodings(smaller, rng).items():
            complete += 1
            faults[f"{name}: complete, refused"] += not is_accepted(data, rng)
            end = {"jpeg": JPEG_END, "png": PNG_END}.get(name.split()[0], b"")
            for share in (rng.uniform(0.3, 0.99), rng.choice((0.3, 0.5, 0.8, 0.95, 0.99))):
                for mark in {b"", end}:
                    cuts += 1
                    faults[f"{name}: cut, accepted"] += is_accepted(data[: int(len(data) * share)] + mark, rng)
    print(f"{cuts} cut files and {complete} complete files; faults: {dict(+faults) or 'none'}")


if __name__ == "__main__":
    main()
