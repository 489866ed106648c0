"""The pictures of the README: `python -m tests.pictures` runs the quick start over three seeds and paints it.

`python -m tests.pictures RUN ...` paints runs of it that are there. The first screen of their report needs
Chromium, as the tests of the report do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

import edgesim
from edgesim.reports import figures, page
from tests import browsers

FOLDER = Path(__file__).parents[1] / ".github" / "pictures"

LARGEST_BYTES = 150_000  # so that the README opens at once

PICTURES = {
    "learning_curve.svg": "learning_curve",
    "device_timeline.png": "device_timeline",  # thousands of bars, which would be half a megabyte as SVG
}
"""Files, and the figure that each shows."""

REPORT = "report.png"
SCREEN = {"width": 1280, "height": 800}


def paint(runs: Sequence[edgesim.RunResult], folder: Path) -> None:
    """Write the pictures of these runs into a folder; the same runs give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "edgesim"}):
        for file, name in PICTURES.items():
            date = {"Date": None} if file.endswith(".svg") else {}
            figures.paint(name, runs).savefig(folder / file, dpi=130, facecolor="white", metadata=date)


def photograph(comparison: edgesim.Comparison, path: Path) -> None:
    """Save the first screen of the report of a comparison, once its figures are drawn."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page.write(comparison, Path(folder, "report.html"))
        chromium = playwright.chromium.launch(executable_path=browsers.PATH, args=browsers.ARGUMENTS)
        shown = chromium.new_page(viewport=SCREEN, color_scheme="light")
        shown.goto(Path(folder, "report.html").as_uri())
        shown.wait_for_selector("html[data-drawn]", state="attached")
        shown.screenshot(path=path)
        chromium.close()


if __name__ == "__main__":
    compared = edgesim.compare(sys.argv[1:] or "quickstart", progress=True)
    paint(compared.runs, FOLDER)
    photograph(compared, FOLDER / REPORT)
