"""The offload engine: who is in it, what it reports and when; what that does to timers and logs.

Times are seconds since the session was established.
"""

from typing import Any

import pytest
from msgspec.structs import replace
from scapy.layers.inet import UDP, IPOption
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.packet import Packet as Layers

from dataplane.offload import PROFILES
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
    ip,
    snapshot,
    tcp,
    udp,
)

OPEN = ">S <SA >A"
SCAN_S = 8  # pa-7000


def established(
    platform: str, timeout_s: int = 1200, *, family: int = 4, start: str = OPEN, **settings: Any
) -> Conversation:
    """A conversation whose session is now set up, with this timeout for whatever protocol it is."""
    timers = default_timeouts(
        timeout_tcp=timeout_s, timeout_udp=timeout_s, timeout_default=timeout_s, **settings
    )
    firewall = Firewall(snapshot(ALLOW, timeouts_s=timers), platform=platform)
    conversation = Conversation(firewall, family)
    for word in start.split():
        assert conversation.say(word, at_s=0).what == "forward"
    assert firewall.session().offloaded is (platform != "software")
    return conversation


def beat(conversation: Conversation, words: str, interval_s: float, count: int) -> int:
    """Says one after the other of `words` an interval apart, those joined by + together.

    How many beats the session saw: all, or those before it was over.
    """
    turns = words.split()
    began_s = conversation.now_s
    for number in range(1, count + 1):
        for word in turns[(number - 1) % len(turns)].split("+"):
            answer = conversation.say(word, b"beat", at_s=began_s + number * interval_s)
            if answer.session != 1:
                return number - 1
    return count


# ---- heartbeats ----------------------------------------------------------------------------------

BEATS = 64

# Beats come so many seconds apart, the first so long after the session was established. Of one flow
# the sixteenth makes the hardware report, of a UDP flow the eighth. At 75 s the sixteenth comes at
# the very instant the 1,200 s are over, and a session is over for packets of the instant it ends.
HEARTBEATS = [
    pytest.param(OPEN, ">PA", 74, 76, 75, id="TCP, one way"),
    pytest.param(OPEN, "<PA", 74, 76, 75, id="TCP, the other way"),
    pytest.param(OPEN, ">PA+<PA", 74, 76, 75, id="TCP, each beat answered: counted per flow"),
    pytest.param(OPEN, ">PA <PA", 38, 39, None, id="TCP, in turns: 31 beats to 16 of one flow"),
    pytest.param(OPEN, "<PA >PA", 38, 39, None, id="TCP, in turns, the server first"),
    pytest.param(">udp", ">udp", 149, 151, 150, id="UDP, one way"),
    pytest.param(">udp", "<udp", 149, 151, 150, id="UDP, the other way"),
    pytest.param(">udp", ">udp+<udp", 149, 151, 150, id="UDP, each beat answered"),
    pytest.param(">udp", ">udp <udp", 79, 81, 80, id="UDP, in turns"),
    pytest.param(">gre", ">gre", 74, 76, 75, id="another protocol counts as TCP"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("start", "words", "lives", "dies", "at_the_instant"), HEARTBEATS)
def test_heartbeats_on_pa_5000(
    start: str, words: str, lives: int, dies: int, at_the_instant: int | None, family: int
) -> None:
    conversation = established("pa-5000", start=start, family=family)
    assert beat(conversation, words, lives, BEATS) == BEATS
    for interval in (dies, at_the_instant):
        if interval is None:
            continue
        conversation = established("pa-5000", start=start, family=family)
        packets = sum(len(words.split()[n % len(words.split())].split("+")) for n in range(BEATS))
        seen = beat(conversation, words, interval, BEATS)
        assert seen == (1200 - 1) // interval < BEATS
        (entry,) = conversation.firewall.entries()
        assert (entry.elapsed, entry.session_end_reason, entry.offloaded) == (1200, "aged-out", 1)
        assert entry.packets < packets
        if start == OPEN:  # the hosts hear nothing; what they still send has no session
            assert conversation.say(words[:3]).what == "flow_tcp_non_syn_drop"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("start", "words"), [(OPEN, ">PA"), (OPEN, "<PA"), (">udp", "<udp"), (">gre", ">gre")]
)
@pytest.mark.parametrize(
    ("platform", "longest"), [("software", 1200 - 1), ("pa-7000", 1200 - SCAN_S - 1)]
)
def test_heartbeats_elsewhere(
    platform: str, longest: int, start: str, words: str, family: int
) -> None:
    """The interval need only be below the timeout; a scan must come within it too."""
    for interval in (76, longest):
        conversation = established(platform, start=start, family=family)
        assert beat(conversation, words, interval, BEATS) == BEATS
        assert conversation.firewall.session().longest_gap_ms == interval * 1000
    conversation = established(platform, start=start, family=family)
    assert beat(conversation, words, longest + 1, BEATS) < BEATS
    (entry,) = conversation.firewall.entries()
    assert (entry.elapsed, entry.session_end_reason) == (1200, "aged-out")


