"""keras_dr.core.limits: within a block, memory is limited."""

import numpy as np
import pytest

from keras_dr.core.limits import limited_memory


def test_memory_is_limited_within_alone() -> None:
    pytest.importorskip("resource")
    with pytest.raises(MemoryError), limited_memory(100 << 20):
        np.ones(1 << 30, np.uint8)
    np.ones(200 << 20, np.uint8)
