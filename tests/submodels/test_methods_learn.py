"""Every method learns the digits, far above the chance of 0.1, where eight devices of ten train a part.

Two train the largest sub-model: what a fleet of prefixes never reaches would stay random.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim import registry
from edgesim.document import open_document
from edgesim.experiment import execute
from edgesim.models._structure import read_structure
from edgesim.models.mlp import Mlp
from edgesim.parts import prepare
from edgesim.scenario import resolve
from tests.contract._examples import example

HIDDEN = (48, 32)
SCENARIO = """\
# Does the method learn?
name: learns
seed: 1
model: {{name: mlp, hidden: [{hidden}]}}
dataset: {{name: digits, validation: 0.1}}
fleet:
  - {{profile: pixel-6, count: 8, capacity: {middle}}}
  - {{profile: pixel-6, count: 2, capacity: {largest}}}
submodel: {method}
coordination: {{name: synchronous, clients_per_round: {workers}}}
training: {{epochs: 1, batch_size: 16, learning_rate: 0.2, clip_norm: 1}}
evaluate: {{every: 40 round}}
execution: {{threads: 1}}
stop: {{rounds: 40}}
"""
WORKERS = {"ist": 2}  # more would leave each with a few units and never train most of the rest together


@pytest.mark.parametrize("method", registry.names("submodels"))
def test_a_method_learns_the_digits(method: str, tmp_path: Path) -> None:
    ladder = example(registry.builtin("submodels", method)).ladder(
        read_structure(Mlp(hidden=HIDDEN).build((1, 8, 8), 10), (1, 8, 8))
    )
    path = tmp_path / "scenario.yaml"
    path.write_text(
        SCENARIO.format(
            hidden=", ".join(map(str, HIDDEN)),
            method=method,
            middle=ladder[len(ladder) // 2],
            largest=ladder[-1],
            workers=WORKERS.get(method, 10),
        )
    )
    tables = execute(prepare(resolve(open_document(str(path)), None, (), None))).tables
    assert tables["evaluations"]["accuracy"][-1] > 0.6
