"""The table of commands as a list, for help and docs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from control.cli.commands.table import COMMANDS
from control.cli.tokens import Token


class Syntax(NamedTuple):
    """A command for help and docs."""

    name: str  # keywords and arguments: "show session id <1-4294967295>"
    help: str
    options: tuple[tuple[str, str], ...]  # "filter source <ip>" and its help


def commands() -> Iterator[Syntax]:
    """Every command of the table, in its order."""
    yield from _below(COMMANDS, ())


def _below(token: Token, before: tuple[Token, ...]) -> Iterator[Syntax]:
    path = (*before, token)
    if (token.ends or token.needs) and token is not COMMANDS:
        pairs = {one.text: _labels(one) for one in token.pairs}
        words = " ".join([*(one.label for one in path[1:]), *(pairs[one] for one in token.needs)])
        keyword = next(one for one in reversed(path) if not one.kind)
        yield Syntax(words, keyword.help, tuple(_options(token)))
    for following in token.then:
        if not following.is_option:
            yield from _below(following, path)


def _options(token: Token) -> Iterator[tuple[str, str]]:
    for option in (*token.then, *token.pairs):
        if option.text in token.needs:
            continue
        if option.pairs:
            for pair in option.pairs:
                yield f"{option.text} {_labels(pair)}", pair.help
        elif option.is_option:
            yield _labels(option), option.help


def _labels(token: Token) -> str:
    return " ".join([token.label, *(_labels(one) for one in token.then)])
