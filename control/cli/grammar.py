"""Reads a line by the table of commands: parsing, abbreviation, and what can come next.

`| match RE` and its like are parsed here and applied by the client (`pipes`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from control.cli.arguments import Kind, either, matching
from control.cli.commands.table import COMMANDS, PIPES
from control.cli.tokens import Token, word


class GrammarError(Exception):
    """A line that is no command; the message says which token is wrong and what would be right."""


class Pipe(NamedTuple):
    name: str  # match, except, count
    regex: str  # "" for count


class Command(NamedTuple):
    name: str  # its keywords: "show session all"
    arguments: dict[str, str]  # canonical spellings, by argument name
    pipes: tuple[Pipe, ...]
    text: str  # the line without its pipes


class Possible(NamedTuple):
    """What may stand at the end of an unfinished line."""

    start: int  # where the token begins that is being typed
    prefix: str  # what is there of it
    tokens: tuple[Token, ...]
    may_end: bool  # what was typed before it is a whole command
    arguments: dict[str, str]  # of what was typed before it
    problem: str  # what is wrong with what was typed before it, "" where nothing is


class _Piece(NamedTuple):
    text: str
    start: int
    is_open: bool  # a quote that is not closed


_PIECE = re.compile(r'"(?P<quoted>[^"]*)(?P<close>"?)|(?P<pipe>\|)|(?P<plain>[^\s"|]+)')


def _split(line: str) -> list[list[_Piece]]:
    """The line's tokens, a list for the command and one for each pipe."""
    stages: list[list[_Piece]] = [[]]
    for found in _PIECE.finditer(line):
        if found["pipe"]:
            stages.append([])
        elif found["plain"] is not None:
            stages[-1].append(_Piece(found["plain"], found.start(), False))
        else:
            stages[-1].append(_Piece(found["quoted"], found.start(), not found["close"]))
    return stages


def _shown(text: str) -> str:
    """A token in a message: on one line and no longer than a message should be."""
    visible = _visible(text)
    return f'"{visible[:60]}..."' if len(visible) > 60 else f'"{visible}"'


