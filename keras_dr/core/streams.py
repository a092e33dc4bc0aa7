"""Standard output and standard error of a command."""

import io
import sys


def escape_unencodable() -> None:
    """Write letters that a terminal or a pipe cannot encode as escapes such as \\u60a3, instead of raising an error.

    A choice of the user, such as PYTHONIOENCODING=cp1252:replace, stays.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
