"""Rows as a Parquet file, a piece at a time, in as much memory as one row group takes.

Pure, and knows nothing of objects. The same rows make the same bytes, however they were handed over. What is in a file
stands at its end, so one that breaks off can be read by nobody.
"""

import importlib
import io
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

MEDIA_TYPE = "application/vnd.apache.parquet"
# What a group holds, memory holds; and the end of the file has an entry for each.
GROUP_ROWS = 2_000
GROUP_CHARS = 8 * 1024 * 1024
COMPRESSION = "zstd"


class Holds(Enum):
    """What a column holds. Each but TEXTS may have nothing in a row; TEXTS has none, one or more."""

    TEXT = "text"
    NUMBER = "whole number of 64 bits"
    MOMENT = "moment in UTC, in microseconds"
    TEXTS = "list of texts"


class _Drain(io.RawIOBase):
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._at += len(self._pieces[-1])
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        told = b"".join(self._pieces)
        self._pieces.clear()
        return told


def _chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(len, value)) if isinstance(value, list) else 0


class Sheet:
    """A file of these columns, by name and in their order, as it is written; nothing of it is sent by itself.

    Both methods take milliseconds, and the first call loads the library: call them in a thread, one after the other.
    """

    def __init__(self, columns: Mapping[str, Holds]) -> None:
        self._columns = columns
        self._waiting: list[Sequence[Any]] = []
        self._waiting_chars = 0
        self._drain = _Drain()
        self._opened: tuple[Any, Any] | None = None

    def add(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Take rows, and return what is to be sent next, which often is nothing yet."""
        for row in rows:
            self._waiting.append(row)
            self._waiting_chars += sum(map(_chars, row))
            if len(self._waiting) == GROUP_ROWS or self._waiting_chars >= GROUP_CHARS:
                self._write_group()
        return self._drain.taken()

    def end(self) -> bytes:
        """Return what is left to send, and with it the end of the file."""
        if self._waiting:
            self._write_group()
        _, writer = self._open()
        writer.close()
        return self._drain.taken()

    def _write_group(self) -> None:
        batch, writer = self._open()
        writer.write_batch(batch(zip(*self._waiting, strict=True)))
        self._waiting, self._waiting_chars = [], 0

    def _open(self) -> tuple[Any, Any]:
        if self._opened is None:
            # Most processes write none, and the library is large.
            arrow: Any = importlib.import_module("pyarrow")
            parquet: Any = importlib.import_module("pyarrow.parquet")
            types = {
                Holds.TEXT: arrow.string(),
                Holds.NUMBER: arrow.int64(),
                Holds.MOMENT: arrow.timestamp("us", tz="UTC"),
                Holds.TEXTS: arrow.list_(arrow.string()),
            }
            schema = arrow.schema([(name, types[holds]) for name, holds in self._columns.items()])

            def batch(columns: Any) -> Any:
                arrays = [arrow.array(list(values), kind.type) for values, kind in zip(columns, schema, strict=True)]
                return arrow.record_batch(arrays, schema=schema)

            self._opened = batch, parquet.ParquetWriter(self._drain, schema, compression=COMPRESSION)
        return self._opened
