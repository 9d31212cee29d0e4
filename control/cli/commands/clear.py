"""What `clear` ends, forgets or lets in again."""

from __future__ import annotations

from control.cli.arguments import HOST
from control.cli.commands.parts import SESSION, SESSION_PAIRS, blocked_of_zone, rule_hit_count
from control.cli.tokens import Token, option, word

_BLOCKED = word(
    "blocked",
    "Blocked sources",
    word("all", "Let every blocked source of the zone in again"),
    word(
        "source",
        "Let one blocked source in again",
        Token("source", "Source address", HOST),
    ),
)

CLEAR = word(
    "clear",
    "Clear runtime state",
    word("dos-block-table", "Block table", word("all", "Let every blocked source in again")),
    word("dos-protection", "DoS protection", blocked_of_zone(_BLOCKED)),
    rule_hit_count("Clear"),
    word(
        "session",
        "Clear sessions",
        word(
            "all",
            "Clear every session, or those a filter selects",
            option("filter", "Choose sessions", pairs=SESSION_PAIRS),
            may_end=True,
        ),
        word("id", "Clear one session", SESSION),
    ),
)
