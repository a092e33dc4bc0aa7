import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from keras_dr.core.operating_point import OperatingPoint
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions
from keras_dr.reports import evaluation, evaluation_tables, evaluation_words, model_card

CHROMIUM = shutil.which("chromium")
ABOUT = {
    "recipe": {"backbone": "tiny", "weights": "/home/me/weights.h5"},
    "classes": list(TASKS["icdr"].classes),
    "preprocessing": {"size": 32},
    "data": {"photographs": {"train": 20, "val": 5}},
    "parameters": 1234,
    "model_sha256": "0" * 64,
}


def figures(**more: object) -> dict:
    predictions = Predictions(np.array([0, 1, 2, 3, 4, 4]), np.eye(5)[[0, 0, 2, 3, 4, 0]], TASKS["icdr"])
    measured = measure.measure(predictions, OperatingPoint(0.5, {"sensitivity": 0.9}), prevalence=0.1, resamples=50)
    usual = {"set": "small", "split": "test", "external": False, "internal": None, "seen_in_training": None}
    usual |= {"without_class": 0, "bands": [], "left_to_human": 0.2, "subgroups": [], "ungradable": None}
    usual |= {"per_patient": None, "patients": 20}
    usual["calibration"] = {"temperature": 1.5, "before": {"ece": 0.3, "log_loss": 1.0, "brier": 0.5}}
    return json.loads(json.dumps(measured | usual | more))


def test_terminal_text_has_figures_with_intervals_classes_and_points() -> None:
    text = evaluation.metrics_text(figures())
    lines = {line.split("  ")[0]: line.split() for line in text.splitlines() if line}
    assert lines["sensitivity, referable DR"][3:] == ["0.750", "0.301", "to", "0.954"]  # Wilson, 3 of 4
    assert lines["mild"][1:] == ["-", "0.000", "1.000", "0.000", "0.500", "1"]
    assert any(line.startswith("referral") and "missed" in line for line in text.splitlines())


def test_summary_for_a_clinician() -> None:
    text = evaluation_words.in_words(figures())[0]
    assert "Of 100 eyes with referable DR it misses 25 (5 to 70); of 100 without it, it refers 0 (0 to 66)." in text


def test_points_that_do_the_same_share_a_sentence_and_need_no_threshold() -> None:
    measured = figures()
    point = measured["operating_point"]
    other = point | {"threshold": 1.05, "sensitivity": 0.5, "specificity": 1.0}
    measured["operating_points"] = {"youden": point, "screening": point, "specificity-95": other}
    text = evaluation_words.in_words(measured)[0]
    assert "The points youden and screening do the same here." in text
    assert "The point specificity-95 would miss 50 and refer 0." in text
    thresholds = {row[0]: row[1] for row in evaluation_tables.points_table(measured).rows}
    assert thresholds["specificity-95"] == "none" and thresholds["youden"] == "0.500"


def test_a_promise_is_measured_in_the_unit_that_is_named(report: Path) -> None:
    promise = {"risk": 0.4, "confidence": 0.95, "unit": "blocks", "count": 6, "missed": 0, "data": "clinic"}
    measured = {"patients": 9, "missed": 2, "share": 2 / 9, "interval": [0.03, 0.6], "unit": "blocks"}
    promises = {"promise-40": measured | {"promise": promise | {"margin": 0.05}}}
    evaluation.write_report(report.parent, ABOUT, figures(promises=promises), report.parent)
    page = report.read_text()
    assert "at most 40 % of blocks with referable DR are missed" in page and "2 of 9 blocks" in page


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ({"external": True, "seen_in_training": {"train": 2, "val": 1}}, "3 of 6 photographs are in the run's own"),
        ({"external": True}, "unknown"),
        ({"split": "val"}, "too good"),
        ({"external": True, "seen_in_training": {"train": 1, "val": 0}}, "1 of 6 photographs is in the run's own"),
        ({"without_class": 4}, "4 photographs have no class in the run's task and were left out."),
        ({"without_class": 1}, "1 photograph has no class in the run's task and was left out."),
        ({"patients": 19}, "only 19 patients"),
    ],
)
def test_warnings_about_the_figures_come_first(more: dict, warning: str) -> None:
    assert warning in evaluation_words.warnings(figures(**more))[0]


def test_a_fair_test_has_no_warning() -> None:
    assert evaluation_words.warnings(figures()) == []


def test_the_card_has_metadata_and_names_no_folder() -> None:
    card = model_card.model_card(ABOUT, figures())
    _, header, body = card.split("---\n", 2)
    measured = yaml.safe_load(header)["model-index"][0]["results"][0]["metrics"]
    assert {"type": "sensitivity", "name": "sensitivity, 95 % 0.301 to 0.954", "value": 0.75} in measured
    assert "weights.h5" in body and "/home" not in card
    assert "The target of the referral threshold" in body and "Classes with fewer than 20 test photographs" in body


@pytest.fixture
def report(tmp_path: Path) -> Path:
    for name in ("confusion", "roc-pr", "reliability", "coverage", "samples"):
        Figure((1, 1)).savefig(tmp_path / f"{name}.png")
    text = "image_id,copy_of,split,grade,kind,conflict\n<b>,a,test,1,near,yes\na,a,train,0,near,yes\n"
    (tmp_path / "duplicates.csv").write_text(text)
    evaluation.write_report(tmp_path, ABOUT, figures(), tmp_path)
    return tmp_path / "report.html"


def test_the_report_lists_conflicting_copies(report: Path) -> None:
    page = report.read_text()
    assert "1 group of copies has different grades" in page and "&lt;b&gt;" in page and "<b>" not in page


def browse(page: Path, folder: Path) -> tuple[str, list[str]]:
    """Return what a browser logs for a page in a file, and the URLs that the page requested from any server."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--timeout=5000"]
    command += [f"--log-net-log={folder / 'net.json'}", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, f"--screenshot={folder / 'shot.png'}", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    events = [event.get("params", {}) for event in json.loads((folder / "net.json").read_text())["events"]]
    # requests of the browser itself belong to no page
    requested = {event.get("url", "") for event in events if event.get("network_isolation_key", "").startswith("file:")}
    return done.stderr, [url for url in requested if url.startswith(("http", "ws", "ftp"))]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_the_report_without_error_or_request(report: Path, tmp_path: Path) -> None:
    messages, requested = browse(report, tmp_path)
    assert "CONSOLE" not in messages and requested == []
    assert (tmp_path / "shot.png").stat().st_size > 10_000
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://192.0.2.1/x.png"><script>console.error("oops")</script>')
    messages, requested = browse(bad, tmp_path)
    assert "CONSOLE" in messages and requested == ["http://192.0.2.1/x.png"]
