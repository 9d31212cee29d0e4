"""What needs no policy: packets of known sessions, ICMP errors, sessions in DISCARD."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from scapy.layers.inet import IP, UDP

from dataplane.snapshot import SecurityRule
from native import COUNTERS
from tests.support.packets import (
    ALLOW,
    BASTION,
    CLIENT,
    DMZ,
    FAMILIES,
    NS,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    default_timeouts,
    echo,
    icmp_error,
    ip,
    other,
    snapshot,
    tcp,
    udp,
)

Build = Callable[[int, bool], bytes]  # family, whether it goes back

CONVERSATIONS: list[object] = [
    pytest.param(lambda family, back: udp(family, back=back), id="udp"),
    pytest.param(lambda family, back: tcp("SA" if back else "S", family, back=back), id="tcp"),
    pytest.param(lambda family, back: echo(family, reply=back, back=back), id="echo"),
    pytest.param(lambda family, back: other(47, family, back=back), id="gre"),
]


# ---- sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("build", CONVERSATIONS)
def test_both_directions_are_counted(build: Build, family: int) -> None:
    firewall = Firewall()
    there, back = build(family, False), build(family, True)
    assert firewall.send(there, TRUST, 1)[:3] == ("forward", UNTRUST, 1)
    assert firewall.send(back, UNTRUST, 2)[:3] == ("forward", TRUST, 1)
    assert firewall.send(there, TRUST, 3)[:3] == ("forward", UNTRUST, 1)
    session = firewall.session()
    assert (session.packets_c2s, session.packets_s2c) == (2, 1)
    assert (session.bytes_c2s, session.bytes_s2c) == (2 * len(there), len(back))
    assert (session.start_ns, session.last_ns) == (1 * NS, 3 * NS)
    assert (session.ingress, session.egress) == (TRUST, UNTRUST)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("build", CONVERSATIONS)
def test_the_zone_is_part_of_the_key(build: Build, family: int) -> None:
    firewall = Firewall(snapshot(default_rule("in", "allow")))
    firewall.send(build(family, False), TRUST)
    answer = firewall.send(build(family, True), DMZ)  # the right answer from the wrong zone
    assert answer.session != 1
    assert firewall.session().packets_s2c == 0


def test_every_echo_sequence_is_a_session() -> None:
    firewall = Firewall()
    for sequence in range(1, 6):
        assert firewall.send(echo(sequence=sequence)).session == sequence
    assert firewall.send(echo(sequence=3, reply=True, back=True), UNTRUST).session == 3


def test_link_layer_padding_is_not_counted() -> None:
    firewall = Firewall()
    firewall.send(udp(payload=b"") + bytes(18))
    assert firewall.session().bytes_c2s == 28


# ---- ICMP errors ---------------------------------------------------------------------------------

KINDS = [
    *((4, kind) for kind in ("unreachable", "too-big", "exceeded", "parameter")),
    *((6, kind) for kind in ("unreachable", "too-big", "exceeded")),
]


@pytest.mark.parametrize(("family", "kind"), KINDS)
@pytest.mark.parametrize("build", CONVERSATIONS)
def test_errors_go_to_the_sender_of_what_they_quote(build: Build, family: int, kind: str) -> None:
    firewall = Firewall()
    there, back = build(family, False), build(family, True)
    firewall.send(there, TRUST, 1)
    firewall.send(back, UNTRUST, 1)
    before = firewall.session()
    to_client = icmp_error(there, kind=kind)
    assert firewall.send(to_client, UNTRUST, 2)[:4] == ("forward", TRUST, 1, None)
    to_server = icmp_error(back, kind=kind, src="192.0.2.99" if family == 4 else "2001:db8:1::99")
    assert firewall.send(to_server, TRUST, 2)[:4] == ("forward", UNTRUST, 1, None)
    assert firewall.counters()["flow_icmp_err_pass"] == 2
    after = firewall.session()  # an error is not traffic of the session
    assert (after.packets_c2s, after.end_ns) == (before.packets_c2s, before.end_ns)


def error_rows() -> list[object]:
    wrong = [
        ("no session at all", lambda f: icmp_error(udp(f, dport=99)), UNTRUST),
        ("from another zone", lambda f: icmp_error(udp(f)), DMZ),
        ("from the sender's own zone", lambda f: icmp_error(udp(f)), TRUST),
        ("to somebody else", lambda f: icmp_error(udp(f), dst=BASTION[f]), UNTRUST),
        ("about somebody else", lambda f: icmp_error(udp(f, src=BASTION[f])), UNTRUST),
        ("another protocol", lambda f: icmp_error(tcp("S", f, sport=40002, dport=53)), UNTRUST),
        (
            "ports cut off",
            lambda f: icmp_error(udp(f), quote=udp(f)[: (20 if f == 4 else 40) + 7]),
            UNTRUST,
        ),
        ("half an IP header", lambda f: icmp_error(udp(f), quote=udp(f)[:12]), UNTRUST),
        ("nothing quoted", lambda f: icmp_error(udp(f), quote=b""), UNTRUST),
        ("an error quoted", lambda f: icmp_error(icmp_error(udp(f)), src=CLIENT[f]), TRUST),
        ("a version that lies", misquoted, UNTRUST),
    ]
    return [pytest.param(build, port, id=name) for name, build, port in wrong]


def misquoted(family: int) -> bytes:
    """Quotes a packet of ours with the other family's version in it."""
    packet = udp(family)
    return icmp_error(packet, quote=bytes([packet[0] ^ 0x20]) + packet[1:])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("build", "port"), error_rows())
