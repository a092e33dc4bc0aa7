"""Draws a grading for people: the photograph as it was taken, the heat map over it, and the result in words."""

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import overlay
from keras_dr.core.decoding import Image
from keras_dr.core.fundus import Fundus
from keras_dr.core.names import class_words

HEIGHT = 640  # of the photograph, pixels
WIDTH = (900, 1280)  # of the whole picture, pixels
PANEL = 214  # least height of the part below the photograph
COARSE = 7  # a map with fewer places in a direction is marked as coarse
_PAPER = (22, 22, 26)
_INK = (240, 240, 240)
_QUIET = (176, 176, 182)
_BAR = (120, 170, 255)
_MARGIN = 24


def draw_picture(
    photograph: Image,
    circle: Fundus | None,
    heatmap: NDArray[np.floating],
    headline: str,
    lines: list[str],
    probabilities: dict[str, float],
    grade: str,
) -> Image:
    """Draw the photograph with its heat map, and the result below.

    Args:
        photograph: uint8 RGB (h, w, 3), as taken, or reduced.
        circle: the fundus in its pixels; None: the heat map covers the whole photograph.
        heatmap: float (h, w), evidence for `grade`, as in `Grading`.
        headline: the grade and the action.
        lines: further sentences, such as the reason.
        probabilities: class name -> probability, 0..1.
        grade: the grade that the heat map is evidence for.

    Returns:
        uint8 RGB (H, W, 3).
    """
    drawn = _with_heat(photograph, circle, heatmap)
    top, drawn_width = drawn.shape[:2]
    width = max(WIDTH[0], drawn_width)
    bars = width - 330
    remarks = _scale_texts(heatmap, grade)
    measured = np.empty((1, width, 3), np.uint8)  # texts that are written below a page are only measured
    words_end = _write_all(measured, [headline, *lines], top, bars - 20)
    bars_end = top + 32 + (len(probabilities) - 1) * _bar_step(probabilities)
    scale = max(top + PANEL - 40, words_end + 34, bars_end + 14)
    scale_end = _write_remarks(measured, remarks, scale)
    page = np.full((max(top + PANEL, scale + 40, scale_end + 20), width, 3), _PAPER, np.uint8)
    left = (width - drawn_width) // 2
    page[:top, left : left + drawn_width] = drawn
    _write_all(page, [headline, *lines], top, bars - 20)
    _draw_scale(page, scale)
    _write_remarks(page, remarks, scale)
    _draw_probabilities(page, probabilities, grade, bars, top + 32)
    return page


def _write_all(page: Image, texts: list[str], top: int, right: int) -> int:
    """Write the headline and the sentences below it, and return the y of the last line."""
    y = _write(page, texts[0], (_MARGIN, top + 38), 26, _INK, 600, right) + 6
    for text in texts[1:]:
        y = _write(page, text, (_MARGIN, y + 24), 16, _INK, 400, right)
    return y


def _with_heat(photograph: Image, circle: Fundus | None, heatmap: NDArray[np.floating]) -> Image:
    """Return the photograph at the size of the picture, with the heat map where the model saw it."""
    height, width = photograph.shape[:2]
    scale = min(HEIGHT / height, WIDTH[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(photograph, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if circle is None:  # the whole photograph was padded to a square
        side = max(image.shape[:2])
        left = (image.shape[1] - side) / 2
        top = (image.shape[0] - side) / 2
    else:
        side = max(1, round(2 * circle.radius * scale))
        left = (circle.x + 0.5) * scale - side / 2
        top = (circle.y + 0.5) * scale - side / 2
    shift = np.array([[1.0, 0.0, round(left)], [0.0, 1.0, round(top)]])
    heat = overlay.enlarge(overlay.normalise(heatmap), side)
    if circle is not None:
        radius = round(0.49 * side)  # a little smaller, because the rim of the fundus is not quite black
        inside = cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), radius, 1, cv2.FILLED)
        heat = heat * inside
    placed = cv2.warpAffine(heat, shift, size, flags=cv2.INTER_NEAREST)
    return overlay.lay_over(image, placed)


def _draw_scale(page: Image, y: int) -> None:
    """Draw the colour bar of the heat map."""
    bar = overlay.lay_over(
        np.full((12, 160, 3), 90, np.uint8), np.tile(np.linspace(0, 1, 160, dtype=np.float32), (12, 1))
    )
    page[y - 11 : y + 1, _MARGIN + 14 : _MARGIN + 174] = bar
    _write(page, "0", (_MARGIN, y), 14, _QUIET, 400, _MARGIN + 14)
    _write(page, "1", (_MARGIN + 180, y), 14, _QUIET, 400, _MARGIN + 194)


def _scale_texts(heatmap: NDArray[np.floating], grade: str) -> list[str]:
    """Return what is said of the colour bar: what the glow means, and whether the map is coarse."""
    texts = [f"Glow: evidence for {class_words(grade)}, share of its maximum."]
    if not (np.asarray(heatmap) > 0).any():
        texts = [f"No glow: no place speaks for {class_words(grade)}."]
    rows, columns = heatmap.shape
    if min(rows, columns) < COARSE:
        texts.append(f"The map is coarse: {rows} x {columns} places, which cannot show single lesions.")
    return texts


def _write_remarks(page: Image, texts: list[str], y: int) -> int:
    """Write the texts next to the colour bar, and return the y of the last line."""
    y -= 20
    for text in texts:
        y = _write(page, text, (_MARGIN + 204, y + 20), 14, _QUIET, 400, page.shape[1] - _MARGIN)
    return y


def _bar_step(probabilities: dict[str, float]) -> int:
    """Return the distance of two bars in pixels."""
    return max(14, min(26, (PANEL - 70) // len(probabilities)))


def _draw_probabilities(page: Image, probabilities: dict[str, float], grade: str, x: int, y: int) -> None:
    """Draw a bar per class, with its name and its probability."""
    step = _bar_step(probabilities)
    for index, (name, probability) in enumerate(probabilities.items()):
        line = y + index * step
        colour = _INK if name == grade else _QUIET
        _write(page, class_words(name)[:18], (x, line), 15, colour, 600 if name == grade else 400, x + 128)
        length = round(110 * probability)
        cv2.rectangle(
            page, (x + 130, line - 11), (x + 130 + length, line), _BAR if name == grade else _QUIET, cv2.FILLED
        )
        _write(page, f"{probability:.3f}", (x + 250, line), 15, colour, 400, x + 310)


def _write(
    page: Image, text: str, place: tuple[int, int], size: int, colour: tuple[int, int, int], weight: int, right: int
) -> int:
    """Write a text, wrapped between words at `right`, and return the y of its last line."""
    font = cv2.FontFace("sans")
    x, y = place
    for number, line in enumerate(_lines(text, size, weight, right - x)):
        y += round(1.4 * size) if number else 0
        # a word that is wider than the place is broken
        end, drawn = cv2.putText(page, line, (x, y), colour, font, size, weight, cv2.PUT_TEXT_WRAP, (x, right))
        page[:] = drawn
        y = int(end[1])
    return y


def _lines(text: str, size: int, weight: int, width: int) -> list[str]:
    """Return a text in lines of at most this width in pixels, if its words allow it."""
    font = cv2.FontFace("sans")
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        extent = cv2.getTextSize((1, 1), longer, (0, 0), font, size, weight)[2]
        if extent > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
