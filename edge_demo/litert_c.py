"""LiteRT's own profiler, called through its C interface: the Python package of 2.3 contains it, but does not wrap it.

libLiteRt's compiled model keeps a `tflite::profiling` buffer if the option `enable_profiling` is set: the runtime
itself times each operator around its kernel, also those inside XNNPACK. The signatures are those of litert/c in LiteRT
2.3 (github.com/google-ai-edge/LiteRT). Another version may crash the process, so use this in a process of its own. No
memory is released, because that process ends soon.
"""

import ctypes
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

REMEDY = "Install ai-edge-litert 2.3, whose profiler this module reads."
_CPU = 1  # kLiteRtHwAcceleratorCpu
_WRITE = 1  # kLiteRtTensorBufferLockModeWrite
_AUTO_REGISTER_ACCELERATORS = 24  # kLiteRtEnvOptionTagAutoRegisterAccelerators
_INT = 2  # kLiteRtAnyTypeInt
_TENSOR_TYPE_BYTES = 1024  # larger than LiteRtRankedTensorType, which is passed on without being read
# tflite::Profiler::EventType: an operator that the interpreter runs, or one that a delegate runs and times itself
_RUNS_IN = {2: "LiteRT", 8: "XNNPACK"}


class _Event(ctypes.Structure):
    """ProfiledEventData of litert/c/litert_profiler_event.h; memory: footprint, allocated, in use, before and after."""

    _fields_ = (
        ("tag", c_char_p),
        ("type", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_uint64 * 6),
        ("metadata", c_uint64 * 2),
        ("source", c_int),
    )


class _EnvironmentOption(ctypes.Structure):
    """LiteRtEnvOption of litert/c/litert_environment_options.h, with a whole number as its value."""

    _fields_ = (("tag", c_int), ("type", c_int), ("padding", c_int), ("value", c_int64))


