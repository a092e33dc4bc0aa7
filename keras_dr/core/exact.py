"""Two steps of preprocessing whose pixels OpenCV rounds differently on Arm, computed as on x86-64.

OpenCV's builds for Arm fuse a multiplication and an addition into one instruction, which rounds once instead of twice.
That changes single pixels by one grey level in the area resize and in CLAHE; decoding and all other steps are equal.
The pixels of x86-64 are the reference, because models were trained on them. So on other processors NumPy does these
two steps: it multiplies and adds in separate operations, in OpenCV's order and in its single precision.
"""

import math
import platform

import cv2
import numpy as np
from numpy.typing import NDArray

OPENCV_IS_EXACT = platform.machine() in ("x86_64", "AMD64")
_BAND = 64  # rows of the result that are computed at a time, so that a large photograph takes little more memory
_TILES = 8
_CLIP_LIMIT = 2.0
_LEVELS = 256


def shrink(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize an image by area to a size that is not larger in either direction, equally on every processor.

    Args:
        image: uint8 (H, W) or (H, W, C).
        width: of the result, from 1 to W.
        height: of the result, from 1 to H.

    Returns:
        uint8 (height, width) or (height, width, C).
    """
    rows, columns = image.shape[:2]
    if OPENCV_IS_EXACT or (_is_whole(rows, height) and _is_whole(columns, width)):
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return _shrink_in_numpy(image, width, height)


def _is_whole(source: int, target: int) -> bool:
    """Whether OpenCV takes the factor between two sides for a whole number; then it adds integers, without rounding."""
    scale = 1 / (target / source)
    return abs(scale - round(scale)) < float(np.finfo(np.float64).eps)


def _shrink_in_numpy(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Do what OpenCV's `resize` with INTER_AREA does on x86-64: first across, then down, in single precision."""
    columns, column_weights = _cells(image.shape[1], width)
    rows, row_weights = _cells(image.shape[0], height)
    channels = (1,) * (image.ndim - 2)
    column_weights = column_weights.reshape(len(columns), width, *channels)
    row_weights = row_weights.reshape(len(rows), height, 1, *channels)
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    for top in range(0, height, _BAND):
        band = slice(top, top + _BAND)
        first = int(rows[:, band].min())
        source = image[first : int(rows[:, band].max()) + 1]
        across = source[:, columns[0]] * column_weights[0]
        for index, weights in zip(columns[1:], column_weights[1:], strict=True):
            across += source[:, index] * weights
        down = across[rows[0, band] - first] * row_weights[0, band]
        for index, weights in zip(rows[1:, band], row_weights[1:, band], strict=True):
            down += across[index - first] * weights
        result[band] = np.clip(np.rint(down), 0, 255)
    return result


def _cells(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return which source pixels lie in each target pixel, and their weights, as OpenCV computes them.

    Args:
        source: number of pixels in the source.
        target: number of pixels in the target.

    Returns:
        intp (n, target) and float32 (n, target), n the largest number of source pixels in a target pixel. Where there
        are fewer, the weight 0 is added.
    """
    scale = 1 / (target / source)
    cells: list[list[tuple[int, float]]] = []
    for number in range(target):
        start = number * scale
        end = start + scale
        width = min(scale, source - start)
        last = min(math.floor(end), source - 1)
        first = min(math.ceil(start), last)
        cell = [(first - 1, (first - start) / width)] if first - start > 1e-3 else []
        cell += [(index, 1 / width) for index in range(first, last)]
        if end - last > 1e-3:
            cell.append((last, min(end - last, 1.0, width) / width))
        cells.append(cell)
    count = max(map(len, cells))
    index = np.zeros((count, target), np.intp)
    weights = np.zeros((count, target), np.float32)
    for number, cell in enumerate(cells):
        for place in range(count):
            index[place, number], weights[place, number] = cell[place] if place < len(cell) else (cell[-1][0], 0.0)
    return index, weights


def equalise(light: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Apply contrast-limited adaptive histogram equalisation, equally on every processor.

    The clip limit is 2.0, and there are 8x8 tiles (K. Zuiderveld, Graphics Gems IV, 1994).

    Args:
        light: uint8 (H, W).

    Returns:
        uint8 (H, W).
    """
    if OPENCV_IS_EXACT:
        return cv2.createCLAHE(clipLimit=_CLIP_LIMIT, tileGridSize=(_TILES, _TILES)).apply(light)
    return _equalise_in_numpy(light)


def _equalise_in_numpy(light: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Do what OpenCV's CLAHE does on x86-64: a table for each tile, and bilinear interpolation between four of them."""
    height, width = light.shape
    padded = light
    if height % _TILES or width % _TILES:  # OpenCV then also pads a side that could be divided
        below = _TILES - height % _TILES
        right = _TILES - width % _TILES
        padded = cv2.copyMakeBorder(light, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    tile_height = padded.shape[0] // _TILES
    tile_width = padded.shape[1] // _TILES
    tiles = padded.reshape(_TILES, tile_height, _TILES, tile_width).swapaxes(1, 2).reshape(_TILES, _TILES, -1)
    tables = np.array([[_table(tile) for tile in row] for row in tiles]).astype(np.float32)
    above, under, down = _neighbours(height, tile_height)
    left, right_tile, across = _neighbours(width, tile_width)
    one = np.float32(1)
    upper = tables[above[:, None], left, light] * (one - across)
    upper += tables[above[:, None], right_tile, light] * across
    lower = tables[under[:, None], left, light] * (one - across)
    lower += tables[under[:, None], right_tile, light] * across
    mixed = upper * (one - down)[:, None]
    mixed += lower * down[:, None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _table(tile: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the new level of each level in a tile (n,): float32 (256,), whole numbers."""
    counts = np.bincount(tile, minlength=_LEVELS)
    limit = max(int(_CLIP_LIMIT * tile.size / _LEVELS), 1)
    surplus = int(np.maximum(counts - limit, 0).sum())
    share, rest = divmod(surplus, _LEVELS)
    counts = np.minimum(counts, limit) + share
    if rest:
        step = max(_LEVELS // rest, 1)
        counts[: rest * step : step] += 1
    return np.rint(np.cumsum(counts).astype(np.float32) * (np.float32(_LEVELS - 1) / np.float32(tile.size)))


def _neighbours(length: int, tile: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the tiles before and after each pixel of a side, and how far the pixel is from the first to the second."""
    position = np.arange(length, dtype=np.float32) * (np.float32(1) / np.float32(tile)) - np.float32(0.5)
    before = np.floor(position)
    share = position - before
    first = before.astype(np.intp)
    return np.maximum(first, 0), np.minimum(first + 1, _TILES - 1), share
