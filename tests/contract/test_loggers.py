"""What every logger must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim import registry
from edgesim.errors import InputError
from edgesim.loggers._logger import Logger, Scalar

ROWS = [
    Scalar(0.0, 0, "evaluation/accuracy", 0.1),
    Scalar(2.5, 1, "evaluation/accuracy", 0.5),
    Scalar(2.5, 1, "evaluation/loss", float("inf")),
    Scalar(0.0, 0, "visits/late", 0),
    Scalar(2.5, 1, "visits/late", 3),
]


@pytest.fixture(params=registry.names("loggers"))
def logger(request: pytest.FixtureRequest) -> Logger:
    try:
        made: Logger = registry.builtin("loggers", request.param)()
    except InputError as error:
        pytest.skip(str(error))
    return made


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_writes_into_its_folder_and_has_written_all_when_it_is_closed(
    logger: Logger, tmp_path: Path
) -> None:
    with logger.opened(tmp_path) as write:
        for row in ROWS:
            write(row)
    (found,) = written(tmp_path).values()
    assert all(row.name.encode() in found for row in ROWS)


def test_it_is_closed_where_its_run_fails(logger: Logger, tmp_path: Path) -> None:
    def fail() -> None:
        with logger.opened(tmp_path) as write:
            write(ROWS[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    (found,) = written(tmp_path).values()
    assert ROWS[0].name.encode() in found


def test_two_loggers_of_one_run_do_not_write_into_each_others_files(tmp_path: Path) -> None:
    names = set()
    for room in registry.names("loggers"):
        (tmp_path / room).mkdir()
        try:
            made: Logger = registry.builtin("loggers", room)()
        except InputError:
            continue
        with made.opened(tmp_path / room):
            pass
        names |= {path.name for path in (tmp_path / room).iterdir()}
    assert len(names) == len(list(tmp_path.glob("*/*")))
