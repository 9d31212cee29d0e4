"""What can be wrong with a configuration, and how input is quoted when we speak of it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]

# Names and values are far shorter; what is longer is not meant to be read in a message.
_SHOWN_CHARACTERS = 80
_SHOWN_ESCAPES = 20  # where a character may take twelve


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one place. Line 0 is the file as a whole."""

    line: int
    path: str  # elements from the root, separated by blanks
    message: str  # what is wrong and what would be right
    severity: Severity = "error"

    def text(self, name: str) -> str:
        """As printed, for the file called `name`."""
        place = f"{name}:{self.line}" if self.line else name
        return ": ".join(part for part in (place, self.severity, self.path, self.message) if part)


class ConfigError(Exception):
    """A configuration that cannot be used; the one that runs keeps running."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.text("configuration") for problem in self.problems))


def shown(text: str) -> str:
    """Input in quotes, shortened, and harmless to a terminal whatever it is."""
    plain = text.isascii() and text.isprintable()
    limit = _SHOWN_CHARACTERS if plain else _SHOWN_ESCAPES
    return json.dumps(text if len(text) <= limit else text[:limit] + "...")


def suggestion(text: str, known: Iterable[str]) -> str:
    """ "; did you mean X?", or nothing where no known word is close."""
    if len(text) > _SHOWN_CHARACTERS:
        return ""
    close = difflib.get_close_matches(text, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
