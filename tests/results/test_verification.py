"""The laws of a run: the golden one keeps all of them, and each is caught where it is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgesim import yaml_source
from edgesim.results.devices import device_table
from edgesim.results.run import RunResult
from edgesim.results.summary import summarise
from edgesim.results.tables import LATER, frame
from edgesim.results.verification import LAWS, Verdict, verify
from tests.results.golden_run import COLUMNS, CONTEXT, SCENARIO, all_tables, result, table, timing_only

Changes = Mapping[str, Mapping[str, Any]]
IDLE_W = np.full(4, 2.0)
THERE_S = np.array([10.0, 10.0, 10.0, 6.0])
NAMES = [law.__name__.replace("_", " ") for law in LAWS]


def changed(values: Sequence[Any], **rows: Any) -> list[Any]:
    """A column with some rows replaced: `changed([1, 2], _1=5)` is `[1, 5]`."""
    return [rows.get(f"_{row}", value) for row, value in enumerate(values)]


def dispatches(column: str, **rows: Any) -> Changes:
    return {"dispatches": {column: changed(COLUMNS["dispatches"][column], **rows)}}


def of(name: str, column: str, **rows: Any) -> Changes:
    return {name: {column: changed(COLUMNS[name][column], **rows)}}


def run_with(changes: Changes, scenario: str = SCENARIO, **summary: Any) -> RunResult:
    """The golden run with some columns replaced, and everything that is derived from them derived again."""
    tables = {**all_tables(), **{name: table(name, **columns) for name, columns in changes.items()}}
    if "dispatches" in changes:
        tables["devices"] = device_table(tables["dispatches"], 10.0, IDLE_W, lambda devices: THERE_S[devices])
    return replace(
        result(),
        scenario_yaml=scenario,
        tables=tables,
        summary={**summarise(tables, CONTEXT), **summary},
    )


def broken(run: RunResult) -> dict[str, str]:
    return {found.law: found.detail for found in verify(run) if found.state == "broken"}


def verdict(run: RunResult, law: str) -> Verdict:
    (found,) = (found for found in verify(run) if found.law == law)
    return found


def with_policy(**parameters: Any) -> str:
    data = yaml_source.parse(SCENARIO, "scenario.yaml").data
    return yaml_source.dump({**data, "coordination": parameters})


def test_the_golden_run_keeps_every_law() -> None:
    assert [(found.law, found.state) for found in verify(result())] == [(name, "ok") for name in NAMES]


CASES: list[tuple[str, Changes, str]] = [
    (
        "the clock is monotone",
        of("aggregations", "time_s", _0=-1.0),
        "aggregations.time_s of row 0 is -1 s in a run of 10 s",
    ),
    (
        "dispatches are numbered in order",
        dispatches("dispatch", _2=7),
        "row 2 is dispatch 7",
    ),
    (
        "visits of a device are numbered in order",
        dispatches("visit", _4=2),
        "dispatch 4: visit 2 of device 0 where 1 is due",
    ),
    (
        "a device does one visit at a time",
        dispatches("dispatched_s", _5=7.0),
        "dispatch 5 went to device 0 at 7 s, busy until 7.5 s",
    ),
    (
        "phases add up",
        dispatches("compute_s", _0=2.001),
        "dispatch 0: its phases end at 4.001 s and it at 4 s",
    ),
    (
        "phases add up",
        dispatches("download_s", _4=2.6),
        "dispatch 4: its phases end at 7.6 s and it at 7.5 s",
    ),
    (
        "outcomes fit the phases",
        dispatches("outcome", _4="late"),
        "dispatch 4 (late) arrived without all of its phases",
    ),
    (
        "traffic fits the phases",
        dispatches("bytes_up", _4=100),
        "dispatch 4: 100 bytes_up and no upload_s",
    ),
    (
        "versions are made one by one",
        of("aggregations", "version", _1=3),
        "aggregation 1 made version 3, not 2",
    ),
    (
        "visits take out the present version",
        dispatches("base_version", _5=2),
        "dispatch 5 took out version 2 at 8 s, where version 1 was there",
    ),
    (
        "evaluations are of the present version",
        of("evaluations", "version", _1=2),
        "the evaluation at 5 s is of version 2, not 1",
    ),
    (
        "staleness is versions missed",
        dispatches("staleness", _4=0),
        "dispatch 4 is dropped with staleness 0",
    ),
    (
        "staleness is versions missed",
        dispatches("staleness", _3=1),
        "dispatch 3 went into version 3, which was never made",
    ),
    (
        "aggregations are of their visits",
        of("aggregations", "mean_density", _1=0.5),
        "version 2 says mean_density 0.5, its visits 1",
    ),
    (
        "joules are spent and not gained",
        dispatches("energy_j", _0=-1.0),
        "dispatch 0 cost -1 J in 4 s",
    ),
    (
        "devices did their visits",
        of("devices", "bytes_up", _0=101),
        "device 0: bytes_up is 101, its visits give 100",
    ),
    (
        "devices did their visits",
        of("devices", "energy_j", _1=None),
        "device 1: energy_j is nan, its visits give 11",
    ),
    (
        "devices did their visits",
        of("devices", "device", _1=5),
        "device 1 is in one table and not in the other",
    ),
    (
        "busy idle and absent are all time",
        of("devices", "idle_s", _3=3.5),
        "device 3: 3 + 3.5 + 4 s of 10 s",
    ),
    (
        "link books are within capacity",
        of("links", "peak_bps", _0=1601.0),
        "server uplink carried 1601 of 1600 bit/s",
    ),
    (
        "link books are within capacity",
        of("links", "busy_s", _0=2.0),
        "server uplink: 4800 bit in 2 s at 1600 bit/s",
    ),
    (
        "bytes on the links are bytes of visits",
        of("links", "bits", _0=4000.0),
        "server uplink carried 4000 bit, and visits moved 4800",
    ),
    (
        "bytes on the links are bytes of visits",
        of("links", "link", _1="cell 1 uplink"),
        "cell 0 uplink is not in the table of links",
    ),
    (
        "capacities never shrink",
        of("growth", "capacity", _2=0.75),
        "device 2 at 10 s: from 0.75 to 0.75",
    ),
    (
        "capacities never shrink",
        of("growth", "capacity_before", _2=0.5),
        "device 2 at 10 s: from 0.5, and it had 0.75",
    ),
    (
        "capacities never shrink",
        of("growth", "version", _1=2),
        "device 3 at 5 s: version 2 was not made then",
    ),
    (
        "capacities never shrink",
        of("growth", "outcome", _1="shrunk"),
        "device 3 at 5 s: is shrunk",
    ),
    (
        "the model learnt",
        dispatches("train_loss", _3=1.9),
        "the training loss was 1.9 in the first aggregation and 1.9 in the last",
    ),
]
ALSO = {
    "the clock is monotone": {
        "visits take out the present version",
        "evaluations are of the present version",
        "staleness is versions missed",
        "capacities never shrink",
    },
    "versions are made one by one": {"aggregations are of their visits"},
    "staleness is versions missed": {"aggregations are of their visits", "the policy keeps its bounds"},
}
"""Laws that cannot hold where another one is broken."""


@pytest.mark.parametrize(("law", "changes", "detail"), CASES, ids=[detail for *_, detail in CASES])
def test_a_breach_is_named_with_place_and_value_and_breaks_no_other_law(
    law: str, changes: Changes, detail: str
) -> None:
    found = broken(run_with(changes))
    assert detail in found.pop(law, "holds")
    assert set(found) <= ALSO.get(law, set())


def test_further_breaches_are_counted() -> None:
    run = run_with(of("dispatches", "dispatch", _2=7, _3=8, _4=9))
    assert broken(run)["dispatches are numbered in order"] == "row 2 is dispatch 7 (and 2 more of 6 visits)"


def test_a_visit_that_ends_after_the_run_is_caught() -> None:
    assert broken(run_with(dispatches("finished_s", _3=10.5)))["the clock is monotone"] == (
        "dispatches.finished_s of row 3 is 10.5 s in a run of 10 s"
    )


def test_a_version_that_is_older_than_its_visits_is_caught() -> None:
    found = broken(run_with(of("aggregations", "time_s", _1=9.0)))
    assert found["staleness is versions missed"] == "dispatch 3 went into version 2, made before it ended"


def test_a_clock_that_goes_back_is_caught() -> None:
    found = broken(run_with(of("aggregations", "time_s", _0=10.0, _1=9.5)))
    assert found["the clock is monotone"] == "aggregations.time_s goes back to 9.5 s in row 1"


@pytest.mark.parametrize(
    ("policy", "detail"),
    [
        ({"name": "deadline", "clients_per_round": 1}, "updates in a version 1, the largest staleness 0"),
        ({"name": "synchronous", "clients_per_round": 3}, "devices at work 3"),
        ({"name": "asynchronous", "concurrency": 3}, "devices at work 3, updates in a version 1"),
        ({"name": "asynchronous", "concurrency": 3, "maximum_staleness": 2}, "the largest staleness 0"),
        ({"name": "buffered", "concurrency": 3, "buffer": 1}, "updates in a version 1"),
    ],
)
def test_a_policy_that_keeps_its_bounds(policy: dict[str, Any], detail: str) -> None:
    found = verdict(run_with({}, with_policy(**policy)), "the policy keeps its bounds")
    assert found.state == "ok"
    assert detail in found.detail


@pytest.mark.parametrize(
    ("policy", "detail"),
    [
        (
            {"name": "synchronous", "clients_per_round": 2},
            "devices at work: 3, and synchronous allows 2",
        ),
        (
            {"name": "buffered", "concurrency": 2, "buffer": 1},
            "devices at work: 3, and buffered allows 2",
        ),
        (
            {"name": "buffered", "concurrency": 3, "buffer": 0},
            "updates in a version: 1, and buffered allows 0",
        ),
        (
            {"name": "asynchronous", "concurrency": 3, "maximum_staleness": -1},
            "the largest staleness: 0, and asynchronous allows -1",
        ),
    ],
)
def test_a_policy_that_breaks_its_bounds(policy: dict[str, Any], detail: str) -> None:
    assert broken(run_with({}, with_policy(**policy))) == {"the policy keeps its bounds": detail}


def test_a_policy_without_bounds_is_skipped_and_said() -> None:
    found = verdict(run_with({}, with_policy(name="mine:Policy")), "the policy keeps its bounds")
    assert (found.state, found.detail) == ("skipped", "mine:Policy sets no bound that the tables could show")


@pytest.mark.parametrize(
    ("stop", "detail"),
    [
        ("{rounds: 1}", "2 rounds, and stop.rounds is 1"),
        ("{dispatches: 5}", "6 dispatches, and stop.dispatches is 5"),
    ],
)
def test_a_run_that_went_on_for_too_long(stop: str, detail: str) -> None:
    run = run_with({}, SCENARIO.replace("{rounds: 2}", stop))
    assert broken(run) == {"the stop rule is kept": detail}


@pytest.mark.parametrize(
    ("capacity", "detail"),
    [
        ("1.5 kbit/s", "server uplink moved 1600 bit from 5 to 6 s, where 1500 are possible"),
        ("0.7 kbit/s", "server uplink moved 800 bit from 0 to 1 s, where 700 are possible"),
    ],
)
def test_a_shared_link_that_moved_more_than_it_can_is_caught(capacity: str, detail: str) -> None:
    run = run_with({}, SCENARIO.replace("1.6 kbit/s", capacity))
    assert broken(run) == {"shared links are never overloaded": detail}


def test_transfers_that_only_overlap_do_not_overload_a_link() -> None:
    """Uploads of devices 0 to 2 in 3..4, 8.5..9.5 and 6..8 s: at 0.8 kbit/s each has its second."""
    shared = SCENARIO.replace("server: {uplink: 1.6 kbit/s}", "server: {downlink: 0.8 kbit/s}")
    run = replace(run_with({}, shared), tables={k: v for k, v in all_tables().items() if k != "links"})
    assert broken(run) == {}


def test_a_multicast_is_not_counted_once_per_device() -> None:
    multicast = SCENARIO.replace("{uplink: 1.6 kbit/s}", "{uplink: 1 kbit/s, multicast: true}")
    run = run_with(of("links", "bits", _0=1000.0), multicast)
    assert broken(run) == {}
    assert verdict(run, "bytes on the links are bytes of visits").state == "skipped"


@pytest.mark.parametrize(
    ("key", "value", "detail"),
    [
        ("bytes_up", 251, "bytes_up is 251, and the tables give 250"),
        ("energy_j", None, "energy_j is None, and the tables give 60.0"),
        ("seconds_to_target", 5.0, "seconds_to_target is 5.0, and the tables give 10.0"),
        ("final", {"loss": 0.4}, "final.loss is 0.4, and the tables give 0.5"),
    ],
)
def test_a_summary_that_is_not_of_the_tables_is_caught(key: str, value: Any, detail: str) -> None:
    assert broken(run_with({}, **{key: value})) == {"the summary is of the tables": detail}


def test_a_dispatch_that_no_outcome_accounts_for_is_caught() -> None:
    outcomes = {**result().summary["outcomes"], "late": 0}
    found = broken(run_with({}, outcomes=outcomes))
    assert found["every dispatch has one outcome"] == "6 dispatches and 5 outcomes"


def test_a_run_without_training_skips_the_law_of_learning_and_says_so() -> None:
    run = timing_only()
    assert broken(run) == {}
    assert verdict(run, "the model learnt").detail == "timing only: nothing was trained"


def test_a_trained_run_without_a_single_loss_did_not_learn() -> None:
    run = run_with({"dispatches": {"train_loss": [None] * 6}})
    assert broken(run) == {"the model learnt": "no visit that was merged has a training loss"}


def test_a_run_from_before_the_later_tables_and_columns_keeps_the_other_laws() -> None:
    tables = {name: found for name, found in all_tables().items() if name not in LATER}
    tables["dispatches"] = frame("dispatches", tables["dispatches"].drop(columns="paused_s"))
    later = ("idle_j", "grown", "too_large")
    summary = {key: value for key, value in result().summary.items() if key not in later}
    verdicts = verify(replace(result(), tables=tables, summary=summary))
    assert {found.law for found in verdicts if found.state == "skipped"} == {
        "capacities never shrink",
        "devices did their visits",
        "busy idle and absent are all time",
        "link books are within capacity",
        "bytes on the links are bytes of visits",
    }
    assert not [found for found in verdicts if found.state == "broken"]


def test_every_law_is_broken_by_a_case_here() -> None:
    elsewhere = {
        "the policy keeps its bounds",
        "the stop rule is kept",
        "every dispatch has one outcome",
        "the summary is of the tables",
        "shared links are never overloaded",
    }
    assert {law for law, *_ in CASES} | elsewhere == set(NAMES)
