"""Graphs on the oldest onnxruntime that a bundle may meet give what they give on the present one.

The environment is made with `python -m venv` and pip: onnxruntime 1.17 and numpy below 2, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgesim.profiling.runner.fills import draw
from edgesim.profiling.steps import training_step
from edgesim.profiling.subjects import Subject
from tests.profiling.steps_of import books, built, subject
from tests.profiling.test_every_shape import CLASSES, LIGHT
from tests.profiling.test_translations import IMAGE, IMAGES, complete

OLDEST = ["onnxruntime==1.17.*", "numpy<2"]
TOLERANCE = 1e-5

RUN = """\
import sys
import numpy as np
import onnxruntime
feeds, model, results = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
names = [each.name for each in session.get_outputs()]
with np.load(feeds) as given:
    np.savez(results, **dict(zip(names, session.run(names, dict(given)))))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oldest")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *OLDEST]
    if subprocess.run(pip, check=False, capture_output=True).returncode:
        pytest.skip(f"{' and '.join(OLDEST)} cannot be installed for Python {sys.version_info[:2]} here")
    return folder / "bin" / "python"


def subject_of(name: str) -> Subject:
    if name in IMAGES:
        return subject(books(complete(IMAGES[name]), IMAGE))
    model, shape, tokens = LIGHT[name]
    return subject(books(built(model, shape, CLASSES), shape, tokens=tokens))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMAGES, *LIGHT])
def test_a_step_gives_the_same_on_the_oldest_runtime(name: str, python: Path, tmp_path: Path) -> None:
    exported = training_step(subject_of(name))
    feeds = {p.name: np.asarray(draw(dict(p.fill or {}), p.shape, p.dtype)) for p in exported.inputs}
    content = exported.model.SerializeToString()
    (tmp_path / "step.onnx").write_bytes(content)
    np.savez(tmp_path / "feeds.npz", **feeds)  # type: ignore[arg-type]
    given = [str(tmp_path / file) for file in ("feeds.npz", "step.onnx", "results.npz")]
    subprocess.run([python, "-c", RUN, *given], check=True, capture_output=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [port.name for port in exported.outputs]
    with np.load(tmp_path / "results.npz") as old:
        for title, present in zip(names, session.run(names, feeds), strict=True):
            assert np.abs(old[title] - present).max() <= TOLERANCE * max(1.0, np.abs(present).max()), title
