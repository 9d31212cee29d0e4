"""TCP sessions through the firewall: the timer in force after each segment, from either side."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.conversations import Conversation
from tests.support.packets import (
    ALLOW,
    CLIENT_ISN,
    FAMILIES,
    NS,
    SERVER_ISN,
    Firewall,
    default_timeouts,
    snapshot,
)

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
        goes_on = "half" if segment[1] == "F" else "established"  # the other side's FIN has counted
        assert connection.timeout_s() == SECONDS[goes_on]


# ---- without a SYN -------------------------------------------------------------------------------

FIRST = [
    pytest.param(">A", "established", id="ACK"),
    pytest.param(">SA", "handshake", id="SYN-ACK"),
    pytest.param(">FA", "half", id="FIN"),
    pytest.param(">R", "wait", id="RST"),
    pytest.param("<A", "established", id="the server's ACK"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("segment", "after"), FIRST)
def test_sessions_that_begin_without_a_syn(segment: str, after: str, family: int) -> None:
    connection = Connection(family, tcp_reject_non_syn=False)
    connection.play(segment)
    assert connection.timeout_s() == SECONDS[after]
    counters = connection.firewall.counters()
    assert counters["flow_tcp_non_syn"] == 1
    assert "flow_tcp_non_syn_drop" not in counters


@pytest.mark.parametrize("family", FAMILIES)
def test_non_syn_is_rejected(family: int) -> None:
    connection = Connection(family)
    segments = (">A", "<SA", ">FA", "<R", ">RA", ">PA", "<FA")
    for segment in segments:
        assert connection.say(segment).what == "flow_tcp_non_syn_drop"
    counters = connection.firewall.counters()
    assert counters["flow_tcp_non_syn"] == counters["flow_tcp_non_syn_drop"] == len(segments)


def test_numbers_are_not_enforced_where_no_syn_was_seen() -> None:
    connection = Connection(tcp_reject_non_syn=False)
    connection.play(">A <A+1000000 >A-1000000 <FA+2000000")
    assert connection.timeout_s() == SECONDS["half"]


# ---- both sides at once --------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("script", [">S <S >SA <SA >A", ">S <S <SA >SA <A >A", ">S <S <SA >A"])
def test_simultaneous_open(script: str, family: int) -> None:
    connection = Connection(family)
    connection.play(script)
    assert connection.firewall.engine.stats().installed == 1
    assert connection.timeout_s() == SECONDS["established"]
    assert connection.say("<A-40000").what == "tcp_drop_out_of_wnd"  # it is as strict as any


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("first", ["><", "<>"])
def test_simultaneous_close(first: str, family: int) -> None:
    """Neither FIN acknowledges the other."""
    connection = Connection(family)
    connection.play(TO_ESTABLISHED)
    connection.say(f"{first[0]}FA")
    assert connection.timeout_s() == SECONDS["half"]
    answer = connection.say(
        f"{first[1]}FA", ack=(CLIENT_ISN if first[1] == "<" else SERVER_ISN) + 1
    )
    assert answer.what == "forward"
    assert connection.timeout_s() == SECONDS["wait"]
    connection.play(">A <A")
    assert connection.left_s() == SECONDS["wait"] - 2
    connection.firewall.tick(connection.now_s + SECONDS["wait"])
    (entry,) = connection.firewall.entries()
    assert (entry.session_end_reason, entry.packets) == ("tcp-fin", 7)


# ---- half-close ----------------------------------------------------------------------------------

SIDES = [
    pytest.param(">", "<", id="the client closes first"),
    pytest.param("<", ">", id="the server closes first"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("closer", "other"), SIDES)
def test_the_other_side_may_go_on_for_as_long_as_it_speaks(
    closer: str, other: str, family: int
) -> None:
    connection = Connection(family)
    connection.play(f"{TO_ESTABLISHED} {closer}FA")
    for _ in range(20):
        connection.say(f"{other}PA", bytes(100), at_s=connection.now_s + SECONDS["half"] - 1)
        answer = connection.say(f"{closer}A")
        assert answer.what == "forward"
        assert connection.left_s() == connection.timeout_s() == SECONDS["half"]
    connection.play(f"{other}FA {closer}A")
    assert connection.left_s() == SECONDS["wait"] - 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("closer", "other"), SIDES)
def test_tcpwait_ends_a_half_closed_connection(closer: str, other: str, family: int) -> None:
    """Seed 004: 30 s from the first FIN; what the other side still has to say is dropped."""
    timers = default_timeouts(timeout_tcpwait=30)
    firewall = Firewall(snapshot(ALLOW, timeouts_s=timers))
    connection = Conversation(firewall, family)
    connection.play(TO_ESTABLISHED)
    connection.say(f"{closer}FA", at_s=100)
    for at_s in range(105, 130, 5):
        assert connection.say(f"{other}PA", bytes(100), at_s=at_s).what == "forward"
        assert firewall.session().end_ns == 130 * NS
        assert firewall.session().state == "ACTIVE"
    assert connection.say(f"{other}PA", b"late", at_s=130).what == "flow_tcp_non_syn_drop"
    (entry,) = firewall.entries()
    assert (entry.session_end_reason, entry.elapsed) == ("tcp-fin", 129)


AFTER_THE_FIRST = [
    pytest.param(">FA", "<FA", id="second FIN"),
    pytest.param(">FA", "<RA", id="RST"),
    pytest.param(">FA", ">RA", id="the same side's RST"),
    pytest.param(">FA", "<R+5", id="RST that cannot be verified"),
    pytest.param(">FA", ">R+5 >A", id="and taken back"),
    pytest.param(">FA", ">R+5 >RA", id="and verified"),
    pytest.param("<FA", ">A >PA <A >FA >A <A", id="the rest"),
    pytest.param(">RA", "<PA >A <FA", id="after a RST"),
]


@pytest.mark.parametrize(("first", "script"), AFTER_THE_FIRST)
def test_tcpwait_starts_once(first: str, script: str) -> None:
    timers = default_timeouts(timeout_tcpwait=30)
    firewall = Firewall(snapshot(ALLOW, timeouts_s=timers))
    connection = Conversation(firewall)
    connection.play(TO_ESTABLISHED)
    connection.say(first, at_s=100)
    for word in script.split():
        connection.play(word)
        assert (firewall.session().end_ns, firewall.session().timeout_s) == (130 * NS, 30)


def test_tcpwait_needs_a_fin_or_rst_that_is_sure() -> None:
    timers = default_timeouts(timeout_tcpwait=30, timeout_tcp_unverified_rst=20)
    firewall = Firewall(snapshot(ALLOW, timeouts_s=timers))
    connection = Conversation(firewall)
    connection.play(f"{TO_ESTABLISHED} >R+5")
    assert firewall.session().timeout_s == 20
    connection.play(">RA")
    assert firewall.session().timeout_s == 30


# ---- RST -----------------------------------------------------------------------------------------

WINDOW = 0x99AA  # of every segment of ours

# how far the sequence number is off, and what becomes of it
RST_ROWS = [
    pytest.param(0, "wait", id="the next byte"),
    pytest.param(1, "rst", id="one further"),
    pytest.param(WINDOW, "rst", id="at the window's edge"),
    pytest.param(WINDOW + 1, "drop", id="behind the window"),
    pytest.param(-1, "fin", id="acknowledged already"),
    pytest.param(-2, "drop", id="and the byte before"),
    pytest.param(1 << 31, "drop", id="anywhere"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", "><")
@pytest.mark.parametrize("state", ["established", "half-client", "half-server", "rst-client"])
@pytest.mark.parametrize(("offset", "after"), RST_ROWS)
def test_rst_by_its_number(offset: int, after: str, state: str, side: str, family: int) -> None:
    connection = Connection(family)
    connection.play(REACH[state])
    if state.startswith("half"):  # the other side has acknowledged the FIN
        connection.play("<A >A")
    if after == "fin":  # a closed socket answers what was sent before its FIN came
        after = "wait" if state == ("half-client" if side == ">" else "half-server") else "drop"
    before = connection.firewall.session()
    answer = connection.say(f"{side}R{offset:+}")
    session = connection.firewall.session()
    if after == "drop":
        assert answer.what == "tcp_drop_out_of_wnd"
        assert session == replace(before, now_ns=session.now_ns)
        return
    assert answer.what == "forward"
    assert session.timeout_s == SECONDS[after]
    if after == "wait":
        assert connection.left_s() == SECONDS["wait"]
    else:
        unverified = 2 if state == "rst-client" else 1
        assert connection.firewall.counters()["tcp_rst_unverified"] == unverified
        # it leaves a time that is not started again
        assert connection.left_s() == SECONDS["rst"] - (unverified - 1)


@pytest.mark.parametrize("side", "><")
def test_rst_with_the_number_of_a_fin_after_one_in_doubt(side: str) -> None:
    connection = Connection()
    connection.play(f"{TO_ESTABLISHED} {side}FA {'<' if side == '>' else '>'}A {side}R+9")
    assert connection.timeout_s() == SECONDS["rst"]
    connection.play(f"{side}R-1")
    assert connection.timeout_s() == SECONDS["wait"]


def test_rst_behind_data_that_is_on_its_way() -> None:
    """What was sent and what was acknowledged are both expected; in between is not sure."""
    for offset, after in ((-100, "wait"), (-50, "rst"), (0, "wait")):
        connection = Connection()
        connection.play(TO_ESTABLISHED)
        connection.say(">PA", bytes(100))
        connection.play(f">R{offset:+}")
        assert connection.timeout_s() == SECONDS[after]


OPENING_RSTS = [
    pytest.param(">S", "<RA", True, id="refused"),
    pytest.param(">S", "<R", False, id="acknowledges nothing"),
    pytest.param(">S", ">R", True, id="the client thinks better of it"),
    pytest.param(">S", ">R+1", False, id="not the client's number"),
    pytest.param(TO_HANDSHAKE, ">R", True, id="the client wants no answer"),
    pytest.param(TO_HANDSHAKE, "<R", True, id="the server thinks better of it"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("script", "rst", "is_taken"), OPENING_RSTS)
def test_rst_while_it_opens(script: str, rst: str, is_taken: bool, family: int) -> None:
    connection = Connection(family)
    connection.play(script)
    assert connection.say(rst).what == ("forward" if is_taken else "tcp_drop_out_of_wnd")
    assert (connection.timeout_s() == SECONDS["wait"]) is is_taken


@pytest.mark.parametrize(("seq", "ack"), [(0, 0), (CLIENT_ISN, 0), (CLIENT_ISN + 2, 7)])
def test_rst_of_somebody_who_does_not_know_the_numbers(seq: int, ack: int) -> None:
    connection = Connection()
    connection.play(">S")
    assert connection.say(">R", seq=seq).what == "tcp_drop_out_of_wnd"
    assert connection.say("<RA", seq=seq, ack=ack).what == "tcp_drop_out_of_wnd"


def test_a_fin_of_the_other_side_counts_when_the_rst_is_taken_back() -> None:
    connection = Connection()
    connection.play(f"{TO_ESTABLISHED} >R+9 <FA >A")
    assert connection.timeout_s() == SECONDS["half"]
    connection.play(">FA")
    assert connection.timeout_s() == SECONDS["wait"]


@pytest.mark.parametrize(
    ("accepted", "what"),
    [(-1, "drop"), (0, "forward"), (70, "forward"), (100, "forward"), (101, "drop")],
)
def test_data_with_a_syn_may_be_refused(accepted: int, what: str) -> None:
    """RFC 7413 3: the answer acknowledges the SYN, or as much of the data as it takes."""
    connection = Connection()
    connection.say(">S", bytes(100))
    answer = connection.say("<SA", ack=CLIENT_ISN + 1 + accepted)
    assert answer.what == ("tcp_drop_out_of_wnd" if what == "drop" else "forward")


# ---- challenge ACK -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_challenge_ack_is_dropped(family: int) -> None:
    connection = Connection(family)
    connection.play(">S")
    assert connection.say("<A", seq=999, ack=777).what == "tcp_drop_challenge_ack"
    assert connection.say(">R", seq=777).what == "tcp_drop_out_of_wnd"
    connection.play(">S <SA >A")  # after it has given up
    assert connection.timeout_s() == SECONDS["established"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_challenge_ack_may_be_allowed(family: int) -> None:
    """RFC 5961 4: it asks whether the old connection is over; a RST with its number says so."""
    connection = Connection(family, tcp_allow_challenge_ack=True)
    connection.play(">S")
    assert connection.say("<A", seq=999, ack=777).what == "forward"
    assert (connection.timeout_s(), connection.left_s()) == (SECONDS["init"], SECONDS["init"] - 1)
    assert connection.say(">R", seq=778).what == "tcp_drop_out_of_wnd"
    assert connection.say(">R", seq=777).what == "forward"
    assert connection.timeout_s() == SECONDS["wait"]
    again = Conversation(connection.firewall, family, start_s=connection.now_s)
    again.play(TO_ESTABLISHED)
    assert connection.firewall.session(2).timeout_s == SECONDS["established"]


def test_the_server_may_answer_after_it_has_challenged() -> None:
    connection = Connection(tcp_allow_challenge_ack=True)
    connection.play(">S")
    connection.say("<A", seq=999, ack=777)
    connection.play("<SA >A >PA <A")
    assert connection.timeout_s() == SECONDS["established"]
    assert connection.say("<A", seq=999, ack=777).what == "tcp_drop_out_of_wnd"


# ---- tcp-reuse -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_client_that_has_forgotten_its_connection(family: int) -> None:
    """A SYN in an established connection passes; the server's answer brings a RST, and the end."""
    connection = Connection(family)
    connection.play(f"{TO_ESTABLISHED} >PA <A")
    left = connection.left_s()
    assert connection.say(">S", seq=5555).what == "forward"
    assert connection.left_s() == left - 1
    assert connection.firewall.engine.stats().installed == 1
    connection.play("<A >R")
    assert connection.timeout_s() == SECONDS["wait"]
    again = Conversation(connection.firewall, family, start_s=connection.now_s, isns=(5555, 6666))
    again.play(f"{TO_ESTABLISHED} >PA")
    assert connection.firewall.session(2).timeout_s == SECONDS["established"]
    assert connection.firewall.session(2).packets_c2s == 3


