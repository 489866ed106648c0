"""What a radio draws while it transfers, on top of the idle device: a base and so much per bit.

Measured power is a line over the rate (Narayanan et al. 2021, "A Variegated Look at 5G in the Wild"; Huang et
al. 2012, "A Close Examination of Performance and Power Characteristics of 4G LTE Networks"):

    power = idle + base + slope x rate      so that      joules = (idle + base) x seconds + slope x bits

which also holds where the rate varies while the bits are under way.
"""

from __future__ import annotations

import math

from edgesim.devices._strict import Strict
from edgesim.devices.origin import Figure
from edgesim.yaml_source import JoulesPerBit, Watts


class Transfer(Strict):
    """One direction of a radio.

    Attributes:
        base: power beyond that of the idle device, whatever the rate.
        per_bit: energy of each bit beyond that; 10 mW per Mbit/s are 10 nJ/bit.
    """

    base: Figure[Watts]
    per_bit: Figure[JoulesPerBit]


class Radio(Strict):
    """A radio, or whatever else a device is connected by.

    Attributes:
        downlink: while it receives.
        uplink: while it sends.
    """

    downlink: Transfer
    uplink: Transfer


def figures(radio: Radio | None) -> tuple[float, float, float, float]:
    """Watts down and up, then joules per bit down and up; NaN where the radio is not known."""
    if radio is None:
        return math.nan, math.nan, math.nan, math.nan
    down, up = radio.downlink, radio.uplink
    return down.base.value, up.base.value, down.per_bit.value, up.per_bit.value
