"""Keeps the figures of the texts in one file, docs/results.json, and writes them into the texts.

    python benchmarks/record.py add NAME --evaluation RUN/evaluation/idrid-val [--bundle BUNDLE] \\
        [--folds FOLDS] [--figures FILE.json] --command "..." --data "..." --machine "..." [--date 2026-11-26]
    python benchmarks/record.py write    # put the figures of docs/results.json into all texts
    python benchmarks/record.py check    # exit with 1 if a text and the file disagree

`add` reads what `evaluate`, `train` and `export` wrote, or a JSON file of another measuring script; nobody types a
figure. A text names one in one of three ways:

- a Markdown comment after numbers: `.757 (.583 to .887)<!-- idrid-lite: quadratic kappa -->`. With `(value)` behind the
  name, only the value is given, without its interval.
- a Markdown comment on a line of its own before a table: `<!-- figures: idrid-lite -->`. Each row whose first cell is
  the name of a figure holds its numbers. Each row must be one.
- a line in a recipe: `# docs/results.json: idrid-lite: training minutes = 24`.

The tables of figures in the model card of a shipped grader, which the page in the browser shows as plain text, need no
mark: the card's folder has the name of the entry, and the table of "figure, test" is that of the entry NAME-test. After
`<!-- table: benchmarks -->` stands the table of `benchmarks/results.json`, which `make bench` writes.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results.json"
TEXTS = (
    "README.md",
    "docs/*.md",
    "recipes/*.yaml",
    "models/*/MODEL_CARD.md",
    "edge_demo/models/*/MODEL_CARD.md",
)
Figures = Mapping[str, Sequence[float]]

NUMBER = r"[-−]?(?:\d[\d,]*)?\.?\d+(?:e-?\d+)?"
_INLINE = re.compile(r"<!-- (?P<entry>[\w-]+): (?P<figure>[^>]+?)(?P<value> \(value\))? -->")
_TABLE = re.compile(r"^<!-- figures: (?P<entry>[\w-]+) -->\n\n?(?P<table>(?:\|.*\n)+)", re.M)
_CARD = re.compile(r"^(?P<table>\| figure(?P<test>, test)? \| value \| 95 % interval \|\n(?:\|.*\n)+)", re.M)
_BENCHMARKS = re.compile(r"^<!-- table: benchmarks -->\n\n(?P<table>(?:\|.*\n)+)", re.M)
_RECIPE = re.compile(rf"^# docs/results\.json: (?P<entry>[\w-]+): (?P<figure>.+?) = (?P<number>{NUMBER})$", re.M)


def shown(value: float, pattern: str) -> str:
    """Return a value in the form of a number in a text: its decimals, and its way to write what is below 1."""
    if "e" in pattern:
        return f"{value:.0e}".replace("e-0", "e-")
    decimals = len(pattern.partition(".")[2])
    text = f"{value:,.{decimals}f}" if decimals == 0 else f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if pattern.lstrip("-−").startswith(".") and abs(value) < 1 else text


def replaced(text: str, values: Sequence[float], place: str, last: bool = False) -> str:
    """Return a text with its numbers replaced by values, in their order.

    Args:
        text: the text with at least as many numbers as there are values.
        values: the values.
        place: what the text is, for the message.
        last: whether only the last numbers of the text are meant, instead of all.

    Raises:
        ValueError: the text has another number of numbers.
    """
    found = list(re.finditer(NUMBER, text))
    if last:
        found = found[-len(values) :]
    if len(found) != len(values):
        raise ValueError(f"{place}: {len(found)} numbers, but the figure has {len(values)}.")
    for match, value in reversed(list(zip(found, values, strict=True))):
        text = text[: match.start()] + shown(value, match[0]) + text[match.end() :]
    return text


def look_up(results: Mapping[str, Any], entry: str, figure: str) -> list[float]:
    """Return the numbers of a figure: its value and, if it has one, its interval.

    Raises:
        ValueError: there is no such figure.
    """
    try:
        numbers: list[float] = results[entry]["figures"][figure]
    except KeyError:
        raise ValueError(f"docs/results.json has no figure {entry}: {figure}.") from None
    return numbers


def write_table(table: str, entry: str, results: Mapping[str, Any]) -> str:
    """Return a Markdown table with the numbers of the figures that its rows name."""
    rows = table.splitlines()
    for index, row in enumerate(rows[2:], 2):
        name = row.split("|")[1].strip()
        beginning, rest = f"|{row.split('|')[1]}|", "|".join(row.split("|")[2:])
        rows[index] = beginning + replaced(rest, look_up(results, entry, name), f"{entry}: {name}")
    return "\n".join(rows) + "\n"


def written(text: str, results: Mapping[str, Any], card: str = "") -> str:
    """Return a text in which every marked figure is that of the results.

    Args:
        text: the text.
        results: the content of docs/results.json.
        card: if the text is a model card, the entry with its figures.

    Raises:
        ValueError: a mark names no figure, or the text before it has too few numbers.
    """
    for table in reversed(list(_TABLE.finditer(text))):
        new = write_table(table["table"], table["entry"], results)
        text = text[: table.start("table")] + new + text[table.end("table") :]
    for table in reversed(list(_CARD.finditer(text))) if card else ():
        new = write_table(table["table"], f"{card}-test" if table["test"] else card, results)
        text = text[: table.start()] + new + text[table.end() :]
    for table in _BENCHMARKS.finditer(text):
        text = text[: table.start("table")] + benchmarks_table() + text[table.end("table") :]
    parts = []
    start = 0
    for mark in _INLINE.finditer(text):
        if mark["entry"] in ("figures", "table"):
            continue
        numbers = look_up(results, mark["entry"], mark["figure"])
        numbers = numbers[:1] if mark["value"] else numbers
        parts.append(replaced(text[start : mark.start()], numbers, mark[0], last=True) + mark[0])
        start = mark.end()
    text = "".join([*parts, text[start:]])
    for line in reversed(list(_RECIPE.finditer(text))):
        value = look_up(results, line["entry"], line["figure"])[0]
        text = text[: line.start("number")] + shown(value, line["number"]) + text[line.end("number") :]
    return text


def benchmarks_table() -> str:
    """Return the table that `make bench` printed."""
    import run  # beside this file

    return run.table(json.loads((ROOT / "benchmarks" / "results.json").read_bytes())["benchmarks"]) + "\n"


def texts(root: Path = ROOT) -> list[Path]:
    """Return all files that may hold marked figures."""
    return sorted(file for pattern in TEXTS for file in root.glob(pattern))


def disagreeing(results: Mapping[str, Any], root: Path = ROOT) -> dict[Path, str]:
    """Return the texts that do not agree with the results: file -> its text as it should be."""
    changed = {}
    for file in texts(root):
        text = file.read_text("utf-8")
        new = written(text, results, card=file.parent.name if file.name == "MODEL_CARD.md" else "")
        if new != text:
            changed[file] = new
    return changed


def evaluation_figures(folder: Path) -> dict[str, list[float]]:
    """Return the figures of an evaluation and of its run's training: name -> value, or value and interval."""
    metrics = json.loads((folder / "metrics.json").read_bytes())
    run = json.loads((folder.parents[1] / "run.json").read_bytes())
    names = {"quadratic kappa": "quadratic_kappa", "AUROC, referable DR": "auroc_referable", "accuracy": "accuracy"}
    names |= {"AUPRC, referable DR": "auprc_referable", "balanced accuracy": "balanced_accuracy"}
    figures = {name: [metrics[key], *metrics["intervals"][key]] for name, key in names.items() if key in metrics}
    point = metrics["operating_point"]
    for name in ("sensitivity", "specificity"):
        figures[f"{name} of the final action"] = [point[name], *point["intervals"][name]]
    for index, (name, scores) in enumerate(metrics["classes"].items()):
        figures[f"recall of {name}"] = [scores["recall"], *metrics["intervals"]["classes"][name]["recall"]]
        row = metrics["confusion_matrix"][index]
        figures[f"correct of {name}"] = [row[index], sum(row)]
    figures["photographs"] = [metrics["photographs"]]
    for split, photographs in run["data"]["photographs"].items():
        figures[f"{split} photographs"] = [photographs]
    figures["training minutes"] = [sum(phase["seconds"] for phase in run["phases"].values()) / 60]
    return figures


