"""`| match`, `| except` and `| count` on the text of an answer.

They run in the client: a regular expression can take for ever, and must not hold up the daemon.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator

from control.cli.grammar import Pipe


def apply(pipes: Iterable[Pipe], chunks: Iterable[str]) -> Iterable[str]:
    """The chunks as the pipes leave them, each as soon as it is there."""
    for pipe in pipes:
        chunks = _count(chunks) if pipe.name == "count" else _select(pipe, chunks)
    return chunks


def _select(pipe: Pipe, chunks: Iterable[str]) -> Iterator[str]:
    with warnings.catch_warnings():  # as where the pattern was checked
        warnings.simplefilter("ignore")
        pattern = re.compile(pipe.regex)
    is_wanted = pipe.name == "match"
    for line in _lines(chunks):
        if bool(pattern.search(line)) == is_wanted:
            yield f"{line}\n"


def _count(chunks: Iterable[str]) -> Iterator[str]:
    yield f"Count: {sum(1 for _ in _lines(chunks))} lines\n"


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        yield from lines
    if rest:
        yield rest
