"""How the figures of a fleet are known: what a run keeps of its profiles, so that a report can say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from edgesim.devices.fleet import OVERRIDE, FleetGroup
from edgesim.devices.network import Network, NetworkProfile
from edgesim.devices.origin import Origin
from edgesim.devices.population import AnyFigure, Population
from edgesim.devices.profile import Catalogue, DeviceProfile
from edgesim.devices.radio import Radio
from edgesim.devices.rate_trace import RateTrace

UNKNOWN = "unknown"
EMULATED = "emulated"


@dataclass(frozen=True)
class Known:
    """One figure of one fleet entry.

    Attributes:
        figure: its name with its unit, as the fleet's column is called.
        value: in base units, the median where devices differ; null where it is no single number, or unknown.
        low: lower end of its range; null where it has none.
        high: upper end.
        basis: measured, datasheet or estimated; `override` where the scenario gives it; `unknown`;
            `emulated` where another machine was timed in the device's place.
        source: where it comes from.
    """

    figure: str
    value: float | None
    low: float | None
    high: float | None
    basis: str
    source: str | None


def origins(groups: Sequence[FleetGroup], catalogue: Catalogue, *, timed: bool) -> dict[str, list[Any]]:
    """Columns of the table of origins, a row for each figure of each fleet entry.

    Args:
        groups: the scenario's fleet.
        catalogue: that its names stand for.
        timed: whether what was timed on a device takes the place of analytic seconds.
    """
    names = ["entry", "profile", "devices", *(field.name for field in fields(Known))]
    rows = [
        (number, group.device_type, group.count, *astuple(known))
        for number, group in enumerate(groups)
        for known in _entry(group, catalogue, timed)
    ]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _entry(group: FleetGroup, catalogue: Catalogue, timed: bool) -> Iterator[Known]:
    owner = group.look_up(catalogue)
    given = owner.network if group.network is None else group.network
    network = given if isinstance(given, Network) else catalogue.network(given)
    yield from _compute(group, owner, timed)
    yield _figure("memory_bytes", owner.memory)
    yield from _links(network)
    yield _figure("idle_w", owner.power.idle)
    yield _figure("active_w", owner.power.active)
    own = owner.power.radio if isinstance(owner, DeviceProfile) else None
    yield from _radio(own or network.radio)


def _compute(group: FleetGroup, owner: DeviceProfile | Population, timed: bool) -> Iterator[Known]:
    override = group.compute
    scale = None if override is None else override.scale
    if timed and isinstance(owner, DeviceProfile) and owner.measured and (override is None or scale):
        basis = EMULATED if owner.measured.emulated else "measured"
        count = len(owner.measured.table)
        yield Known("timed_steps", count, None, None, basis, owner.measured.source)
        return
    rate, overhead = owner.compute.rate, owner.compute.step_overhead
    if override is None:
        yield _figure("rate_flops", rate)
        yield _figure("step_overhead_s", overhead)
    elif scale is not None:
        yield _scaled("rate_flops", rate, scale)
        yield _scaled("step_overhead_s", overhead, 1 / scale)
    else:
        yield Known("rate_flops", override.rate, None, None, OVERRIDE, None)
        overhead_s = override.seconds_per_step or override.step_overhead or 0.0
        yield Known("step_overhead_s", overhead_s, None, None, OVERRIDE, None)


def _figure(name: str, figure: AnyFigure | None) -> Known:
    if figure is None:
        return Known(name, None, None, None, UNKNOWN, None)
    return _known(name, float(figure.median), figure)


def _known(name: str, value: float, origin: Origin[Any]) -> Known:
    return Known(name, value, float(origin.low), float(origin.high), origin.basis, origin.source)


def _scaled(name: str, figure: AnyFigure, factor: float) -> Known:
    """A figure that the scenario makes so many times as large."""
    value, low, high = (factor * float(number) for number in (figure.median, figure.low, figure.high))
    source = f"{factor:g} times, as the scenario says, what is {figure.basis}: {figure.source}"
    return Known(name, value, low, high, OVERRIDE, source)


def _links(network: Network) -> Iterator[Known]:
    for link, name in (("downlink", "downlink_bps"), ("uplink", "uplink_bps"), ("latency", "latency_s")):
        law = getattr(network, link)
        value = None if isinstance(law, RateTrace) else float(law.quantile(0.5))
        if isinstance(network, NetworkProfile) and value is not None:
            yield _known(name, value, getattr(network.origin, link))
        else:
            yield Known(name, value, None, None, OVERRIDE, None)


def _radio(radio: Radio | None) -> Iterator[Known]:
    for name, direction in (("radio_down_w", "downlink"), ("radio_up_w", "uplink")):
        yield _figure(name, None if radio is None else getattr(radio, direction).base)