def test_the_default_udp_timer() -> None:
    assert beat(established("pa-5000", 30, start=">udp"), ">udp", 3.7, BEATS) == BEATS
    assert beat(established("pa-5000", 30, start=">udp"), ">udp", 3.8, BEATS) == 7


@pytest.mark.parametrize("timeout_s", [1800, 3600])
@pytest.mark.parametrize("interval_s", [300, 599])
@pytest.mark.parametrize("words", [">PA", ">PA+<PA"])
def test_sessions_end_with_the_timeout_as_their_age(
    words: str, interval_s: int, timeout_s: int
) -> None:
    """As in the thread of seed 001: values of 1,800 and 3,600 s for the time elapsed."""
    conversation = established("pa-5000", timeout_s)
    assert beat(conversation, words, interval_s, BEATS) == (timeout_s - 1) // interval_s
    (entry,) = conversation.firewall.entries()
    assert (entry.elapsed, entry.session_end_reason) == (timeout_s, "aged-out")


def test_a_busy_session_ends_one_timeout_after_its_last_report() -> None:
    conversation = established("pa-5000", 1800)
    assert beat(conversation, ">PA", 1, 100) == 100  # the 96th is the last that is reported
    assert beat(conversation, ">PA", 300, BEATS) < BEATS
    (entry,) = conversation.firewall.entries()
    assert entry.elapsed == 96 + 1800
    # 4 unreported ones and 5 beats do not make 16
    assert (entry.pkts_sent, entry.pkts_received) == (2 + 100 + 5, 1)


# ---- reports -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("start", "word", "report_packets"), [(OPEN, "PA", 16), (">udp", "udp", 8), (">gre", "gre", 16)]
)
@pytest.mark.parametrize("side", "><")
def test_the_timer_moves_when_a_flow_reports(
    side: str, start: str, word: str, report_packets: int, family: int
) -> None:
    conversation = established("pa-5000", start=start, family=family)
    firewall = conversation.firewall
    set_up = firewall.session()
    assert set_up.report_packets == report_packets
    others = 3  # of the other flow, counted apart
    for _ in range(others):
        conversation.say(("<" if side == ">" else ">") + word)
    size = 0
    for number in range(1, report_packets):
        size += len(conversation.packet(side + word))
        conversation.say(side + word)
        session = firewall.session()
        unreported = (session.unreported_c2s, session.unreported_s2c)
        assert unreported == ((number, others) if side == ">" else (others, number))
        assert session.end_ns == set_up.end_ns
        assert (session.packets_c2s, session.bytes_c2s) == (set_up.packets_c2s, set_up.bytes_c2s)
    size += len(conversation.packet(side + word))
    conversation.say(side + word)
    session = firewall.session()
    assert session.end_ns == (conversation.now_s + 1200) * NS
    assert (session.unreported_c2s, session.unreported_s2c) == (
        (0, others) if side == ">" else (others, 0)
    )
    grown = (
        (session.packets_c2s - set_up.packets_c2s, session.bytes_c2s - set_up.bytes_c2s),
        (session.packets_s2c - set_up.packets_s2c, session.bytes_s2c - set_up.bytes_s2c),
    )
    assert grown == (
        ((report_packets, size), (0, 0)) if side == ">" else ((0, 0), (report_packets, size))
    )
    counters = firewall.counters()
    assert (counters["offload_report"], counters["session_offloaded"]) == (1, 1)
    assert counters["pkt_offloaded"] == report_packets + others


