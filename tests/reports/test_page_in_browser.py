"""The report's page in a real browser: it draws every figure, asks nobody, fits, and follows the look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgesim.reports import figures, page
from edgesim.reports.comparison import compare
from edgesim.results.run import RunResult
from tests import browsers
from tests.reports.variants import run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.skipif(browsers.PATH is None, reason="there is no Chromium on this machine")

RUNS: list[RunResult] = [run("fedavg", 1, 60.0), run("fedavg", 2, 63.0), run("fedpmt", 1, 40.0)]
NAMES = figures.applicable(RUNS)


@dataclass
class Shown:
    """A page that a browser shows, with all that it complained about or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def measure(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=browsers.PATH, args=browsers.ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    page.write(compare(RUNS), path)
    return path


@pytest.fixture(scope="module", params=[(400, "dark"), (1600, "light")], ids=["phone, dark", "desk, light"])
def shown(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Shown]:
    width, look = request.param
    phone = width == 400
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=look, is_mobile=phone, has_touch=phone
    )
    found = Shown(context.new_page())
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("request", lambda asked: found.requests.append(asked.url))
    found.page.goto(file.as_uri())
    found.page.wait_for_selector("html[data-drawn]", state="attached")
    yield found
    context.close()


def test_every_figure_is_drawn_and_nothing_is_complained_about(shown: Shown) -> None:
    drawn = (
        "[...document.querySelectorAll('.plot')].filter(p => p.querySelector('.main-svg :is(.trace, .hm)'))"
    )
    assert shown.measure(f"{drawn}.map(p => p.id)") == [f"plot-{name}" for name in NAMES]
    assert len(NAMES) > 3
    assert shown.complaints == []


def test_no_request_leaves_the_page(shown: Shown, file: Path) -> None:
    assert shown.requests == [file.as_uri()]


def test_nothing_is_wider_than_the_screen(shown: Shown) -> None:
    width = shown.page.viewport_size["width"]
    assert shown.measure("document.documentElement.scrollWidth") == width
    assert shown.measure(f"[...document.querySelectorAll('.main-svg')].every(s => s.clientWidth <= {width})")


def test_the_answer_is_on_the_first_screen(shown: Shown) -> None:
    box = shown.page.locator(".answer").bounding_box()
    assert box["y"] + box["height"] < shown.page.viewport_size["height"] / 2


def test_figures_follow_the_look_of_the_system(shown: Shown) -> None:
    marks, inks = shown.page.locator(".plot .xtick text").first, []
    for look in ("dark", "light"):
        shown.page.emulate_media(color_scheme=look)
        inks.append(shown.measure("getComputedStyle(document.body).color"))
        sync_api.expect(marks).to_have_css("fill", inks[-1])
    assert inks[0] != inks[1]


def test_figures_get_the_width_of_paper_for_printing_and_go_back(shown: Shown) -> None:
    widths = "[...new Set([...document.querySelectorAll('.plot')].map(p => p._fullLayout.width))]"
    before = shown.measure(widths)
    shown.measure("dispatchEvent(new Event('beforeprint'))")
    assert shown.measure(widths) == [700]
    shown.measure("dispatchEvent(new Event('afterprint'))")
    assert shown.measure(widths) == before


def test_what_a_table_or_a_figure_shows_can_be_saved(shown: Shown, tmp_path: Path) -> None:
    for name in ("comparison.csv", "learning_curve.csv"):
        with shown.page.expect_download() as coming:
            shown.page.click(f"[data-file='{name}']")
        coming.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_text().count("\n") > 2
