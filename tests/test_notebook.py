"""The notebook among the scenarios does what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "scenarios" / "first-steps.ipynb"

nbformat = pytest.importorskip("nbformat", reason="notebooks need nbclient and ipykernel, of the extra test")
nbclient = pytest.importorskip("nbclient", reason="notebooks need nbclient and ipykernel, of the extra test")
pytest.importorskip("ipykernel", reason="notebooks need nbclient and ipykernel, of the extra test")


@pytest.mark.long
def test_the_notebook_runs_from_top_to_bottom_and_keeps_nothing_on_disk(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    table, timeline, *_, error, frame = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert "<th>time to target</th>" in table[0]["data"]["text/html"]
    assert "application/vnd.plotly.v1+json" in timeline[0]["data"]
    assert 'scenario: fleet[0].profile: no device profile "raspbery-pi-3"' in _shown(error)
    assert "virtual_s_low" in frame[0]["data"]["text/html"]
    assert list(tmp_path.iterdir()) == []


def _shown(outputs: list[dict[str, str]]) -> str:
    return "".join(output["text"] for output in outputs)


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
