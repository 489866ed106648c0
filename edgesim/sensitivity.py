"""How often the ranking of variants stays where device figures are drawn within their profiles' ranges.

A synchronous round ends with its slowest visit, and a visit's seconds are a sum of terms that each scale with
one figure. So a run is split into these terms once, and a draw costs a few array operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesim.devices.fleet import FleetGroup
from edgesim.devices.network import NetworkProfile
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.errors import InputError, Problem
from edgesim.learner import Order
from edgesim.parts import Parts
from edgesim.results.summary import seconds_to_target
from edgesim.retiming import Recording, time_dependence
from edgesim.rng import Streams
from edgesim.scenario import Experiment, Scenario

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_CONFIDENCE = 0.95
_STREAMS = Streams(0)  # equal draws for all variants, seeds and scenarios: common random numbers


@dataclass(frozen=True)
class Scales:
    """Factors on the figures of each fleet entry, [groups] each."""

    rate: Floats
    step_overhead: Floats
    downlink: Floats
    uplink: Floats
    latency: Floats


@dataclass(frozen=True)
class Sensitivity:
    """What came of re-timing all runs under drawn figures.

    Attributes:
        draws: how many.
        ranking: variants by their median seconds, as the profiles' values give it.
        unranked: variants whose median run never arrives, at whatever pace.
        stays: share of the draws with the same ranking; null where there is none.
        low: lower end of its 95 % interval (Clopper and Pearson 1934).
        high: upper end.
        first: by ranked variant, the share of the draws in which it is the first.
        fixed: figures without a range, which stayed as they are.
    """

    draws: int
    ranking: tuple[str, ...]
    unranked: tuple[str, ...]
    stays: float | None
    low: float | None
    high: float | None
    first: Mapping[str, float]
    fixed: tuple[str, ...]


def check(experiment: Experiment) -> None:
    """Hold a scenario against what `assess` needs, before anything is trained for it.

    Raises:
        InputError: its weights, or which versions are evaluated, depend on time.
    """
    scenario = experiment.scenario
    problems = [*time_dependence(scenario), *_evaluated_by_time(scenario), *_entangled(scenario)]
    if problems:
        raise experiment.placed(
            InputError(
                *(replace(each, message=f"{each.message}; not with --sensitivity") for each in problems)
            )
        )


def _entangled(scenario: Scenario) -> Iterator[Problem]:
    """What makes a visit's seconds more than a sum of terms that each scale with one figure."""
    remedy = "--sensitivity re-times visits one by one; use retime --set for single changes"
    if scenario.server.uplink is not None or scenario.server.downlink is not None:
        yield Problem(f"is shared by visits: {remedy}", "server")
    if scenario.growth.grows:
        yield Problem(f"gives later visits other sub-models: {remedy}", "growth")
    for number, group in enumerate(scenario.fleet):
        for key in ("cell", "load", "throttling"):
            if getattr(group, key) is not None:
                yield Problem(f"lets seconds depend on other visits: {remedy}", f"fleet[{number}].{key}")


def _evaluated_by_time(scenario: Scenario) -> list[Problem]:
    if scenario.evaluate.every.seconds is None:
        return []
    message = "is by time: which version is evaluated differs from draw to draw; use 1 round"
    return [Problem(message, "evaluate.every")]


def assess(runs: Iterable[tuple[str, Recording]], draws: int, *, to_target: bool) -> Sensitivity:
    """Re-time runs so many times, each time with the same figures for all of them, and rank the variants.

    Args:
        runs: with the names of their variants; read one after another, as each holds its data set.
        draws: how many.
        to_target: rank by medians over runs of the seconds to target, and not of whole runs.

    Raises:
        InputError: evaluations by virtual time, whose versions differ from draw to draw.
    """
    seconds: dict[str, list[Floats]] = {}
    fixed: dict[str, None] = {}
    for name, recording in runs:
        seconds.setdefault(name, []).append(_seconds(recording, draws, to_target))
        fixed.update(dict.fromkeys(_without_range(recording)))
    medians_s = {name: _median(np.array(columns)) for name, columns in seconds.items()}
    return _ranked(medians_s, draws, tuple(fixed))