class ProfiledModel:
    """A TFLite file with one input, of which the runtime times every operator."""

    def __init__(self, content: bytes, threads: int, image: NDArray[np.uint8]) -> None:
        """Load and compile the model.

        Args:
            content: the file's content.
            threads: number of processor threads, 1 or more.
            image: uint8 RGB (S, S, 3), the input of every invoke.

        Raises:
            KerasDrError: the library is missing, lacks a function, or reports an error.
        """
        import ai_edge_litert

        folder = Path(ai_edge_litert.__file__).parent
        try:
            self._library = ctypes.CDLL(str(next(folder.glob("libLiteRt.*"))))
        except (StopIteration, OSError) as error:
            raise KerasDrError(f"LiteRT's library libLiteRt cannot be loaded from {folder}.", REMEDY) from error
        self._kept: list[object] = []
        environment, model = c_void_p(), c_void_p()
        # The accelerator for graphics processors crashes on some processors when it is loaded: see `compiled`.
        only_cpu = _EnvironmentOption(tag=_AUTO_REGISTER_ACCELERATORS, type=_INT, value=_CPU)
        self._call("CreateEnvironment", c_int(1), byref(only_cpu), byref(environment))
        data = self._keep(ctypes.create_string_buffer(content, len(content)))
        self._call("CreateModelFromBuffer", environment, data, c_size_t(len(content)), byref(model))
        self._model = c_void_p()
        self._call("CreateCompiledModel", environment, model, self._options(threads), byref(self._model))
        self._profiler = c_void_p()
        self._call("CompiledModelGetProfiler", self._model, byref(self._profiler))
        if not self._profiler:
            raise KerasDrError("LiteRT does not profile: its option enable_profiling has no effect.", REMEDY)
        signature = c_void_p()
        self._call("GetModelSignature", model, c_size_t(0), byref(signature))
        self._inputs, self._outputs = (self._buffers(kind, environment, signature) for kind in ("Input", "Output"))
        self._write(self._inputs[0], image.tobytes())

    def _call(self, name: str, *arguments: object) -> None:
        try:
            status = getattr(self._library, f"LiteRt{name}")(*arguments)
        except AttributeError as error:
            raise KerasDrError(f"LiteRT's library has no function LiteRt{name}.", REMEDY) from error
        if status:
            raise KerasDrError(f"LiteRT's function LiteRt{name} failed with status {status}.", REMEDY)

    def _keep(self, thing: "ctypes.Array[ctypes.c_char]") -> "ctypes.Array[ctypes.c_char]":
        """Keep a reference, so that the memory is not freed: the library keeps its address."""
        self._kept.append(thing)
        return thing

    def _options(self, threads: int) -> c_void_p:
        options = c_void_p()
        no_destructor = ctypes.CFUNCTYPE(None, c_void_p)(lambda payload: None)
        self._kept.append(no_destructor)
        self._call("CreateOptions", byref(options))
        self._call("SetOptionsHardwareAccelerators", options, c_int(_CPU))
        for name, text in (
            ("runtime_options_string", "enable_profiling = true\n"),
            ("xnnpack", f"num_threads = {threads}\n"),
        ):
            opaque = c_void_p()
            payload = self._keep(ctypes.create_string_buffer(text.encode()))
            self._call("CreateOpaqueOptions", c_char_p(name.encode()), payload, no_destructor, byref(opaque))
            self._call("AddOpaqueOptions", options, opaque)
        return options

    def _buffers(self, kind: str, environment: c_void_p, signature: c_void_p) -> "ctypes.Array[c_void_p]":
        count = c_size_t()
        self._call(f"GetNumSignature{kind}s", signature, byref(count))
        buffers = (c_void_p * count.value)()
        for index in range(count.value):
            tensor, needs, buffer = c_void_p(), c_void_p(), c_void_p()
            tensor_type = ctypes.create_string_buffer(_TENSOR_TYPE_BYTES)
            self._call(f"GetSignature{kind}TensorByIndex", signature, c_size_t(index), byref(tensor))
            self._call("GetRankedTensorType", tensor, tensor_type)
            place = (self._model, c_size_t(0), c_size_t(index))
            self._call(f"GetCompiledModel{kind}BufferRequirements", *place, byref(needs))
            self._call("CreateManagedTensorBufferFromRequirements", environment, tensor_type, needs, byref(buffer))
            buffers[index] = buffer.value
        return buffers

    def _write(self, buffer: int | None, data: bytes) -> None:
        size, address = c_size_t(), c_void_p()
        self._call("GetTensorBufferPackedSize", c_void_p(buffer), byref(size))
        if size.value != len(data):
            message = f"The model's input takes {size.value} bytes, but the photograph has {len(data)}."
            raise KerasDrError(message, "Export the bundle again.")
        self._call("LockTensorBuffer", c_void_p(buffer), byref(address), c_int(_WRITE))
        ctypes.memmove(address, data, len(data))
        self._call("UnlockTensorBuffer", c_void_p(buffer))

    def invoke(self) -> None:
        """Run the model once."""
        input_count = c_size_t(len(self._inputs))
        output_count = c_size_t(len(self._outputs))
        self._call("RunCompiledModel", self._model, c_size_t(0), input_count, self._inputs, output_count, self._outputs)

    def operators(self) -> list[tuple[str, str, float]]:
        """Run the model once under the profiler; return ("XNNPACK" or "LiteRT", kind, ms) for each operator, in order.

        "LiteRT" marks kernels of the interpreter itself, for operators that XNNPACK does not run. The resolution is
        0.001 ms.
        """
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        self.invoke()
        self._call("StopProfiler", self._profiler)
        count = c_int()
        self._call("GetNumProfilerEvents", self._profiler, byref(count))
        events = (_Event * count.value)()
        self._call("GetProfilerEvents", self._profiler, count, events)
        times = [
            (_RUNS_IN[event.type], event.tag.decode(), event.elapsed_us / 1000)
            for event in events
            if event.type in _RUNS_IN
        ]
        if not times:
            raise KerasDrError("LiteRT's profile contains no operators.", REMEDY)
        return times
