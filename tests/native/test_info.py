"""The lists of engine.h as Python sees them."""

import re
from pathlib import Path

import pytest

from native import ACTIONS, COUNTERS, END_REASONS, SESSION_STATES, TIMERS, DropReason

HEADER = (Path(__file__).parents[2] / "native" / "include" / "engine.h").read_text()


def rows(name: str) -> list[list[str]]:
    """The rows X(...) of a list macro, read from the header's text."""
    text = HEADER.partition(f"#define {name}(X)")[2].partition("\n\n")[0].partition("\n#define")[0]
    found = re.findall(r'X\(((?:"[^"]*"|[^"()])*)\)', text)
    return [
        [f.strip(' "') for f in re.findall(r'"[^"]*"|[^",]+', row) if f.strip()] for row in found
    ]


def test_counters_are_those_of_the_header() -> None:
    assert [[str(c[0]), *c[1:]] for c in COUNTERS] == rows("COUNTER_LIST")
    assert len({c.number for c in COUNTERS}) == len({c.name for c in COUNTERS}) == len(COUNTERS)
    assert {c.severity for c in COUNTERS} == {"info", "warn", "error", "drop"}


def test_timers_are_those_of_the_header() -> None:
    assert [list(map(str, t)) for t in TIMERS] == rows("TIMER_LIST")
    assert all(t.min_s <= t.default_s <= t.max_s for t in TIMERS if t.default_s)
    assert [t.knob for t in TIMERS if not t.default_s] == ["timeout-tcpwait"]


@pytest.mark.parametrize("reason", DropReason)
def test_drop_reasons_are_counters_of_that_name(reason: DropReason) -> None:
    (counter,) = (c for c in COUNTERS if c.number == reason)
    assert (counter.name, counter.severity) == (reason.name, "drop")


def test_names() -> None:
    assert SESSION_STATES == ("INIT", "OPENING", "ACTIVE", "DISCARD", "CLOSING", "CLOSED", "FREE")
    assert ACTIONS == ("allow", "deny", "drop", "reset-client", "reset-server", "reset-both")
    # highest priority first
    assert END_REASONS == (
        "threat",
        "policy-deny",
        "decrypt-cert-validation",
        "decrypt-unsupport-param",
        "decrypt-error",
        "tcp-rst-from-client",
        "tcp-rst-from-server",
        "resources-unavailable",
        "tcp-fin",
        "tcp-reuse",
        "decoder",
        "aged-out",
        "unknown",
    )
