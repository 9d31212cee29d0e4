"""Timers to the nanosecond, and the wheel behind them against a dictionary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.messages import SessionFilter
from native import TIMERS
from tests.support.conversations import Conversation
from tests.support.packets import (
    ALLOW,
    FAMILIES,
    NS,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    default_timeouts,
    echo,
    snapshot,
    udp,
)

YEAR_S = 365 * 24 * 3600
DENY = default_rule("no", "deny")

# knob, whether the rule denies, how the session gets there (c2s: >, s2c: <)
SCRIPTS: list[tuple[str, bool, str]] = [
    ("timeout-default", False, ">gre"),
    ("timeout-default", False, ">gre <gre"),
    ("timeout-icmp", False, ">echo"),
    ("timeout-icmp", False, ">echo <reply"),
    ("timeout-udp", False, ">udp"),
    ("timeout-udp", False, ">udp <udp"),
    ("timeout-udp", False, ">udp <udp >udp"),
    ("timeout-tcp", False, ">S <SA >A"),
    ("timeout-tcp", False, ">S <SA >A <A"),
    ("timeout-tcpinit", False, ">S"),
    ("timeout-tcpinit", False, ">S >S"),
    ("timeout-tcphandshake", False, ">S <SA"),
    ("timeout-tcphandshake", False, ">S <SA <A"),
    ("timeout-tcp-half-closed", False, ">S <SA >A >FA"),
    ("timeout-tcp-half-closed", False, ">S <SA >A <FA"),
    ("timeout-tcp-half-closed", False, ">S <SA >A <FA >A"),
    ("timeout-tcp-time-wait", False, ">S <SA >A >FA <FA"),
    ("timeout-tcp-time-wait", False, ">S <SA >A >R"),
    ("timeout-tcp-time-wait", False, ">S <SA >A <R"),
    ("timeout-tcp-unverified-rst", False, ">S <SA >A >R+5"),
    ("timeout-tcp-unverified-rst", False, ">S <SA >A <R+5"),
    ("timeout-tcp-unverified-rst", False, ">S <SA >A >FA <R+5"),
    ("timeout-tcpwait", False, ">S <SA >A >FA"),
    ("timeout-tcpwait", False, ">S <SA >A <FA"),
    ("timeout-tcpwait", False, ">S <SA >A >R"),
    ("timeout-tcpwait", False, ">S <SA >A <R"),
    ("timeout-discard-default", True, ">gre"),
    ("timeout-discard-default", True, ">echo"),
    ("timeout-discard-default", True, ">echo >echo"),
    ("timeout-discard-tcp", True, ">S"),
    ("timeout-discard-tcp", True, ">S >S"),
    ("timeout-discard-udp", True, ">udp"),
    ("timeout-discard-udp", True, ">udp >udp"),
]
# what is denied is one direction: the other's packets have nothing to do with the session
CASES = [(*script, side) for script in SCRIPTS for side in ("><" if not script[1] else ">")]


def probe(script: str, side: str) -> str:
    """What only a living session lets through unchanged, said by that side."""
    first, *_, last = f"{script} {script}".split()
    kind = first[1:]
    if kind == "echo":
        return ">echo" if side == ">" else "<reply"
    if kind != "S":
        return side + kind
    if last == ">S":  # no answer yet
        return ">S" if side == ">" else "<SA"
    return side + "A"


SHOWN_ONLY = {"timeout-scan", "timeout-captive-portal"}


def test_every_timer_is_in_the_rows() -> None:
    assert {knob for knob, _, _ in SCRIPTS} == {timer.knob for timer in TIMERS} - SHOWN_ONLY


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("knob", "denied", "script", "side"), CASES)
def test_to_the_nanosecond(knob: str, denied: bool, script: str, side: str, family: int) -> None:
    seconds = {timer.knob: number for number, timer in enumerate(TIMERS, 17)}
    if knob != "timeout-tcpwait":  # instead of two others, where it is set
        seconds["timeout-tcpwait"] = 0
    configuration = snapshot(DENY if denied else ALLOW, timeouts_s=default_timeouts() | seconds)
    asked = probe(script, side)

    def at_expiry(off_ns: int) -> tuple[str, int, int]:
        firewall = Firewall(configuration)
        conversation = Conversation(firewall, family, start_s=100)
        for word in script.split():
            conversation.say(word)
        end_s = conversation.now_s + seconds[knob]
        assert firewall.session().timeout_s == seconds[knob]
        assert firewall.session().end_ns == end_s * NS
        what = conversation.say(asked, at_s=end_s, after_ns=off_ns).what
        first = firewall.session(1)
        if first.state == "INIT":  # whoever asks finds it ended at its own time
            assert first.end_ns == end_s * NS
            assert not first.in_ager
        return what, first.packets_c2s + first.packets_s2c, firewall.engine.stats().installed

    packets = len(script.split())
    what, counted, installed = at_expiry(-1)
    assert (what, counted, installed) == (
        "flow_discard_drop" if denied else "forward",
        packets + 1,
        1,
    )
    what, counted, installed = at_expiry(0)
    assert counted == packets
    if asked[1:] in ("A", "SA"):
        assert (what, installed) == ("flow_tcp_non_syn_drop", 1)
    elif asked == "<reply":
        assert (what, installed) == ("flow_icmp_no_session", 1)
    else:  # the next session of these two
        assert (what, installed) == ("flow_policy_deny" if denied else "forward", 2)


@pytest.mark.parametrize("years", [1, 50, 200])
def test_a_machine_that_slept(years: int) -> None:
    firewall = Firewall(snapshot(ALLOW, timeouts_s=default_timeouts(timeout_udp=15999999)))
    for port in range(1, 200):
        firewall.send(udp(sport=port), at_s=port)
    firewall.tick(years * YEAR_S)
    assert [e.elapsed for e in firewall.entries()] == [15999999] * 199
    assert firewall.engine.next_timer_ns() is None
    assert firewall.send(udp(), at_s=years * YEAR_S + 1).what == "forward"
    assert firewall.session(firewall.engine.stats().installed).state == "ACTIVE"


def test_a_shorter_timer_counts_from_the_next_packet_on() -> None:
    firewall = Firewall(snapshot(ALLOW, timeouts_s=default_timeouts(timeout_udp=1000)))
    firewall.send(udp(), at_s=0)
    firewall.engine.configure(snapshot(ALLOW, timeouts_s=default_timeouts(timeout_udp=10)))
    assert firewall.session().timeout_s == 1000
    firewall.send(udp(), at_s=500)
    assert firewall.session().end_ns == 510 * NS
    firewall.tick(510, after_ns=NS // 10)
    assert firewall.session().state == "INIT"


def test_time_never_goes_back() -> None:
    firewall = Firewall(start_s=100)
    firewall.send(udp(), at_s=100)
    firewall.send(udp(), at_s=50)
    assert firewall.session().last_ns == 100 * NS
    assert firewall.session().end_ns == 130 * NS


# ---- histories -----------------------------------------------------------------------------------

STEP_NS = st.one_of(
    st.integers(0, 3),
    st.integers(0, 1 << 27),
    st.integers(0, 40 * NS),
    st.sampled_from([6 * NS, 30 * NS, 6 * NS - 1, 30 * NS - 1, 17 * NS, 1 << 34, 1 << 42]),
    st.integers(0, YEAR_S * NS),
)
ACTION = st.sampled_from(["packet", "packet", "packet", "reply", "tick", "clear"])
HISTORY = st.lists(st.tuples(ACTION, st.integers(0, 5), st.booleans(), STEP_NS), max_size=60)


@given(HISTORY, st.integers(0, 20 * YEAR_S * NS))
def test_histories(history: list[tuple[str, int, bool, int]], start_ns: int) -> None:
    """Sessions by host and kind; the model keeps (id, start, expiry) of those that live."""
    firewall = Firewall()
    engine = firewall.engine
    now_ns = start_ns
    live: dict[tuple[int, bool], tuple[int, int, int]] = {}
    installed = 0
    for action, host, is_echo, step_ns in history:
        now_ns += step_ns
        live = {key: value for key, value in live.items() if value[2] > now_ns}
        key, there = (host, is_echo), f"192.0.2.{10 + host}"
        timeout_ns = (6 if is_echo else 30) * NS
        if action == "clear":
            firewall.tick(0, after_ns=now_ns)
            assert engine.clear(live[key][0] if key in live else 4000) == (key in live)
            live.pop(key, None)
        elif action == "packet" or key in live:
            back = action == "reply"
            packet = (
                echo(src=there, reply=back, back=back) if is_echo else udp(src=there, back=back)
            )
            answer = firewall.send(packet, UNTRUST if back else TRUST, 0, after_ns=now_ns)
            assert answer.what == "forward"
            if key in live:
                session_id, began_ns, _ = live[key]
                assert answer.session == session_id
            else:
                installed += 1
                session_id, began_ns = answer.session, now_ns
            live[key] = session_id, began_ns, now_ns + timeout_ns
        else:
            firewall.tick(0, after_ns=now_ns)
        assert engine.stats().installed == installed
        for session_id, began_ns, end_ns in live.values():
            view = firewall.session(session_id)
            assert (view.state, view.start_ns, view.end_ns) == ("ACTIVE", began_ns, end_ns)
        sessions, _ = engine.sessions(0, SessionFilter())
        assert {s.id for s in sessions} == {value[0] for value in live.values()}
        due_ns = engine.next_timer_ns()
        if live:
            assert due_ns is not None
            assert due_ns <= min(value[2] for value in live.values()) + (1 << 26)
    firewall.tick(0, after_ns=now_ns + YEAR_S * NS)
    assert engine.stats().allocated == 0
    assert engine.next_timer_ns() is None
