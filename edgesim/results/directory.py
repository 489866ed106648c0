"""The directory of a run: who may write into it, and in which order.

The manifest makes a folder a run directory, and its status says what else to expect. While a run is under
way the manifest is alone. Results are written into a folder beside the directory and then moved in, and the
manifest that calls the run finished comes last: a killed run leaves nothing that looks like a whole one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from safetensors.numpy import save_file

from edgesim.errors import InputError, Problem, RunFailed
from edgesim.results import tables, timeline
from edgesim.results.files import folder_beside, to_json, write_text
from edgesim.results.run import (
    MANIFEST,
    REPORT,
    SCENARIO,
    SUMMARY,
    TABLES,
    TIMELINE,
    WEIGHTS,
    RunResult,
    read_manifest,
)

RESULTS = (SCENARIO, SUMMARY, *TABLES.values(), TIMELINE, WEIGHTS, REPORT)
"""Files that a finished run may have besides its manifest."""

LOG = "log"
"""Folder of what loggers write while a run goes: what it holds is there however the run ends."""


class RunDirectory:
    """The directory of a run from its first moment to its last; use it as a context.

    Entering it claims the directory and deletes the results of an earlier run, and nothing else. Leaving it
    without `finish` says in the manifest that the run was interrupted, or failed.

    Args:
        path: the directory; made where it does not exist.
        header: the manifest without a status.
        overwrite: whether an earlier run may be replaced.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, overwrite: bool) -> None:
        self._path = path
        self._header = dict(header)
        self._overwrite = overwrite
        self._finished = False

    @staticmethod
    def check(path: Path, *, overwrite: bool) -> None:
        """Whether a run may be written here.

        Raises:
            InputError: there is an earlier run and it may not be replaced, or something that is no run.
        """
        if path.exists() and not path.is_dir():
            raise InputError(Problem("is a file; give another folder with --out", place=str(path)))
        if not path.exists() or not any(path.iterdir()):
            return
        if not (path / MANIFEST).is_file():
            raise InputError(
                Problem("holds files that are no run; give another folder with --out", place=str(path))
            )
        status = read_manifest(path)["status"]
        if not overwrite:
            raise InputError(
                Problem(f"holds a run already ({status}); replace it with --overwrite", place=str(path))
            )

    def __enter__(self) -> Self:
        self.check(self._path, overwrite=self._overwrite)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._write_status("running")
            for name in RESULTS:
                (self._path / name).unlink(missing_ok=True)
            if (self._path / LOG).exists():
                shutil.rmtree(self._path / LOG)
        except OSError as error:
            raise InputError(_unwritable(self._path, error)) from error
        return self

    def finish(self, result: RunResult) -> None:
        """Write the results, all or none, and call the run finished.

        Raises:
            RunFailed: they cannot be written.
        """
        try:
            with folder_beside(self._path) as folder:
                _write_results(folder, result)
                for file in sorted(folder.iterdir()):
                    os.replace(file, self._path / file.name)
            self._write_status("finished")
        except OSError as error:
            raise RunFailed(str(_unwritable(self._path, error))) from error
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._write_status("interrupted" if kind is KeyboardInterrupt else "failed")

    def _write_status(self, status: str) -> None:
        write_text(self._path / MANIFEST, to_json({**self._header, "status": status}))


def _write_results(folder: Path, result: RunResult) -> None:
    (folder / SCENARIO).write_text(result.scenario_yaml, encoding="utf-8")
    (folder / SUMMARY).write_text(to_json(result.summary), encoding="utf-8")
    for name, table in result.tables.items():
        tables.write(name, table, folder / TABLES[name])
    timeline.write(result.tables, folder / TIMELINE)
    if result.weights is not None:
        save_file(
            {name: np.asarray(value, order="C") for name, value in result.weights.items()}, folder / WEIGHTS
        )


def _unwritable(path: Path, error: OSError) -> Problem:
    message = f"cannot be written: {error.strerror or error}; give another folder with --out"
    return Problem(message, place=str(path))
