"""A model's time by kind of operator, as LiteRT's own profiler measures it, in a fresh process per model.

    python -m edge_demo.operators REQUEST     REQUEST: bundle, variant, threads, repeats (see `fresh_process`)

The time of an operator is its median over the rounds, and the time of a kind is the sum of its operators' medians: a
single round that the system interrupts has no effect. The rest of an invoke is spent in the runtime: copies, and waits
between operators. XNNPACK names the operators after fusion: "Fully Connected" includes the 1x1 convolutions (their
products are the same), "DWConv" are depthwise convolutions, "IGEMM" the other convolutions; an activation is part of
the operator before it.
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
from edge_demo.cores import threads_in_words
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
        runs_in: "XNNPACK", or "LiteRT" for operators that XNNPACK does not run.
        count: number of operators of this kind in the model.
        ms: their time in one invoke, together.
        share: their share of the sum over all kinds, 0..1.
    """

    name: str
    runs_in: str
    count: int
    ms: float
    share: float


@dataclass(frozen=True)
class OperatorProfile:
    """The profile of one model with one number of threads.

    Attributes:
        variant: name of the model in the bundle.
        threads: number of processor threads.
        repeats: number of counted rounds.
        invoke_ms: median of an invoke as `grade` runs it, without the profiler.
        profiled_ms: median of an invoke under the profiler.
        kinds: kinds of operators, the slowest first.
    """

    variant: str
    threads: int
    repeats: int
    invoke_ms: float
    profiled_ms: float
    kinds: tuple[Kind, ...]

    @property
    def operators_ms(self) -> float:
        """The time of all operators together."""
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
        repeats: number of counted rounds, 1 or more.
        progress: called with the name of the next profile.

    Raises:
        KerasDrError: there is no bundle, a variant is unknown, a model has changed, or this version of LiteRT cannot
            be profiled.
    """
    bundle = Bundle.load(bundle_folder)
    profiles = []
    for name, count in product(bundle.models if variants is None else variants, threads):
        bundle.model_path(name)
        progress(f"operators of {name}")
        request = {"bundle": str(bundle_folder), "variant": name, "threads": count, "repeats": repeats}
        what = f"the profile of the operators of {name}"
        answered = ask("edge_demo.operators", request, what, REMEDY, 120 + 30 * repeats)
        kinds = tuple(Kind(**kind) for kind in answered["kinds"])
        profiles.append(
            OperatorProfile(name, count, repeats, answered["invoke_ms"], answered["profiled_ms"], kinds=kinds)
        )
    return profiles


def _measure(request: dict[str, Any], _: bytes) -> dict[str, Any]:
    """In the fresh process: return the measured fields of `OperatorProfile`."""
    variant = request["variant"]
    threads = request["threads"]
    cv2.setNumThreads(threads)
    bundle = Bundle.load(Path(request["bundle"]))
    image = prepare_image(synthetic_photograph(), bundle.preprocessing)
    grader = Grader(bundle, variant, threads)
    model = ProfiledModel(bundle.model_path(variant).read_bytes(), threads, image)
    plain_s = []
    profiled_s = []
    rounds = []
    for round_number in range(WARM_UP + request["repeats"]):
        start = perf_counter()
        grader.invoke(image)
        middle = perf_counter()
        operator_times = model.operators()
        if round_number >= WARM_UP:
            plain_s.append(middle - start)
            profiled_s.append(perf_counter() - middle)
            rounds.append(operator_times)
    return {
        "invoke_ms": 1000 * float(np.median(plain_s)),
        "profiled_ms": 1000 * float(np.median(profiled_s)),
        "kinds": summed(rounds),
    }


def summed(rounds: Sequence[Sequence[tuple[str, str, float]]]) -> list[dict[str, Any]]:
    """Return the JSON values of `Kind`, the slowest first, from rounds of (runs in, kind, ms) of the same operators."""
    medians = np.median([[ms for _, _, ms in operators] for operators in rounds], axis=0)
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
    for profile in profiles:
        lines.append(f"{profile.variant}, {threads_in_words(profile.threads)}: time per kind of operator")
        width = max(len(kind.name) for kind in profile.kinds)
        for kind in profile.kinds:
            lines.append(
                f"  {kind.name:{width}}  {kind.runs_in:7}  {kind.count:3}  {kind.ms:8.3f} ms  {kind.share:6.1%}"
            )
        lines.append(
            f"  The operators take {profile.operators_ms:.2f} ms of the {profile.profiled_ms:.2f} ms per invoke under "
            f"LiteRT's profiler; without it an invoke takes {profile.invoke_ms:.2f} ms (medians of {profile.repeats})."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    answer(_measure)