def test_errors_about_nothing_of_ours(
    build: Callable[[int], bytes], port: str, family: int
) -> None:
    firewall = Firewall()
    firewall.send(udp(family), TRUST)
    assert firewall.send(build(family), port).what == "flow_icmp_no_session"


def test_errors_quote_the_least_that_identifies_a_session() -> None:
    firewall = Firewall()
    firewall.send(udp(), TRUST)
    assert firewall.send(icmp_error(udp(), quote=udp()[:28]), UNTRUST).what == "forward"
    firewall.send(udp(6), TRUST)
    assert firewall.send(icmp_error(udp(6), quote=udp(6)[:48]), UNTRUST).what == "forward"


def test_a_quoted_later_fragment_has_no_ports() -> None:
    firewall = Firewall()
    firewall.send(udp(), TRUST)
    fragment = bytes(IP(src=CLIENT[4], dst=SERVER[4], frag=9) / UDP(sport=40002, dport=53))
    assert firewall.send(icmp_error(fragment), UNTRUST).what == "flow_icmp_no_session"


def test_errors_of_sessions_that_are_over_or_denied() -> None:
    firewall = Firewall()
    firewall.send(udp(), TRUST, 0)
    assert firewall.send(icmp_error(udp()), UNTRUST, 30, after_ns=-1).what == "forward"
    assert firewall.send(icmp_error(udp()), UNTRUST, 30).what == "flow_icmp_no_session"
    denied = Firewall(snapshot(default_rule("no", "drop")))
    denied.send(udp(), TRUST)
    assert denied.send(icmp_error(udp()), UNTRUST).what == "flow_icmp_no_session"


# ---- DISCARD -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("action", ["deny", "drop", "reset-client", "reset-server", "reset-both"])
@pytest.mark.parametrize("build", CONVERSATIONS)
def test_a_denied_flow_dies_on_the_fastpath(build: Build, action: str, family: int) -> None:
    firewall = Firewall(snapshot(default_rule("no", action)))
    first = firewall.send(build(family, False), TRUST, 1)
    assert (first.what, first.session) == ("flow_policy_deny", 1)
    for at_s in (2, 3):
        assert firewall.send(build(family, False), TRUST, at_s)[:3] == ("flow_discard_drop", "", 1)
    counters = firewall.counters()
    assert counters["flow_undecided"] == counters["flow_policy_deny"] == 1
    assert counters["session_discard"] == 1
    assert counters["flow_discard_drop"] == 2
    session = firewall.session()
    assert (session.state, session.action) == ("DISCARD", action)
    assert (session.packets_c2s, session.packets_s2c) == (3, 0)
    assert (session.end_reason, session.tracker) == ("policy-deny", "appid policy lookup deny")
    assert session.end_ns == (3 + session.timeout_s) * NS  # a hit restarts the timer
    assert firewall.engine.stats().discard == 1
    firewall.tick(3 + session.timeout_s + 1)
    assert firewall.session().end_reason == "policy-deny"
    assert firewall.engine.stats().discard == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_what_one_end_is_denied_the_other_may_do(family: int) -> None:
    """A denied packet must not spoil the allowed flow that is its reverse."""
    allowed = SecurityRule(name="out", action="allow", from_zones=("trust",))
    firewall = Firewall(snapshot(allowed, default_rule("no", "deny")))
    assert firewall.send(tcp("S", family, back=True), UNTRUST, 1).what == "flow_policy_deny"
    assert firewall.send(tcp("S", family), TRUST, 2).what == "forward"
    assert firewall.send(tcp("SA", family, back=True), UNTRUST, 3).what == "forward"
    assert firewall.engine.stats().discard == 0
    assert firewall.session(1).end_reason == "policy-deny"
    # nor does it stop the flow once that lives
    assert firewall.send(tcp("S", family, back=True), UNTRUST, 4).what == "forward"


