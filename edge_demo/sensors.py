"""Temperature, clock, throttling and power of the processor, as far as Linux reports them.

A machine without a sensor gives None. KERAS_DR_SENSORS names a folder that imitates / (with sys/), for tests and
demonstrations; what is measured with it is marked as simulated.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

VARIABLE = "KERAS_DR_SENSORS"
# bits of `vcgencmd get_throttled` that hold now (Raspberry Pi documentation, "vcgencmd")
_RASPBERRY = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class Reading:
    """What the sensors show at one moment.

    Attributes:
        temperature_c: of the hottest thermal zone; None if there is none.
        clock_mhz: mean over the cores; None if the system does not report it.
        throttled: why the processor is slower than it could be, such as ("under-voltage",) or ("cooling",); () if it is
            not; None if the system does not report it.
        power_w: of the first power sensor; None if there is none.
    """

    temperature_c: float | None
    clock_mhz: float | None
    throttled: tuple[str, ...] | None
    power_w: float | None


def sensors_root() -> Path:
    """Return the folder that holds sys/: / or what KERAS_DR_SENSORS names."""
    return Path(os.environ.get(VARIABLE, "/"))


def is_simulated() -> bool:
    """Whether the readings come from a folder that imitates sensors."""
    return VARIABLE in os.environ


def read_sensors(root: Path | None = None) -> Reading:
    """Return what the sensors show now.

    Args:
        root: the folder that holds sys/; None takes `sensors_root()`.
    """
    root = sensors_root() if root is None else root
    temperatures = list(_numbers(root, "sys/class/thermal/thermal_zone*/temp"))
    clocks = list(_numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    return Reading(
        temperature_c=max(temperatures) / 1000 if temperatures else None,
        clock_mhz=sum(clocks) / len(clocks) / 1000 if clocks else None,
        throttled=_throttled(root),
        power_w=_power_w(root),
    )


def _numbers(root: Path, pattern: str) -> Iterator[float]:
    """Yield the numbers in the files of a pattern; a sensor that cannot be read now is passed over."""
    for file in sorted(root.glob(pattern)):
        try:
            yield float(file.read_text())
        except (OSError, ValueError):
            continue


def _throttled(root: Path) -> tuple[str, ...] | None:
    """Return what slows the processor, from the Raspberry Pi's firmware or from Linux's cooling devices."""
    program = shutil.which("vcgencmd") if root == Path("/") else None
    if program:
        try:
            done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return throttled_of_raspberry(done.stdout)
    states = []
    for device in sorted(root.glob("sys/class/thermal/cooling_device*")):
        try:
            kind = (device / "type").read_text().lower()
            if "cpu" in kind or "processor" in kind:
                states.append(int((device / "cur_state").read_text()))
        except (OSError, ValueError):
            continue
    if not states:
        return None
    return ("cooling",) if any(states) else ()


def throttled_of_raspberry(text: str) -> tuple[str, ...] | None:
    """Return what slows a Raspberry Pi now, from the output of `vcgencmd get_throttled`; None if it is unknown.

    Example:
        >>> throttled_of_raspberry("throttled=0x50005")
        ('under-voltage', 'throttled')
    """
    value = re.search(r"throttled=(0x[0-9a-fA-F]+)", text)
    if value is None:
        return None
    bits = int(value[1], 16)
    return tuple(word for bit, word in _RASPBERRY.items() if bits >> bit & 1)


def _power_w(root: Path) -> float | None:
    """Return the power that a sensor of Linux's hwmon shows, in watts."""
    for name in ("power1_average", "power1_input"):
        for microwatts in _numbers(root, f"sys/class/hwmon/hwmon*/{name}"):
            return microwatts / 1e6
    return None


class EnergyMeter:
    """The energy between its creation and `per_round_mj`: from RAPL's counter, or from samples of a power sensor."""

    def __init__(self) -> None:
        """Begin to measure."""
        self._root = sensors_root()
        self._start_s = perf_counter()
        self._start_uj = self._counter_uj()
        self._powers_w: list[float] = []
        self.sample()

    def _counter_uj(self) -> int | None:
        """Return Linux's counter of the processor package's energy (powercap), which usually only root may read."""
        try:
            return int((self._root / "sys/class/powercap/intel-rapl:0/energy_uj").read_text())
        except (OSError, ValueError):
            return None

    def sample(self) -> None:
        """Read the power sensor, if there is no counter."""
        power_w = _power_w(self._root) if self._start_uj is None else None
        if power_w is not None:
            self._powers_w.append(power_w)

    def per_round_mj(self, rounds: int) -> tuple[float | None, str | None]:
        """Return the millijoules per round and their source, "RAPL" or "hwmon"; (None, None) if they are unknown.

        Args:
            rounds: the number of rounds since the meter began.
        """
        seconds = perf_counter() - self._start_s
        end_uj = self._counter_uj()
        if self._start_uj is not None and end_uj is not None and end_uj >= self._start_uj:  # else the counter wrapped
            return (end_uj - self._start_uj) / 1000 / rounds, "RAPL"
        if self._powers_w:
            mean_w = sum(self._powers_w) / len(self._powers_w)
            return 1000 * mean_w * seconds / rounds, "hwmon"
        return None, None
