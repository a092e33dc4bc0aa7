"""A bundle's MODEL_CARD.md: the run's card, and what holds on a device."""

from typing import Any

from keras_dr.reports.tables import NOTICE, Table, markdown, show, text_table


def bundle_card(about: dict[str, Any], figures: dict[str, dict[str, Any]], run_card: str | None) -> str:
    """The card as Markdown.

    Args:
        about: bundle.json.
        figures: variant -> its figures, as in parity.json.
        run_card: MODEL_CARD.md of the run; None where it was never evaluated.
    """
    parts = [run_card.rstrip() if run_card else _unmeasured(about), *_variants(about, figures), *_reading(about)]
    return "\n\n".join([*parts, "## Licence", about["licence"]]) + "\n"


def _unmeasured(about: dict[str, Any]) -> str:
    return (
        f"# {about['backbone']} for {', '.join(about['classes'])}, trained with keras_dr\n\n{NOTICE}\n\n"
        "Initial weights: "
        f"{about['weights']}. Not measured on test photographs: evaluate the run, then export it again."
    )


def _variants(about: dict[str, Any], figures: dict[str, dict[str, Any]]) -> list[str]:
    calibration, gate = about["calibration"], about["parity"]
    count = next(iter(figures.values()))["photographs"]
    failed = [f"- {name} failed: {'; '.join(reasons)}." for name, reasons in gate["failures"].items()]
    limits = [
        f"- {name}: {', '.join(f'{figure} {bound} {limit:g}' for figure, (bound, limit) in one.items()) or 'none'}."
        for name, one in gate["limits"].items()
    ]
    return [
        "## Variants",
        f"TFLite files compared with the float model on {count} validation photographs. Integers were scaled by "
        f"{calibration['images']} photographs of {calibration['split']}, drawn with seed {calibration['seed']}.",
        markdown(bundle_table(about, figures)),
        *(["\n".join(failed)] if failed else []),
        "Limits of the gate:\n\n" + "\n".join(limits),
    ]


def _reading(about: dict[str, Any]) -> list[str]:
    spec = about["preprocessing"]
    parts = [
        "## How to read it",
        f"A photograph is prepared as {spec['size']} x {spec['size']} RGB (enhance {spec['enhance']}, fundus "
        f"{spec['fundus']}). The grade is decided by {about['decision']}. Probabilities hold a temperature of "
        f"{about['temperature']:.3f}.",
    ]
    if about["referable"]:
        names = ", ".join(about["classes"][index] for index in about["referable"])
        parts.append(f"Refer where the probabilities of {names} add up to {about['threshold']:.3f} or more.")
    if about["operating_points"]:
        rows = [(name, point["value"], _targets(point)) for name, point in about["operating_points"].items()]
        parts.append(markdown(Table(("other operating point", "threshold", "target on validation"), rows)))
    return [*parts, f"Heat maps: {about['heatmaps']}"]


def _targets(point: dict[str, Any]) -> str:
    return ", ".join(f"{name} {show(float(value))}" for name, value in point["targets"].items()) or "-"


def bundle_table(bundle: dict[str, Any], figures: dict[str, Any]) -> Table:
    """The models of bundle.json, and how far each is from the float model on validation photographs."""
    columns = ("model", "MiB", "grades agree", "largest difference", "heat-map r", "kappa", "AUROC", "gate")
    rows = []
    models = bundle["models"] | ({"onnx": bundle["onnx"]} if "onnx" in bundle else {})
    for name, model in models.items():
        one = figures[name]
        rows.append(
            (
                name,
                model["size_bytes"] / 2**20,
                one["grade_agreement"],
                f"{one['largest_probability_difference']:.1g}",
                one["heatmap_correlation"],
                f"{show(one['quadratic_kappa_float'])} -> {show(one['quadratic_kappa_variant'])}",
                f"{show(one['auroc_float'])} -> {show(one['auroc_variant'])}",
                "failed" if name in bundle["parity"]["failures"] else "passed",
            )
        )
    return Table(columns, rows)


def bundle_text(bundle: dict[str, Any], figures: dict[str, Any]) -> str:
    """`bundle_table` for the terminal."""
    return text_table(bundle_table(bundle, figures))


def profile_table(profile: dict[str, Any]) -> Table:
    """The measurements of profile.json: medians of each stage, 90th percentile of the whole, peak memory."""
    stages = ("decode", "prepare", "invoke", "overlay")
    columns = ("model", "threads", "load ms", *(f"{stage} ms" for stage in stages), "all ms", "p90 ms", "peak MiB")
    rows = []
    for one in profile["measurements"]:
        medians = (one["stages"][stage]["p50_ms"] for stage in stages)
        total = one["total"]
        figures = (one["load_ms"], *medians, total["p50_ms"], total["p90_ms"], one["peak_rss_mib"])
        rows.append((one["variant"], one["threads"], *(f"{value:.1f}" for value in figures)))
    return Table(columns, rows)
