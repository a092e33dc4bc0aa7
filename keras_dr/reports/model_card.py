"""MODEL_CARD.md from run.json and metrics.json, with the metadata header that Hugging Face reads."""

from typing import Any

import yaml

from keras_dr.reports.evaluation_tables import (
    MAIN_FIGURES,
    class_table,
    figure_of,
    points_table,
    predictive_table,
    summary_table,
)
from keras_dr.reports.evaluation_words import in_words, positive_lines, size_in_words
from keras_dr.reports.tables import NOTICE, counted, markdown, show

MODEL_CARD = "MODEL_CARD.md"  # the name of the file in a Run and in a Bundle


def model_card(about: dict[str, Any], figures: dict[str, Any]) -> str:
    """Return the card as Markdown (M. Mitchell et al., "Model Cards for Model Reporting", FAccT 2019).

    Args:
        about: run.json.
        figures: metrics.json of the run's own test split.
    """
    recipe = about["recipe"]
    photographs = about["data"]["photographs"]
    temperature = figures["calibration"]["temperature"]
    chosen = "The last epoch was kept; thresholds" if recipe.get("keep") == "last" else "Epoch, thresholds"
    points = [markdown(points_table(figures)), markdown(predictive_table(figures))] if figures["positive"] else []
    parts = [
        f"# {recipe['backbone']} for {figures['positive'] or 'photographs'}, trained with keras_dr",
        NOTICE,
        "## Intended use",
        "The grader is meant for research on the grading of retinal fundus photographs into "
        f"{', '.join(about['classes'])}. The photographs are prepared at {about['preprocessing']['size']} pixels, as "
        "run.json specifies. The grader is not meant for screening, diagnosis or triage of patients, nor for cameras, "
        "populations or eye diseases that it was not measured on.",
        *positive_lines(figures),
        "## Training",
        f"The network has {about['parameters']:,} parameters; its initial weights were "
        f"{_weights(recipe['weights'])}. It was trained on {photographs['train']} photographs and validated on "
        f"{photographs['val']} photographs of {figures['set']}. {chosen} and temperature ({temperature:.3f}) were "
        "chosen on validation.",
        "## Figures",
        f"The grader was measured on the {figures['split']} split of {figures['set']}, which has "
        f"{size_in_words(figures)}. They were not used in training. " + " ".join(in_words(figures)),
        markdown(summary_table(figures)),
        markdown(class_table(figures)),
        *points,
        "Intervals of proportions are Wilson's; the others are percentile intervals of a bootstrap over patients.",
        "## Limits",
        *_limits(about, figures),
    ]
    header = yaml.safe_dump(_header(about, figures), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n\n".join(parts) + "\n"


def _weights(weights: str) -> str:
    """Return the recipe's weights without the folder that they were in."""
    return "random" if weights == "none" else weights.replace("\\", "/").rsplit("/", 1)[-1]


def _limits(about: dict[str, Any], figures: dict[str, Any]) -> list[str]:
    rare = [name for name, values in figures["classes"].items() if values["support"] < 20]
    limits = [
        "- Photographs from another camera, clinic or population will be graded worse; validate the grader there first."
    ]
    if rare:
        limits.append(f"- Classes with fewer than 20 test photographs have unreliable figures: {', '.join(rare)}.")
    for entry in about.get("started_from", ()):
        learned = (entry["met"] or {}).get("test")
        if learned is None:
            limits.append(
                f"- The training started from {entry['run']}; it is not known whether that run was trained on test "
                "photographs."
            )
        elif learned:
            photographs = counted(learned, "test photograph", "test photographs")
            limits.append(
                f"- The training started from {entry['run']}, which was trained on {photographs} of this set."
            )
    if figures["operating_point"]["held"] is False:
        limits.append("- The target of the referral threshold, which held on validation, was missed on test.")
    differing = set()
    for group in figures["subgroups"]:
        if any(figure["flagged"] for figure in group["figures"].values()):
            differing.add(f"{group['column']} {group['value']}")
    if differing:
        limits.append(f"- Subgroups graded differently from the rest: {', '.join(sorted(differing))}.")
    return ["\n".join(limits)]


def _header(about: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata (huggingface.co/docs/hub/model-cards); model-index holds the measured figures."""
    measured = []
    for name, title in MAIN_FIGURES.items():
        value, interval = figure_of(figures, name)
        if value is not None:
            text = title if interval is None else f"{title}, 95 % {show(interval[0])} to {show(interval[1])}"
            measured.append({"type": name, "name": text, "value": round(value, 4)})
    backbone = about["recipe"]["backbone"]
    return {
        "language": "en",
        "license": "other",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["diabetic-retinopathy", "fundus", "research", backbone],
        "datasets": [figures["set"]],
        "model-index": [
            {
                "name": f"keras_dr-{backbone}",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": figures["set"], "type": figures["set"], "split": figures["split"]},
                        "metrics": measured,
                    }
                ],
            }
        ],
    }
