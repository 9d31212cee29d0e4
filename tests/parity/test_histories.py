"""Histories nobody has thought of, with the offload engine and without: the same answers and log.

Established sessions do not time out, since when they do is what offloading changes.
"""

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.parity.outcome import OF_OFFLOAD, OFFLOADED, TIMERS, Outcome
from tests.support.conversations import Talk
from tests.support.packets import (
    ALLOW,
    FAMILIES,
    TRUST,
    UNTRUST,
    Answer,
    Firewall,
    default_timeouts,
    snapshot,
)

_NEVER_S = 100_000
CONFIGS = [
    snapshot(
        ALLOW,
        timeouts_s=default_timeouts(
            timeout_tcp=_NEVER_S, timeout_udp=_NEVER_S, timeout_default=_NEVER_S, **timers
        ),
        tcp_asymmetric_bypass=bypass,
        tcp_reject_non_syn=reject,
    )
    for bypass in (False, True)
    for reject in (False, True)
    for timers in ({}, {"timeout_tcpwait": 30})
]
WORDS = (
    *(">S <SA >A", ">A", "<A", ">PA", "<PA", ">PA <A", "<PA >A", ">udp", "<udp", ">udp <udp"),
    *(">gre", "<gre", ">FA", "<FA", ">RA", "<RA", ">RA+9", "<RA+9", ">RA+70000", ">S", "<S"),
    *(
        ">FA <FA >A",
        ">RA >PA",
        "<SA",
        ">PA+500",
        "<PA+500",
        ">PA-500",
        "<PA-500",
        ">PA+70000",
        "<PA-70000",
    ),
)


class Event(NamedTuple):
    after_s: float
    words: str = ""
    times: int = 1
    switch: bool | None = None  # of the offload engine
    commit: bool = False


DELAYS = st.sampled_from([0, 0.001, 1, 7.9, 8, 8.1, 16, 31, 100])
TIMES = st.sampled_from([1, 1, 2, 7, 8, 9, 17, 65])
EVENTS = st.one_of(
    st.tuples(DELAYS, st.sampled_from(WORDS), TIMES).map(lambda fields: Event(*fields)),
    st.tuples(DELAYS, st.booleans()).map(lambda fields: Event(fields[0], switch=fields[1])),
    DELAYS.map(lambda after_s: Event(after_s, commit=True)),
)


def played(platform: str, config: int, family: int, events: list[Event]) -> list[object]:
    """Every answer, then the counters and the log."""
    firewall, talk, now_s = Firewall(CONFIGS[config], platform=platform), Talk(family), 0.0
    answers: list[Answer] = []

    def say(words: str) -> None:
        for word in words.split():
            packet = talk.packet(word, b"data" if "P" in word else b"")
            port = TRUST if word[0] == ">" else UNTRUST
            answers.append(firewall.send(packet, port, now_s))

    say(">S <SA >A >udp >gre")
    for event in events:
        now_s += event.after_s
        for _ in range(event.times):
            say(event.words)
        if event.switch is not None and platform != "software":
            firewall.engine.set_offload(event.switch)
        if event.commit:
            firewall.engine.configure(CONFIGS[config])
    firewall.tick(now_s + 2 * _NEVER_S)
    log = [msgspec.to_builtins(entry) for entry in firewall.entries()]
    outcome = Outcome(firewall.counters(), {}, log)
    return [answers, outcome.apart_from(OFFLOADED | TIMERS, OF_OFFLOAD)]


@given(
    st.sampled_from(["pa-5000", "pa-7000"]),
    st.sampled_from(range(len(CONFIGS))),
    st.sampled_from(FAMILIES),
    st.lists(EVENTS, max_size=20),
)
def test_offloading_changes_no_history(
    platform: str, config: int, family: int, events: list[Event]
) -> None:
    found = played(platform, config, family, events)
    assert found == played("software", config, family, events)
