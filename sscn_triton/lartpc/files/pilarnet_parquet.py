"""Events of PILArNet-M in Parquet: the rows of its HDF5 files, which `pilarnet` documents, as columns of lists.

pimm (https://github.com/DeepLearnPhysics/particle-imaging-models, `pimm/datasets/pilarnet/parquet.py`) defines the
columns: `point`, `cluster` and `cluster_extra` contain the flat numbers of one event per row. Hugging Face's own
conversion of the HDF5 files, the branch refs/convert/parquet of a repository, has these alone; pimm's converter adds
`n_points`, the number of points. Other columns are not read.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.common.errors import first_line
from sscn_triton.common.optional import require
from sscn_triton.lartpc.files.base import EventFileError
from sscn_triton.lartpc.files.pilarnet import PilarnetEvents
from sscn_triton.lartpc.files.pilarnet_layout import OWN
from sscn_triton.lartpc.files.pilarnet_rows import POINT

_COUNTS = "n_points"


class PilarnetParquetEvents(PilarnetEvents):
    """The events of a PILArNet-M file in Parquet, read like its HDF5 files: see `PilarnetEvents`.

    A row group is the least that Parquet can decode. That of the event read last stays in memory; reading events in
    another order than the file's decodes one row group per event.
    """

    def _open(self) -> Any:
        return open_parquet(self.path)

    def _count(self) -> int:
        names = self._try("", self.handle.names)
        missing = [name for name in ("point", "cluster") if name not in names]
        if missing:
            found = ", ".join(f"{name} ({self.handle.kind(name)})" for name in names)
            raise EventFileError(
                f"{self.path}: no column {missing[0]}; the file contains {found or 'nothing'}; expected the columns "
                "point and cluster of PILArNet-M"
            )
        return super()._count()

    def points(self, number: int) -> int:
        """Points that the file has for an event, in several of which a voxel may occur; see `EventFile.points`."""
        return super().points(number) if self._counts is None else int(self._counts[number])

    @cached_property
    def _counts(self) -> np.ndarray | None:
        if _COUNTS not in self.handle.names():
            return None
        counts = self._try(_COUNTS, lambda: self.handle.column(_COUNTS))
        if counts.dtype.kind not in "iu" or (counts < 0).any():
            raise EventFileError(f"{self.path}: {_COUNTS}: expected one number of points per event")
        return counts

    def _row(self, name: str, number: int) -> np.ndarray:
        row = super()._row(name, number)
        counts = self._counts if name == "point" else None
        if counts is not None and len(row) != POINT * counts[number]:
            raise EventFileError(
                f"{self.path}: event {number}: point: {len(row)} numbers, but {_COUNTS} is {counts[number]}"
            )
        return row


class Columns:
    """An open Parquet file, with the calls of `hdf5.Reading` that `PilarnetEvents` needs."""

    def __init__(self, file: Any) -> None:
        self._file = file
        groups = range(file.metadata.num_row_groups)
        self._ends = list(accumulate(file.metadata.row_group(group).num_rows for group in groups))
        self._decoded: dict[str, tuple[int, Any]] = {}  # by column: the last group read, and its lists

    def names(self) -> list[str]:
        """The columns, but for one that has the name of this package's own HDF5 group."""
        return [name for name in self._file.schema_arrow.names if name != OWN]

    def kind(self, name: str) -> str:
        """What a column contains: "rows of float", or the name of another type."""
        import pyarrow.types as types

        kind = self._file.schema_arrow.field(name).type
        if not (types.is_list(kind) or types.is_large_list(kind)):
            return str(kind)
        inner = kind.value_type
        numbers = types.is_integer(inner) or types.is_floating(inner)
        return f"rows of {inner}" if numbers else f"{kind}"

    def length(self, name: str) -> int:
        """Number of rows, the same for every column."""
        return int(self._ends[-1]) if self._ends else 0

    def row(self, name: str, number: int) -> np.ndarray:
        """The numbers of one event. Raises ValueError if there is none, or a null among them."""
        group = bisect_right(self._ends, number)
        kept, rows = self._decoded.get(name, (-1, None))  # at once: another thread may replace them
        if kept != group:
            rows = self._read(name, group)
            self._decoded[name] = group, rows
        place = number - (self._ends[group] - len(rows))
        values = rows[place].values
        if values is None or values.null_count:
            raise ValueError("null in place of a row of numbers" if values is None else "null among the numbers")
        return values.to_numpy(zero_copy_only=False)

    def column(self, name: str) -> np.ndarray:
        """One number per event."""
        parts = [self._read(name, group).to_numpy(zero_copy_only=False) for group in range(len(self._ends))]
        return np.concatenate([np.zeros(0, np.int64), *parts]) if parts else np.zeros(0, np.int64)

    def _read(self, name: str, group: int) -> Any:
        table = self._file.read_row_group(group, columns=[name], use_threads=False)  # threads do not survive a fork
        array = table.column(0).combine_chunks()
        expected = self._file.metadata.row_group(group).num_rows
        if len(array) != expected:
            raise ValueError(f"{len(array)} rows in row group {group}, expected {expected}")
        array.validate(full=True)
        return array

    def close(self) -> None:
        self._file.close()


def open_parquet(path: Path) -> Columns:
    """Open a file. Raises EventFileError if it is not Parquet."""
    require("pyarrow")  # before errors about the file
    import pyarrow.parquet as parquet

    try:
        return Columns(parquet.ParquetFile(path, page_checksum_verification=True))
    except Exception as error:
        raise EventFileError(f"{path}: not a Parquet file, or a truncated one ({first_line(error)})") from error
