"""Where a model's time goes: by kind of operator, as LiteRT's own profiler times them; a fresh process per model.

    python -m edge_demo.operators REQUEST     REQUEST: bundle, variant, threads, repeats (`apart`)

An operator's time is its median over the rounds, and a kind's the sum of its operators' medians; so one round that the
system interrupts moves nothing. What is left of an invoke is the runtime's own: copies, and waiting between operators.
XNNPACK names what it runs, after fusion: "Fully Connected" are the 1x1 convolutions too (their products are the same),
"DWConv" depthwise ones, "IGEMM" the other convolutions; activations are part of the operator before them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.fresh_process import answer, ask
from edge_demo.grader import Grader
from edge_demo.litert_c import REMEDY, ProfiledModel
from edge_demo.measurement import WARM_UP
from edge_demo.profiler import synthetic_photograph
from keras_dr.core.preprocessing import prepare_image


@dataclass(frozen=True)
class Kind:
    """All operators of one kind.

    Attributes:
        name: such as "Convolution (NHWC, F32) DWConv".
        runs_in: "XNNPACK", or "LiteRT" for what XNNPACK does not take.
        count: operators of the kind in the model.
        ms: of one invoke, together.
        share: of the sum over all kinds, 0..1.
    """

    name: str
    runs_in: str
    count: int
    ms: float
    share: float


@dataclass(frozen=True)
class OperatorProfile:
    """One model with one number of threads.

    Attributes:
        variant: name of the model in the bundle.
        threads: processor threads.
        repeats: counted rounds.
        invoke_ms: median of an invoke as `grade` runs it, without the profiler.
        profiled_ms: median of an invoke under the profiler.
        kinds: the costliest first.
    """

    variant: str
    threads: int
    repeats: int
    invoke_ms: float
    profiled_ms: float
    kinds: tuple[Kind, ...]

    @property
    def operators_ms(self) -> float:
        """The sum over all operators."""
        return sum(kind.ms for kind in self.kinds)


def profile_operators(
    bundle_folder: Path,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] = (1,),
    repeats: int = 50,
    progress: Callable[[str], None] = lambda text: None,
) -> list[OperatorProfile]:
    """Profile every variant with every number of threads on a drawn photograph.

    Args:
        bundle_folder: the bundle.
        variants: names of its models; None takes all.
        threads: numbers of threads.
        repeats: counted rounds, 1 or more.
        progress: is called with the name of the next profile.

    Raises:
        KerasDrError: no bundle, an unknown variant, an altered model, or another LiteRT than this can read.
    """
    bundle = Bundle.load(bundle_folder)
    profiles = []
    for name, count in product(bundle.models if variants is None else variants, threads):
        bundle.model_path(name)
        progress(f"operators of {name}")
        request = {"bundle": str(bundle_folder), "variant": name, "threads": count, "repeats": repeats}
        what = f"the profile of the operators of {name}"
        found = ask("edge_demo.operators", request, what, REMEDY, 120 + 30 * repeats)
        kinds = tuple(Kind(**kind) for kind in found.pop("kinds"))
        profiles.append(OperatorProfile(name, count, repeats, kinds=kinds, **found))
    return profiles


def _measure(asked: dict[str, Any], _: bytes) -> dict[str, Any]:
    """In the fresh process: the measured fields of `OperatorProfile`."""
    threads, repeats = asked["threads"], asked["repeats"]
    cv2.setNumThreads(threads)
    bundle = Bundle.load(Path(asked["bundle"]))
    image = prepare_image(synthetic_photograph(), bundle.preprocessing)
    grader = Grader(bundle, asked["variant"], threads)
    model = ProfiledModel(bundle.model_path(asked["variant"]).read_bytes(), threads, image)
    plain, profiled, rounds = [], [], []
    for round_ in range(WARM_UP + repeats):
        start = perf_counter()
        grader.invoke(image)
        middle = perf_counter()
        found = model.operators()
        if round_ >= WARM_UP:
            plain.append(middle - start)
            profiled.append(perf_counter() - middle)
            rounds.append(found)
    invoke_ms, profiled_ms = (1000 * float(np.median(times)) for times in (plain, profiled))
    return {"invoke_ms": invoke_ms, "profiled_ms": profiled_ms, "kinds": summed(rounds)}


def summed(rounds: Sequence[Sequence[tuple[str, str, float]]]) -> list[dict[str, Any]]:
    """Rounds of (runs in, kind, ms) of the same operators -> JSON values of `Kind`, the costliest first."""
    medians = np.median([[ms for *_, ms in one] for one in rounds], axis=0)
    kinds: dict[tuple[str, str], list[float]] = {}
    for (runs_in, name, _), ms in zip(rounds[0], medians, strict=True):
        kinds.setdefault((name, runs_in), []).append(float(ms))
    total = sum(medians) or 1.0
    rows = [
        {"name": name, "runs_in": runs_in, "count": len(times), "ms": sum(times), "share": float(sum(times) / total)}
        for (name, runs_in), times in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def table(profiles: Sequence[OperatorProfile]) -> str:
    """Return the profiles as lines of text: one block per model."""
    lines = []
    for one in profiles:
        plural = "s" if one.threads > 1 else ""
        lines.append(f"{one.variant}, {one.threads} thread{plural}: where the time goes")
        width = max(len(kind.name) for kind in one.kinds)
        for kind in one.kinds:
            lines.append(
                f"  {kind.name:{width}}  {kind.runs_in:7}  {kind.count:3}  {kind.ms:8.3f} ms  {kind.share:6.1%}"
            )
        lines.append(
            f"  operators {one.operators_ms:.2f} ms of {one.profiled_ms:.2f} ms an invoke under LiteRT's profiler; "
            f"without it {one.invoke_ms:.2f} ms (medians of {one.repeats})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    answer(_measure)
