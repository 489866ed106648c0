"""The report's page: what it answers, what it admits, and that what users write stays text."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgesim.errors import RunFailed
from edgesim.reports import page
from edgesim.reports._page.answer import Answer, answer
from edgesim.reports._page.phrases import unbroken
from edgesim.reports.comparison import compare
from edgesim.results.run import RunResult
from edgesim.results.tables import frame
from edgesim.sensitivity import Sensitivity
from tests.commands import edgesim
from tests.reports.figured import theory
from tests.reports.variants import run, timed
from tests.results import golden_run
from tests.results.test_run_directory import write

EVIL = "<script>alert(1)</script>"


def answered(*runs: RunResult) -> Answer:
    return answer(compare(runs))


def seeds(variant: str, *seconds: float | None, **summary: Any) -> list[RunResult]:
    """Runs of one variant at seeds 1, 2, 3, ..., with their seconds to the target."""
    return [run(variant, seed, arrival, **summary) for seed, arrival in enumerate(seconds, 1)]


def ended(variant: str, **final: float | None) -> RunResult:
    """A run without a target, with the last values of its metrics."""
    golden = golden_run.result().summary["final"]
    return run(variant, 1, None, target=None, target_reached=None, final={**golden, **final})


def renamed(found: RunResult, **manifest: str) -> RunResult:
    return replace(found, manifest={**found.manifest, **manifest})


class Page(HTMLParser):
    """Tags and texts of a page, and what it carries packed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\N{NO-BREAK SPACE}", " ").split())

    def attributes(self, name: str) -> set[str | None]:
        return {attributes[name] for _, attributes in self.tags if name in attributes}


def rendered(runs: Sequence[RunResult], **comparison: Any) -> Page:
    return Page(page.render(replace(compare(runs), **comparison)))


def files_of(html: str) -> dict[str, str]:
    """The files that a page lets its reader save."""
    packed = re.search(r'id="packed-content">([^<]+)<', html)
    assert packed is not None
    content = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    found: dict[str, str] = content["files"]
    return found


@pytest.fixture(scope="module")
def html() -> str:
    """The page of three seeds."""
    return page.render(compare(THREE_SEEDS))


THREE_SEEDS = [*seeds("fedavg", 60.0, 63.0, 68.0), *seeds("heterofl", 33.7, 29.3, 32.5)]


# --------------------------------------------------------------------------------------------- the answer


def test_the_first_to_arrive_is_named_with_its_range_and_its_lead() -> None:
    found = answered(*THREE_SEEDS)
    assert found.sentence == (
        "heterofl reaches accuracy 0.8 first, after 32.5 s (29.3 s to 33.7 s over 3 seeds), "
        "2.09 times as fast as fedavg (1 min 3 s)."
    )
    ranges = "29.3 s to 33.7 s and 1 min to 1 min 8 s"
    assert found.caveats == (f"The ranges of heterofl and of the next, fedavg, lie apart ({ranges}).",)


def test_one_seed_is_called_an_anecdote() -> None:
    found = answered(*seeds("fedavg", 60.0), *seeds("fedpmt", 40.0))
    assert found.sentence == (
        "fedpmt reaches accuracy 0.8 first, after 40 s, 1.5 times as fast as fedavg (1 min)."
    )
    assert found.caveats == ("One seed is an anecdote: --seeds 1,2,3 shows how much of this is chance.",)


def test_ranges_that_overlap_decide_nothing() -> None:
    caveats = answered(*seeds("fedavg", 30.0, 50.0), *seeds("fedpmt", 29.0, 45.0)).caveats
    assert caveats == (
        "The ranges of fedpmt and fedavg overlap (29 s to 45 s and 30 s to 50 s): these seeds do not decide "
        "between the two.",
    )


