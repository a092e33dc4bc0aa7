"""Memory that a step of training frees stays with the process for the next step."""

import os
import subprocess
import sys

import pytest

CODE = """
import ctypes
from pathlib import Path
from keras_dr.core.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
before = resident()
block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(1 << 26)))
ctypes.memset(block, 1, 1 << 26)
library.free(block)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is another")
@pytest.mark.parametrize(("variables", "is_kept"), [({}, True), ({"MALLOC_PERTURB_": "0"}, False)])
def test_freed_memory_is_kept_unless_the_user_has_set_the_allocator(variables: dict[str, str], is_kept: bool) -> None:
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    run = subprocess.run([sys.executable, "-c", CODE], env=rest | variables, capture_output=True, text=True, check=True)
    assert (int(run.stdout) > 1 << 25) is is_kept
