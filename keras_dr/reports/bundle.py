"""The MODEL_CARD.md of a bundle, which adds how its models behave on a device to the run's card; tables of a bundle."""

from typing import Any

from keras_dr.core.decision import MARGIN, condition_words, positive_words
from keras_dr.core.operating_point import points_in_words, points_of
from keras_dr.core.quality import FAULTS
from keras_dr.reports.tables import NOTICE, Table, counted, markdown, show, text_table


def bundle_card(about: dict[str, Any], figures: dict[str, dict[str, Any]], run_card: str | None) -> str:
    """Return the card as Markdown.

    Args:
        about: bundle.json.
        figures: variant -> its figures, as in parity.json.
        run_card: MODEL_CARD.md of the run; None if the run was never evaluated.
    """
    parts = [run_card.rstrip() if run_card else _unmeasured(about), *_variants(about, figures), *_reading(about)]
    return "\n\n".join([*parts, "## Licence", about["licence"]]) + "\n"


def _unmeasured(about: dict[str, Any]) -> str:
    return (
        f"# {about['backbone']} for {', '.join(about['classes'])}, trained with keras_dr\n\n{NOTICE}\n\n"
        f"Initial weights: {about['weights']}. The grader was not measured on test photographs: evaluate the run, then "
        "export it again."
    )


def _variants(about: dict[str, Any], figures: dict[str, dict[str, Any]]) -> list[str]:
    calibration = about["calibration"]
    gate = about["parity"]
    count = next(iter(figures.values()))["photographs"]
    photographs = counted(count, "validation photograph", "validation photographs")
    failed = [f"- {name} failed: {'; '.join(reasons)}." for name, reasons in gate["failures"].items()]
    limits = []
    for name, variant_limits in gate["limits"].items():
        texts = [f"{figure} {bound} {limit:g}" for figure, (bound, limit) in variant_limits.items()]
        limits.append(f"- {name}: {', '.join(texts) or 'none'}.")
    return [
        "## Variants",
        f"The models were compared with the float model on {photographs}. The ranges of integers were calibrated on "
        f"{calibration['images']} photographs of the {calibration['split']} split, drawn with seed "
        f"{calibration['seed']}.",
        markdown(bundle_table(about, figures)),
        *(["\n".join(failed)] if failed else []),
        "Limits of the gate:\n\n" + "\n".join(limits),
    ]


def _reading(about: dict[str, Any]) -> list[str]:
    spec = about["preprocessing"]
    parts = [
        "## How to read the outputs",
        f"A photograph is prepared as {spec['size']} x {spec['size']} RGB (enhance {spec['enhance']}, fundus "
        f"{spec['fundus']}). The grade is decided by {about['decision']}. The logits are divided by a temperature of "
        f"{about['temperature']:.3f}.",
    ]
    if about["referable"]:
        names = ", ".join(about["classes"][index] for index in about["referable"])
        rule = f"Positive: {names}. A photograph is referred if its grade is one of these"
        if about["threshold"] <= 1:
            rule += f", or if their probabilities add up to {about['threshold']:.3f} or at most {MARGIN:g} less"
        parts.append(f"{rule}. The operating points:")
        condition = condition_words(about["task"], about["classes"], about["referable"])
        described = points_in_words(points_of(about), condition)
        parts.append("\n".join(f"- {names}: {words}" for names, words in described.items()))
    else:
        parts.append("Positive: none, so that nobody is referred.")
    return [*parts, *_limits(about), f"Heat maps: {about['heatmaps']}"]


def _limits(about: dict[str, Any]) -> list[str]:
    """Return a sentence on the quality beyond which the grader failed; none if it was not measured."""
    limits = about.get("gradability_limits")
    if not limits:
        return []
    words = "; ".join(f"too {fault} to grade beyond {FAULTS[fault][0]} {limit:g}" for fault, limit in limits.items())
    start = "Limits of the photographs' quality, from degraded validation photographs on which the grader failed"
    return [f"{start}: {words}."]


def bundle_table(bundle: dict[str, Any], figures: dict[str, Any]) -> Table:
    """Return the models of bundle.json, and how each differs from the float model on validation photographs."""
    columns = ("model", "MiB", "grades agree", "largest difference", "heat-map r", "kappa", "AUROC", "gate")
    rows = []
    models = bundle["models"] | ({"onnx": bundle["onnx"]} if "onnx" in bundle else {})
    for name, model in models.items():
        own = figures[name]
        rows.append(
            (
                name,
                model["size_bytes"] / 2**20,
                own["grade_agreement"],
                f"{own['largest_probability_difference']:.1g}",
                own["heatmap_correlation"],
                f"{show(own['quadratic_kappa_float'])} -> {show(own['quadratic_kappa_variant'])}",
                f"{show(own['auroc_float'])} -> {show(own['auroc_variant'])}",
                "failed" if name in bundle["parity"]["failures"] else "passed",
            )
        )
    return Table(columns, rows)


def bundle_text(bundle: dict[str, Any], figures: dict[str, Any]) -> str:
    """Return `bundle_table` and the positive classes as text for the terminal."""
    positive = positive_words(bundle["classes"], bundle["referable"])
    return f"{text_table(bundle_table(bundle, figures))}\nClasses: {', '.join(bundle['classes'])}; {positive}."


def profile_table(profile: dict[str, Any]) -> Table:
    """Return the measurements of profile.json: medians of each stage, 90th percentile of the total, peak memory."""
    stages = ("decode", "prepare", "invoke", "overlay")
    columns = ("model", "threads", "load ms", *(f"{stage} ms" for stage in stages), "total ms", "p90 ms", "peak MiB")
    rows = []
    for measured in profile["measurements"]:
        medians = [measured["stages"][stage]["p50_ms"] for stage in stages]
        total = measured["total"]
        figures = [measured["load_ms"], *medians, total["p50_ms"], total["p90_ms"], measured["peak_rss_mib"]]
        rows.append((measured["variant"], measured["threads"], *(f"{value:.1f}" for value in figures)))
    return Table(columns, rows)