def test_where_the_baseline_is_first_it_is_held_against_the_next() -> None:
    found = answered(*seeds("fedavg", 20.0, 20.0), *seeds("slow", 90.0, 90.0), *seeds("next", 30.0, 30.0))
    assert found.sentence == (
        "fedavg reaches accuracy 0.8 first, after 20 s, 1.5 times as fast as next (30 s)."
    )


def test_a_baseline_that_does_not_arrive_gives_no_factor() -> None:
    found = answered(*seeds("fedavg", None, None), *seeds("fedpmt", 30.0, 40.0))
    assert found.sentence == (
        "fedpmt reaches accuracy 0.8 first, after 35 s (30 s to 40 s over 2 seeds); "
        "fedavg does not in most of its runs."
    )
    assert found.caveats == (
        "fedavg reaches the target in 0 of 2 runs.",
        "The runs of fedavg ended after 10 s at the latest; longer ones may get there.",
    )


def test_where_only_the_baseline_arrives_nobody_else_is_named() -> None:
    found = answered(*seeds("fedavg", 30.0), *seeds("fedpmt", None))
    assert found.sentence == (
        "fedavg reaches accuracy 0.8 first, after 30 s; no other does in most of its runs."
    )


def test_a_run_that_never_arrives_is_counted() -> None:
    found = answered(*seeds("fedavg", 60.0, 61.0, None), *seeds("fedpmt", 40.0, 41.0, 42.0))
    assert "fedavg reaches the target in 2 of 3 runs." in found.caveats


def test_where_nobody_arrives_the_nearest_is_named() -> None:
    runs = [run("fedavg", 1, None, best={"accuracy": 0.7}), run("fedpmt", 1, None, best={"accuracy": 0.75})]
    found = answered(*runs)
    assert found.sentence == "No variant reaches accuracy 0.8; fedpmt comes nearest, with 0.75 at its best."
    assert found.caveats[1:] == (
        "The runs of fedavg and fedpmt ended after 10 s at the latest; longer ones may get there.",
    )


def test_runs_without_a_common_seed_give_no_factor() -> None:
    found = answered(run("fedavg", 1, 60.0), run("fedpmt", 2, 40.0))
    assert found.sentence == "fedpmt reaches accuracy 0.8 first, after 40 s; fedavg after 1 min."


def test_where_few_runs_arrive_that_is_the_answer() -> None:
    found = answered(*seeds("fedavg", None, None, None), *seeds("fedpmt", 30.0, None, None))
    assert found.sentence == (
        "No variant reaches accuracy 0.8 in most of its runs; fedpmt does in 1 of 3 runs."
    )


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        ((30.0, 40.0), "main reaches accuracy 0.8 after 35 s (30 s to 40 s over 2 seeds)."),
        ((30.0, None, None), "main reaches accuracy 0.8 in 1 of 3 runs only."),
        ((None,), "main does not reach accuracy 0.8; the best it gets to is 0.85."),
    ],
)
def test_a_single_variant_is_compared_with_nobody(seconds: tuple[float | None, ...], sentence: str) -> None:
    assert answered(*seeds("main", *seconds)).sentence == sentence


def test_equal_times_have_no_first() -> None:
    found = answered(*seeds("fedavg", 30.0), *seeds("fedpmt", 30.0))
    assert found.sentence == "fedavg and fedpmt reach accuracy 0.8 at the same time, after 30 s."


def test_from_six_seeds_on_the_interval_is_called_one() -> None:
    sentence = answered(*seeds("main", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)).sentence
    assert sentence == "main reaches accuracy 0.8 after 3.5 s (95 % interval 1.5 s to 5.5 s, 6 seeds)."


def test_without_a_target_the_models_at_the_end_are_compared() -> None:
    found = answered(ended("fedavg", accuracy=0.8), ended("fedpmt", accuracy=0.9))
    assert found.sentence == "fedpmt ends with the highest accuracy, 90.0 %; fedavg 80.0 %."
    assert found.caveats[-1] == "The scenario has no target; with stop.target, the times to it are compared."


