"""A small disk that can be filled and made read-only: a mounted tmpfs, or a folder if mounting is not permitted."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL_SIZE = 1 << 30  # bytes


class Disk:
    """A folder on a separate disk, if this system permits mounting.

    Args:
        at: the folder to mount it at, which must not exist.
    """

    def __init__(self, at: Path) -> None:
        at.mkdir()
        self.at = at
        self.mounted = _succeeds("mount", "-t", "tmpfs", "-o", f"size={FULL_SIZE}", "tmpfs", str(at))

    @property
    def fault(self) -> str:
        """The way in which the disk is filled, in words."""
        return "disk full (tmpfs)" if self.mounted else "disk full (RLIMIT_FSIZE)"

    def limit(self, size_bytes: int) -> None:
        """Limit the disk to this size, in whole pages of 4 KiB."""
        if self.mounted:
            self._remount(f"size={max(1, size_bytes // 4096) * 4096}")

    def restore(self) -> None:
        """Restore the full size and the permission to write."""
        if self.mounted:
            self._remount(f"rw,size={FULL_SIZE}")
        else:
            self.at.chmod(0o755)

    def make_readonly(self) -> bool:
        """Make it read-only; return False if that is impossible, because root ignores permissions."""
        if self.mounted:
            self._remount("ro")
            return True
        self.at.chmod(0o555)
        return os.geteuid() != 0

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.at)], check=True)


@contextmanager
def small_disk(at: Path) -> Iterator[Disk]:
    """Yield a `Disk`, and unmount it at the end."""
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