def _visible(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


_CLOSE = word("]", "End of the list")


class _Walk:
    """A way through the tree, token by token."""

    def __init__(self, root: Token) -> None:
        self._root = self._at = root
        self._pairs: tuple[Token, ...] = ()  # of the enclosing token
        self._unused: tuple[Token, ...] = ()
        self.words: list[str] = []  # keywords that name the command
        self.arguments: dict[str, str] = {}
        self._typed: list[str] = []
        self._needs: tuple[str, ...] = ()
        self._members: list[str] | None = None  # of a list that is not closed yet

    @property
    def ends(self) -> bool:
        return self._at.ends and self._members is None and not self._missing

    @property
    def next(self) -> tuple[Token, ...]:
        following = self._at.then or self._unused
        return (*following, _CLOSE) if self._members else following

    @property
    def _missing(self) -> tuple[str, ...]:
        unused = {token.text for token in self._unused}
        return tuple(name for name in self._needs if name in unused)

    def step(self, piece: _Piece) -> None:
        text = piece.text
        if piece.is_open:
            raise GrammarError(f"the quote before {_shown(text)} is not closed")
        if not self.next:
            if self._find(self._pairs, text):
                raise GrammarError(f"{_shown(text)} is given twice")
            raise GrammarError(f"{_shown(text)} is too much: nothing follows {self._before()}")
        argument = self.next[0]
        if not argument.kind:
            self._enter(self._keyword(text))
        elif argument.is_list and self._members is None and text == "[":
            self._members = []
        elif self._members == [] and text == _CLOSE.text:
            raise GrammarError(f"[ ] after {self._before()} is empty: expected {argument.label}")
        elif self._members and text == _CLOSE.text:
            self.arguments[argument.text] = "\n".join(self._members)
            self._members = None
            self._enter(argument)
        else:
            value = self._read(argument.kind, text)
            if self._members is not None:
                self._members.append(value)
            else:
                self.arguments[argument.text] = value
                self._enter(argument)

    def finish(self) -> None:
        if self._missing and self._at.ends:
            *most, last = self._missing
            needed = f"{', '.join(most)} and {last}" if most else last
            raise GrammarError(f"{self._before()} is incomplete: {needed} must be given, too")
        if not self.ends:
            labels = tuple(token.label for token in self.next)
            raise GrammarError(f"{self._before()} is incomplete: expected {either(labels)}")

    def _read(self, kind: Kind, text: str) -> str:
        try:
            return kind.read(text)
        except ValueError as error:
            where = f"{_shown(text)} after {self._before()}"
            raise GrammarError(f"{where}: {_visible(str(error))}") from None

    def _keyword(self, text: str) -> Token:
        if any(text == token.text for token in self._pairs if token not in self.next):
            raise GrammarError(f"{_shown(text)} is given twice")  # and not short for another
        found = self._find(self.next, text)
        if len(found) == 1:
            return found[0]
        if found:
            names = tuple(token.text for token in found)
            raise GrammarError(f"{_shown(text)} is ambiguous: {either(names)}")
        is_first = not (self._typed or self._root.text)
        where = "a command" if is_first else f"known after {self._before()}"
        names = tuple(token.text for token in self.next)
        raise GrammarError(f"{_shown(text)} is not {where}: expected {either(names)}")

    @staticmethod
    def _find(tokens: tuple[Token, ...], text: str) -> tuple[Token, ...]:
        found = matching(tuple(token.text for token in tokens), text)
        return tuple(token for token in tokens if token.text in found)

    def _enter(self, token: Token) -> None:
        self._unused = tuple(one for one in self._unused if one is not token)
        if token.pairs:
            self._pairs = self._unused = token.pairs
            self._needs = token.needs
        if not (token.kind or token.is_option):
            self.words.append(token.text)
        self._typed.append(self.arguments[token.text] if token.kind else token.text)
        self._at = token

    def _before(self) -> str:
        text = _visible(" ".join(self._typed) or self._root.text)
        return f'"{text}"' if len(text) <= 60 else f'"...{text[-60:]}"'


def parse(line: str) -> Command | None:
    """The command of a line; None for a blank one. Raises GrammarError."""
    command, *stages = _split(line)
    if not command and not stages:
        return None
    walk = _walk_command(command)
    end = next((found.start() for found in _PIECE.finditer(line) if found["pipe"]), len(line))
    pipes = tuple(_pipe(stage) for stage in stages)
    return Command(" ".join(walk.words), walk.arguments, pipes, line[:end].strip())


def possible(text: str) -> Possible:
    """What may come at the end of `text`; its last token is unfinished unless a blank follows."""
    *before, last = _split(text)
    start, prefix, is_typing = len(text), "", False
    if last and (last[-1].is_open or not text[-1].isspace()):
        prefix, start, _ = last.pop()
        is_typing = True
    walk = _Walk(PIPES if before else COMMANDS)
    try:
        if before:
            _walk_command(before[0])
            for stage in before[1:]:
                _pipe(stage)
        for piece in last:
            walk.step(piece)
    except GrammarError as error:
        return Possible(start, prefix, (), False, {}, str(error))
    may_end = walk.ends and not is_typing
    return Possible(start, prefix, walk.next, may_end, walk.arguments, "")


def _walk_command(pieces: list[_Piece]) -> _Walk:
    if not pieces:
        raise GrammarError("a command comes before |")
    walk = _Walk(COMMANDS)
    for piece in pieces:
        walk.step(piece)
    walk.finish()
    return walk


def _pipe(pieces: list[_Piece]) -> Pipe:
    walk = _Walk(PIPES)
    for piece in pieces:
        walk.step(piece)
    walk.finish()
    return Pipe(walk.words[0], walk.arguments.get("regex", ""))