def test_a_new_syn_replaces_one_that_got_no_answer() -> None:
    connection = Connection()
    connection.play(">S")
    again = Conversation(connection.firewall, start_s=1, isns=(5555, 6666))
    again.play(">S")
    assert connection.say("<SA").what == "tcp_drop_out_of_wnd"
    again.play("<SA >A")
    assert connection.timeout_s() == SECONDS["established"]


# ---- windows -------------------------------------------------------------------------------------


def scaled(factor: int | None) -> list[tuple[str, object]]:
    padding: list[tuple[str, object]] = [("MSS", 1460), ("NOP", None)]
    return padding if factor is None else [*padding, ("WScale", factor), ("EOL", None)]


def opened(
    factors: tuple[int | None, int | None] = (None, None),
    *,
    windows: tuple[int, int] = (1000, 1000),
    family: int = 4,
    **more: Any,
) -> Conversation:
    """An established connection whose ends offer these windows, in its last segments too."""
    connection = Conversation(Firewall(), family, **more)
    for word, side in ((">S", 0), ("<SA", 1)):
        connection.say(word, options=scaled(factors[side]), window=windows[side])
    for word, side in ((">A", 0), ("<A", 1)):
        assert connection.say(word, window=windows[side]).what == "forward"
    return connection


# window scale of client and server, and the windows they have, offering 1000
SCALES = [
    pytest.param((None, None), (1000, 1000), id="none"),
    pytest.param((2, 7), (4000, 128_000), id="both"),
    pytest.param((0, 3), (1000, 8000), id="a factor of one counts"),
    pytest.param((4, None), (1000, 1000), id="the client alone"),
    pytest.param((None, 4), (1000, 1000), id="the server alone"),
    pytest.param((15, 14), (1000 << 14, 1000 << 14), id="more than there is"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("factors", "windows"), SCALES)
@pytest.mark.parametrize("side", [0, 1])
def test_nobody_sends_more_than_the_other_side_takes(
    factors: tuple[int | None, int | None], windows: tuple[int, int], side: int, family: int
) -> None:
    word = "><"[side]
    for offset, what in ((0, "forward"), (1, "tcp_drop_out_of_wnd")):
        connection = opened(factors, family=family)
        at = windows[not side] + offset
        assert connection.say(f"{word}PA+{at}", b"x").what == what


@pytest.mark.parametrize("side", [0, 1])
def test_nobody_repeats_what_is_long_over(side: int) -> None:
    """Of what was acknowledged as much may come again as the other side's largest window."""
    word, other = "><"[side], "<>"[side]
    for back, what in ((-1, "forward"), (-1000, "forward"), (-1001, "tcp_drop_out_of_wnd")):
        connection = opened()
        for _ in range(5):
            connection.say(f"{word}PA", bytes(1000), window=1000)
            connection.say(f"{other}A", window=1000)
        assert connection.say(f"{word}A{back}").what == what


@pytest.mark.parametrize("side", [0, 1])
def test_nobody_acknowledges_what_was_not_sent(side: int) -> None:
    word, isn = "><"[side], (SERVER_ISN, CLIENT_ISN)[side]
    connection = opened()
    assert connection.say(f"{word}A", ack=isn + 1).what == "forward"
    assert connection.say(f"{word}A", ack=isn + 2).what == "tcp_drop_out_of_wnd"
    assert connection.say(f"{word}A", ack=isn + 1 - 66_000).what == "forward"
    assert connection.say(f"{word}A", ack=isn - 66_000).what == "tcp_drop_out_of_wnd"


@pytest.mark.parametrize("side", [0, 1])
def test_a_window_is_never_taken_back(side: int) -> None:
    """What was offered once may be in use, however small the window is now."""
    word, other = "><"[side], "<>"[side]
    connection = opened()
    connection.say(f"{other}A", window=10)
    assert connection.say(f"{word}PA+1000", b"x").what == "forward"


@pytest.mark.parametrize("side", [0, 1])
def test_a_closed_window_is_probed(side: int) -> None:
    word, other = "><"[side], "<>"[side]
    connection = opened()
    connection.say(f"{word}PA", bytes(1000))
    connection.say(f"{other}A", window=0)
    assert connection.say(f"{word}PA", b"x").what == "forward"
    assert connection.say(f"{word}PA+1", b"x").what == "tcp_drop_out_of_wnd"


@pytest.mark.parametrize("isns", [(0xFFFFFFF0, 0xFFFFFE00), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0)])
def test_numbers_go_round(isns: tuple[int, int]) -> None:
    connection = opened(isns=isns)
    for _ in range(3):
        for word in (">PA", "<PA"):
            assert connection.say(word, bytes(700), window=1000).what == "forward"
    assert connection.say(">PA+1001", b"x").what == "tcp_drop_out_of_wnd"
    assert connection.say("<R").what == "forward"
    assert connection.firewall.session().timeout_s == 15


