from collections.abc import Callable
from pathlib import Path

import pytest

from edgesim.devices.profile import Catalogue

PLAIN = """\
title: Plain board
kind: board
compute:
  rate: {value: 2 GFLOP/s, low: 1 GFLOP/s, high: 3 GFLOP/s, basis: measured, source: a test}
  step_overhead: {value: 10 ms, low: 1 ms, high: 20 ms, basis: estimated, source: a test}
  jitter: {value: 0.3, low: 0.1, high: 0.5, basis: measured, source: a test}
memory: {value: 1 GB, low: 1 GB, high: 1 GB, basis: datasheet, source: a test}
power:
  active: {value: 5 W, low: 5 W, high: 5 W, basis: measured, source: a test}
network: cable
"""

CABLE = """\
title: Cable
downlink: 80 Mbit/s
uplink: 8 Mbit/s
latency: 25 ms
origin:
  downlink: {low: 80 Mbit/s, high: 80 Mbit/s, basis: measured, source: a test}
  uplink: {low: 8 Mbit/s, high: 8 Mbit/s, basis: measured, source: a test}
  latency: {low: 25 ms, high: 25 ms, basis: measured, source: a test}
  jitter: {low: 0, high: 0, basis: measured, source: a test}
"""


@pytest.fixture
def plain(tmp_path: Path) -> Callable[[str], Catalogue]:
    """Makes a catalogue with one more profile, `plain` (as given), and one more network, `cable`."""

    def make(profile: str = PLAIN) -> Catalogue:
        networks = tmp_path / "device_profiles" / "networks"
        networks.mkdir(parents=True, exist_ok=True)
        (networks.parent / "plain.yaml").write_text(profile)
        (networks / "cable.yaml").write_text(CABLE)
        return Catalogue(tmp_path / "scenario.yaml", environment={})

    return make


@pytest.fixture
def plain_text() -> str:
    return PLAIN


@pytest.fixture
def catalogue(plain: Callable[[], Catalogue]) -> Catalogue:
    return plain()
