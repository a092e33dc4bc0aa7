"""Limits on what this process may take, for work on files that may be hostile; no effect where a system has none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _held_bytes() -> int | None:
    """The address space that this process holds; None where the system does not tell (Windows, macOS)."""
    try:
        import resource

        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return None


def limit_process(memory_bytes: int, seconds: int) -> None:
    """Keep this process, for the rest of its life, within memory and processor time, and let it leave no core file.

    Args:
        memory_bytes: address space beyond what the process holds now.
        seconds: processor time.
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
    """Within the block, let this process take no more address space than it holds and `further_bytes`."""
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
