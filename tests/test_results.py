"""The figures in the texts are those of docs/results.json, and the measuring commands write that file."""

import csv
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from places import ROOT

from keras_dr.core.folders import sha256_of
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.operating_points import AIMS, choose
from keras_dr.metrics.predictions import read_predictions

CROSS_VALIDATIONS = sorted((ROOT / "models" / "idrid-lite").glob("*out_of_fold.csv"))
SHARES = ("sensitivity", "specificity")
RESULTS = {"small": {"figures": {"kappa": [0.1234, 0.05, 0.2], "photographs": [1234.0], "difference": [0.00021]}}}
RESULTS["small"]["figures"]["change"] = [-0.1234, -1.23, 0.4]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import record

    return record


def test_every_marked_figure_is_that_of_the_file(record: ModuleType) -> None:
    wrong = record.disagreeing(json.loads(record.RESULTS.read_bytes()))
    assert not wrong, f"run python benchmarks/record.py write: {[file.name for file in wrong]}"
    marked = [file.name for file in record.texts() if "<!-- figures:" in file.read_text("utf-8")]
    assert {"README.md", "results.md"} <= set(marked)


def test_every_entry_says_how_it_was_measured(record: ModuleType) -> None:
    for name, entry in json.loads(record.RESULTS.read_bytes()).items():
        assert all(entry[key] for key in ("command", "data", "date", "machine", "figures")), name


@pytest.mark.parametrize("file", CROSS_VALIDATIONS, ids=lambda file: file.stem)
def test_cross_validations_that_are_compared_chose_their_thresholds_alike(file: Path) -> None:
    """Figures of one that was graded by an older version could not be compared with those of the others."""
    _, predictions, thresholds = read_predictions(file, sha256_of(file), TASKS["icdr"], "argmax")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    folds = np.array([row["fold"] for row in rows])
    for fold in set(folds):
        point = choose(predictions.subset(np.flatnonzero(folds == fold)), AIMS["sensitivity-90"])
        np.testing.assert_allclose(thresholds[folds == fold], point.value, rtol=0, atol=1e-9)
    np.testing.assert_array_equal([row["referred"] == "1" for row in rows], predictions.referred(thresholds))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it is .9 (.1 to .3)<!-- small: kappa --> of 2", "it is .1 (.1 to .2)<!-- small: kappa --> of 2"),
        ("2 graders, 0.99<!-- small: kappa (value) -->", "2 graders, 0.12<!-- small: kappa (value) -->"),
        ("-.9 (-1.9 to 2)<!-- small: change -->", "-.1 (-1.2 to 0)<!-- small: change -->"),
        ("1,000<!-- small: photographs -->", "1,234<!-- small: photographs -->"),
        ("3e-5<!-- small: difference -->", "2e-4<!-- small: difference -->"),
        ("# docs/results.json: small: photographs = 7\n", "# docs/results.json: small: photographs = 1,234\n"),
        (
            "<!-- figures: small -->\n\n| | v | i |\n|---|---|---|\n| kappa | .500 | .1 to .2 |\n",
            "<!-- figures: small -->\n\n| | v | i |\n|---|---|---|\n| kappa | .123 | .1 to .2 |\n",
        ),
    ],
)
def test_a_figure_is_written_in_the_form_of_the_text(record: ModuleType, text: str, expected: str) -> None:
    assert record.written(text, RESULTS) == expected


def test_a_mark_that_names_no_figure_is_refused(record: ModuleType) -> None:
    with pytest.raises(ValueError, match="no figure small: lappa"):
        record.written(".1<!-- small: lappa -->", RESULTS)


def test_the_tables_of_a_model_card_are_written(record: ModuleType) -> None:
    results = RESULTS | {"small-test": {"figures": {"kappa": [0.7, 0.6, 0.8]}}}
    rows = "|---|---|---|\n| kappa | .9 | .8 to .9 |\n"
    card = f"| figure | value | 95 % interval |\n{rows}\n| figure, test | value | 95 % interval |\n{rows}"
    tables = record.written(card, results, card="small").split("\n\n")
    assert "| kappa | .1 | .1 to .2 |" in tables[0] and "| kappa | .7 | .6 to .8 |" in tables[1]


def test_measurements_are_taken_into_the_file(
    record: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run" / "evaluation" / "set-val"
    folder.mkdir(parents=True)
    scores = {"precision": 0.5, "recall": 0.75, "support": 4}
    metrics = {
        "photographs": 6,
        "quadratic_kappa": 0.123456789,
        "classes": {"healthy": scores},
        "confusion_matrix": [[3, 1], [0, 2]],
        "operating_point": {"sensitivity": 1.0, "specificity": 0.5, "intervals": {key: [0.1, 1.0] for key in SHARES}},
        "intervals": {"quadratic_kappa": [-0.1, 0.3], "classes": {"healthy": {"recall": [0.3, 0.95]}}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    run = {"data": {"photographs": {"train": 20}}, "phases": {"frozen": {"seconds": 30}, "finetune": {"seconds": 60}}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(run))
    (tmp_path / "more.json").write_text('{"pooled kappa": [0.7, 0.6, 0.8], "seeds": 3}')
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results.json")
    words = ["record.py", "add", "new", "--evaluation", str(folder), "--figures", str(tmp_path / "more.json")]
    monkeypatch.setattr("sys.argv", [*words, "--command", "c", "--data", "d", "--machine", "m", "--date", "2026-11-26"])
    record.main()
    entry = json.loads((tmp_path / "results.json").read_bytes())["new"]
    assert entry["machine"] == "m" and entry["date"] == "2026-11-26"
    figures = entry["figures"]
    assert figures["quadratic kappa"] == [0.12346, -0.1, 0.3]
    assert figures["correct of healthy"] == [3, 4] and figures["training minutes"] == [1.5]
    assert figures["pooled kappa"] == [0.7, 0.6, 0.8] and figures["seeds"] == [3]
