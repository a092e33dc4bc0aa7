"""The machine on which something is measured, and the latency to expect of each variant on its processor."""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from keras_dr.core.machine import usable_cores

# Flags of /proc/cpuinfo (x86 "flags", Arm "Features") -> names of the instructions.
_INT8 = {
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX",
    "asimddp": "Arm dot product",
    "i8mm": "Arm i8mm",
}


@dataclass(frozen=True)
class Machine:
    """The machine of a measurement.

    Attributes:
        cpu: the processor's name, or the board's name if the processor has none.
        cores: number of logical cores of the machine.
        usable_cores: number of cores that this process may use.
        architecture: such as "x86_64" or "aarch64".
        int8: the processor's instructions for products of int8, such as "AVX-512 VNNI"; empty if it has none.
        frequency_mhz: mean over the cores at the time of the measurement; None if the system does not report it.
        system: operating system.
        python: version of Python.
        runtime: version of ai-edge-litert.
        opencv: version of OpenCV.
    """

    cpu: str
    cores: int
    usable_cores: int
    architecture: str
    int8: tuple[str, ...]
    frequency_mhz: float | None
    system: str
    python: str
    runtime: str
    opencv: str


def machine() -> Machine:
    """Return the description of this machine."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and not needed to grade

    try:
        runtime = version("ai-edge-litert")
    except PackageNotFoundError:
        runtime = "unknown"
    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        architecture=platform.machine(),
        int8=int8_instructions(_cpuinfo()),
        frequency_mhz=_frequency_mhz(_cpuinfo()),
        system=platform.platform(),
        python=platform.python_version(),
        runtime=runtime,
        opencv=cv2.__version__,
    )


def _cpu_name() -> str:
    """Return the name from /proc/cpuinfo (x86), the device tree (ARM boards) or the platform module, in this order."""
    for file, pattern in (("/proc/cpuinfo", r"^model name\s*:\s*(.+)$"), ("/proc/device-tree/model", r"^([^\0]+)")):
        try:
            name = re.search(pattern, Path(file).read_text(errors="replace"), re.MULTILINE)
        except OSError:
            continue
        if name:
            return name[1].strip()
    return platform.processor() or platform.machine()


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""


def int8_instructions(cpuinfo: str) -> tuple[str, ...]:
    """Return the processor's instructions for sums of int8 products, from the text of /proc/cpuinfo."""
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return tuple(name for flag, name in _INT8.items() if flags and flag in flags[1].split())


def _frequency_mhz(cpuinfo: str) -> float | None:
    frequencies = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", cpuinfo, re.MULTILINE)]
    return sum(frequencies) / len(frequencies) if frequencies else None


def expectations(int8: tuple[str, ...], architecture: str, sizes_mib: Mapping[str, float]) -> str:
    """Return the sizes of variants and their expected latency: a line on int8 instructions, one line per variant.

    Args:
        int8: from `int8_instructions`.
        architecture: such as "x86_64" or "aarch64".
        sizes_mib: variant -> size of its file.

    Measured: MobileNetV2 at 512 pixels with AVX-512 VNNI and AMX, two threads, float32 12.5 ms, float16 11.7, int8 8.4,
    dynamic 37, int16x8 711; at 224 pixels with only AVX2 float32 7.4 ms, int8 7.1, dynamic 15. Not yet measured on Arm.
    """
    known = architecture in ("x86_64", "AMD64", "aarch64", "arm64")
    none = "no special instructions" if known else "unknown for this processor"
    lines = [
        f"Instructions for int8 products: {', '.join(int8) or none}. To be expected compared with float32 (networks "
        "differ; the measurements are above):"
    ]
    words = {
        "float32": "the reference",
        "float16": "the same time: its weights become float32 when it is loaded",
        "int8": _time_of_int8(int8, known),
        "dynamic": "2 to 3 times the time (x86): it measures the activations of each photograph",
        "int16x8": "57 times the time (x86): the runtime has no fast kernels for it",
    }
    reference = sizes_mib.get("float32")
    for name, size_mib in sizes_mib.items():
        if name in words:
            share = f" ({size_mib / reference:.0%} of float32)" if reference and name != "float32" else ""
            lines.append(f"  {name:8} {size_mib:.2f} MiB{share}; {words[name]}")
    return "\n".join(lines)


def _time_of_int8(int8: tuple[str, ...], known: bool) -> str:
    if not known:
        return "the time is unknown"
    if not int8:
        return "less memory, but about the same time as float32 (0.96 of it, measured with AVX2)"
    if any(name.startswith("Arm") for name in int8):
        return "less time with these instructions, but this has not been measured on Arm"
    return "less time than float32 (0.67 of it, measured with AVX-512 VNNI and AMX)"
