"""Timers to the nanosecond, and the wheel behind them against a dictionary."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.messages import SessionFilter
from dataplane.snapshot import (
    AcceleratedAging,
    ApplicationOverride,
    ApplicationTimeouts,
    ServiceMatch,
    Snapshot,
    Timeouts,
)
from native import TIMERS
from tests.support.conversations import Conversation
from tests.support.packets import (
    ALLOW,
    FAMILIES,
    NS,
    TRUST,
    UNTRUST,
    Answer,
    Firewall,
    default_rule,
    default_timeouts,
    echo,
    other,
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


# ---- timers of a session's own -------------------------------------------------------------------

OWN = Timeouts(established=401, half_closed=402, time_wait=403, discard=404)
OWN_TIMERS = ApplicationTimeouts(tcp=OWN, udp=OWN, other=OWN)
TCP, UDP = 6, 17

# whether the rule denies, how the session gets there, and the timer in force
OWN_SCRIPTS = [
    pytest.param(False, ">S", 5, id="tcp-init is not its own"),
    pytest.param(False, ">S <SA", 10, id="nor is tcp-handshake"),
    pytest.param(False, ">S <SA >A", 401, id="TCP"),
    pytest.param(False, ">S <SA >A >R+5", 30, id="nor is unverified-rst"),
    pytest.param(False, ">S <SA >A >R+5 >A", 401, id="TCP again"),
    pytest.param(False, ">S <SA >A >FA", 402, id="half-closed"),
    pytest.param(False, ">S <SA >A <FA >A", 402, id="half-closed by the server"),
    pytest.param(False, ">S <SA >A >FA <FA", 403, id="time-wait"),
    pytest.param(False, ">S <SA >A <R", 403, id="time-wait after a RST"),
    pytest.param(False, ">udp", 401, id="UDP"),
    pytest.param(False, ">udp <udp", 401, id="UDP both ways"),
    pytest.param(True, ">S", 404, id="TCP in discard"),
    pytest.param(True, ">udp >udp", 404, id="UDP in discard"),
]


def by_application(denied: bool) -> Snapshot:
    rules = tuple(ApplicationOverride(str(p), "mine", p, ((1, 65535),)) for p in (TCP, UDP))
    rule = DENY if denied else ALLOW
    return snapshot(rule, application_overrides=rules, applications={"mine": OWN_TIMERS})


def by_service(denied: bool) -> Snapshot:
    services = tuple(ServiceMatch(protocol, override=OWN) for protocol in (TCP, UDP))
    # what is denied has no timer of a service, so it is the application's
    return replace(by_application(denied), rules=(replace(ALLOW, services=services), DENY)[denied:])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("configuration", [by_application, by_service])
@pytest.mark.parametrize(("denied", "script", "seconds"), OWN_SCRIPTS)
def test_timers_of_its_own(
    denied: bool,
    script: str,
    seconds: int,
    configuration: Callable[[bool], Snapshot],
    family: int,
) -> None:
    conversation = Conversation(Firewall(configuration(denied)), family)
    for word in script.split():
        conversation.say(word)
    session = conversation.firewall.session()
    assert session.service_timeout == (configuration is by_service and not denied)
    assert (session.timeout_s, session.end_ns) == (seconds, (conversation.now_s + seconds) * NS)
    conversation.firewall.tick(conversation.now_s + seconds, after_ns=(1 << 26) - 1)
    assert conversation.firewall.session().state == "INIT"
    assert conversation.firewall.session().end_ns == session.end_ns


def test_other_protocols_have_timers_of_their_own() -> None:
    applications = {"gre": OWN_TIMERS, "ping": OWN_TIMERS}
    firewall = Firewall(snapshot(ALLOW, applications=applications))
    for word in (">gre", ">echo"):
        session = Conversation(firewall).say(word).session
        assert firewall.session(session).timeout_s == 401


def test_timers_of_its_own_stay_when_the_configured_ones_change() -> None:
    conversation = Conversation(Firewall(by_application(denied=False)))
    conversation.play(">S <SA >A")
    engine = conversation.firewall.engine
    engine.configure(snapshot(ALLOW, timeouts_s=default_timeouts(timeout_tcp=50)))
    conversation.play(">PA")
    assert conversation.firewall.session().timeout_s == 401


# ---- accelerated aging ---------------------------------------------------------------------------

TICK_NS = 1 << 26  # the ager makes room when a tick begins
TABLE = 10  # sessions


class Aging:
    """A table of ten that is crowded with five, and a session of 100 s in it.

    Times are from the start of that session.
    """

    def __init__(self, factor: int = 2, platform: str = "software", **timeouts: int) -> None:
        timers = {"timeout_udp": 100, "timeout_default": 10**6} | timeouts
        self.firewall = Firewall(
            snapshot(
                ALLOW,
                timeouts_s=default_timeouts(**timers),
                accelerated_aging=AcceleratedAging(True, 50, factor),
            ),
            max_sessions=TABLE,
            platform=platform,
        )
        self.start_ns = 1000 * TICK_NS
        self.at(0, udp())

    def at(self, at_s: float, packet: bytes) -> Answer:
        return self.firewall.send(packet, TRUST, 0, after_ns=self.start_ns + round(at_s * NS))

    def crowd(self, at_s: float, count: int = 4) -> None:
        """Sessions that live for long."""
        for number in range(count):
            assert self.at(at_s, other(100 + number)).what == "forward"

    def tick(self, at_s: float) -> None:
        self.firewall.tick(0, after_ns=self.start_ns + round(at_s * NS))

    def end_s(self, session: int = 1) -> float:
        return (self.firewall.session(session).end_ns - self.start_ns) / NS

    def is_alive_at(self, at_ns: int) -> bool:
        """Whether a packet so long after the start still finds the session."""
        answer = self.firewall.send(udp(), TRUST, 0, after_ns=self.start_ns + at_ns)
        assert answer.what == "forward"
        return answer.session == 1


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 16])
def test_the_rest_of_a_timeout_is_divided(factor: int) -> None:
    """60 s are left when the table gets crowded."""
    end_ns = 40 * NS + -(-60 * NS // factor)
    for at_ns, is_alive in ((end_ns - 1, True), (end_ns, False)):
        aging = Aging(factor)
        aging.crowd(40)
        aging.tick(41)
        assert aging.firewall.session().end_ns == aging.start_ns + end_ns
        assert aging.is_alive_at(at_ns) is is_alive
    assert aging.firewall.session().end_ns == aging.start_ns + end_ns


def test_a_session_refreshed_while_it_lasts() -> None:
    aging = Aging()
    aging.crowd(40)
    aging.at(50, udp())
    assert (aging.end_s(), aging.firewall.session().timeout_s) == (100, 100)
    assert not aging.is_alive_at(100 * NS)


def test_it_ends_when_a_session_is_cleared() -> None:
    aging = Aging()
    aging.crowd(40)
    aging.tick(60)
    assert aging.end_s() == 70
    assert aging.firewall.engine.clear(3)
    aging.tick(60)
    assert aging.end_s() == 80  # 40 of its 100 s went by in the 20 s
    assert not aging.is_alive_at(80 * NS)


def test_it_ends_when_a_session_ages_out() -> None:
    aging = Aging(timeout_icmp=50)
    aging.start_ns = 3000 * TICK_NS - 70 * NS  # the echo's expiry begins a tick
    aging.firewall.engine.clear(1)
    aging.at(0, udp())
    aging.at(20, echo())
    aging.crowd(40, 3)
    aging.tick(200)
    udp_session, echo_session = (e.sessionid for e in aging.firewall.entries()[:0:-1])
    assert (aging.end_s(echo_session), aging.end_s(udp_session)) == (55, 85)


def test_it_begins_and_ends_again() -> None:
    aging = Aging()
    aging.crowd(10)  # 90 left
    aging.tick(20)  # 70
    aging.firewall.engine.clear(2)
    aging.tick(30)  # 60
    aging.crowd(30, 4)
    aging.tick(31)
    assert aging.firewall.engine.stats().aging_accelerated
    assert aging.end_s() == 60
    assert aging.firewall.counters()["session_aging_accelerated"] == 2


def test_reports_refresh_while_it_lasts() -> None:
    aging = Aging(platform="pa-5000")
    aging.crowd(0)
    for beat in range(1, 8):
        assert aging.is_alive_at(beat * 6 * NS)
        assert aging.end_s() == 50
    assert aging.is_alive_at(48 * NS)
    assert aging.end_s() == 98


def test_what_is_denied_ages_faster_too() -> None:
    firewall = Firewall(
        snapshot(DENY, accelerated_aging=AcceleratedAging(True, 50, 2)), max_sessions=TABLE
    )
    for number in range(5):
        firewall.send(udp(sport=1 + number), at_s=100)
    firewall.tick(101)
    assert firewall.session().end_ns == 130 * NS


# sessions, table, threshold, whether that is crowded
CROWDS = [
    pytest.param(7, 10, 80, False, id="below"),
    pytest.param(8, 10, 80, True, id="at"),
    pytest.param(10, 10, 80, True, id="above"),
    pytest.param(2, 3, 67, False, id="not rounded up"),
    pytest.param(2, 3, 66, True, id="not rounded down"),
]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(("sessions", "table", "threshold", "crowded"), CROWDS)
def test_the_threshold(
    sessions: int, table: int, threshold: int, crowded: bool, enabled: bool
) -> None:
    aging = AcceleratedAging(enabled, threshold, 2)
    firewall = Firewall(snapshot(ALLOW, accelerated_aging=aging), max_sessions=table)
    for number in range(sessions):
        firewall.send(udp(sport=1 + number), at_s=1)
    firewall.tick(2)
    is_on = crowded and enabled
    assert firewall.engine.stats().aging_accelerated is is_on
    assert firewall.counters().get("session_aging_accelerated", 0) == is_on


def test_a_commit_can_end_it() -> None:
    aging = Aging()
    aging.crowd(40)
    aging.tick(50)
    engine = aging.firewall.engine
    engine.configure(replace(engine.snapshot, accelerated_aging=AcceleratedAging(False)))
    aging.tick(50)
    assert aging.end_s() == 90
    engine.configure(replace(engine.snapshot, accelerated_aging=AcceleratedAging(True, 50, 4)))
    aging.tick(50)
    assert aging.end_s() == 60


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
