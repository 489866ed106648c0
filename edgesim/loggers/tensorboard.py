"""TensorBoard's event files, in which virtual seconds stand where it expects those of the wall clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from edgesim.errors import InputError
from edgesim.loggers._logger import Logger, Scalar, Write
from edgesim.registry import component


@component
class Tensorboard(Logger):
    """For TensorBoard, log/events.out.tfevents...; its axis of time shows virtual seconds."""

    def __post_init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise InputError("--log tensorboard: needs TensorBoard; pip install 'edgesim[tensorboard]'")

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Write]:  # noqa: D102
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        events = EventFileWriter(str(folder), flush_secs=5)

        def write(scalar: Scalar) -> None:
            value = Summary.Value(tag=scalar.name, simple_value=scalar.value)
            summary = Summary(value=[value])
            events.add_event(Event(wall_time=scalar.time_s, step=scalar.version, summary=summary))

        try:
            yield write
        finally:
            events.close()