def test_what_made_way_ended_when_it_was_over() -> None:
    allowed = SecurityRule(name="out", action="allow", from_zones=("trust",))
    firewall = Firewall(snapshot(allowed, default_rule("no", "deny")))
    firewall.send(udp(back=True), UNTRUST, 1)
    assert firewall.send(udp(), TRUST, 61, after_ns=1).what == "forward"  # before the ager comes by
    assert firewall.session(1).end_ns == 61 * NS


def test_constant_retries_keep_a_discarded_session() -> None:
    timers = default_timeouts(timeout_discard_tcp=10)
    firewall = Firewall(snapshot(default_rule("no", "deny"), timeouts_s=timers))
    for at_s in range(0, 200, 9):
        firewall.send(tcp(), TRUST, at_s)
    assert firewall.engine.stats().installed == 1
    assert firewall.send(tcp(), TRUST, 198 + 10).what == "flow_policy_deny"
    assert firewall.engine.stats().installed == 2


DENIED = [
    pytest.param(tcp, 90, id="tcp"),
    pytest.param(udp, 60, id="udp"),
    pytest.param(echo, 60, id="echo"),
    pytest.param(lambda **_: other(47), 60, id="gre"),
]


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize(("build", "seconds"), DENIED)
def test_whether_a_hit_restarts_the_timer(
    build: Callable[[], bytes], seconds: int, keeps: bool
) -> None:
    rules = snapshot(default_rule("no", "deny"), no_refresh_on_discard=not keeps)
    firewall = Firewall(rules)
    for at_s in (0, 20, 40):
        firewall.send(build(), TRUST, at_s)
    session = firewall.session()
    assert (session.packets_c2s, session.end_ns) == (3, (40 * keeps + seconds) * NS)
    again = firewall.send(build(), TRUST, 40 * keeps + seconds)
    assert (again.what, again.session) == ("flow_policy_deny", 2)


def test_what_was_denied_stays_denied_when_it_is_cleared() -> None:
    firewall = Firewall(snapshot(default_rule("no", "deny")))
    firewall.send(tcp(), TRUST)
    assert firewall.engine.clear(1)
    assert firewall.session().end_reason == "policy-deny"


def test_no_refresh_takes_effect_on_live_sessions() -> None:
    firewall = Firewall(snapshot(default_rule("no", "deny")))
    firewall.send(udp(), TRUST, 0)
    engine = firewall.engine
    engine.configure(replace(engine.snapshot, no_refresh_on_discard=True))
    firewall.send(udp(), TRUST, 50)
    assert firewall.session().end_ns == 60 * NS


# ---- nothing else is said about a packet ---------------------------------------------------------


def test_counters_of_an_ordinary_connection() -> None:
    firewall = Firewall(snapshot(ALLOW))
    for flags, back in (("S", False), ("SA", True), ("A", False), ("FA", False), ("FA", True)):
        firewall.send(tcp(flags, back=back), UNTRUST if back else TRUST, 1)
    firewall.tick(60)
    assert firewall.counters() == {
        "pkt_recv": 5,
        "pkt_sent": 5,
        "flow_undecided": 1,
        "session_allocated": 1,
        "session_installed": 1,
        "session_freed": 1,
    }
    assert set(firewall.engine.counters()) == {info.name for info in COUNTERS}


def test_stats() -> None:
    firewall = Firewall()
    sent = [tcp(), udp(), udp(6), echo(), echo(6), other(47), other(132, 6)]
    for packet in sent:
        firewall.send(packet)
    stats = firewall.engine.stats()
    assert (stats.allocated, stats.tcp, stats.udp, stats.icmp, stats.other) == (7, 1, 2, 2, 2)
    assert (stats.packets, stats.bytes) == (7, sum(map(len, sent)))
    firewall.tick(4000)
    stats = firewall.engine.stats()
    assert (stats.allocated, stats.tcp, stats.udp, stats.icmp, stats.other) == (0, 0, 0, 0, 0)
    assert stats.installed == 7


def test_a_packet_to_oneself_through_the_firewall_is_one_session() -> None:
    """A protocol without ports has the same key both ways between two ends of one zone."""
    firewall = Firewall()
    there = bytes(ip(dst="192.0.2.20") / UDP(sport=7, dport=7))
    back = bytes(ip(src="192.0.2.20", dst=CLIENT[4]) / UDP(sport=7, dport=7))
    assert firewall.send(there, TRUST)[:3] == ("forward", TRUST, 1)
    assert firewall.send(back, TRUST)[:3] == ("forward", TRUST, 1)
    assert firewall.session().packets_s2c == 1
