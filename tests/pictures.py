"""The pictures of the README: `python -m tests.pictures` runs the quick start over three seeds and paints it.

`python -m tests.pictures RUN ...` paints runs of it that are there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

import edgesim
from edgesim.reports import figures

FOLDER = Path(__file__).parents[1] / ".github" / "pictures"

LARGEST_BYTES = 150_000  # so that the README opens at once

PICTURES = {
    "learning_curve.svg": "learning_curve",
    "device_timeline.png": "device_timeline",  # thousands of bars, which would be half a megabyte as SVG
}
"""Files, and the figure that each shows."""


def paint(runs: Sequence[edgesim.RunResult], folder: Path) -> None:
    """Write the pictures of these runs into a folder; the same runs give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "edgesim"}):
        for file, name in PICTURES.items():
            date = {"Date": None} if file.endswith(".svg") else {}
            figures.paint(name, runs).savefig(folder / file, dpi=130, facecolor="white", metadata=date)


if __name__ == "__main__":
    paint(edgesim.compare(sys.argv[1:] or "quickstart", progress=True).runs, FOLDER)