def test_a_theory_run_is_judged_by_its_gap() -> None:
    few = [ended(name, accuracy=None, gap=gap) for name, gap in (("ist", 0.2), ("gd", 0.001))]
    assert answered(*few).sentence == (
        "gd ends nearest to the optimum, with a gap to the least loss of 0.001; ist 0.2."
    )
    many = [*few, *(ended(name, accuracy=None, gap=gap) for name, gap in (("a", 0.3), ("b", 0.4)))]
    assert answered(*many).sentence == (
        "gd ends nearest to the optimum, with a gap to the least loss of 0.001; next ist 0.2, last b 0.4."
    )


def test_timing_alone_says_that_nothing_was_trained() -> None:
    found = answered(timed("fedavg", 1, 119.0), timed("fedpmt", 1, 79.0))
    assert found.sentence == "fedpmt is done first, after 1 min 19 s; fedavg 1 min 59 s."
    assert found.caveats[0] == (
        "Timing alone: nothing was trained, so this says nothing about how good the models are."
    )


def test_where_all_runs_take_as_long_merged_updates_are_compared() -> None:
    more = timed("buffered", 1, 3600.0)
    part = more.summary["participation"]
    more = replace(
        more,
        summary={**more.summary, "participation": {**part, "fast": {**part["fast"], "aggregated": 9}}},
    )
    found = answered(timed("synchronous", 1, 3600.0), more)
    assert found.sentence == "buffered merges the most updates in 1 h, 9; synchronous 2."


def test_the_ranking_under_drawn_figures_is_a_caveat() -> None:
    drawn = Sensitivity(200, ("heterofl", "fedavg"), (), 0.97, 0.936, 0.989, {"heterofl": 1.0}, ())
    found = answer(replace(compare(THREE_SEEDS), sensitivity=drawn))
    assert found.caveats[-1] == (
        "With the figures of the devices drawn 200 times within their ranges, heterofl is first in 100.0 % "
        "of them, and the whole order stays in 97.0 % (93.6 % to 98.9 %)."
    )


@pytest.mark.parametrize(
    "text", ["32.5 s (", "1 min 3 s)", "90.0 % or", "1.87 times as", "12 MB", "3 Mbit/s"]
)
def test_no_line_breaks_between_a_number_and_its_unit(text: str) -> None:
    assert re.search(r"\d \w|\d %", unbroken(text)) is None


# ----------------------------------------------------------------------------------------------- the page


def test_the_page_asks_what_the_scenario_asks(html: str) -> None:
    asked = [replace(found, scenario_yaml=f"# Who is first?\n{found.scenario_yaml}") for found in THREE_SEEDS]
    assert "Who is first?" in rendered(asked).text
    assert "Which variant of golden reaches accuracy 0.8 first?" in Page(html).text


def test_what_users_write_stays_text() -> None:
    runs = [
        renamed(run(f"a{EVIL}", 1, 30.0, warnings=[f"beware {EVIL}"]), scenario=f"s{EVIL}"),
        renamed(run("b", 1, 40.0), scenario=f"s{EVIL}"),
    ]
    runs = [replace(found, scenario_yaml=f"# {EVIL}?\n{found.scenario_yaml}x: '{EVIL}'\n") for found in runs]
    found = rendered(runs)
    scripts = [attributes.get("id") for tag, attributes in found.tags if tag == "script"]
    assert scripts == ["packed-library", "packed-content", None]
    assert found.text.count(EVIL) > 5


