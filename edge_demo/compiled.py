"""LiteRT's CompiledModel, compared with the Interpreter that `edge_demo` grades with.

    python -m edge_demo.compiled REQUEST     REQUEST: bundle, variant, threads, cpus, repeats (see `fresh_process`)

It needs a process of its own. LiteRT 2.3 loads its accelerator for graphics processors even if only the processor is
asked for, and that library for Arm is compiled for atomic instructions (LSE) that a Cortex-A53 or Cortex-A72 lacks,
such as those of a Raspberry Pi 3 and 4: the process ends with an illegal instruction. The Interpreter does not load it.
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_demo.bundle import Bundle
from edge_demo.fresh_process import answer
from edge_demo.grader import Grader
from edge_demo.measurement import WARM_UP, pin, timing


class Compiled:
    """A bundle's model in LiteRT's newer interface."""

    def __init__(self, model: Path, threads: int) -> None:
        """Load and compile the model for the processor.

        Args:
            model: the TFLite file.
            threads: number of processor threads; LiteRT's default would be one.

        Raises:
            ImportError: this version of LiteRT has no CompiledModel.
            RuntimeError: LiteRT cannot compile the model.
        """
        from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options

        options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads))
        self._model = CompiledModel.from_file(str(model), options=options)
        signature, details = next(iter(self._model.get_signature_list().items()))
        self._names = list(details["outputs"])
        shapes = self._model.get_output_tensor_details(signature)
        self._shapes = {name: tuple(int(side) for side in shapes[name]["shape"]) for name in self._names}
        self._inputs = self._model.create_input_buffers(0)
        self._outputs = self._model.create_output_buffers(0)

    def invoke(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run the model on uint8 RGB (S, S, 3); return name -> float32 output, with a first axis of length 1."""
        self._inputs[0].write(image[None])
        self._model.run_by_index(0, self._inputs, self._outputs)
        return {
            name: buffer.read(int(np.prod(self._shapes[name])), np.float32).reshape(self._shapes[name])
            for name, buffer in zip(self._names, self._outputs, strict=True)
        }

    def time_invokes(self, image: NDArray[np.uint8], repeats: int, warm_up: int) -> list[float]:
        """Return the seconds of each counted invoke.

        Args:
            image: uint8 RGB (S, S, 3).
            repeats: number of counted invokes.
            warm_up: number of invokes before them.
        """
        times_s = []
        for number in range(warm_up + repeats):
            start = perf_counter()
            self.invoke(image)
            if number >= warm_up:
                times_s.append(perf_counter() - start)
        return times_s


def _measure(request: dict[str, Any], photograph: bytes) -> dict[str, Any]:
    """In the fresh process: return the times of an invoke, and the outputs' largest difference from the Interpreter's.

    The Interpreter's answer comes first, so that a crash can only be CompiledModel's.
    """
    pin(request["cpus"])
    cv2.setNumThreads(request["threads"])
    grader = Grader(Bundle.load(Path(request["bundle"])), request["variant"], request["threads"])
    image = grader.prepare(grader.decode(photograph)).image
    probabilities, heatmaps = grader.invoke(image)
    compiled = Compiled(grader.bundle.model_path(grader.variant), request["threads"])
    outputs = compiled.invoke(image)
    difference = max(
        float(np.abs(outputs["probabilities"][0] - probabilities).max()),
        float(np.abs(outputs["heatmaps"][0] - heatmaps).max()),
    )
    times_s = compiled.time_invokes(image, request["repeats"], WARM_UP)
    return {"invoke": timing(np.array(times_s) * 1000), "difference": difference}


if __name__ == "__main__":
    answer(_measure)