def robustness_figures(folder: Path) -> dict[str, list[float]]:
    """Return change -> kappa with its interval, AUROC, same grade, same referral; and the means of kappa and AUROC."""
    columns = ("quadratic_kappa", "quadratic_kappa_low", "quadratic_kappa_high", "auroc", "same_class", "same_referral")
    with (folder / "robustness.csv").open(newline="", encoding="utf-8") as stream:
        figures = {row["change"]: [float(row[column]) for column in columns] for row in csv.DictReader(stream)}
    mean = json.loads((folder / "metrics.json").read_bytes())["robustness"]["mean"]
    return figures | {"mean over the changes": [mean["quadratic_kappa"], mean["auroc"]]}


def folds_figures(folder: Path) -> dict[str, list[float]]:
    """Return photographs, kappa and AUROC of each fold, and of all photographs together, there with their intervals."""
    about = json.loads((folder / "cross_validation.json").read_bytes())
    keys = ("val_quadratic_kappa", "val_auroc")
    figures = {
        f"fold {number}": [fold["photographs"], *(fold[key] for key in keys)]
        for number, fold in enumerate(about["folds"], 1)
    }
    kappa, auroc = ([about["pooled"][key], *about["intervals"][key]] for key in keys)
    photographs = sum(fold["photographs"] for fold in about["folds"])
    figures["all folds together"] = [photographs, *kappa, *auroc]
    return figures | {"photographs": [photographs], "quadratic kappa": kappa, "AUROC, referable DR": auroc}


