"""A small disk that can be filled and made read-only: a mounted tmpfs, or what comes next to it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = 1 << 30


class Disk:
    """A folder on a disk of its own where this system lets us mount one.

    Args:
        at: where it is mounted; an empty folder.
    """

    def __init__(self, at: Path) -> None:
        at.mkdir()
        self.at = at
        self.mounted = _succeeds("mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(at))

    @property
    def fault(self) -> str:
        """How it is filled, in words."""
        return "disk full (tmpfs)" if self.mounted else "disk full (RLIMIT_FSIZE)"

    def limit(self, size_bytes: int) -> None:
        """Leave this much room in all, in whole pages of 4 KiB."""
        if self.mounted:
            self._remount(f"size={max(1, size_bytes // 4096) * 4096}")

    def mend(self) -> None:
        """Give room and permission."""
        if self.mounted:
            self._remount(f"rw,size={ROOM}")
        else:
            self.at.chmod(0o755)

    def forbid(self) -> bool:
        """Make it read-only; False where that cannot be had: permissions do not bind root."""
        if self.mounted:
            self._remount("ro")
            return True
        self.at.chmod(0o555)
        return os.geteuid() != 0

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.at)], check=True)


@contextmanager
def small_disk(at: Path) -> Iterator[Disk]:
    """A `Disk`, which is unmounted at the end."""
    disk = Disk(at)
    try:
        yield disk
    finally:
        if disk.mounted:
            subprocess.run(["umount", str(at)], check=True)
        shutil.rmtree(at)


def _succeeds(*words: str) -> bool:
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
