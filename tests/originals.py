"""Where real data lie, for tests that need them and skip where there are none."""

from __future__ import annotations

from pathlib import Path

ORIGINALS = Path(__file__).parents[2] / "shared" / "data"
