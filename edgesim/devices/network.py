"""The link of a device: what a scenario writes, and what a file under `networks/` adds to say how we know."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from edgesim.devices._strict import Strict
from edgesim.devices.distribution import CONSTANT, Distribution, DrawnRate, DrawnSeconds
from edgesim.devices.origin import Origin, Text, check_range
from edgesim.devices.radio import Radio
from edgesim.yaml_source import BitsPerSecond, NonNegative, Seconds


class Network(Strict):
    """The link between a device and the server, up and down apart.

    Attributes:
        downlink: rate towards the device; a distribution is drawn once per device.
        uplink: rate towards the server; likewise, and independent of the downlink.
        latency: one-way delay, paid once per transfer; a distribution is drawn once per device.
        jitter: sigma of the lognormal factor (median 1) of a rate, drawn for each transfer.
    """

    downlink: DrawnRate
    uplink: DrawnRate
    latency: DrawnSeconds = Distribution(CONSTANT, (("value", 0.0),))
    jitter: NonNegative = 0.0


class NetworkOrigin(Strict):
    """How the numbers of a network are known; the range of a distribution holds its median."""

    downlink: Origin[BitsPerSecond]
    uplink: Origin[BitsPerSecond]
    latency: Origin[Seconds]
    jitter: Origin[NonNegative]


class NetworkProfile(Network):
    """A network of the catalogue.

    Attributes:
        title: what kind of link, where and when.
        origin: how each number is known.
        radio: what a device draws for transfers by it; absent means unknown.
    """

    title: Text
    origin: NetworkOrigin
    radio: Radio | None = None

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
