"""Limits on memory and time of this process, for work on hostile files; no effect on systems without such limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _held_bytes() -> int | None:
    """Return the address space that this process holds; None if the system does not report it (Windows, macOS)."""
    try:
        import resource

        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return None


def limit_process(memory_bytes: int, seconds: int) -> None:
    """Limit the memory and processor time of this process for the rest of its life, and prevent core files.

    Args:
        memory_bytes: address space in addition to what the process holds now.
        seconds: processor time in seconds.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_AS: (_held_bytes() or 0) + memory_bytes,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowest, lowest))


@contextmanager
def limited_memory(further_bytes: int) -> Iterator[None]:
    """Within the block, limit the address space of this process to what it holds plus `further_bytes`."""
    held = _held_bytes()
    if held is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = held + further_bytes
    if soft != resource.RLIM_INFINITY:
        limit = min(soft, limit)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