def _ranked(medians_s: Mapping[str, Floats], draws: int, fixed: tuple[str, ...]) -> Sensitivity:
    """From the median seconds of each variant, [1 + draws], the first with the profiles' values."""
    ranked = [name for name, median_s in medians_s.items() if math.isfinite(median_s[0])]
    unranked = tuple(name for name in medians_s if name not in ranked)
    if not ranked:
        return Sensitivity(draws, (), unranked, None, None, None, {}, fixed)
    order = np.argsort([medians_s[name] for name in ranked], axis=0, kind="stable")  # [ranked, 1 + draws]
    stays = int((order[:, 1:] == order[:, :1]).all(axis=0).sum())
    low, high = _interval(stays, draws)
    first = {name: float((order[0, 1:] == number).mean()) for number, name in enumerate(ranked)}
    ranking = tuple(ranked[number] for number in order[:, 0])
    return Sensitivity(draws, ranking, unranked, stays / draws, low, high, first, fixed)


def _seconds(recording: Recording, draws: int, to_target: bool) -> Floats:
    """Seconds with the profiles' values, then those of each draw, [1 + draws]."""
    scenario, catalogue = recording.experiment.scenario, recording.experiment.catalogue
    groups, timed = scenario.fleet, scenario.cost.name == "measured"
    timeline = Timeline.of(recording, to_target)
    drawn = [scales(groups, catalogue, draw, timed=timed) for draw in range(draws)]
    return np.array([timeline.seconds(each) for each in (unscaled(len(groups)), *drawn)])


def _median(seconds: Floats) -> Floats:
    """Median over the first axis; that of a finite and an infinite number is infinite."""
    ordered = np.sort(seconds, axis=0)
    count = len(ordered)
    median: Floats = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return median


