"""Populations: what their files may say, what is drawn from them, and what the shipped ones promise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from edgesim import yaml_source
from edgesim.devices.cost import CostModel
from edgesim.devices.fleet import Fleet, FleetGroup
from edgesim.devices.population import Population
from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError
from edgesim.rng import Streams

SHIPPED = Catalogue(environment={})
COUNT = 40_000
COLUMNS = {
    "rate": "rate_flops",
    "step_overhead": "step_overhead_s",
    "memory": "memory_bytes",
    "idle_power": "idle_w",
    "active_power": "active_w",
    "downlink": "downlink_bps",
    "uplink": "uplink_bps",
    "latency": "latency_s",
}

PLAIN = """\
title: Two sizes of board
kind: boards
compute:
  rate:
    value: {dist: lognormal, median: 2 GFLOP/s, sigma: 0.5}
    low: 1 GFLOP/s
    high: 3 GFLOP/s
    basis: measured
    source: a test
  step_overhead: {value: 10 ms, low: 1 ms, high: 20 ms, basis: estimated, source: a test}
memory: {value: {1 GB: 3, 4 GB: 1}, low: 1 GB, high: 1 GB, basis: datasheet, source: a test}
network: wifi
correlations:
  - {between: [rate, memory], value: 0.6, low: 0.5, high: 0.7, basis: measured, source: a test}
"""


def _population(text: str) -> Population:
    return yaml_source.validate(yaml_source.parse(text, "p.yaml"), Population, {"catalogue": SHIPPED})


def _catalogue(folder: Path, text: str = PLAIN) -> Catalogue:
    path = folder / "device_profiles" / "populations" / "two-sizes.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Catalogue(folder / "scenario.yaml", environment={})


def _draw(catalogue: Catalogue, *entries: dict[str, Any], seed: int = 1) -> Fleet:
    groups = [
        TypeAdapter(FleetGroup).validate_json(json.dumps(entry), context={"catalogue": catalogue})
        for entry in entries
    ]
    return Fleet.draw(groups, catalogue, Streams(seed))


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


# ------------------------------------------------------------------------------------------- what is drawn


def test_devices_of_a_population_all_differ_and_bear_its_name(tmp_path: Path) -> None:
    fleet = _draw(_catalogue(tmp_path), {"population": "two-sizes", "count": COUNT})
    assert fleet.profile_of(7) == "two-sizes"
    assert fleet.bases == ("estimated",)
    assert len(np.unique(fleet.rate_flops)) == COUNT
    assert (fleet.step_overhead_s == 0.01).all()
    assert np.isnan(fleet.active_w).all()
    assert fleet.memory_bytes.mean() == pytest.approx(1.75e9, rel=3 * np.sqrt(3 / 16) * 3 / 1.75 / 200)


def test_without_correlations_figures_are_independent(tmp_path: Path) -> None:
    text = PLAIN[: PLAIN.index("correlations")] + "correlations: []\n"
    fleet = _draw(_catalogue(tmp_path, text), {"population": "two-sizes", "count": COUNT})
    assert abs(_rank_correlation(fleet.rate_flops, fleet.memory_bytes)) < 3 / np.sqrt(COUNT)


def test_a_device_is_the_same_whoever_comes_after_it(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path)
    entry = {"population": "two-sizes", "count": 5}
    alone, joined = _draw(catalogue, entry), _draw(catalogue, entry, entry)
    np.testing.assert_array_equal(alone.rate_flops, joined.rate_flops[:5])
    assert len(np.unique(joined.rate_flops)) == 10


def test_an_entry_may_give_its_own_network_compute_stragglers_and_capacity(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"population": "two-sizes", "count": 1000}
    slow = {
        "network": {"uplink": "1 Mbit/s", "downlink": "2 Mbit/s"},
        "compute": {"scale": 0.5},
        "slow_devices": {"probability": 0.25, "slowdown": 4},
        "capacity": 0.5,
    }
    plain, other = (_draw(_catalogue(tmp_path), each) for each in (entry, entry | slow))
    factor = plain.rate_flops / other.rate_flops
    assert sorted(np.unique(factor.round(9))) == [2, 8]
    np.testing.assert_allclose(other.step_overhead_s, 0.01 * factor)
    assert (other.uplink_bps == 1e6).all()
    assert (other.capacity == 0.5).all()


def test_correlations_of_the_links_hold_on_the_populations_own_network_only() -> None:
    entry = {"population": "phones-2023-cellular", "count": COUNT}
    own, other = _draw(SHIPPED, entry), _draw(SHIPPED, entry | {"network": "cellular"})
    np.testing.assert_array_equal(own.rate_flops, other.rate_flops)
    assert _rank_correlation(own.uplink_bps, own.latency_s) < -0.5
    assert abs(_rank_correlation(other.uplink_bps, other.latency_s)) < 3 / np.sqrt(COUNT)


def test_a_slow_device_is_slow_in_what_is_expected_of_it_and_a_loaded_one_is_not(tmp_path: Path) -> None:
    from tests.fakes import WORKLOAD

    catalogue = _catalogue(tmp_path)
    entry: dict[str, Any] = {"population": "two-sizes", "count": 3}
    varying = {
        "slow_devices": {"probability": 1, "slowdown": 4},
        "load": {"sigma": 1, "correlation_time": "1 min"},
        "throttling": {},
    }
    plain, slow = (
        CostModel(_draw(catalogue, each), Streams(1)).expected(WORKLOAD, np.arange(3)).compute_s
        for each in (entry, entry | varying)
    )
    np.testing.assert_allclose(slow, 4 * plain)


def test_a_million_phones_are_columns_of_eight_bytes() -> None:
    fleet = _draw(SHIPPED, {"population": "phones-2023", "count": 1_000_000})
    columns = [column for name in Fleet.__slots__ if isinstance(column := getattr(fleet, name), np.ndarray)]
    assert sum(column.nbytes for column in columns) <= 132e6
    unknown = {"capacity", "radio_down_w", "radio_up_w", "radio_down_j_per_bit", "radio_up_j_per_bit"}
    known = [getattr(fleet, name) for name in Fleet.__slots__ if name not in unknown]
    assert all(np.isfinite(column).all() for column in known if isinstance(column, np.ndarray))
    assert (fleet.uplink_bps > 0).all()


# ---------------------------------------------------------------------------------------- the shipped ones


def test_phones_and_boards_are_shipped() -> None:
    assert set(SHIPPED.population_names()) >= {"phones-2023", "phones-2023-cellular", "boards"}


@pytest.mark.parametrize("name", SHIPPED.population_names())
def test_drawn_figures_have_the_correlations_of_the_file(name: str) -> None:
    """The standard error of Spearman's r over n draws is at most 1.06 / sqrt(n); memory is cut into sizes."""
    fleet = _draw(SHIPPED, {"population": name, "count": COUNT})
    for correlation in SHIPPED.population(name).correlations:
        first, second = (getattr(fleet, COLUMNS[each]) for each in correlation.between)
        lost = 0.09 if "memory" in correlation.between else 0.0
        found = _rank_correlation(first, second)
        assert found == pytest.approx(correlation.value, abs=lost + 3 * 1.06 / np.sqrt(COUNT))


