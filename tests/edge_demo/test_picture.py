"""The picture of a grading shows the photograph as taken, with the heat where the model saw it."""

import cv2
import numpy as np
import pytest

from edge_demo import picture
from edge_demo.picture import HEIGHT, PANEL, draw_picture
from keras_dr.core.fundus import Fundus

PROBABILITIES = {"no_dr": 0.2, "moderate": 0.8}


def draw(photograph: np.ndarray, circle: Fundus | None, heatmap: np.ndarray) -> np.ndarray:
    return draw_picture(
        photograph, circle, heatmap, "moderate; refer: by grade", ["A reason."], PROBABILITIES, "moderate"
    )


def test_the_heat_lies_where_the_model_saw_it() -> None:
    # a grey photograph of 320 x 480, drawn at twice its size; its fundus has the radius 100 around (300, 150)
    photograph = np.full((320, 480, 3), 120, np.uint8)
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[4, 1] = 1.0  # the place at (1.5 / 8, 4.5 / 8) of the square around the fundus
    picture = draw(photograph, Fundus(300.0, 150.0, 100.0), heatmap)
    assert picture.shape == (HEIGHT + PANEL, 960, 3)
    changed = np.abs(picture[:HEIGHT].astype(int) - 120).sum(axis=2)
    y, x = np.unravel_index(changed.argmax(), changed.shape)
    assert x == pytest.approx(2 * (200 + 200 * 1.5 / 8), abs=8)
    assert y == pytest.approx(2 * (50 + 200 * 4.5 / 8), abs=8)
    assert not changed[:, :380].any() and not changed[:, 820:].any()  # nothing outside the fundus


def test_a_photograph_without_fundus_is_covered_whole() -> None:
    picture = draw(np.full((640, 640, 3), 120, np.uint8), None, np.ones((8, 8), np.float32))
    assert (picture[5:HEIGHT, 140:760] != 120).any(axis=2).all()


@pytest.mark.parametrize("shape", [(3, 2000), (2000, 3), (1, 1)])
def test_odd_photographs_are_drawn(shape: tuple[int, int]) -> None:
    picture = draw(np.full((*shape, 3), 90, np.uint8), None, np.zeros((2, 2), np.float32))
    assert picture.dtype == np.uint8 and picture.shape[1] >= 900


def test_texts_do_not_leave_their_place() -> None:
    long_line = "The photograph has faults: " + ", ".join(["blurred"] * 12) + "."
    picture = draw_picture(
        np.zeros((640, 900, 3), np.uint8),
        None,
        np.zeros((16, 16)),
        "g" * 60,
        [long_line] * 2,
        PROBABILITIES,
        "moderate",
    )
    panel = cv2.cvtColor(picture[HEIGHT:], cv2.COLOR_RGB2GRAY)
    assert not (panel[:, 880:] > 60).any()  # a margin stays free


@pytest.mark.parametrize(("headline", "rows"), [("moderate", 1), ("Right eye: proliferative; refer: by threshold", 2)])
@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_texts_do_not_run_over_each_other(headline: str, rows: int, count: int) -> None:
    many = {f"class_{index}": 1 / 14 for index in range(14)}
    for probabilities in (PROBABILITIES, many):
        lines = ["A reason."] * count
        black = np.zeros((640, 900, 3), np.uint8)
        picture = draw_picture(black, None, np.ones((5, 5)), headline, lines, probabilities, "x")
        panel = (picture[HEIGHT:] != picture[-1, -1]).any(axis=2)
        left = np.flatnonzero(np.diff(panel[:, 38:198].any(axis=1), prepend=False, append=False)).reshape(-1, 2)
        assert len(left) == rows + count + 1  # bands of the headline, of the sentences and of the colour bar
        assert left[-1, 1] - left[-1, 0] == 12
        assert not panel[-8:].any()
        glow = left[-1, 1] - 12  # the highest place of the text next to the bar
        assert not panel[glow - 2 : glow, 570:880].any()  # below the bars of the classes
        if rows == 1 and count <= 4 and probabilities is PROBABILITIES:
            assert len(panel) == PANEL


def test_lines_break_between_words_and_a_coarse_map_is_said_to_be_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(picture, "_write", lambda page, text, place, *rest: written.append(text) or place[1])
    draw(np.full((320, 480, 3), 120, np.uint8), None, np.ones((5, 5), np.float32))
    assert "Glow: evidence for moderate, share of its maximum." in written
    assert "The map is coarse: 5 x 5 places, which cannot show single lesions." in written
    written.clear()
    draw(np.full((320, 480, 3), 120, np.uint8), None, np.ones((7, 7), np.float32))
    assert not any("coarse" in text for text in written)
    lines = picture._lines("single lesions " * 20, 14, 400, 300)
    assert len(lines) > 3 and " ".join(lines).split() == ["single", "lesions"] * 20
