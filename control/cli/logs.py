"""`show log ...`: the newest entries of a log of JSON lines, rotated files included."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

DEFAULT_ENTRIES = 1000

_BLOCK_BYTES = 64 << 10

Entry = TypeVar("Entry", bound=Struct)


class Layout(NamedTuple, Generic[Entry]):
    """How a log is printed."""

    entry: type[Entry]  # what is printed of an entry
    header: str
    rows: Callable[[Entry], str]


def show(path: Path, layout: Layout[Entry], arguments: Mapping[str, str]) -> str:
    """Reads files: not for the event loop. Raises OSError where the log cannot be read."""
    wanted = int(arguments.get("count", DEFAULT_ENTRIES))
    found = list(islice(_newest_first(path, layout.entry), wanted + 1))
    entries, has_more = found[:wanted], len(found) > wanted
    if arguments.get("direction") != "backward":
        entries.reverse()
    text = layout.header + "".join(map(layout.rows, entries))
    if has_more and "count" not in arguments:
        text += f"Older entries left out; count equal N prints the newest N instead of {wanted}\n"
    return text


def header(*lines: tuple[str, str, str, str, str]) -> str:
    """Titles of the columns; a log prints each entry in as many lines."""
    return columns(*lines) + "=" * 100 + "\n"


def columns(*lines: tuple[str, str, str, str, str]) -> str:
    return "".join(
        f"{first:<19s} {second:<17s} {third:<15s} {fourth:<17s} {fifth}".rstrip() + "\n"
        for first, second, third, fourth, fifth in lines
    )


def _newest_first(path: Path, entry: type[Entry]) -> Iterator[Entry]:
    decoder = msgspec.json.Decoder(entry)
    for file in _files(path):
        for line in _lines_backward(file):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:
                continue  # the end of a line that is being written, or somebody's edit


def _files(path: Path) -> Iterator[BinaryIO]:
    """The log and its older files, newest first, each once though they may be rotated meanwhile."""
    seen = set()
    for number in count():
        name = path if number == 0 else path.with_name(f"{path.name}.{number}")
        try:
            file = name.open("rb")
        except FileNotFoundError:
            if number:
                return
            continue
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                yield file


def _lines_backward(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, last first, without reading more of it than is asked for."""
    position = file.seek(0, os.SEEK_END)
    rest = b""
    while position:
        size = min(_BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        first, *lines = (file.read(size) + rest).split(b"\n")
        yield from reversed(lines)
        rest = first
    yield rest
