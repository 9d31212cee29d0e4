"""The candidate configuration: read from a file, compared with the running one, written to a file.

It may have mistakes; they are counted when it is read and listed when it is to be used. Nothing
here takes effect: a commit does that (control/daemon.py). Names of files are absolute, or relative
to the directory of the configuration the firewall was started with.
"""

from __future__ import annotations

import errno
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from operator import ne
from pathlib import Path
from tempfile import NamedTemporaryFile

from control.config.load import (
    LoadedConfig,
    UnreadableError,
    load_config,
    read_file,
    shown_name,
)
from control.config.set_syntax import parse

RUNNING = "running-config"  # the name of the one that is in force

_PREVIOUS = ".previous"
_MAX_OFFERED = 100


def read(path: Path) -> LoadedConfig:
    """Raises UnreadableError."""
    return load_config(read_file(path), shown_name(path))


def load(path: Path) -> LoadedConfig:
    """Likewise, of a path somebody has typed: one that cannot be read to its end is refused."""
    if path.exists() and not path.is_file():
        raise UnreadableError(f"{shown_name(path)}: cannot be read: it is no regular file")
    return read(path)


def files(start: Path) -> list[str]:
    """Those beside the one the firewall was started with that look like it."""
    try:
        found = [one.name for one in start.parent.iterdir() if one.is_file()]
    except OSError:
        return []
    return sorted(name for name in found if Path(name).suffix == start.suffix)[:_MAX_OFFERED]


def save(config: LoadedConfig, path: Path) -> Path | None:
    """Writes the file whole or not at all; the path of what was there before.

    Only a configuration is replaced, nothing else that happens to have the name. Raises OSError.
    """
    path = Path(os.path.realpath(path))
    previous = path.with_name(path.name + _PREVIOUS) if path.exists() else None
    if previous and not _is_configuration(path):
        raise FileExistsError(
            errno.EEXIST, "something is there that is no configuration; choose another name", path
        )
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        new = Path(file.name)
        try:
            file.writelines(f"{line}\n" for line in config.tree.lines())
            file.flush()
            os.fsync(file.fileno())
            if previous:
                shutil.copymode(path, new)
                previous.unlink(missing_ok=True)
                previous.hardlink_to(path)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
    _write_through(path.parent)
    return previous


def _write_through(directory: Path) -> None:
    """Has the new name reach the disk: without, a power cut seconds later brings the old file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_configuration(path: Path) -> bool:
    if not path.is_file():
        return False
    _, problems = parse(read_file(path))
    return not any(problem.severity == "error" for problem in problems)


# ---- differences ---------------------------------------------------------------------------------


def differences(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """The lines only one of them has, or both in another order: "- line" and "+ line".

    => no line is twice in a configuration

    What stays are the most common lines that follow each other in the same order in both, found as
    the longest rising row of their places. So ten thousand moved rules are no work, either.
    """
    places = {line: place for place, line in enumerate(old)}
    kept = _longest_rising([places[line] for line in new if line in places])
    old_rest, new_rest = iter(old), iter(new)
    for line in [*(old[place] for place in kept), None]:
        until_it = partial(ne, line)
        yield from (f"- {one}" for one in takewhile(until_it, old_rest))
        yield from (f"+ {one}" for one in takewhile(until_it, new_rest))


def _longest_rising(numbers: Sequence[int]) -> list[int]:
    ends: list[int] = []  # the smallest number a row of each length ends with
    at: list[int] = []  # and its place
    before: list[int] = []  # the place of the number before it in its row
    for place, number in enumerate(numbers):
        length = bisect_left(ends, number)
        ends[length : length + 1] = [number]
        at[length : length + 1] = [place]
        before.append(at[length - 1] if length else -1)
    row: list[int] = []
    place = at[-1] if at else -1
    while place >= 0:
        row.append(numbers[place])
        place = before[place]
    return row[::-1]