def test_the_page_asks_no_server(html: str) -> None:
    found = Page(html)
    assert found.attributes("src") == set()
    assert all(str(link).startswith(("#", "data:")) for link in found.attributes("href"))
    (policy,) = [a["content"] for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none';")


def test_equal_runs_give_equal_pages(html: str) -> None:
    assert page.render(compare(THREE_SEEDS)) == html


def test_every_table_and_every_figure_can_be_saved(html: str) -> None:
    files = files_of(html)
    assert Page(html).attributes("data-file") == set(files)
    assert {"comparison.csv", "learning_curve.csv", "origins.csv", "fedavg.yaml"} <= set(files)
    first = next(csv.DictReader(io.StringIO(files["comparison.csv"])))
    assert (first["name"], first["seconds_to_target.median"]) == ("fedavg", "63.0")


def test_tables_are_named_and_headed_for_those_who_hear_them(html: str) -> None:
    found = Page(html)
    tables = sum(tag == "table" for tag, _ in found.tags)
    assert sum(tag == "caption" for tag, _ in found.tags) == tables > 5
    assert found.attributes("scope") == {"col", "row"}
    assert [tag for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)].count("h1") == 1


def test_the_main_table_leaves_out_what_nobody_knows(html: str) -> None:
    assert "final accuracy" in Page(html).attributes("data-heading")
    untrained = rendered([timed("fedavg", 1, 9.0), timed("fedpmt", 1, 8.0)])
    assert "final accuracy" not in untrained.attributes("data-heading")


def test_the_keys_in_which_variants_differ_are_shown() -> None:
    other = run("short", 1, 40.0)
    other = replace(other, scenario_yaml=other.scenario_yaml.replace("deadline: 5 s", "deadline: 4 s"))
    files = files_of(page.render(compare([run("main", 1, 30.0), other])))
    assert list(csv.reader(io.StringIO(files["differences.csv"]))) == [
        ["key", "main", "short"],
        ["coordination.deadline", "5 s", "4 s"],
    ]


def test_runs_of_one_variant_that_differ_in_more_than_the_seed_are_told() -> None:
    other = run("main", 2, 40.0)
    other = replace(other, scenario_yaml=other.scenario_yaml.replace("deadline: 5 s", "deadline: 4 s"))
    text = rendered([run("main", 1, 30.0), other]).text
    assert "main: its runs differ in more than the seed: coordination.deadline" in text


def test_how_far_to_trust_is_said_by_device_class() -> None:
    text = rendered([run("main", 1, 30.0)]).text
    assert (
        "Seconds of computing are from a measured rate (3 visits) and an estimated rate (2 visits)." in text
    )
    files = files_of(page.render(compare([run("main", 1, 30.0)])))
    assert list(csv.reader(io.StringIO(files["trust.csv"]))) == [
        ["device class", "computing", "links", "power"],
        ["fast", "measured", "-", "-"],
        ["slow", "estimated", "-", "-"],
        ["tiny", "-", "-", "unknown"],
    ]


def test_runs_from_before_the_table_of_origins_say_so() -> None:
    old = run("main", 1, 30.0)
    old = replace(old, tables={name: table for name, table in old.tables.items() if name != "origins"})
    assert "These runs do not hold where the figures of their devices come from" in rendered([old]).text


def test_a_run_that_sent_nobody_out_has_a_page() -> None:
    idle = run("main", 1, None)
    nothing = {name: [] for name in idle.tables["dispatches"]}
    tables = {**idle.tables, "dispatches": frame("dispatches", nothing)}
    assert "Seconds of computing: no visit came so far." in rendered([replace(idle, tables=tables)]).text


def test_how_to_repeat_the_runs() -> None:
    halves = run("b", 3, 40.0)
    halves = replace(halves, manifest={**halves.manifest, "seed": {"learning": 3, "timing": 4}})
    text = rendered([run("a", 1, 30.0), halves, timed("c d", 2, 9.0)]).text
    assert "edgesim run a.yaml --seed 1 " in text
    assert "edgesim run b.yaml --set seed.learning=3 --set seed.timing=4 " in text
    assert "edgesim run 'c d.yaml' --seed 2 --timing-only" in text


