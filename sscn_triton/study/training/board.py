"""TensorBoard's log. The training thread writes it, so that a write error ends the training with one message."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path
from typing import Any

from sscn_triton.common.files import named, write_all


class _Whole(io.FileIO):
    """A file whose `write` repeats until all bytes are written."""

    def write(self, data: Any) -> int:
        return write_all(super(), data)


class Board:
    """A new log in `folder`. TensorBoard drops the entries of earlier logs from `first_step` on.

    Raises WriteError if the disk is full.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        self._file = _Whole(self.path, "xb")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        self._write(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        try:
            self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
        except OSError as error:
            raise named(error, self.path) from error

    def add(self, step: int, values: dict[str, float]) -> None:
        """Write the scalars of a step, by name; nan values are left out."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        numbers = [Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value == value]
        self._write(step=step, summary=Summary(value=numbers))

    def close(self) -> None:
        self._file.close()
