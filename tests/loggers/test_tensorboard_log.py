"""The log that TensorBoard reads."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from edgesim.errors import InputError
from edgesim.loggers._logger import Scalar
from edgesim.loggers.tensorboard import Tensorboard

REASON = "TensorBoard is not installed: pip install 'edgesim[tensorboard]'"
needs_tensorboard = pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason=REASON)


@needs_tensorboard
def test_its_time_is_virtual_seconds_and_its_step_is_the_version(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Tensorboard().opened(tmp_path) as write:
        for time_s, version, accuracy in ((0.0, 0, 0.125), (34.5, 1, 0.5), (70.25, 2, 0.75)):
            write(Scalar(time_s, version, "evaluation/accuracy", accuracy))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["evaluation/accuracy"]
    found = [(event.wall_time, event.step, event.value) for event in events.Scalars("evaluation/accuracy")]
    assert found == [(0.0, 0, 0.125), (34.5, 1, 0.5), (70.25, 2, 0.75)]


@needs_tensorboard
def test_a_count_that_begins_at_0_in_arrears_is_read_in_the_order_of_its_times(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Tensorboard().opened(tmp_path) as write:
        write(Scalar(9.0, 3, "evaluation/accuracy", 0.5))
        write(Scalar(0.0, 0, "visits/late", 0))
        write(Scalar(9.0, 3, "visits/late", 2))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.wall_time for event in events.Scalars("visits/late")] == [0.0, 9.0]
    assert [event.wall_time for event in events.Scalars("evaluation/accuracy")] == [9.0]


def test_without_tensorboard_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorboard", raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InputError, match=r"pip install 'edgesim\[tensorboard\]'"):
        Tensorboard()