@pytest.mark.parametrize("side", "><")
def test_a_scan_reports_eight_seconds_after_a_packet(side: str) -> None:
    conversation = established("pa-7000")
    firewall = conversation.firewall
    conversation.say(f"{side}PA", at_s=100)
    conversation.say(f"{side}PA", at_s=107)  # the scan runs from the first
    firewall.tick(100 + SCAN_S, after_ns=-1)
    session = firewall.session()
    assert (session.end_ns, session.unreported_c2s + session.unreported_s2c) == (1200 * NS, 2)
    firewall.tick(100 + SCAN_S)
    session = firewall.session()
    assert session.end_ns == (100 + SCAN_S + 1200) * NS
    assert session.unreported_c2s + session.unreported_s2c == 0
    assert session.longest_wait_ms == 108_000
    # nobody need look at that time
    conversation.say(f"{side}PA", at_s=200)
    firewall.tick(1000)
    assert firewall.session().end_ns == (200 + SCAN_S + 1200) * NS


def test_sixty_four_packets_report_before_the_scan() -> None:
    conversation = established("pa-7000")
    for number in range(64):
        conversation.say(">PA", at_s=100 + number / 100)
    session = conversation.firewall.session()
    assert session.unreported_c2s == 0
    assert session.end_ns == round((100.63 + 1200) * NS)


# timeout, when the hardware sees its first packet, when the session is over
SHORT = [
    pytest.param(5, 0, 5, id="shorter than the scan"),
    pytest.param(8, 0, 8, id="as long as the scan"),
    pytest.param(9, 0.5, 17.5, id="longer"),
    pytest.param(9, 1, 9, id="longer, but the report would come when it is over"),
]


@pytest.mark.parametrize(("timeout_s", "first_s", "over_s"), SHORT)
def test_timeouts_around_the_scan_interval(timeout_s: int, first_s: float, over_s: float) -> None:
    for off_ns, session in ((-1, 1), (0, 2)):
        conversation = established("pa-7000", timeout_s, start=">udp")
        conversation.say(">udp", at_s=first_s)
        assert conversation.say(">udp", at_s=over_s, after_ns=off_ns).session == session
    (entry,) = conversation.firewall.entries()
    assert (entry.elapsed, entry.session_end_reason) == (int(over_s), "aged-out")


@pytest.mark.parametrize(
    ("interval_s", "seen"), [(4, 1), (1, 4), (0.5, 9), (0.08, 62), (0.078, 1000)]
)
def test_a_timeout_below_the_scan_interval_needs_sixty_four_packets_in_it(
    interval_s: float, seen: int
) -> None:
    conversation = established("pa-7000", 5, start=">udp")
    assert beat(conversation, ">udp", interval_s, 1000) == seen


# ---- what a report must not undo -----------------------------------------------------------------


def test_a_report_by_time_does_not_turn_back_one_by_number() -> None:
    conversation = established("pa-7000")
    conversation.say(">PA", at_s=100)
    for _ in range(64):
        conversation.say("<PA", at_s=109)
    conversation.firewall.tick(110)
    session = conversation.firewall.session()
    assert session.end_ns == (109 + 1200) * NS
    assert session.longest_wait_ms == 108_000  # from 0 to the scan's report
    assert conversation.firewall.counters()["offload_report"] == 2


def test_a_report_by_time_does_not_turn_back_a_packet_in_software() -> None:
    conversation = established("pa-7000")
    conversation.say(">PA", at_s=100)
    conversation.say("<FA", at_s=109)
    conversation.firewall.tick(110)
    session = conversation.firewall.session()
    assert (session.end_ns, session.longest_wait_ms) == ((109 + 120) * NS, 108_000)


