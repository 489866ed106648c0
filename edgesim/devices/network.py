"""Links as scenarios write them, and what a file under `networks/` adds to say how we know."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Tag, model_validator

from edgesim.devices._strict import Strict
from edgesim.devices.distribution import CONSTANT, Distribution, DrawnRate, DrawnSeconds
from edgesim.devices.origin import Origin, Text, check_range
from edgesim.devices.radio import Radio
from edgesim.devices.rate_trace import RateTrace
from edgesim.yaml_source import BitsPerSecond, Count, NonNegative, Seconds

Direction: TypeAlias = Literal["down", "up"]
"""Of a transfer: towards the device, or towards the server."""


def _rate_tag(given: Any) -> str:
    varies = isinstance(given, RateTrace) or (isinstance(given, dict) and "trace" in given)
    return "varying" if varies else "steady"


LinkRate = Annotated[
    Annotated[DrawnRate, Tag("steady")] | Annotated[RateTrace, Tag("varying")], Discriminator(_rate_tag)
]


class Network(Strict):
    """The link between a device and the server, up and down apart.

    Attributes:
        downlink: rate towards the device; a distribution is drawn once per device, a trace varies in time.
        uplink: rate towards the server; drawn independently of the downlink, but taken from the same trace.
        latency: one-way delay, paid once per transfer; a distribution is drawn once per device.
        jitter: sigma of the lognormal factor (median 1) of a rate, drawn for each transfer.
        radio: what a device draws for transfers by it; absent means unknown.
    """

    downlink: LinkRate
    uplink: LinkRate
    latency: DrawnSeconds = Distribution(CONSTANT, (("value", 0.0),))
    jitter: NonNegative = 0.0
    radio: Radio | None = None


class Cell(Strict):
    """A link that so many devices share: a radio cell or an access point. A rate left out is no limit.

    Attributes:
        devices: how many share it, in the order of their fleet entry.
        downlink: what their downloads get together.
        uplink: what their uploads get together.
    """

    devices: Count
    downlink: BitsPerSecond | None = None
    uplink: BitsPerSecond | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.downlink is None and self.uplink is None:
            raise ValueError("needs a downlink or an uplink: without either it limits nothing")
        return self


class ServerLinks(Strict):
    """The server's own links. A rate left out is no limit.

    Attributes:
        uplink: what it sends; the downloads of all devices share it.
        downlink: what it receives; the uploads of all devices share it.
        multicast: whether a part that several devices need crosses the uplink once.
    """

    uplink: BitsPerSecond | None = None
    downlink: BitsPerSecond | None = None
    multicast: bool = False

    @model_validator(mode="after")
    def _something_to_save(self) -> Self:
        if self.multicast and self.uplink is None:
            raise ValueError(
                "multicast sends once over the server's uplink, and that has no limit; give an uplink"
            )
        return self


class NetworkOrigin(Strict):
    """How the numbers of a network are known; the range of a distribution holds its median."""

    downlink: Origin[BitsPerSecond]
    uplink: Origin[BitsPerSecond]
    latency: Origin[Seconds]
    jitter: Origin[NonNegative]


class NetworkProfile(Network):
    """A network of the catalogue; its rates do not vary in time.

    Attributes:
        title: what kind of link, where and when.
        origin: how each number is known.
    """

    downlink: DrawnRate
    uplink: DrawnRate
    title: Text
    origin: NetworkOrigin

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        medians = {
            "downlink": self.downlink.quantile(0.5).item(),
            "uplink": self.uplink.quantile(0.5).item(),
            "latency": self.latency.quantile(0.5).item(),
            "jitter": self.jitter,
        }
        for name, median in medians.items():
            origin: Origin[float] = getattr(self.origin, name)
            check_range(origin.low, median, origin.high, f"median {name}")
        return self
