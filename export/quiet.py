"""The converters' messages, held back unless one of them fails."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what the converters print, also from C++; if one fails, print it to stderr after all."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*experimental_preserve_all_tensors")
        kept = [(number, os.dup(number)) for number in (1, 2)]
        failed = True
        try:
            for number, _ in kept:
                os.dup2(log.fileno(), number)
            with contextlib.redirect_stdout(open(os.devnull, "w")) as nowhere, nowhere:  # noqa: PTH123
                yield
            failed = False
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace"))
