"""TCP sessions through the firewall: the timer in force after each segment, from either side."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.conversations import Conversation
from tests.support.packets import ALLOW, FAMILIES, NS, Firewall, default_timeouts, snapshot

# every timer another value, so that the timer names the state
TIMERS = default_timeouts(
    timeout_tcpinit=11,
    timeout_tcphandshake=22,
    timeout_tcp=333,
    timeout_tcp_half_closed=44,
    timeout_tcp_time_wait=55,
    timeout_tcp_unverified_rst=66,
)
SECONDS = {"init": 11, "handshake": 22, "established": 333, "half": 44, "wait": 55, "rst": 66}

TO_HANDSHAKE = ">S <SA"
TO_ESTABLISHED = ">S <SA >A"
REACH = {
    "init": ">S",
    "handshake": TO_HANDSHAKE,
    "established": TO_ESTABLISHED,
    "half-client": f"{TO_ESTABLISHED} >FA",
    "half-server": f"{TO_ESTABLISHED} <FA",
    "wait": f"{TO_ESTABLISHED} >FA <FA",
    "rst-client": f"{TO_ESTABLISHED} >R+9",
    "rst-server": f"{TO_ESTABLISHED} <R+9",
}

# state, side, and what SYN, SYN-ACK, ACK, FIN and RST of that side lead to: a state, behind it "="
# where the timer is not started again, or a reason to drop it. rst: a RST that cannot be verified.
TABLE = """
init         >  init          window       window       window       wait
init         <  handshake     handshake    challenge    window       wait
handshake    >  handshake     handshake    established  half-client  wait
handshake    <  handshake     handshake    handshake    half-server  wait
established  >  established=  established  established  half-client  wait
established  <  established=  established  established  half-server  wait
half-client  >  half-client=  half-client  half-client  half-client  wait
half-client  <  half-client=  half-client  half-client  wait         wait
half-server  >  half-server=  half-server  half-server  wait         wait
half-server  <  half-server=  half-server  half-server  half-server  wait
wait         >  new           wait=        wait=        wait=        wait=
wait         <  new           wait=        wait=        wait=        wait=
rst-client   >  rst-client=   established  established  half-client  wait
rst-client   <  rst-client=   rst-client=  rst-client=  rst-client=  wait
rst-server   >  rst-server=   rst-server=  rst-server=  rst-server=  wait
rst-server   <  rst-server=   established  established  half-server  wait
"""
DROPS = {"window": "tcp_drop_out_of_wnd", "challenge": "tcp_drop_challenge_ack"}
ROWS = [
    pytest.param(state, side + flags, after, id=f"{state} {side}{flags}")
    for state, side, *afters in (line.split() for line in TABLE.split("\n") if line)
    for flags, after in zip(("S", "SA", "A", "FA", "RA"), afters, strict=True)
]


class Connection(Conversation):
    """A connection through a firewall of its own, with these timers."""

    def __init__(self, family: int = 4, **settings: Any) -> None:
        super().__init__(Firewall(snapshot(ALLOW, timeouts_s=TIMERS, **settings)), family)

    def timeout_s(self) -> int:
        return self.firewall.session().timeout_s

    def left_s(self) -> int:
        return self.firewall.session().end_ns // NS - int(self.now_s)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("state", "segment", "after"), ROWS)
def test_every_state_and_segment(state: str, segment: str, after: str, family: int) -> None:
    connection = Connection(family)
    connection.play(REACH[state])
    left, before = connection.left_s(), connection.firewall.session()
    answer = connection.say(segment)
    session = connection.firewall.session()
    if after in DROPS:
        assert answer.what == DROPS[after]
        assert session == replace(before, now_ns=session.now_ns)
        return
    assert answer.what == "forward"
    if after == "new":
        assert connection.firewall.session(2).state == "ACTIVE"
        assert session.state == "INIT"
        return
    assert connection.firewall.engine.stats().installed == 1
    assert session.packets_c2s + session.packets_s2c == before.packets_c2s + before.packets_s2c + 1
    after, keeps, _ = after.partition("=")
    assert connection.timeout_s() == SECONDS[after.partition("-")[0]]
    assert connection.left_s() == (left - 1 if keeps else connection.timeout_s())
    if after.startswith("half-"):  # the other side's FIN ends it, one's own does not
        mine, other = (">FA", "<FA") if after == "half-client" else ("<FA", ">FA")
        connection.play(mine)
        assert connection.timeout_s() == SECONDS["half"]
        connection.play(other)
        assert connection.timeout_s() == SECONDS["wait"]
    if after.startswith("rst-"):  # who sent the RST can take it back, the other side cannot
        mine, other = (">A", "<A") if after == "rst-client" else ("<A", ">A")
        connection.play(other)
        assert connection.timeout_s() == SECONDS["rst"]
        connection.play(mine)
        assert connection.timeout_s() == SECONDS["established"]


FIRST = [
    pytest.param(">A", "established", id="ACK"),
    pytest.param(">SA", "handshake", id="SYN-ACK"),
    pytest.param(">FA", "half", id="FIN"),
    pytest.param(">R", "wait", id="RST"),
]


@pytest.mark.parametrize(("segment", "after"), FIRST)
def test_sessions_that_begin_without_a_syn(segment: str, after: str) -> None:
    connection = Connection(tcp_reject_non_syn=False)
    connection.play(segment)
    assert connection.timeout_s() == SECONDS[after]
    counters = connection.firewall.counters()
    assert counters["flow_tcp_non_syn"] == 1
    assert "flow_tcp_non_syn_drop" not in counters


def test_non_syn_is_rejected() -> None:
    connection = Connection()
    for segment in (">A", "<SA", ">FA", "<R", ">RA"):
        assert connection.say(segment).what == "flow_tcp_non_syn_drop"
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
    connection.play(script)
    ends_s = connection.now_s + connection.left_s()
    connection.firewall.tick(ends_s + 1)
    (entry,) = connection.firewall.entries()
    assert entry.session_end_reason == reason
    assert entry.tracker_stage == tracker
    assert entry.app == application
    assert entry.elapsed == ends_s - 1


@pytest.mark.parametrize("opener", [">S", "<S"])
def test_a_new_syn_ends_what_is_in_time_wait(opener: str) -> None:
    connection = Connection()
    connection.play(f"{TO_ESTABLISHED} >R {opener}")
    (entry,) = connection.firewall.entries()
    assert (entry.sessionid, entry.session_end_reason) == (1, "tcp-rst-from-client")
    assert connection.firewall.session(2).c2s.zone == ("trust" if opener == ">S" else "untrust")


def test_a_new_syn_after_both_fins_is_a_session_of_its_own() -> None:
    connection = Connection()
    connection.play(f"{TO_ESTABLISHED} >FA <FA >A")
    again = Conversation(connection.firewall, start_s=connection.now_s)
    again.play(TO_ESTABLISHED)
    (entry,) = connection.firewall.entries()
    assert (entry.pkts_sent, entry.pkts_received, entry.session_end_reason) == (4, 2, "tcp-fin")
    assert connection.firewall.session(2).packets_c2s == 2


def test_simultaneous_open() -> None:
    connection = Connection()
    connection.play(">S <S >SA <SA >A")
    assert connection.firewall.engine.stats().installed == 1
    assert connection.timeout_s() == SECONDS["established"]