def test_what_does_not_fit_changes_nothing() -> None:
    connection = Connection()
    connection.play(TO_ESTABLISHED)
    before = connection.firewall.session()
    for word in (">FA+50000", "<PA-50000", ">R+50000", "<SA+50000"):
        assert connection.say(word).what == "tcp_drop_out_of_wnd"
    now_ns = connection.firewall.session().now_ns
    assert connection.firewall.session() == replace(before, now_ns=now_ns)
    assert connection.firewall.counters()["tcp_drop_out_of_wnd"] == 4


# ---- asymmetric-path bypass ----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", "><")
def test_bypass_passes_what_does_not_fit(side: str, family: int) -> None:
    connection = Connection(family, tcp_asymmetric_bypass=True)
    connection.play(f"{TO_ESTABLISHED} {side}PA+50000 {side}A-90000")
    assert connection.timeout_s() == connection.left_s() == SECONDS["established"]
    counters = connection.firewall.counters()
    assert counters["tcp_out_of_wnd_pass"] == 2
    assert "tcp_drop_out_of_wnd" not in counters
    connection.play(f"{side}R+1234567")  # nor are sequence numbers of a RST checked
    assert connection.timeout_s() == SECONDS["wait"]


@pytest.mark.parametrize(
    ("script", "after"),
    [
        pytest.param(">S >A", "established", id="the answer went elsewhere"),
        pytest.param(">S >A >PA >PA", "established", id="as do all"),
        pytest.param(">S >A >FA", "half", id="half of a close"),
        pytest.param(">S >RA", "wait", id="RST"),
        pytest.param(">S <SA+99 >A", "established", id="an answer to something else"),
    ],
)
def test_bypass_lives_with_half_of_a_connection(script: str, after: str) -> None:
    connection = Connection(tcp_asymmetric_bypass=True)
    connection.play(script)
    assert connection.timeout_s() == SECONDS[after]


