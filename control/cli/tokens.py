"""What the table of commands is made of.

A *token* is a keyword or an argument. What may follow it is either `then` (one of these) or what
is left of the *pairs* of an enclosing token (each at most once, in any order: `filter source X
type Y`), some of which it may *need*. Keywords may be shortened to any unambiguous beginning. A
command is named by its keywords, options left out: `show session all filter type flow` is the
command `show session all`.
"""

from __future__ import annotations

from dataclasses import dataclass

from control.cli.arguments import Kind


@dataclass(frozen=True, slots=True)
class Token:
    text: str  # the keyword, or the argument's name in Command.arguments
    help: str
    kind: Kind | None = None  # of an argument; None for a keyword
    then: tuple[Token, ...] = ()
    pairs: tuple[Token, ...] = ()
    may_end: bool = False  # a command may end here although more may follow
    is_option: bool = False
    is_list: bool = False  # an argument that may be [ several values ]
    needs: tuple[str, ...] = ()  # pairs without which a command is not whole

    @property
    def label(self) -> str:
        return self.kind.label if self.kind else self.text

    @property
    def ends(self) -> bool:
        return self.may_end or not (self.then or self.pairs)


def word(
    text: str,
    help: str,
    *then: Token,
    pairs: tuple[Token, ...] = (),
    may_end: bool = False,
    needs: tuple[str, ...] = (),
) -> Token:
    return Token(text, help, None, then, pairs, may_end, needs=needs)


def option(text: str, help: str, *then: Token, pairs: tuple[Token, ...] = ()) -> Token:
    return Token(text, help, None, then, pairs, is_option=True)


def pair(text: str, argument: str, kind: Kind, help: str) -> Token:
    return option(text, help, Token(argument, help, kind))


def equal(text: str, kind: Kind, help: str) -> Token:
    return option(text, help, option("equal", "Equal to", Token(text, help, kind)))
