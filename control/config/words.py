"""Words of a configuration command: splitting a line into them, and writing them back.

Words are separated by blanks. A word in double quotes may hold blanks, brackets and, behind a
backslash, quotes; `[ a b ]` is a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class WordError(Exception):
    """A line that cannot be split; the message says where and why."""


class Word(NamedTuple):
    text: str
    members: tuple[str, ...] | None = None  # of a list in brackets, else None


_BLANKS = re.compile(r"[ \t]*")
_BARE = re.compile(r"[^ \t]+")
_BARE_IN_LIST = re.compile(r"[^ \t\]]+")
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
_ESCAPED = re.compile(r'\\(["\\])')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_NEEDS_QUOTES = re.compile(r'[ \t"\[\]]')


def split(line: str) -> list[Word]:
    """Raises WordError."""
    if control := _CONTROL.search(line):
        raise WordError(
            f"control character {control[0]!a} in column {control.start() + 1}; "
            "plain text is expected"
        )
    words: list[Word] = []
    members: list[str] | None = None
    opened = 0
    position = _end(_BLANKS, line, 0)
    while position < len(line):
        if line[position] == "[":
            if members is not None:
                raise WordError(f"a list inside a list in column {position + 1}; lists do not nest")
            members, opened = [], position
            position += 1
        elif line[position] == "]":
            if members is None:
                raise WordError(f'"]" without "[" in column {position + 1}')
            words.append(Word(_list_text(members), tuple(members)))
            members = None
            position += 1
        else:
            text, position = _word(line, position, in_list=members is not None)
            if members is None:
                words.append(Word(text))
            else:
                members.append(text)
        position = _end(_BLANKS, line, position)
    if members is not None:
        raise WordError(f'the list opened in column {opened + 1} is not closed; "]" is missing')
    return words


def _word(line: str, start: int, *, in_list: bool) -> tuple[str, int]:
    """The word that starts there, and where it ends."""
    if line[start] != '"':
        end = _end(_BARE_IN_LIST if in_list else _BARE, line, start)
        return line[start:end], end
    quoted = _QUOTED.match(line, start)
    if not quoted:
        raise WordError(f"the quote opened in column {start + 1} is not closed on this line")
    end = quoted.end()
    if line[end : end + 1] not in ("", " ", "\t", "]" if in_list else ""):
        raise WordError(f"a blank is missing after the quote closed in column {end}")
    return _ESCAPED.sub(r"\1", quoted[1]), end


def _end(pattern: re.Pattern[str], line: str, start: int) -> int:
    match = pattern.match(line, start)
    return match.end() if match else start


def quote(text: str) -> str:
    """A word as `split` reads it back."""
    if text and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def join(words: Iterable[Word]) -> str:
    """Words as `split` reads them back."""
    return " ".join(quote(text) if members is None else text for text, members in words)


def _list_text(members: Iterable[str]) -> str:
    return " ".join(("[", *map(quote, members), "]"))


def write_values(values: Iterable[str]) -> str:
    """One value as it is, several as a list."""
    words = list(values)
    return quote(words[0]) if len(words) == 1 else _list_text(words)
