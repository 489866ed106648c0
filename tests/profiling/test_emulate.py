"""A device's limits on this machine, and how the timings say that they are no measurement of it."""

import json
from pathlib import Path

import pytest

from edgesim.devices.profile import Catalogue
from edgesim.errors import InputError
from edgesim.profiling.emulate import Emulation, emulation
from edgesim.profiling.runner import command
from tests.profiling import bundles

SHIPPED = Catalogue(environment={})


def test_cores_and_memory_are_those_of_the_profile() -> None:
    pi = emulation("raspberry-pi-4", SHIPPED, range(16))
    assert pi == Emulation("raspberry-pi-4", cores=4, affinity=(0, 1, 2, 3), memory_bytes=3 * 10**9)
    assert not pi.is_short


def test_a_machine_with_fewer_cores_gives_all_that_it_may_and_says_so() -> None:
    pi = emulation("raspberry-pi-4", SHIPPED, [2, 5])
    assert (pi.affinity, pi.is_short) == ((2, 5), True)
    assert pi.arguments() == ["--cores", "2,5", "--threads", "2", "--memory-limit", "3000000000"]


def test_the_record_is_json_with_the_device_and_what_stands_for_it() -> None:
    record = emulation("raspberry-pi-zero-2-w", SHIPPED, [0]).record()
    assert json.loads(json.dumps(record)) == {
        "profile": "raspberry-pi-zero-2-w", "cores": 4, "affinity": [0], "memory_bytes": 300_000_000
    }  # fmt: skip


@pytest.mark.parametrize("name", ["jetson-nano", "esp32-s3"])
def test_what_does_not_train_on_a_cpu_is_not_emulated(name: str) -> None:
    with pytest.raises(InputError, match=f'the profile "{name}" .* names no cores'):
        emulation(name, SHIPPED, [0])


@pytest.mark.parametrize("name", [name for name in SHIPPED.names() if SHIPPED.load(name).cores])
def test_every_shipped_device_with_cores_can_be_emulated(name: str) -> None:
    found = emulation(name, SHIPPED, range(64))
    assert len(found.affinity) == found.cores >= 2
    assert found.memory_bytes >= 300_000_000


def test_the_timings_of_an_emulated_device_name_it(tmp_path: Path) -> None:
    bundle, out = bundles.folder(tmp_path / "bundle"), tmp_path / "timings.jsonl"
    zero = emulation("raspberry-pi-zero-2-w", SHIPPED, [0])
    options = ["--out", str(out), "--budget", "0.5", "--passes", "1", "--only", "half", "--graphs", "step"]
    assert command.main([*options, *zero.arguments()], str(bundle), emulates=zero.record()) == 0
    host, timing = map(json.loads, out.read_text().splitlines())
    assert host["emulates"] == zero.record()
    assert (host["threads"], host["memory_limit_bytes"]) == (1, 300_000_000)
    assert timing["peak_bytes"] < 300_000_000
