from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import decode_rgb
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.preview import draw_photograph, draw_preview


def test_original_prepared_image_and_masks_stand_side_by_side(prepared_folder: Path, photographs: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    assert data.source == photographs.resolve()
    picture, missing = draw_photograph(data, data.rows[3]["image_id"])
    # 96 x 128 photographs are drawn 320 high, so 427 wide; two squares of 320; a margin of 6 each, a title of 28
    assert missing == "" and picture.shape == (348, 427 + 320 + 320 + 18, 3) and picture.dtype == np.uint8


def test_the_circle_lies_on_the_rim_of_the_fundus(prepared_folder: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    row = data.rows[3]
    picture, _ = draw_photograph(data, row["image_id"])
    height = decode_rgb((data.source / row["source"]).read_bytes()).shape[0]
    x, y, radius = (float(row[key]) * 320 / height for key in ("fundus_x", "fundus_y", "fundus_radius"))
    green = (picture[28:, :427] == (0, 230, 118)).all(axis=2)
    rows, columns = np.nonzero(green)
    assert len(rows) > 200 and np.abs(np.hypot(columns - x, rows - y) - radius).max() < 5


def test_a_lost_original_is_told(prepared_folder: Path, tmp_path: Path) -> None:
    data = replace(PreparedSet.load(prepared_folder), source=tmp_path)
    picture, missing = draw_photograph(data, data.rows[3]["image_id"])
    assert "No such file" in missing and picture.shape == (348, 2 * 326, 3)


def test_an_unknown_photograph_brings_near_names(prepared_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="p0001_left"):
        draw_photograph(PreparedSet.load(prepared_folder), "p0001_lefty")


def test_half_a_circle_is_not_drawn(prepared_folder: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    row = data.rows[3] | {"fundus_x": ""}
    picture, _ = draw_photograph(replace(data, rows=(row,)), row["image_id"])
    assert not (picture[28:, :427] == (0, 230, 118)).all(axis=2).any()


def test_photographs_without_a_class_are_said_to_be_not_graded(prepared_folder: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    row = data.rows[3] | {"label": ""}
    sheet = draw_preview(data.folder, [row], [""], data.preprocessing.size)
    side = sheet.shape[0]
    assert (sheet[:, :side] > 100).any()  # the place of the name is not empty