def test_a_packet_after_a_report_that_nobody_has_seen_is_the_hardwares() -> None:
    """The server speaks when the timer would be over, had the client's packet not been reported."""
    conversation = established("pa-7000")
    conversation.say(">PA", at_s=1100)
    conversation.say("<PA", at_s=1250)
    session = conversation.firewall.session()
    assert (session.end_ns, session.unreported_s2c) == ((1100 + SCAN_S + 1200) * NS, 1)


@pytest.mark.parametrize("how", ["pulled back", "in software", "routes", "cleared"])
def test_a_report_that_was_due_has_counted_when_the_session_leaves(how: str) -> None:
    conversation = established("pa-7000")
    firewall = conversation.firewall
    conversation.say(">PA", at_s=100)
    firewall.tick(150)
    if how == "pulled back":
        firewall.engine.set_offload(False)
    elif how == "in software":
        conversation.say(">FA", at_s=150)
    elif how == "routes":
        firewall.engine.set_routes([])
        assert conversation.say(">PA").what == "flow_fwd_l3_noroute"
    else:
        assert firewall.engine.clear(1)
    session = firewall.session()
    assert session.longest_wait_ms == 108_000
    assert firewall.counters()["offload_report"] == 1
    if how in ("pulled back", "routes"):
        assert session.end_ns == (108 + 1200) * NS


# ---- switched off and on -------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [True, False])
def test_switching_it_off_saves_a_session_and_on_again_kills_it(lasting: bool) -> None:
    def switch(enabled: bool) -> None:
        if lasting:
            engine.configure(replace(engine.snapshot, offload=enabled))
        else:
            engine.set_offload(enabled)

    conversation = established("pa-5000")
    firewall, engine = conversation.firewall, conversation.firewall.engine
    assert beat(conversation, ">PA", 76, 10) == 10
    before = firewall.session()
    assert (before.end_ns, before.packets_c2s, before.unreported_c2s) == (1200 * NS, 2, 10)
    switch(False)
    after = firewall.session()  # it leaves at once with what it has counted, and no refresh
    assert (after.end_ns, after.packets_c2s, after.offloaded) == (1200 * NS, 12, False)
    assert engine.stats().offloaded == 0
    assert firewall.counters()["session_pulled_back"] == 1
    assert beat(conversation, ">PA", 76, 50) == 50
    assert firewall.session().end_ns == (60 * 76 + 1200) * NS
    switch(True)
    assert not firewall.session().offloaded  # its next packet takes it there
    assert beat(conversation, ">PA", 76, BEATS) == 1 + 15
    (entry,) = firewall.entries()
    assert (entry.elapsed, entry.pkts_sent, entry.offloaded) == (61 * 76 + 1200, 2 + 76, 1)


def test_nothing_enters_while_it_is_off() -> None:
    firewall = Firewall(platform="pa-5000")
    firewall.engine.set_offload(False)
    conversation = Conversation(firewall)
    conversation.play(f"{OPEN} >PA >PA")
    assert not firewall.session().offloaded
    assert firewall.session().end_ns == (5 + 3600) * NS
    conversation.play(">FA <FA")
    firewall.tick(100)
    assert [entry.offloaded for entry in firewall.entries()] == [0]


# ---- who is offloaded ----------------------------------------------------------------------------