@pytest.mark.parametrize(
    ("quantity", "other", "found_in_data"),
    [("rate", "memory", 0.876), ("step_overhead", "memory", -0.789), ("rate", "step_overhead", -0.887)],
)
def test_phones_have_the_correlations_of_952_phone_models(
    quantity: str, other: str, found_in_data: float
) -> None:
    """AI Benchmark 2023 as in EricDinging/Propius: CPU float score, memory, inference latency."""
    fleet = _draw(SHIPPED, {"population": "phones-2023", "count": COUNT})
    found = _rank_correlation(getattr(fleet, COLUMNS[quantity]), getattr(fleet, COLUMNS[other]))
    assert found == pytest.approx(found_in_data, abs=3 * 1.06 / np.sqrt(COUNT))


AT = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
SCORES = np.array([0.5402, 1.7, 2.0, 3.1, 6.1, 10.3, 14.6, 16.6, 21.1])  # of 952 phones; the Mi 9 has 9.4
DATA = [
    ("phones-2023", "rate_flops", 30e9 * SCORES / 9.4, 0.3, 0.21),
    ("phones-2023", "step_overhead_s", (10.7e-3 * 9.4 / SCORES)[::-1], 0.27, 0.27),
    ("phones-2023", "memory_bytes", 1e9 * np.array([1, 2, 3, 4, 6, 8, 12, 12, 16]), 0, 0),
    (
        "phones-2023-cellular",
        "downlink_bps",
        1e6 * np.array([6.57, 24.5, 48.4, 72.4, 117.3, 156.4, 185.2, 201.9, 224.3]),
        0.44,
        0.21,
    ),
    (
        "phones-2023-cellular",
        "uplink_bps",
        1e6 * np.array([4.59, 18.3, 19.3, 30.6, 35.5, 72.5, 85.3, 91.9, 100.3]),
        0.71,
        0.3,
    ),
    (
        "phones-2023-cellular",
        "latency_s",
        1e-3 * np.array([10.5, 17.5, 21, 27, 36.5, 45.5, 51.5, 52.5, 55.5]),
        0.08,
        0.08,
    ),
]


