"""How a process ended, in words."""

import signal

_SIGNALS = {
    "SIGILL": "an illegal instruction: this processor, or its emulation, lacks an instruction that a library uses",
    "SIGKILL": "killed: perhaps the memory was full",
}


def describe_status(status: int) -> str:
    """Return how a process ended in words, such as "ended with 1" or "was ended by signal 11 (Segmentation fault)".

    Args:
        status: its exit status; for a process that a signal ended, the negative number of the signal.
    """
    if status >= 0:
        return f"ended with {status}"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"was ended by signal {-status}"
    return f"was ended by signal {-status} ({_SIGNALS.get(number.name) or signal.strsignal(number)})"
