"""Where things lie."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("KERAS_DR_DATA", ROOT.parent / "shared" / "data"))  # real data sets, if there are any
