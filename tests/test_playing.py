"""The live table of a run that is played."""

from __future__ import annotations

import pytest

from edgesim.playing import playing
from edgesim.server.server import Server
from tests.fakes import FixedWorkload, computing, simulate


def test_piped_it_is_lines_of_names_and_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    learner = FixedWorkload(metrics=lambda version: {"accuracy": 0.5})  # noqa: ARG005
    run = simulate(computing(1.0, 2.0), devices=2, rounds=3, learner=learner)
    with playing(60.0, quiet=False) as show:
        show(6.0, run.server)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("virtual time ")
    assert "speed 60 s per second, rounds 3, devices at work 0 of 2, updates held 0, aggregated 6" in line
    assert line.endswith("accuracy 0.5")


def test_quiet_it_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    server: Server = simulate(computing(1.0), devices=1).server
    with playing(60.0, quiet=True) as show:
        show(1.0, server)
    assert capsys.readouterr() == ("", "")
