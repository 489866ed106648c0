"""What the runner reads off a machine: a made-up file system stands for the board."""

import time
from pathlib import Path

import pytest

from edgesim.profiling.runner import energy, host, probe
from edgesim.profiling.runner.energy import PowerFile, Rapl


def board(root: Path, **files: str) -> str:
    """A file system with these files; `__` in a name stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def rapl(root: Path, package: int, energy_uj: int, range_uj: int = 1000) -> None:
    folder = root / f"sys/class/powercap/intel-rapl:{package}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")


def test_a_board_tells_its_name_processor_and_memory(tmp_path: Path) -> None:
    found = host.describe(
        board(
            tmp_path,
            **{"proc__device-tree__model": "Raspberry Pi 4 Model B Rev 1.4\0"},
            proc__cpuinfo="processor\t: 0\nmodel name\t: ARMv7 Processor rev 3\n",
            proc__meminfo="MemTotal:        3884404 kB\nMemFree:  1 kB\n",
        )
    )
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu"] == "ARMv7 Processor rev 3"
    assert found["memory_bytes"] == 3884404 * 1024


def test_conditions_are_those_of_the_core_and_the_hottest_zone(tmp_path: Path) -> None:
    clock = "sys__devices__system__cpu__cpu2__cpufreq__scaling"
    root = board(
        tmp_path,
        **{f"{clock}_governor": "ondemand\n", f"{clock}_cur_freq": "1500000\n"},
        sys__class__thermal__thermal_zone0__temp="45277\n",
        sys__class__thermal__thermal_zone1__temp="61300\n",
        sys__class__thermal__cooling_device0__temp="99000\n",
        proc__loadavg="0.31 0.20 0.10 1/123 456\n",
    )
    assert host.conditions(2, root) == {
        "governor": "ondemand",
        "frequency_hz": 1.5e9,
        "temperature_c": 61.3,
        "load": 0.31,
    }
    assert host.conditions(0, root)["governor"] is None


def test_a_machine_that_tells_nothing_gives_nulls(tmp_path: Path) -> None:
    assert set(host.conditions(0, str(tmp_path)).values()) == {None}
    assert host.describe(str(tmp_path))["memory_bytes"] is None
    assert host.peak_bytes(str(tmp_path)) is None
    assert energy.find(None, str(tmp_path)) is None


def test_the_peak_is_the_high_water_mark(tmp_path: Path) -> None:
    root = board(tmp_path, proc__self__status="VmPeak:\t  900 kB\nVmHWM:\t   500 kB\nVmRSS:\t 400 kB\n")
    assert host.peak_bytes(root) == 512_000


def test_rapl_counts_all_packages_and_survives_a_counter_that_starts_anew(tmp_path: Path) -> None:
    rapl(tmp_path, 0, 900)
    rapl(tmp_path, 1, 100)
    rapl(tmp_path / "not", 0, 5)
    meter = energy.find(None, str(tmp_path))
    assert isinstance(meter, Rapl)
    meter.start()
    rapl(tmp_path, 0, 50)
    rapl(tmp_path, 1, 300)
    assert meter.stop() == pytest.approx((150 + 200) * 1e-6)


def test_rapl_that_may_not_be_read_is_no_meter(tmp_path: Path) -> None:
    (tmp_path / "sys/class/powercap/intel-rapl:0").mkdir(parents=True)
    assert energy.find(None, str(tmp_path)) is None


def test_rapl_that_vanishes_gives_no_energy(tmp_path: Path) -> None:
    rapl(tmp_path, 0, 900)
    meter = energy.find(None, str(tmp_path))
    assert meter is not None
    meter.start()
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert meter.stop() is None


def test_a_power_file_gives_its_watts_times_the_seconds(tmp_path: Path) -> None:
    file = tmp_path / "power1_input"
    file.write_text("2500000\n")
    meter = energy.find(str(file))
    assert isinstance(meter, PowerFile)
    begin = time.monotonic()
    meter.start()
    joules = meter.stop()
    assert joules is not None
    assert 0 < joules <= 2.5 * (time.monotonic() - begin)


def test_a_power_file_that_cannot_be_read_gives_no_energy(tmp_path: Path) -> None:
    meter = PowerFile(str(tmp_path / "none"))
    meter.start()
    assert meter.stop() is None


def test_old_and_new_packages_that_go_together_pass() -> None:
    assert probe.misfit("1.26.4", "1.17.3") is None
    assert probe.misfit("2.0.2", "1.19.2") is None
    assert probe.misfit("2.4.6", "1.31.1") is None


def test_packages_that_do_not_go_together_are_told() -> None:
    assert "onnxruntime 1.16.3 is too old" in str(probe.misfit("1.26.4", "1.16.3"))
    message = str(probe.misfit("2.0.1", "1.18.1"))
    assert "onnxruntime 1.18.1 does not go with numpy 2.0.1; install an older one" in message
    assert '-m pip install "numpy<2"' in message


def test_the_way_to_install_fits_python_and_machine() -> None:
    assert "for Python 3.9 onnxruntime 1.19.2 is the last" in probe.how_to_install((3, 9), "aarch64")
    assert "the last" not in probe.how_to_install((3, 12), "x86_64")
    assert "there is no onnxruntime for armv7l" in probe.how_to_install((3, 11), "armv7l")