def bundle_figures(folder: Path) -> dict[str, list[float]]:
    """Return size and fidelity of each variant of a bundle."""
    parity = json.loads((folder / "parity.json").read_bytes())["figures"]
    figures = {}
    for variant, values in parity.items():
        figures[f"{variant}, MiB"] = [(folder / f"{variant}.tflite").stat().st_size / 2**20]
        figures[f"{variant}, same grade"] = [values["grade_agreement"]]
        figures[f"{variant}, largest probability difference"] = [values["largest_probability_difference"]]
        figures[f"{variant}, heat-map correlation"] = [values["heatmap_correlation"]]
    return figures


def add(arguments: argparse.Namespace) -> None:
    """Write the figures of a measurement into the results."""
    results = json.loads(RESULTS.read_bytes()) if RESULTS.is_file() else {}
    about = {name: getattr(arguments, name) for name in ("command", "data", "date", "machine")}
    figures: dict[str, list[float]] = {}
    if arguments.evaluation:
        figures |= evaluation_figures(arguments.evaluation)
        if (arguments.evaluation / "robustness.csv").is_file():
            results[f"{arguments.name}-robustness"] = {**about, "figures": robustness_figures(arguments.evaluation)}
    if arguments.bundle:
        figures |= bundle_figures(arguments.bundle)
    if arguments.folds:
        figures |= folds_figures(arguments.folds)
    if arguments.figures:
        more = json.loads(arguments.figures.read_bytes())
        figures |= {name: value if isinstance(value, list) else [value] for name, value in more.items()}
    results[arguments.name] = {**about, "figures": figures}
    for entry in results.values():
        entry["figures"] = {name: [float(f"{value:.5g}") for value in row] for name, row in entry["figures"].items()}
    RESULTS.write_text(compact(dict(sorted(results.items()))), "utf-8")


def compact(results: Mapping[str, Any]) -> str:
    """Return the results as JSON with one line per figure."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]]+\]", lambda found: json.dumps(json.loads(found[0])), text) + "\n"


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="action", required=True)
    adding = commands.add_parser("add", help="take the figures of an evaluation or a bundle into docs/results.json")
    adding.add_argument("name")
    adding.add_argument("--evaluation", type=Path)
    adding.add_argument("--bundle", type=Path)
    adding.add_argument("--folds", type=Path, help="a cross-validation")
    adding.add_argument("--figures", type=Path, help="JSON: name -> value, or value and interval")
    for name in ("command", "data", "machine"):
        adding.add_argument(f"--{name}", required=True)
    adding.add_argument("--date", default=datetime.now(timezone.utc).date().isoformat())
    commands.add_parser("write", help="put the figures into the texts")
    commands.add_parser("check", help="exit with 1 if a text and the file disagree")
    arguments = parser.parse_args()
    if arguments.action == "add":
        add(arguments)
        return
    results = json.loads(RESULTS.read_bytes())
    changed = disagreeing(results)
    for file, text in changed.items():
        print(file.relative_to(ROOT).as_posix())
        if arguments.action == "write":
            file.write_text(text, "utf-8")
    if not changed:
        print("Every marked figure is that of docs/results.json.")
    sys.exit(1 if changed and arguments.action == "check" else 0)


if __name__ == "__main__":
    main()
