"""The machine that something is measured on, and what its processor makes of each variant."""

import os
import platform
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import cv2

from keras_dr.core.machine import usable_cores

# Flags of /proc/cpuinfo (x86 "flags", Arm "Features") -> what the instructions are called.
_INT8 = {
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX",
    "asimddp": "Arm dot product",
    "i8mm": "Arm i8mm",
}


@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        cpu: the processor's name, or the board's where the processor has none.
        cores: logical cores of the machine.
        usable_cores: those that this process may use.
        architecture: such as "x86_64" or "aarch64".
        int8: the processor's instructions for products of int8, such as "AVX-512 VNNI"; none if it has no such.
        frequency_mhz: mean over the cores at that moment; None where the system does not tell.
        system, python, runtime, opencv: operating system; versions of Python, ai-edge-litert and OpenCV.
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
    """This machine."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and not needed to grade

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
    """From /proc/cpuinfo (x86), the device tree (ARM boards) or the platform module, whichever knows."""
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
    """The processor's instructions for sums of int8 products, from the text of /proc/cpuinfo."""
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return tuple(name for flag, name in _INT8.items() if flags and flag in flags[1].split())


def _frequency_mhz(cpuinfo: str) -> float | None:
    found = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", cpuinfo, re.MULTILINE)]
    return sum(found) / len(found) if found else None


def expectations(int8: tuple[str, ...], architecture: str, variants: Collection[str]) -> str:
    """What to expect of the variants on such a processor: a line on its int8 instructions, and one on each variant.

    Measured: MobileNetV2 at 512 pixels with AVX-512 VNNI and AMX, two threads, float32 12.5 ms, float16 11.7, int8 8.4,
    dynamic 37, int16x8 711; at 224 pixels with AVX2 alone float32 7.4 ms, int8 7.1, dynamic 15. Not yet on Arm.
    """
    known = architecture in ("x86_64", "AMD64", "aarch64", "arm64")
    none = "no instruction of their own" if known else "not known of this processor"
    lines = [f"int8 products: {', '.join(int8) or none}. Expect by float32 (another network may differ: see above):"]
    words = {
        "float32": "the yardstick",
        "float16": "half the size, the same time: its weights become float32 when it is loaded",
        "int8": f"a quarter to a third of the size, {_time_of_int8(int8, known)}",
        "dynamic": "a quarter of the size, 2 to 3 times the time (x86): it measures each photograph's activations anew",
        "int16x8": "the size of int8, 57 times the time (x86): the runtime has no fast kernels for it",
    }
    lines += [f"  {name:8} {words[name]}" for name in variants if name in words]
    return "\n".join(lines)


def _time_of_int8(int8: tuple[str, ...], known: bool) -> str:
    if not known:
        return "time unknown"
    if not int8:
        return "less memory, but not less time (.96 of it with AVX2)"
    if any(name.startswith("Arm") for name in int8):
        return "less time by these instructions; nobody has measured it here on Arm"
    return "less time (.67 of it with AVX-512 VNNI and AMX)"