def test_how_to_ask_for_the_sensitivity_is_said_where_it_was_not_asked(html: str) -> None:
    assert "--sensitivity 200 draws them within their ranges" in Page(html).text
    drawn = Sensitivity(20, ("heterofl", "fedavg"), (), 1.0, 0.8, 1.0, {"heterofl": 1.0}, ())
    assert "the ranking heterofl < fedavg stays in 100.0 %" in rendered(THREE_SEEDS, sensitivity=drawn).text


# -------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """A folder with a folder of two runs."""
    for found in (run("a", 1, 30.0), run("b", 1, 40.0)):
        folder = tmp_path / "runs" / "golden" / f"{found.manifest['variant']}-seed1"
        folder.parent.mkdir(parents=True, exist_ok=True)
        header = {key: value for key, value in found.manifest.items() if key != "status"}
        write(folder, replace(found, manifest=header))
    return tmp_path


def test_a_report_lies_beside_its_runs_and_its_path_is_the_last_line(two_runs: Path) -> None:
    done = edgesim(two_runs, "report", "runs/golden")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "a reaches accuracy 0.8 first, after 30 s, 1.33 times as fast as b (40 s).",
        "report: runs/golden/report.html",
    ]
    assert (two_runs / "runs" / "golden" / "report.html").read_text().startswith("<!doctype html>")


def test_the_report_of_one_run_lies_in_its_directory(two_runs: Path) -> None:
    done = edgesim(two_runs, "report", "runs/golden/a-seed1")
    assert done.stdout.endswith("report: runs/golden/a-seed1/report.html\n")


def test_a_comparison_of_runs_writes_a_report_too(two_runs: Path) -> None:
    done = edgesim(two_runs, "compare", "runs/golden", "--report")
    assert done.stdout.splitlines()[-1] == "report: runs/golden/report.html"
    as_json = edgesim(two_runs, "compare", "runs/golden", "--report", "--json")
    assert json.loads(as_json.stdout)["scenario"] == "golden"
    assert as_json.stderr == "report: runs/golden/report.html\n"


def test_figures_are_painted_for_papers(two_runs: Path) -> None:
    done = edgesim(two_runs, "report", "runs/golden", "--out", "r.html", "--figures", "figures")
    assert done.returncode == 0, done.stderr
    painted = {path.name for path in (two_runs / "figures").iterdir()}
    assert {"learning_curve.png", "learning_curve.svg"} <= painted
    assert f"figures: {len(painted)} files in figures" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs",), "runs: no run is there; give run directories, or a folder such as runs/NAME"),
        (("nowhere",), "nowhere: no run is there"),
        (("runs/golden", "--out", "runs/golden/report.txt"), "a report is a page: call it NAME.html"),
        (("runs/golden/a-seed1", "other/b-seed1"), "several folders (runs/golden, other); say where"),
    ],
)
def test_what_cannot_be_reported_is_said(two_runs: Path, arguments: Sequence[str], message: str) -> None:
    (two_runs / "other").mkdir()
    (two_runs / "runs" / "golden" / "b-seed1").rename(two_runs / "other" / "b-seed1")
    done = edgesim(two_runs, "report", *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunFailed, match=r"runs/report\.html: cannot be written"):
        page.write(compare(THREE_SEEDS), tmp_path / "runs" / "report.html")


def test_an_earlier_report_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("earlier")
    page.write(compare(THREE_SEEDS), path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text().startswith("<!doctype html>")


def test_runs_of_theory_are_held_against_their_closed_forms_unless_those_arrive() -> None:
    noisy = [theory("noisy", seed, [1.0, gap], [1.0, 0.1]) for seed, gap in ((1, 0.15), (2, 0.25))]
    arrived, unknown = theory("arrived", 1, [1.0, 1e-15], [1.0, 1e-18]), theory("unknown", 1, [1.0, 0.5])
    caveats = answered(*noisy, arrived, unknown).caveats
    assert "The last gap over that of the closed form, which leaves chance out: 2 for noisy." in caveats
    assert not [each for each in answered(unknown).caveats if "closed form" in each]
