"""What a bundle holds: the shapes that were exported, how right their graphs are, and what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from edgesim.reports import _format
from edgesim.reports._text import to_text

Manifest = Mapping[str, Any]

_NAMED = 3  # labels of a shape that the table shows


def to_json(manifest: Manifest, path: str) -> dict[str, Any]:
    """The manifest without its checksums and the descriptions of inputs and outputs, with the path."""
    shapes = [
        {key: _brief(value) if key in ("step", "inference") else value for key, value in shape.items()}
        for shape in manifest["shapes"]
    ]
    rest = {key: value for key, value in manifest.items() if key != "files"}
    return {"path": path, **rest, "shapes": shapes}


def _brief(graph: Mapping[str, Any]) -> dict[str, Any]:
    return {key: graph[key] for key in ("file", "nodes", "check")}


def failures(manifest: Manifest) -> list[str]:
    """What could not be exported, a message each."""
    return [failure["message"] for failure in manifest["failed"]]


def render(manifest: Manifest, path: str, width: int | None = None) -> str:
    """The shapes as plain text."""
    return to_text(_parts(manifest, path), width)


def _parts(manifest: Manifest, path: str) -> Iterator[RenderableType]:
    size = sum(file["bytes"] for file in manifest["files"].values())
    yield f"{path}: {len(manifest['shapes'])} shapes, {_format.size(size)} of graphs and runner"
    table = Table(box=box.MARKDOWN)
    for heading in ("sub-models", "variants"):
        table.add_column(heading)
    for heading in ("batch", "parameters", "FLOPs per step", "nodes", "error / bound"):
        table.add_column(heading, justify="right")
    for shape in manifest["shapes"]:
        step = shape.get("step")
        table.add_row(
            _joined(shape["labels"]),
            _joined(shape["variants"]),
            str(shape["batch"]),
            str(shape["parameters"]),
            f"{sum(operator['flops'] for operator in shape['operators']):.3g}",
            str(step["nodes"]) if step else "failed",
            f"{step['check']['update_error']:.2g}" if step else "",
        )
    yield table
    yield f"Time it here by edgesim profile {path} --name NAME; elsewhere, copy it there and run python on it"


def _joined(names: list[str]) -> str:
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more])