@pytest.mark.parametrize(("name", "column", "quantiles", "at_the_ends", "between"), DATA)
def test_drawn_figures_have_the_quantiles_of_the_data(
    name: str, column: str, quantiles: NDArray[np.float64], at_the_ends: float, between: float
) -> None:
    """As near as the file says, and some more for the draw; the data's origins are those of the files."""
    found = np.quantile(getattr(_draw(SHIPPED, {"population": name, "count": COUNT}), column), AT)
    error = np.abs(found / quantiles - 1)
    assert error.max() <= at_the_ends
    assert error[1:-1].max() <= between


def test_boards_lie_between_the_least_and_the_greatest_board_profile() -> None:
    fleet = _draw(SHIPPED, {"population": "boards", "count": COUNT})
    profiles = [SHIPPED.load(name) for name in SHIPPED.names()]
    rates = [p.compute.rate.value for p in profiles if p.kind in ("board", "accelerator board")]
    assert len(rates) == 11
    assert (fleet.rate_flops.min(), fleet.rate_flops.max()) == (
        pytest.approx(min(rates), rel=1e-3),
        pytest.approx(max(rates), rel=1e-3),
    )
    assert np.mean(fleet.idle_w < fleet.active_w) > 0.98


@pytest.mark.parametrize("name", SHIPPED.population_names())
def test_a_shipped_population_written_and_read_again_is_the_same(name: str) -> None:
    population = SHIPPED.population(name)
    text = yaml_source.dump(json.loads(population.model_dump_json(exclude_none=True)))
    assert _population(text) == population


# ---------------------------------------------------------------------------------------------- what is wrong


WRONG_GROUPS = [
    ("population: phones2023\n", 'population: no population "phones2023"; did you mean "phones-2023"?'),
    ("profile: phones-2023\n", 'profile: "phones-2023" is a population of devices: write population: phones'),
    ("profile: pixel-6\npopulation: boards\n", "needs exactly one of profile, population; got both"),
    ("network: wifi\n", "needs exactly one of profile, population; got neither"),
    (
        "population: boards\nthrottling: profile\n",
        "throttling: a population says nothing of it; write it out",
    ),
    (
        "profile: pixel-6\nthrottling: profile\n",
        "throttling: the profile pixel-6 says nothing of it; write it",
    ),
    ("profile: pixel-6\nthrottling: {slowdown: 0.5}\n", "throttling.slowdown: must be at least"),
    ("profile: pixel-6\nload: {sigma: 1}\n", "load.correlation_time: is missing, and it is required"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_GROUPS)
def test_wrong_entry_is_reported(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        yaml_source.validate(
            yaml_source.parse(text + "count: 1\n", "x.yaml"), FleetGroup, {"catalogue": SHIPPED}
        )
    assert message in str(caught.value)


WRONG = [
    ("value: 0.6", "value: 0.8", "low <= value <= high must hold, got low 0.5, value 0.8, high 0.7"),
    ("median: 2 GFLOP/s", "median: 4 GFLOP/s", "compute.rate: low <= median <= high must hold"),
    ("{1 GB: 3, 4 GB: 1}", "{1 GB: 1, 4 GB: 3}", "memory: low <= median <= high must hold"),
    ("{1 GB: 3, 4 GB: 1}", "{1 Gbit/s: 3}", "wrong dimension"),
    ("{1 GB: 3, 4 GB: 1}", "{}", "memory.value: must have at least 1 item"),
    ("[rate, memory]", "[rate, rate]", "each is between two quantities and given once"),
    ("[rate, memory]", "[rate, memroy]", 'did you mean "memory"?'),
    ("network: wifi", "network: wify", 'no network "wify"; did you mean "wifi"?'),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG)
def test_wrong_population_is_reported(right: str, wrong: str, message: str) -> None:
    assert right in PLAIN
    with pytest.raises(InputError) as caught:
        _population(PLAIN.replace(right, wrong))
    assert message in str(caught.value)


def test_correlations_that_exclude_each_other_are_refused() -> None:
    line = "  - {between: [%s, uplink], value: %s, low: -0.9, high: 0.9, basis: measured, source: a test}\n"
    more = line % ("rate", 0.9) + line % ("memory", -0.9)
    with pytest.raises(InputError, match="no figures can have all of these at once"):
        _population(PLAIN + more)


def test_a_number_without_an_origin_is_refused() -> None:
    with pytest.raises(InputError, match=r"memory\.source: is missing"):
        _population(PLAIN.replace("basis: datasheet, source: a test", "basis: datasheet"))
