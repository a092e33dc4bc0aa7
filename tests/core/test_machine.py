"""The number of usable cores in folders that imitate Linux's control groups."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from keras_dr.core.machine import usable_cores


def imitate(root: Path, group: str, files: Mapping[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": group, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ("0::/", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ("0::/", {"sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
        ("0::/", {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ("0::/", {"sys/fs/cgroup/cpu.max": "1600000 100000"}, 8),
        ("0::/", {"sys/fs/cgroup/cpu.max": "broken"}, 8),
        # the group around a service limits it, too
        (
            "0::/system.slice/watch.service",
            {
                "sys/fs/cgroup/system.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/system.slice/watch.service/cpu.max": "max 100000",
            },
            3,
        ),
        (
            "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc",
            {
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "50000",
            },
            3,
        ),
        # inside a container, the group has its name on the host, but its files lie at the top
        (
            "4:cpu,cpuacct:/docker/abc",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            4,
        ),
        (
            "4:cpu:/",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            8,
        ),
        ("4:cpuset:/", {"sys/fs/cgroup/cpuset/cpu.max": "100000 100000"}, 8),
        # a name that leads out of the hierarchy, as a process outside its namespace sees it
        ("0::/../other", {"sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
    ],
)
def test_a_quota_limits_the_cores(tmp_path: Path, group: str, files: dict[str, str], cores: int) -> None:
    assert usable_cores(imitate(tmp_path, group, files)) == cores


def test_cores_that_the_process_may_not_run_on_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5}, raising=False)
    assert usable_cores(imitate(tmp_path, "0::/", {"sys/fs/cgroup/cpu.max": "400000 100000"})) == 2


def test_without_control_groups_all_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8
