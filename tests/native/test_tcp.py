"""TCP sessions through the firewall: the timer in force after each segment, from either side."""

import pytest

from tests.support.packets import (
    ALLOW,
    FAMILIES,
    NS,
    TRUST,
    UNTRUST,
    Answer,
    Firewall,
    default_timeouts,
    snapshot,
    tcp,
)

# every timer another value, so that the timer names the state
TIMERS = default_timeouts(
    timeout_tcpinit=11,
    timeout_tcphandshake=22,
    timeout_tcp=333,
    timeout_tcp_half_closed=44,
    timeout_tcp_time_wait=55,
)
SECONDS = {"init": 11, "handshake": 22, "established": 333, "half": 44, "wait": 55}

TO_HANDSHAKE = ">S <SA"
TO_ESTABLISHED = ">S <SA >A"
REACH = {
    "init": ">S",
    "handshake": TO_HANDSHAKE,
    "established": TO_ESTABLISHED,
    "half-client": f"{TO_ESTABLISHED} >FA",
    "half-server": f"{TO_ESTABLISHED} <FA",
    "wait": f"{TO_ESTABLISHED} >FA <FA",
}

# state, side, and the state after SYN, SYN-ACK, ACK, FIN, RST of that side
TABLE = """
init        >  init         init         init         half-client  wait
init        <  handshake    handshake    init         half-server  wait
handshake   >  handshake    handshake    established  half-client  wait
handshake   <  handshake    handshake    handshake    half-server  wait
established >  established  established  established  half-client  wait
established <  established  established  established  half-server  wait
half-client >  half-client  half-client  half-client  half-client  wait
half-client <  half-client  half-client  half-client  wait         wait
half-server >  half-server  half-server  half-server  wait         wait
half-server <  half-server  half-server  half-server  half-server  wait
wait        >  new          wait         wait         wait         wait
wait        <  new          wait         wait         wait         wait
"""
ROWS = [
    pytest.param(state, side + flags, after, id=f"{state} {side}{flags}")
    for state, side, *afters in (line.split() for line in TABLE.split("\n") if line)
    for flags, after in zip(("S", "SA", "A", "FA", "R"), afters, strict=True)
]


class Connection:
    """A connection through a firewall; segments are written >FLAGS from the client, <FLAGS back."""

    def __init__(self, family: int, *, reject_non_syn: bool = True) -> None:
        rules = snapshot(ALLOW, timeouts_s=TIMERS, tcp_reject_non_syn=reject_non_syn)
        self.firewall = Firewall(rules)
        self.family = family
        self.now_s = 0

    def segment(self, text: str, payload: bytes = b"") -> Answer:
        self.now_s += 1
        back = text[0] == "<"
        packet = tcp(text[1:], self.family, back=back, payload=payload)
        return self.firewall.send(packet, UNTRUST if back else TRUST, self.now_s)

    def play(self, script: str) -> None:
        for text in script.split():
            assert self.segment(text).what == "forward", text

    def left_s(self) -> int:
        session = self.firewall.session()
        return (session.end_ns - self.now_s * NS) // NS


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("state", "segment", "after"), ROWS)
def test_every_state_and_segment(state: str, segment: str, after: str, family: int) -> None:
    connection = Connection(family)
    connection.play(REACH[state])
    left = connection.left_s()
    assert connection.segment(segment).what == "forward"
    if after == "new":
        assert connection.firewall.session(2).state == "ACTIVE"
        assert connection.firewall.session(1).state == "INIT"
        return
    assert connection.firewall.engine.stats().installed == 1
    assert connection.firewall.session().timeout_s == SECONDS[after.partition("-")[0]]
    if state == "wait":  # time-wait is started once
        assert connection.left_s() == left - 1
    else:
        assert connection.left_s() == connection.firewall.session().timeout_s
    if after.startswith("half-"):  # the other side's FIN ends it, one's own does not
        mine, other = (">FA", "<FA") if after == "half-client" else ("<FA", ">FA")
        connection.segment(mine)
        assert connection.firewall.session().timeout_s == SECONDS["half"]
        connection.segment(other)
        assert connection.firewall.session().timeout_s == SECONDS["wait"]


