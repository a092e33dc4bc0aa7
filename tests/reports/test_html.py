from pathlib import Path

import numpy as np

from keras_dr.datasets.grades import TASKS
from keras_dr.reports import html, tables
from keras_dr.reports.evaluation_plots import plot_confusion, plot_roc_pr


def test_page_needs_no_other_file_and_escapes_its_text(tmp_path: Path) -> None:
    plot_confusion(tmp_path / "a.png", [[1, 0], [2, 3]], ["x", "y"])
    evil = "<script>alert(1)</script>"
    table = tables.Table((evil, "n"), [(evil, 1)])
    parts = [evil, table, html.Picture(tmp_path / "a.png", f'"{evil}')]
    html.write_html(tmp_path / "report.html", evil, [html.Section(evil, parts)])
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/png;base64,") == 1
    assert "Not a medical device" in page


def test_an_interval_stands_below_its_figure_also_if_that_is_negative(tmp_path: Path) -> None:
    table = tables.Table(("name", "kappa"), [("a", "-0.062 (-0.404 to 0.348)")])
    html.write_html(tmp_path / "report.html", "", [html.Section("", [table])])
    expected = '<td class="number">-0.062<br><small>(-0.404 to 0.348)</small></td>'
    assert expected in (tmp_path / "report.html").read_text()


def test_tables_are_aligned_and_show_missing_values() -> None:
    lines = tables.text_table(tables.Table(("name", "value"), [("a", 0.12345), ("long name", None)])).splitlines()
    assert lines == ["name       value", "a          0.123", "long name      -"]


def test_an_interval_follows_its_figure() -> None:
    assert tables.with_interval(0.5, (0.25, 0.75)) == "0.500 (0.250 to 0.750)"
    assert tables.with_interval(None, None) == tables.show_interval(None) == "-"


def test_curves_are_drawn_even_if_nobody_is_referred(tmp_path: Path) -> None:
    points = {"default": {"sensitivity": 0.0, "specificity": 1.0, "ppv": None}}
    plot_roc_pr(tmp_path / "a.png", np.array([True, False, True]), np.array([0.3, 0.2, 0.1]), points, TASKS["icdr"])
    assert (tmp_path / "a.png").stat().st_size > 1000
