"""What a run left behind, readable without torch or simpy."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from edgesim.errors import InputError, Problem
from edgesim.results import tables

MANIFEST = "manifest.json"
SCENARIO = "scenario.yaml"
SUMMARY = "summary.json"
TABLES: Mapping[str, str] = {name: f"{name}.parquet" for name in tables.SCHEMAS}
TIMELINE = "timeline.json.gz"
WEIGHTS = "model.safetensors"
REPORT = "report.html"
COMPARISON = "comparison.json"
"""Of the runs of a folder, beside them."""

PAPERS = "papers"
"""The key of a manifest under which stand the papers behind what the run used, as `edgesim cite` has them."""

FORMAT = "edgesim run 1"
"""What a manifest calls itself; the number changes when older readers could not read the directory."""

_LIBRARIES = ("edgesim", "numpy", "scipy", "simpy", "torch")
_NEEDED = ("status", "scenario", "variant", "seed", "timing_only")


@dataclass(frozen=True)
class RunResult:
    """Everything that one run left behind.

    Attributes:
        scenario_yaml: the scenario as resolved; running it again gives the same run.
        manifest: circumstances, see `manifest`.
        summary: results in brief, see `edgesim.results.summary`.
        tables: by name, see `edgesim.results.tables`; those that came later may be missing.
        weights: of the last version of the model; null where nothing was trained.
    """

    scenario_yaml: str
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    weights: Mapping[str, NDArray[Any]] | None

    def __repr__(self) -> str:
        seed = self.manifest["seed"]["timing"]
        return f"RunResult({self.manifest['scenario']}, {self.manifest['variant']}, seed {seed})"

    def _repr_html_(self) -> str:
        """What a notebook shows: how the run ended, in base units."""
        summary = self.summary
        shown = {
            "reason": summary["reason"],
            "virtual_s": summary["virtual_s"],
            "seconds_to_target": summary["seconds_to_target"],
            "accuracy": summary["final"]["accuracy"],
            "aggregations": summary["aggregations"],
            "dispatched": summary["dispatched"],
            "bytes_down": summary["bytes_down"],
            "bytes_up": summary["bytes_up"],
            "energy_j": summary["energy_j"],
            "warnings": "; ".join(summary["warnings"]) or None,
        }
        column = {key: "" if value is None else value for key, value in shown.items()}
        return f"<p>{escape(repr(self))}</p>{pd.Series(column).to_frame().to_html(header=False, border=0)}"


def manifest(
    *, scenario: str, variant: str, seed: Mapping[str, int], device: str, timing_only: bool
) -> dict[str, Any]:
    """Under what circumstances a run is made. It names neither folders nor people, and has no status yet.

    Args:
        scenario: name of the scenario.
        variant: name of the variant.
        seed: of each half, `learning` and `timing`.
        device: where training runs (`cpu`, `cuda:0`).
        timing_only: whether nothing is trained.
    """
    return {
        "format": FORMAT,
        "scenario": scenario,
        "variant": variant,
        "seed": dict(seed),
        "timing_only": timing_only,
        "device": device,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "host": {
            "system": platform.system(),
            "machine": platform.machine(),
            "vector_instructions": _vector_instructions(),
            "cpus": os.cpu_count(),
        },
    }


def _vector_instructions() -> str:
    """The widest that NumPy found: float results may differ between them."""
    found: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return found[-1] if found else "baseline"


def finished_runs(names: Sequence[str | Path]) -> list[Path]:
    """The run directories that these names stand for: each is one, or a folder of them.

    Those in a folder come in the order of the comparison that lies there, as the first variant is what others
    are compared with; without one, by their names.

    Raises:
        InputError: that comparison cannot be read.
    """
    found: list[Path] = []
    for name in names:
        folder = Path(name)
        found += [folder] if (folder / MANIFEST).is_file() else _inside(folder)
    return found


def _inside(folder: Path) -> list[Path]:
    directories = sorted(file.parent for file in folder.glob(f"*/{MANIFEST}"))
    file = folder / COMPARISON
    compared = _read_json(file).get("variants", []) if directories and file.is_file() else []
    places = {variant["name"]: place for place, variant in enumerate(compared)}
    return sorted(directories, key=lambda each: places.get(each.name.rpartition("-seed")[0], len(places)))


def read(path: Path) -> RunResult:
    """Everything that a finished run left behind.

    Raises:
        InputError: there is no run, it did not finish, or a file of it is missing or broken.
    """
    found = read_manifest(path)
    if found["status"] != "finished":
        raise InputError(
            Problem(
                f"this run is {found['status']}, and only finished runs have results; run it again with "
                "--overwrite, unless it is still under way",
                place=str(path),
            )
        )
    return RunResult(
        scenario_yaml=_read_text(path / SCENARIO),
        manifest=found,
        summary=_read_json(path / SUMMARY),
        tables={
            name: _read_table(name, path / file)
            for name, file in TABLES.items()
            if name not in tables.LATER or (path / file).exists()
        },
        weights=None if found["timing_only"] else _read_weights(path / WEIGHTS),
    )


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run, finished or not.

    Raises:
        InputError: there is no run directory that this version of edgesim can read.
    """
    file = path / MANIFEST
    if not file.is_file():
        what = f"has no {MANIFEST}, so it is no run directory" if path.is_dir() else "there is no such folder"
        raise InputError(Problem(f"{what}; give a folder that edgesim run has written", place=str(path)))
    found = _read_json(file)
    if found.get("format") != FORMAT:
        given = found.get("format")
        message = f'must be of format "{FORMAT}", found {given!r}; run the scenario again with this edgesim'
        raise InputError(Problem(message, place=str(file)))
    missing = [key for key in _NEEDED if key not in found]
    if missing:
        raise _broken(file, f"it does not say {', '.join(missing)}")
    return found


def _broken(path: Path, why: object) -> InputError:
    return InputError(Problem(f"is missing or broken ({why}); run the scenario again", place=str(path)))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, error) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise _broken(path, error) from error
    if not isinstance(value, dict):
        raise _broken(path, "it is no mapping")
    return value


def _read_table(name: str, path: Path) -> pd.DataFrame:
    try:
        return tables.read(name, path)
    except (OSError, ValueError) as error:
        raise _broken(path, error) from error


def _read_weights(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise _broken(path, error) from error
