"""Temperature, clock, throttling and energy, read from a folder that imitates Linux's sensors."""

import json
from pathlib import Path

import jsonschema
import pytest

from edge_demo import __main__ as command
from edge_demo.sensors import EnergyMeter, Reading, read_sensors, throttled_of_raspberry
from edge_demo.sustained import Sample, Sustained, measure_sustained

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "profile.schema.json"


def imitate(root: Path, temperature_c: float, clock_mhz: float, cooling: int, power_w: float) -> None:
    """Write what Linux's files would hold."""
    files = {
        "class/thermal/thermal_zone0/temp": 1000 * temperature_c,
        "class/thermal/thermal_zone1/temp": 30_000,
        "class/thermal/cooling_device0/cur_state": cooling,
        "class/hwmon/hwmon2/power1_input": 1e6 * power_w,
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 1000 * clock_mhz,
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": 1000 * clock_mhz,
    }
    for name, value in files.items():
        file = root / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value:.0f}\n")
    (root / "sys/class/thermal/cooling_device0/type").write_text("cpufreq-cpu0\n")


def test_sensors_are_read(tmp_path: Path) -> None:
    imitate(tmp_path, 71.5, 1200, 0, 4.5)
    assert read_sensors(tmp_path) == Reading(71.5, 1200.0, (), 4.5)
    imitate(tmp_path, 85, 600, 3, 2.5)
    assert read_sensors(tmp_path) == Reading(85.0, 600.0, ("cooling",), 2.5)


def test_without_sensors_nothing_is_made_up(tmp_path: Path) -> None:
    assert read_sensors(tmp_path) == Reading(None, None, None, None)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("throttled=0x0\n", ()),
        ("throttled=0x50000\n", ()),  # it was throttled since the start, but is not now
        ("throttled=0x50005\n", ("under-voltage", "throttled")),
        ("throttled=0xA\n", ("clock capped", "soft temperature limit")),
        ("error", None),
    ],
)
def test_throttling_of_a_raspberry_pi(text: str, reasons: tuple[str, ...] | None) -> None:
    assert throttled_of_raspberry(text) == reasons


def test_energy_comes_from_the_counter_or_from_a_power_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_DR_SENSORS", str(tmp_path))
    assert EnergyMeter().per_round_mj(4) == (None, None)
    imitate(tmp_path, 50, 1000, 0, 8)
    times_s = iter([10.0, 12.0, 20.0, 21.0, 30.0, 31.0])
    monkeypatch.setattr("edge_demo.sensors.perf_counter", lambda: next(times_s))
    meter = EnergyMeter()
    imitate(tmp_path, 50, 1000, 0, 4)
    meter.sample()
    assert meter.per_round_mj(4) == (3000.0, "hwmon")  # 6 W for 2 s, in 4 rounds
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.parent.mkdir(parents=True)
    counter.write_text("1000000\n")
    meter = EnergyMeter()
    counter.write_text("3000000\n")
    assert meter.per_round_mj(4) == (500.0, "RAPL")
    meter = EnergyMeter()
    counter.write_text("5\n")  # the counter began again
    assert meter.per_round_mj(4) == (None, None)


def test_a_sustained_measurement(
    bundle_folder: Path, tmp_path: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    imitate(tmp_path, 80, 1500, 2, 3)
    monkeypatch.setenv("KERAS_DR_SENSORS", str(tmp_path))
    (result,) = measure_sustained(bundle_folder, None, [1], 0.04, photograph)
    assert (result.variant, result.threads, result.simulated) == ("int8", 1, True)
    assert 1 <= len(result.samples) <= 3 and result.samples[-1].at_s >= 2.4
    assert {(sample.temperature_c, sample.throttled) for sample in result.samples} == {(80.0, ("cooling",))}
    assert "Simulated sensors: hottest 80 C; clock 1500 to 1500 MHz; throttled in 100% of the time (cooling)" in str(
        result
    )


def test_slowing_is_the_last_tenth_against_the_first() -> None:
    samples = [Sample(float(number), 5, 10.0 + number, 20, None, None, None, None) for number in range(20)]
    result = Sustained("int8", 2, 1, 5, False, tuple(samples))
    assert result.slowdown == pytest.approx(28.5 / 10.5)
    assert "10.5 ms in the first tenth of the time, 28.5 ms in the last" in str(result)
    assert "no thermal sensor; no clock reported; no sign of throttling is reported here" in str(result)


def test_cli_profile_sustained(bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "profile.json"
    words = ["profile", str(bundle_folder), "--variants", "int8", "--threads", "1", "--repeats", "1", "--operators"]
    assert command.main([*words, "--sustained", "0.02", "--json", str(file)]) == 0
    assert "0.02 min without a pause" in capsys.readouterr().out
    content = json.loads(file.read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    assert content["sustained"][0]["simulated"] is False
