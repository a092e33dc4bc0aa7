"""Take each backbone the whole way: train, evaluate, explain, export and profile it, and write down its figures.

    python benchmarks/whole_way.py PREPARED OUT [--backbones resnet50v2 densenet121] [--weights imagenet] [--epochs 2]

PREPARED holds photographs of 224 pixels. Each backbone is trained by the recipe of its name with this many epochs per
phase, evaluated on validation photographs, explained in closed form and by tf-keras-vis, exported in four variants and
profiled on one thread. Its folder in OUT is kept; a backbone that already has a run there is not trained again. The
rows are also written to OUT/whole_way.json, as JSON, and printed as two tables. With random weights a grader learns
little, so variants that exceed the limits of the parity are kept and listed.
"""

import json
from pathlib import Path
from typing import Any

import common
import numpy as np

import keras_dr as dr
from keras_dr.reports.tables import Table, markdown, with_interval

DEFAULT_BACKBONES = ("resnet50v2", "resnet101v2", "resnet152v2", "densenet121")
VARIANTS = ("float32", "float16", "dynamic", "int8")
METHODS = ("grad-cam", "grad-cam++")
MAPS = 4  # number of photographs on which the heat maps of both engines are compared


def largest_difference(run: dr.Run, data: dr.PreparedSet, method: str) -> float:
    """Return the largest difference between heat maps in closed form and by tf-keras-vis, each from 0 to 1."""
    from keras_dr.core.overlay import normalise
    from keras_dr.explanation.methods import Explainer

    images = data.images(np.arange(min(MAPS, len(data.rows))))
    model = run.model()
    classes = np.argmax(model.predict_on_batch(images.astype(np.float32)), axis=1)
    closed_maps = Explainer(model, engine="closed-form").heatmaps(images, classes, method)
    reference_maps = Explainer(model, engine="tf-keras-vis").heatmaps(images, classes, method)
    differences = [
        np.abs(normalise(closed) - normalise(reference)).max()
        for closed, reference in zip(closed_maps, reference_maps, strict=True)
    ]
    return float(max(differences))


def whole_way(name: str, prepared: dr.PreparedSet, folder: Path, weights: str, epochs: int) -> dict[str, Any]:
    """Take one backbone the whole way; return its row."""
    settings = [f"frozen.epochs={epochs}", f"finetune.epochs={epochs}", f"weights={weights}"]
    if weights == "none":
        settings.append("finetune.train_batch_norm=true")
    recipe = dr.Recipe.load(name, settings)
    if not (folder / "run").is_dir():
        dr.train(prepared, folder / "run", recipe)
    run = dr.Run.load(folder / "run")
    evaluation = dr.evaluate(run, split="val", overwrite=True)
    for engine in ("closed-form", "tf-keras-vis"):
        dr.explain(run, split="val", n=MAPS, methods=METHODS, engine=engine, overwrite=True)
    bundle = dr.export(run, folder / "bundle", VARIANTS, allow_drift=True, overwrite=True)
    profile = dr.profile(bundle, threads=(1,), repeats=20, overwrite=True)
    parity = json.loads((folder / "bundle" / "parity.json").read_text("utf-8"))
    validation = run.prepared_set().split("val")
    return {
        "backbone": name,
        "weights": "random weights" if weights == "none" else weights,
        "parameters": run.about["parameters"],
        "training_minutes": sum(phase["seconds"] for phase in run.about["phases"].values()) / 60,
        "quadratic_kappa": evaluation.figures["quadratic_kappa"],
        "quadratic_kappa_interval": evaluation.figures["intervals"]["quadratic_kappa"],
        "auroc": evaluation.figures["auroc_referable"],
        "auroc_interval": evaluation.figures["intervals"]["auroc_referable"],
        "learned_nothing": bool(run.learned_nothing),
        "map_difference": {method: largest_difference(run, validation, method) for method in METHODS},
        "variants": {
            measured.variant: {
                "mib": measured.size_mib,
                "invoke_ms": measured.stages["invoke"].p50_ms,
                "whole_ms": measured.total.p50_ms,
                "memory_mib": measured.peak_rss_mib - measured.baseline_rss_mib,
                **parity["figures"][measured.variant],
                "failed": parity["failures"].get(measured.variant, []),
            }
            for measured in profile.measurements
        },
    }


def networks_table(rows: list[dict[str, Any]]) -> Table:
    """Return one row per backbone: weights, parameters, figures, and the largest difference of the heat maps."""
    cells = [
        (
            row["backbone"],
            row["weights"],
            f"{row['parameters']:,}",
            f"{row['training_minutes']:.1f}",
            with_interval(row["quadratic_kappa"], row["quadratic_kappa_interval"]),
            with_interval(row["auroc"], row["auroc_interval"]),
            *(f"{row['map_difference'][method]:.0e}" for method in METHODS),
        )
        for row in rows
    ]
    differences = [f"{method}, largest difference of the engines" for method in METHODS]
    columns = ("network", "weights", "parameters", "training min", "quadratic kappa", "AUROC", *differences)
    return Table(columns, cells)


def variants_table(rows: list[dict[str, Any]]) -> Table:
    """Return one row per backbone and variant: size, parity with Keras, heat maps, latency, memory and the gate."""
    cells = [
        (
            row["backbone"],
            row["weights"],
            name,
            f"{variant['mib']:.1f}",
            variant["grade_agreement"],
            f"{variant['largest_probability_difference']:.0e}",
            variant["heatmap_correlation"],
            f"{variant['invoke_ms']:.0f}",
            f"{variant['whole_ms']:.0f}",
            f"{variant['memory_mib']:.0f}",
            "missed: " + "; ".join(variant["failed"]) if variant["failed"] else "passed",
        )
        for row in rows
        for name, variant in row["variants"].items()
    ]
    parity = ("same grade", "largest probability difference", "heat-map r")
    cost = ("invoke, ms", "whole photograph, ms", "memory, MiB")
    return Table(("network", "weights", "variant", "MiB", *parity, *cost, "gate"), cells)


def main() -> None:
    """Parse the command line, measure each backbone, and print its row; at the end, print the tables."""
    parser = common.parser(__doc__, epochs=2)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbones", nargs="+", default=DEFAULT_BACKBONES)
    parser.add_argument("--weights", default="imagenet")
    arguments = parser.parse_args()
    prepared = dr.PreparedSet.load(arguments.prepared)
    rows = []
    for name in arguments.backbones:
        rows.append(whole_way(name, prepared, arguments.out / name, arguments.weights, arguments.epochs))
        print(json.dumps(rows[-1]), flush=True)
    (arguments.out / "whole_way.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    print(f"\n{markdown(networks_table(rows))}\n\n{markdown(variants_table(rows))}")


if __name__ == "__main__":
    main()
