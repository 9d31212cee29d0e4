"""`show log traffic`: the newest entries of the JSON-lines traffic log, rotated files included."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

DEFAULT_ENTRIES = 1000

_BLOCK_BYTES = 64 << 10

_HEADER = f"""\
Time                App               From            Src Port          Source
Rule                Action            To              Dst Port          Destination
                    Src User          Dst User        End Reason
{"=" * 100}
"""


class _Entry(Struct, rename={"from_zone": "from", "to_zone": "to"}):
    """What is printed of an entry."""

    time_generated: str = ""
    app: str = ""
    from_zone: str = ""
    to_zone: str = ""
    src: str = ""
    dst: str = ""
    sport: int | str = ""
    dport: int | str = ""
    rule: str = ""
    action: str = ""
    srcuser: str = ""
    dstuser: str = ""
    session_end_reason: str = ""


_ENTRIES = msgspec.json.Decoder(_Entry)


def show(path: Path, arguments: Mapping[str, str]) -> str:
    """Reads files: not for the event loop. Raises OSError where the log cannot be read."""
    wanted = int(arguments.get("count", DEFAULT_ENTRIES))
    found = list(islice(_newest_first(path), wanted + 1))
    entries, has_more = found[:wanted], len(found) > wanted
    if arguments.get("direction") != "backward":
        entries.reverse()
    text = _HEADER + "".join(map(_rows, entries))
    if has_more and "count" not in arguments:
        text += f"Older entries left out; count equal N prints the newest N instead of {wanted}\n"
    return text


def _rows(entry: _Entry) -> str:
    lines = (
        (entry.time_generated, entry.app, entry.from_zone, f"{entry.sport}", entry.src),
        (entry.rule, entry.action, entry.to_zone, f"{entry.dport}", entry.dst),
        ("", entry.srcuser, entry.dstuser, entry.session_end_reason, ""),
    )
    return "".join(
        f"{first:<19s} {second:<17s} {third:<15s} {fourth:<17s} {fifth}".rstrip() + "\n"
        for first, second, third, fourth, fifth in lines
    )


def _newest_first(path: Path) -> Iterator[_Entry]:
    for file in _files(path):
        for line in _lines_backward(file):
            try:
                yield _ENTRIES.decode(line)
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