def test_bypass_can_be_switched_while_connections_live() -> None:
    connection = Connection()
    engine = connection.firewall.engine
    connection.play(TO_ESTABLISHED)
    engine.configure(replace(engine.snapshot, tcp_asymmetric_bypass=True))
    assert connection.say(">PA+50000", b"x").what == "forward"
    engine.configure(replace(engine.snapshot, tcp_asymmetric_bypass=False))
    assert connection.say(">PA+150000", b"x").what == "tcp_drop_out_of_wnd"


# ---- how they end --------------------------------------------------------------------------------

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
    pytest.param(
        f"{TO_ESTABLISHED} <R+5",
        "tcp-rst-from-server",
        "TCP RST - server",
        "incomplete",
        id="RST not verified",
    ),
    pytest.param(
        f"{TO_ESTABLISHED} >FA <FA <R",
        "tcp-rst-from-server",
        "TCP RST - server",
        "incomplete",
        id="FINs, RST",
    ),
    pytest.param(
        f"{TO_ESTABLISHED} >R+5 >A", "aged-out", "Aged out", "incomplete", id="RST taken back"
    ),
    pytest.param(
        f"{TO_ESTABLISHED} >FA >R+5 >A", "tcp-fin", "TCP FIN", "incomplete", id="taken back, FIN"
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


@pytest.mark.parametrize(("script", "reason", "tracker", "application"), ENDS)
def test_clearing_is_the_last_of_reasons(
    script: str, reason: str, tracker: str, application: str
) -> None:
    connection = Connection()
    connection.play(script)
    assert connection.firewall.engine.clear(1)
    (entry,) = connection.firewall.entries()
    ended = reason != "aged-out"
    assert entry.session_end_reason == (reason if ended else "unknown")
    assert entry.tracker_stage == (tracker if ended else "")
    assert entry.app == application


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
