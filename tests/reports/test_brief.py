"""What a run prints at its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgesim.reports import brief
from tests.results.golden_run import result


def test_a_loss_that_is_no_finite_number_is_said() -> None:
    summary = result().summary
    diverged = replace(result(), summary={**summary, "final": {**summary["final"], "loss": None}})
    assert "accuracy 85.0 %, loss not finite at the end\n" in brief.render(diverged, Path("run"))
    assert "accuracy 85.0 %, loss 0.5 at the end\n" in brief.render(result(), Path("run"))
