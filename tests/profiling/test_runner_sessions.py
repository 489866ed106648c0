"""Sessions of the runner as a board sees them: a bundle, started with nothing but Python."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from edgesim.profiling.runner import command, timings
from tests.profiling import bundles

QUICK = ("--budget", "0.5", "--threads", "1", "--passes", "1")
LONG = ("--budget", "1.5", "--precision", "1e-9", "--passes", "1")
PATIENCE_S = 60.0


def started(bundle: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """The runner of a bundle, away from every edgesim."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, str(bundle), "--out", "timings.jsonl", *arguments],
        cwd=bundle.parent,
        env=environment,
        stderr=options.pop("stderr", subprocess.PIPE),
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def ran(bundle: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a whole session."""
    with started(bundle, *arguments) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


def results(bundle: Path) -> timings.Timings:
    return timings.read(str(bundle.parent / "timings.jsonl"))


def wait(until: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]


def timed_here(bundle: Path) -> set[timings.Key]:
    return set(results(bundle).timed) if (bundle.parent / "timings.jsonl").exists() else set()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.folder(tmp_path / "bundle")


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """The step of `aa11` never ends."""
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, (4, 3)) for name in ("v", "w")}
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still_on"]), helper.make_node("Neg", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            values["v"],
        ],
        [helper.make_tensor_value_info("still_on", TensorProto.BOOL, ()), values["w"]],
    )
    yes = helper.make_tensor("yes", TensorProto.BOOL, (), [True])
    nodes = [
        helper.make_node("Constant", [], ["start"], value=yes),
        helper.make_node("Loop", ["", "start", "x"], ["z"], body=body),
    ]
    return replaced(tmp_path, nodes, (4, 3))


@pytest.fixture
def hungry(tmp_path: Path) -> Path:
    """The step of `aa11` needs 4 GB."""
    size = (32_000, 32_000)
    nodes = [
        helper.make_node(
            "Constant", [], ["big"], value=helper.make_tensor("n", TensorProto.INT64, (2,), size)
        ),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "big"], ["z"]),
    ]
    return replaced(tmp_path, nodes, size)


def replaced(tmp_path: Path, nodes: list[Any], output: tuple[int, ...]) -> Path:
    """A bundle whose step of `aa11` makes z of x by these nodes."""
    manifest, files = bundles.contents()
    step = manifest["shapes"][0]["step"]
    step["inputs"] = [bundles.INPUTS["x"]]
    files[step["file"]] = bundles.model("other", nodes, {"x": (4, 3)}, {"z": output})
    return bundles.folder(tmp_path / "bundle", manifest, files)


@pytest.fixture
def sessions() -> Iterator[list[subprocess.Popen[str]]]:
    """Sessions that are ended with the test."""
    begun: list[subprocess.Popen[str]] = []
    yield begun
    for process in begun:
        with process:
            process.kill()


def test_a_zip_is_timed_as_it_is(bundle: Path) -> None:
    archive = bundles.zipped(bundle, bundle.parent / "bundle.zip")
    code, said = ran(archive, *QUICK, "--only", "half", "--graphs", "step")
    assert code == 0, said
    assert set(results(archive).timed) == {("aa11", "step")}


def test_a_bundle_times_every_graph(bundle: Path) -> None:
    code, said = ran(bundle, *QUICK)
    assert code == 0, said
    assert said.splitlines()[-1] == "4 of 4 graphs are timed, in timings.jsonl"
    found = results(bundle)
    assert set(found.timed) == {(shape, kind) for shape in ("aa11", "bb22") for kind in ("step", "inference")}
    assert found.hosts[0]["threads"] == 1
    assert found.hosts[0]["cores"] == os.cpu_count()
    assert (found.hosts[0]["bundle"], found.hosts[0]["scenario"]) == ("bundle", "tiny")
    assert found.results["aa11", "step"]["operators"] == bundles.OPERATORS
    assert found.results["aa11", "inference"]["operators"] == bundles.OPERATORS[:1]
    for line in found.results.values():
        assert (line["batch"], len(line["labels"])) == (bundles.BATCH, 1)
        seconds = line["seconds"]
        assert 0 < seconds["low"] <= seconds["median"] <= seconds["high"] <= seconds["p99"]
        assert seconds["median"] <= seconds["p90"] <= seconds["p99"]
        assert line["repeats"] >= 1
        assert 0 < line["baseline_bytes"] <= line["session_bytes"] <= line["peak_bytes"]
        assert line["providers"] == ["CPUExecutionProvider"]


def test_each_graph_is_timed_in_several_passes_and_more_may_follow(bundle: Path) -> None:
    few = ("--budget", "0.3", "--threads", "1", "--only", "half", "--graphs", "step")
    assert "2/2 " in ran(bundle, *few, "--passes", "2")[1]
    assert results(bundle).timed == {("aa11", "step"): 2}
    code, said = ran(bundle, *few)
    assert code == 0
    assert "1/1 " in said
    assert results(bundle).timed == {("aa11", "step"): 3}


def test_a_second_session_finds_nothing_to_do(bundle: Path) -> None:
    ran(bundle, *QUICK, "--only", "half")
    before = results(bundle).results
    code, said = ran(bundle, *QUICK, "--only", "half")
    assert (code, results(bundle).results) == (0, before)
    assert "timings.jsonl has 2 of 2 graphs already" in said


def test_other_settings_do_not_go_into_the_same_file(bundle: Path) -> None:
    ran(bundle, *QUICK, "--only", "half", "--graphs", "step")
    code, said = ran(bundle, *QUICK, "--spin")
    assert code == 2
    assert "holds timings with spinning False, now it is True; write to another file with --out" in said


def test_the_cores_are_those_of_the_session(bundle: Path) -> None:
    core = max(os.sched_getaffinity(0))
    ran(bundle, *QUICK, "--only", "half", "--graphs", "step", "--cores", str(core))
    assert results(bundle).hosts[0]["affinity"] == [core]


def test_the_energy_of_a_run_comes_from_the_power_file(bundle: Path) -> None:
    power = bundle.parent / "power1_input"
    power.write_text("3000000\n")
    ran(bundle, "--budget", "2", "--only", "half", "--graphs", "step", "--power-file", str(power))
    (line,) = results(bundle).results.values()
    assert line["energy_j_per_run"] >= 3.0 * 0.9 * line["seconds"]["mean"]


def test_the_list_needs_no_packages(bundle: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-S", str(bundle), "--list"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0
    assert process.stdout.splitlines()[0] == "aa11  step       batch 4     half"


def test_modules_in_the_folder_where_it_is_started_are_not_taken(bundle: Path) -> None:
    for name in ("numpy.py", "json.py", "edgesim.py"):
        (bundle.parent / name).write_text("raise RuntimeError('a stranger')")
    code, said = ran(bundle, *QUICK, "--only", "half", "--graphs", "step")
    assert code == 0, said


def test_a_provider_that_is_not_here_is_recorded_as_asked_for_and_not_got(bundle: Path) -> None:
    providers = ["NoSuchExecutionProvider", "CPUExecutionProvider"]
    code, said = ran(bundle, *QUICK, "--only", "half", "--graphs", "step", "--providers", ",".join(providers))
    found = results(bundle)
    assert (code, found.hosts[0]["providers_requested"]) == (0, providers)
    assert found.results["aa11", "step"]["providers"] == ["CPUExecutionProvider"]
    assert "(without NoSuchExecutionProvider, which is not here)" in said


def test_missing_packages_are_told_with_the_way_to_install_them(bundle: Path) -> None:
    empty = bundle.parent / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(empty)], check=True)
    process = subprocess.run(
        [str(empty / "bin/python"), str(bundle)],
        capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr.startswith("numpy is not installed; install both: ")
    assert process.stderr.count("\n") == 1


def test_a_changed_graph_is_refused_before_anything_runs(bundle: Path) -> None:
    (bundle / "graphs/bb22-step.onnx").write_bytes(b"other")
    code, said = ran(bundle, *QUICK)
    assert code == 2
    assert "graphs/bb22-step.onnx does not have the checksum" in said
    assert not (bundle.parent / "timings.jsonl").exists()


def test_a_graph_that_onnxruntime_refuses_fails_and_the_others_go_on(tmp_path: Path) -> None:
    manifest, files = bundles.contents()
    files["graphs/aa11-step.onnx"] = b"no graph"
    bundle = bundles.folder(tmp_path / "bundle", manifest, files)
    code, said = ran(bundle, *QUICK, "--only", "half")
    assert code == 1
    assert "1/2 half, batch 4, step: FAILED: " in said
    assert "1 of 2 graphs are timed" in said
    assert set(results(bundle).timed) == {("aa11", "inference")}
    assert results(bundle).results["aa11", "step"]["kind"] == "failure"


def test_a_graph_that_hangs_fails_and_the_others_go_on(endless: Path) -> None:
    code, said = ran(endless, *QUICK, "--timeout", "5", "--only", "half")
    assert code == 1
    assert "half, batch 4, step: FAILED: took longer than 5 s and was ended; see --timeout" in said
    assert set(results(endless).timed) == {("aa11", "inference")}


def test_a_graph_that_is_killed_fails_and_the_others_go_on(
    endless: Path, sessions: list[subprocess.Popen[str]]
) -> None:
    process = started(endless, *QUICK, "--only", "half")
    sessions.append(process)
    wait(lambda: (endless.parent / "timings.jsonl").exists())
    wait(lambda: children(process))
    os.kill(children(process)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "FAILED: was killed by the system, which may have run out of memory (SIGKILL)" in said
    assert set(results(endless).timed) == {("aa11", "inference")}


def test_a_graph_beyond_the_memory_limit_fails_and_the_others_go_on(hungry: Path) -> None:
    code, said = ran(hungry, *QUICK, "--only", "half", "--memory-limit", str(10**9), "--timeout", "30")
    assert code == 1
    assert "half, batch 4, step: FAILED: " in said
    assert set(results(hungry).timed) == {("aa11", "inference")}
    assert results(hungry).hosts[0]["memory_limit_bytes"] == 10**9


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_session_ends_cleanly(
    endless: Path, sessions: list[subprocess.Popen[str]], ended_by: signal.Signals
) -> None:
    process = started(endless, *QUICK)
    sessions.append(process)
    wait(lambda: (endless.parent / "timings.jsonl").exists() and children(process))
    process.send_signal(ended_by)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert said == "interrupted; timings.jsonl has what is done, the same command goes on from there\n"
    assert children(process) == []


def test_a_killed_session_keeps_what_it_did_and_the_next_goes_on(
    bundle: Path, sessions: list[subprocess.Popen[str]]
) -> None:
    process = started(bundle, *LONG)
    sessions.append(process)
    wait(lambda: timed_here(bundle))
    wait(lambda: children(process))
    (child,) = children(process)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    before = results(bundle).results
    wait(lambda: not Path(f"/proc/{child}").exists())
    code, _ = ran(bundle, *LONG)
    after = results(bundle).results
    assert code == 0
    assert (len(before), len(after)) == (1, 4)
    assert before.items() <= after.items()


def test_a_closed_stderr_does_not_end_the_session(bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started(bundle, *QUICK, "--only", "half", stderr=writing) as process:
        os.close(writing)
        process.wait(PATIENCE_S)
    assert process.returncode == 0
    assert len(results(bundle).timed) == 2


def test_edgesim_can_call_the_runner_and_say_what_is_emulated(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = bundle.parent / "timings.jsonl"
    arguments = ["--out", str(out), *QUICK, "--only", "half", "--graphs", "step"]
    assert command.main(arguments, str(bundle), emulates={"profile": "pi"}) == 0
    assert json.loads(out.read_text().splitlines()[0])["emulates"] == {"profile": "pi"}
    assert "1 of 1 graphs are timed" in capsys.readouterr().err