def _interval(hits: int, draws: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(hits, draws).proportion_ci(_CONFIDENCE, method="exact")
    return float(found.low), float(found.high)


# ------------------------------------------------------------------------------------------------- figures


def unscaled(groups: int) -> Scales:
    """The profiles' values."""
    return Scales(*(np.ones(groups) for _ in range(5)))


def scales(groups: Sequence[FleetGroup], catalogue: Catalogue, draw: int, *, timed: bool = False) -> Scales:
    """Log-uniform factors within low..high of each figure, named by profile or network and the draw.

    A figure that a scenario gives itself has no range. `compute: {scale: ...}` is relative to the profile, so
    that its range is the profile's. A population's range is that of its median, so one factor holds for all.
    Seconds that were timed have the range in which their fit meets nine in ten of them.
    """
    columns = [
        (*_compute(group, catalogue, draw, timed), *_network(group, catalogue, draw)) for group in groups
    ]
    return Scales(*np.array(columns, dtype=np.float64).T)


def _compute(group: FleetGroup, catalogue: Catalogue, draw: int, timed: bool) -> tuple[float, float]:
    if _has_own_compute(group):
        return 1.0, 1.0
    owner, name = group.look_up(catalogue), group.device_type
    if timed and isinstance(owner, DeviceProfile) and owner.measured is not None:
        miss = 1 + owner.measured.fit.uncertainty
        slower = _factor(1 / miss, 1.0, miss, f"timed steps of {name}", draw)
        return 1 / slower, slower
    own = owner.compute
    rate, overhead = own.rate, own.step_overhead
    return (
        _factor(rate.low, rate.median, rate.high, f"rate of {name}", draw),
        _factor(overhead.low, overhead.median, overhead.high, f"step overhead of {name}", draw),
    )


def _network(group: FleetGroup, catalogue: Catalogue, draw: int) -> tuple[float, float, float]:
    name = group.look_up(catalogue).network if group.network is None else group.network
    if not isinstance(name, str):
        return 1.0, 1.0, 1.0
    network = catalogue.network(name)
    down, up, latency = (_link(network, name, link, draw) for link in ("downlink", "uplink", "latency"))
    return down, up, latency


def _link(network: NetworkProfile, name: str, link: str, draw: int) -> float:
    origin: Any = getattr(network.origin, link)
    median = float(getattr(network, link).quantile(0.5))
    return _factor(origin.low, median, origin.high, f"{link} of {name}", draw)


def _factor(low: float, value: float, high: float, name: str, draw: int) -> float:
    """Log-uniform within the range, and uniform where it begins at zero, as a factor on the value."""
    if value == 0:
        return 1.0
    u = float(_STREAMS.uniform(f"sensitivity: {name}", draw))
    drawn = low * (high / low) ** u if low > 0 else high * u
    return drawn / value


def _has_own_compute(group: FleetGroup) -> bool:
    return group.compute is not None and group.compute.scale is None


def _without_range(recording: Recording) -> Iterator[str]:
    for group in recording.experiment.scenario.fleet:
        if _has_own_compute(group):
            yield f"compute of {group.device_type}"
        if group.network is not None and not isinstance(group.network, str):
            yield f"network of {group.device_type}"


# ------------------------------------------------------------------------------------ the timeline of a run


@dataclass(frozen=True, eq=False)
class Timeline:
    """A run's visits up to the moment that counts, as terms that scale with one figure each.

    Attributes:
        group: fleet entry of each visit, [visits], as every other column.
        begins: first visit of each round, [rounds].
        arrives: whether the moment ever comes.
        overhead_s: seconds that scale with the step overhead.
        flops_s: seconds that scale inversely with the rate.
        latency_s: seconds that scale with the latency.
        download_s: seconds that scale inversely with the downlink.
        upload_s: seconds that scale inversely with the uplink; zero for visits that never got there.
    """

    group: NDArray[np.int32]
    begins: Whole
    arrives: bool
    overhead_s: Floats
    flops_s: Floats
    latency_s: Floats
    download_s: Floats
    upload_s: Floats

    @classmethod
    def of(cls, recording: Recording, to_target: bool) -> Timeline:
        """The timeline of a run up to its target, or of the whole run.

        Raises:
            InputError: the run was evaluated by virtual time.
        """
        scenario = recording.experiment.scenario
        problems = [*_evaluated_by_time(scenario), *_entangled(scenario)]
        if problems:
            raise InputError(*(replace(problem, place=str(recording.path)) for problem in problems))
        end_s = _end_s(recording, to_target)
        rows = recording.result.tables["dispatches"]
        rows = rows[rows["dispatched_s"] < (math.inf if end_s is None else end_s)]
        sent_s = rows["dispatched_s"].to_numpy()
        begins = np.flatnonzero(np.diff(sent_s, prepend=-1.0) != 0)
        devices, visits, versions = (rows[key].to_numpy() for key in ("device", "visit", "base_version"))
        terms = _terms(recording.parts, devices, visits, versions)
        return cls(recording.parts.fleet.group[devices], begins, end_s is not None, *terms)

    def seconds(self, scales: Scales) -> float:
        """Virtual seconds until the moment that counts; infinite where it never comes."""
        if not self.arrives:
            return math.inf
        if not len(self.begins):
            return 0.0
        by = self.group
        visit_s = (
            self.overhead_s * scales.step_overhead[by]
            + self.flops_s / scales.rate[by]
            + self.latency_s * scales.latency[by]
            + self.download_s / scales.downlink[by]
            + self.upload_s / scales.uplink[by]
        )
        return float(np.maximum.reduceat(visit_s, self.begins).sum())


def _end_s(recording: Recording, to_target: bool) -> float | None:
    """When the recorded run reached its target, or ended; null where it never reached it."""
    summary, evaluations = recording.result.summary, recording.result.tables["evaluations"]
    if not to_target:
        return float(summary["virtual_s"])
    ((metric, value),) = summary["target"].items()
    return seconds_to_target(evaluations, metric, value)


_Terms: TypeAlias = tuple[Floats, Floats, Floats, Floats, Floats]


def _terms(parts: Parts, devices: Whole, visits: Whole, versions: Whole) -> _Terms:
    """Seconds of each visit that scale with overhead, rate, latency, downlink and uplink."""
    columns = zip(devices.tolist(), visits.tolist(), versions.tolist(), strict=True)
    workloads = parts.ledger.fresh().assign([Order(n, *key, 0.0) for n, key in enumerate(columns)])
    fleet = parts.fleet
    nothing = np.zeros(len(fleet))
    bare = replace(parts.cost, fleet=replace(fleet, step_overhead_s=nothing, latency_s=nothing))
    whole_s, bare_s = (cost.nominal(workloads, devices, visits) for cost in (parts.cost, bare))
    trains = whole_s.fits  # without the memory there is only a download
    return (
        np.where(trains, whole_s.compute_s - bare_s.compute_s, 0.0),
        np.where(trains, bare_s.compute_s, 0.0),
        np.where(trains, 2, 1) * fleet.latency_s[devices],
        bare_s.download_s,
        np.where(trains, bare_s.upload_s, 0.0),
    )