ELIGIBLE = [
    pytest.param(">S", False, id="SYN"),
    pytest.param(">S <SA", False, id="SYN-ACK"),
    pytest.param(OPEN, True, id="established"),
    pytest.param(f"{OPEN} >FA", False, id="half-closed"),
    pytest.param(f"{OPEN} <FA <PA", False, id="half-closed by the server"),
    pytest.param(f"{OPEN} >R+5", False, id="RST that cannot be verified"),
    pytest.param(f"{OPEN} >R+5 <PA", False, id="data of the other side after it"),
    pytest.param(f"{OPEN} >R+5 >PA", True, id="RST taken back"),
    pytest.param(f"{OPEN} <RA", False, id="time-wait"),
    pytest.param(f"{OPEN} >S >PA", True, id="a SYN goes up alone"),
    pytest.param(">udp", True, id="UDP"),
    pytest.param(">gre", True, id="GRE"),
    pytest.param(">echo", False, id="echo"),
    pytest.param(">echo <reply", False, id="echo and reply"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["pa-5000", "pa-7000"])
@pytest.mark.parametrize(("script", "is_offloaded"), ELIGIBLE)
def test_who_is_offloaded(script: str, is_offloaded: bool, platform: str, family: int) -> None:
    firewall = Firewall(platform=platform)
    Conversation(firewall, family).play(script)
    session = firewall.session()
    assert session.offloaded is is_offloaded
    assert (session.report_packets > 0) is is_offloaded
    assert firewall.engine.stats().offloaded == is_offloaded


def test_what_is_denied_is_not_offloaded() -> None:
    firewall = Firewall(snapshot(default_rule("no", "deny")), platform="pa-5000")
    for _ in range(3):
        firewall.send(udp())
    assert firewall.engine.stats().offloaded == 0


def test_one_way_that_is_lost_keeps_both_in_software() -> None:
    firewall = Firewall(platform="pa-5000")
    firewall.engine.set_routes([])
    assert firewall.send(udp()).what == "flow_fwd_l3_noroute"


def test_a_full_table_keeps_the_session_in_software(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "pa-5000", PROFILES["pa-5000"]._replace(max_sessions=2))
    firewall = Firewall(platform="pa-5000")
    for at_s in range(5):
        for sport in (1, 2, 3, 4):
            assert firewall.send(udp(sport=sport), at_s=at_s).what == "forward"
    assert [firewall.session(number).offloaded for number in (1, 2, 3, 4)] == [True] * 2 + [
        False
    ] * 2
    assert firewall.counters()["session_offload_full"] == 2  # once a session
    assert firewall.session(1).end_ns == 30 * NS
    assert firewall.session(3).end_ns == (4 + 30) * NS
    assert firewall.engine.stats().offloaded == 2
    assert firewall.engine.clear(1)
    firewall.send(udp(sport=4), at_s=5)  # a place has become free
    assert firewall.session(4).offloaded
    assert firewall.counters()["session_offload_full"] == 2


# ---- what goes up --------------------------------------------------------------------------------


def with_options(family: int, back: bool) -> list[Layers]:
    header = ip(family, back=back)
    ports = {"sport": 53, "dport": 40002} if back else {"sport": 40002, "dport": 53}
    if family == 4:
        header.options = [IPOption(b"\x94\x04\x00\x00")]  # router alert
        return [header / UDP(**ports)]
    return [header / kind() / UDP(**ports) for kind in (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("back", [False, True])
def test_what_the_hardware_does_not_understand_goes_up_and_refreshes(
    back: bool, family: int
) -> None:
    rare = [bytes(layers) for layers in with_options(family, back)]
    for packet in rare:
        conversation = established("pa-5000", start=">udp", family=family)
        firewall = conversation.firewall
        for _ in range(3):
            conversation.say(">udp")
        answer = firewall.send(packet, UNTRUST if back else TRUST, 50)
        assert answer[:3] == ("forward", TRUST if back else UNTRUST, 1)
        session = firewall.session()
        assert session.offloaded
        assert session.end_ns == (50 + 1200) * NS
        assert (session.packets_c2s + session.packets_s2c, session.unreported_c2s) == (2, 3)
        assert firewall.counters()["pkt_offloaded"] == 3


ENDS = [
    pytest.param(">FA", 120, id="FIN"),
    pytest.param("<FA", 120, id="the server's FIN"),
    pytest.param(">R", 15, id="RST"),
    pytest.param("<R", 15, id="the server's RST"),
    pytest.param("<R+5", 30, id="RST that cannot be verified"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("word", "timeout_s"), ENDS)
def test_the_end_of_a_connection_is_followed_in_software(
    word: str, timeout_s: int, family: int
) -> None:
    conversation = established("pa-5000", family=family)
    for _ in range(5):
        conversation.play(">PA <PA <PA")
    conversation.say(word, at_s=100)
    session = conversation.firewall.session()
    assert not session.offloaded
    assert (session.timeout_s, session.end_ns) == (timeout_s, (100 + timeout_s) * NS)
    assert session.packets_c2s + session.packets_s2c == 3 + 15 + 1
    assert "session_pulled_back" not in conversation.firewall.counters()


def test_windows_are_followed_while_it_is_offloaded() -> None:
    conversation = established("pa-5000")
    conversation.say(">PA", bytes(1000))
    conversation.say("<PA", bytes(500))
    for word in (">PA+50000", "<PA-50000"):
        assert conversation.say(word, b"x").what == "tcp_drop_out_of_wnd"
    assert conversation.say("<R").what == "forward"
    session = conversation.firewall.session()
    assert session.timeout_s == 15  # its number was known
    assert (session.packets_c2s, session.packets_s2c) == (3, 3)


# ---- the log -------------------------------------------------------------------------------------

HOW = ["aged out", "cleared", "pulled back", "fin"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["pa-5000", "pa-7000", "software"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("c2s", "s2c"), [(0, 0), (1, 0), (0, 3), (15, 17), (16, 16), (40, 53)])
def test_the_log_counts_every_packet(
    c2s: int, s2c: int, how: str, platform: str, family: int
) -> None:
    conversation = established(platform, family=family)
    firewall = conversation.firewall
    sizes = [2 * len(tcp("A", family)), len(tcp("A", family))]
    packets = [2, 1]
    for number in range(max(c2s, s2c)):
        for side, count in enumerate((c2s, s2c)):
            if number < count:
                payload = bytes(number % 7)
                sizes[side] += len(conversation.packet("><"[side] + "PA", payload))
                packets[side] += 1
                conversation.say("><"[side] + "PA", payload, at_s=number / 10)
    if how == "cleared":
        assert firewall.engine.clear(1)
    elif how == "pulled back":
        firewall.engine.set_offload(False)
    elif how == "fin":
        sizes = [size + len(tcp("FA", family)) for size in sizes]
        packets = [count + 1 for count in packets]
        conversation.play(">FA <FA")
    firewall.tick(10_000)
    (entry,) = firewall.entries()
    assert [entry.pkts_sent, entry.pkts_received] == packets
    assert [entry.bytes_sent, entry.bytes_received] == sizes
    assert (entry.packets, entry.bytes) == (sum(packets), sum(sizes))
    assert entry.offloaded == (platform != "software")
    assert entry.app == ("incomplete" if c2s + s2c <= 1 else "insufficient-data")
    assert firewall.engine.stats().offloaded == 0


@pytest.mark.parametrize("script", [">echo", ">S"])
def test_what_was_never_offloaded_says_so(script: str) -> None:
    firewall = Firewall(platform="pa-5000")
    Conversation(firewall).play(script)
    firewall.tick(100)
    assert [entry.offloaded for entry in firewall.entries()] == [0]


# ---- what decides whether it lives ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "wait_ms"),
    [("software", 74_000), ("pa-7000", 74_000 + 8_000), ("pa-5000", 16 * 74_000)],
)
def test_longest_gap_and_wait(platform: str, wait_ms: int) -> None:
    """The gap is the hosts', the wait what the platform makes of it."""
    conversation = established(platform)
    beat(conversation, ">PA+<PA", 74, 33)
    session = conversation.firewall.session()
    assert (session.longest_gap_ms, session.longest_wait_ms) == (74_000, wait_ms)
    conversation.say(">PA", at_s=conversation.now_s + 100.0009)
    assert conversation.firewall.session().longest_gap_ms == 100_000


def test_the_wait_of_a_session_that_died() -> None:
    conversation = established("pa-5000")
    assert beat(conversation, ">PA", 76, BEATS) == 15
    session = conversation.firewall.session()
    # so long had the timer run when the fifteenth beat came
    assert (session.longest_gap_ms, session.longest_wait_ms) == (76_000, 15 * 76_000)
