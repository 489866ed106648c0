"""Stragglers: what makes devices slower than their profile: by chance, for good, for a while or by heat."""

from __future__ import annotations

from edgesim.devices._strict import Strict
from edgesim.devices.distribution import Multiplier
from edgesim.yaml_source import AtLeastOne, NonNegative, PositiveSeconds, Probability, ProperFraction


class Straggler(Strict):
    """A visit, or a device for the whole run, is slowed down with a probability, by a factor of its own.

    Attributes:
        probability: that it is slowed down, independent of all others.
        slowdown: what its compute time is multiplied by; not clipped, so a factor below one speeds it up.
    """

    probability: Probability
    slowdown: Multiplier


class Load(Strict):
    """Other work on a device, correlated in time: its log is a stationary autoregressive process of order 1.

    In cells of a quarter of the correlation time, whose phase differs from device to device, compute takes
    exp(sigma x) times as long. Over the cells x is Gaussian with mean 0, variance 1 and, m cells apart,
    correlation exp(-m / 4). The factor has the median 1; over long work the speed, its inverse, averages to
    exp(sigma^2 / 2) times the full one.

    Attributes:
        sigma: standard deviation of the log of the load.
        correlation_time: over which the correlation falls to 1/e.
    """

    sigma: NonNegative
    correlation_time: PositiveSeconds


class Throttling(Strict):
    """A device that gets hot by sustained work slows down, and recovers when it idles.

    Its heat is 0 at the temperature of idling and 1 at that of lasting work. It approaches 1 exponentially
    while the device works, and 0 while it idles or transfers. Up to `onset` the device works at full speed;
    from there its seconds per unit of work rise in proportion to the heat, to `slowdown` times at heat 1. The
    defaults are those of a Raspberry Pi 4 without a fan, whose clock falls by and by from 80 to 85 degrees.

    Attributes:
        slowdown: how many times longer the same work takes when hot.
        onset: heat at which the slowdown begins.
        heating_time: time constant of getting hot by work.
        cooling_time: time constant of getting cold again.
    """

    slowdown: AtLeastOne = 2.1
    onset: ProperFraction = 0.8
    heating_time: PositiveSeconds = 60.0
    cooling_time: PositiveSeconds = 120.0