FIRST = [
    pytest.param(">A", "established", id="ACK"),
    pytest.param(">SA", "handshake", id="SYN-ACK"),
    pytest.param(">FA", "half", id="FIN"),
    pytest.param(">R", "wait", id="RST"),
]


@pytest.mark.parametrize(("segment", "after"), FIRST)
def test_sessions_that_begin_without_a_syn(segment: str, after: str) -> None:
    connection = Connection(4, reject_non_syn=False)
    assert connection.segment(segment).what == "forward"
    assert connection.firewall.session().timeout_s == SECONDS[after]
    counters = connection.firewall.counters()
    assert counters["flow_tcp_non_syn"] == 1
    assert "flow_tcp_non_syn_drop" not in counters


def test_non_syn_is_rejected() -> None:
    connection = Connection(4)
    for segment in (">A", "<SA", ">FA", "<R", ">RA"):
        assert connection.segment(segment).what == "flow_tcp_non_syn_drop"
    counters = connection.firewall.counters()
    assert counters["flow_tcp_non_syn"] == counters["flow_tcp_non_syn_drop"] == 5


ENDS = [
    pytest.param(">S", "aged-out", "Aged out", "incomplete", id="no answer"),
    pytest.param(TO_ESTABLISHED, "aged-out", "Aged out", "incomplete", id="no data"),
    pytest.param(f"{TO_ESTABLISHED} >PA", "aged-out", "Aged out", "insufficient-data", id="data"),
    pytest.param(f"{TO_ESTABLISHED} >FA", "tcp-fin", "TCP FIN", "incomplete", id="one FIN"),
    pytest.param(f"{TO_ESTABLISHED} >FA <FA", "tcp-fin", "TCP FIN", "incomplete", id="both FINs"),
    pytest.param(
        f"{TO_ESTABLISHED} >R", "tcp-rst-from-client", "TCP RST - client", "incomplete", id="client"
    ),
    pytest.param(
        ">S <RA", "tcp-rst-from-server", "TCP RST - server", "incomplete", id="connection refused"
    ),
    pytest.param(
        f"{TO_ESTABLISHED} >FA <R",
        "tcp-rst-from-server",
        "TCP RST - server",
        "incomplete",
        id="FIN, RST",
    ),
    pytest.param(
        f"{TO_ESTABLISHED} <R >R",
        "tcp-rst-from-client",
        "TCP RST - client",
        "incomplete",
        id="both RST",
    ),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("script", "reason", "tracker", "application"), ENDS)
def test_ends(script: str, reason: str, tracker: str, application: str, family: int) -> None:
    connection = Connection(family)
    for text in script.split():
        assert connection.segment(text, b"data" if "P" in text else b"").what == "forward"
    ends_s = connection.now_s + connection.left_s()
    connection.firewall.tick(ends_s + 1)
    (entry,) = connection.firewall.entries()
    assert entry.session_end_reason == reason
    assert entry.tracker_stage == tracker
    assert entry.app == application
    assert entry.elapsed == ends_s - 1


@pytest.mark.parametrize("opener", [">S", "<S"])
def test_a_new_syn_ends_what_is_in_time_wait(opener: str) -> None:
    connection = Connection(4)
    connection.play(f"{TO_ESTABLISHED} >R {opener}")
    (entry,) = connection.firewall.entries()
    assert (entry.sessionid, entry.session_end_reason) == (1, "tcp-rst-from-client")
    assert connection.firewall.session(2).c2s.zone == ("trust" if opener == ">S" else "untrust")


def test_a_new_syn_after_both_fins_is_a_session_of_its_own() -> None:
    connection = Connection(4)
    connection.play(f"{TO_ESTABLISHED} >FA <FA >A >S <SA >A")
    (entry,) = connection.firewall.entries()
    assert (entry.pkts_sent, entry.pkts_received, entry.session_end_reason) == (4, 2, "tcp-fin")
    assert connection.firewall.session(2).packets_c2s == 2


def test_simultaneous_open() -> None:
    connection = Connection(4)
    connection.play(">S <S >SA <SA >A")
    assert connection.firewall.engine.stats().installed == 1
    assert connection.firewall.session().timeout_s == SECONDS["established"]
