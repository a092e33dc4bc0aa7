"""The number of processor cores that this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GROUPS = "sys/fs/cgroup"


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of usable cores: in a container or under `taskset`, fewer than the machine has.

    On Linux these are the cores that the process may run on (`taskset`, cpusets), or fewer if a control group limits
    the processor time (`docker run --cpus`, `CPUQuota=` of systemd). A limit of 2.5 cores counts as 2, because a third
    thread would be stopped half of the time, and the others would wait for it.

    Args:
        root: the folder that holds proc/ and sys/.

    Example:
        >>> usable_cores()
        2
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in _quotas(root) if quota > 0]
    return max(1, min([cores, *(int(quota) for quota in quotas)]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the limits on processor time, in cores, of this process's control groups and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:  # version 2 has one hierarchy
            for folder in _enclosing(root / _GROUPS, name):
                yield from _quota_of_version_2(folder / "cpu.max")
        elif "cpu" in controllers.split(","):
            for hierarchy in dict.fromkeys((controllers, "cpu")):
                for folder in _enclosing(root / _GROUPS / hierarchy, name):
                    yield from _quota_of_version_1(folder)


def _enclosing(hierarchy: Path, name: str) -> Iterator[Path]:
    """Yield the folder of a control group and of all groups around it.

    In a container, the name may be that on the host, and only the topmost folder exists there.
    """
    group = PurePosixPath(name.lstrip("/"))
    for part in (group, *group.parents):
        if ".." not in part.parts:
            yield hierarchy / part


def _quota_of_version_2(file: Path) -> Iterator[float]:
    """Yield the limit in cpu.max, such as "150000 100000" for 1.5 cores; nothing for "max 100000"."""
    try:
        quota, period = file.read_text().split()
        yield int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return


def _quota_of_version_1(folder: Path) -> Iterator[float]:
    """Yield the limit in cpu.cfs_quota_us and cpu.cfs_period_us; nothing if the quota is -1."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        yield quota / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return
