"""The engine as a whole: packets in, verdicts and log entries out, commits in between."""

import logging
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.engine import Engine
from dataplane.messages import SessionFilter
from dataplane.slowpath.context import Tables
from dataplane.slowpath.pipeline import Decision, decide
from dataplane.snapshot import (
    AcceleratedAging,
    AddressRange,
    ApplicationTimeouts,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    Route,
    SecurityRule,
    ServiceMatch,
    Snapshot,
    Timeouts,
)
from dataplane.traffic_log import Entry
from native import COUNTERS, LinkType, Packet, Undecided, Verdict, VerdictAction
from tests.support.packets import (
    ALLOW,
    CLIENT,
    DMZ,
    FAMILIES,
    HASH_KEY,
    NS,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    default_timeouts,
    echo,
    icmp_error,
    other,
    routes,
    snapshot,
    tcp,
    udp,
)

DROPS = [info.name for info in COUNTERS if info.severity == "drop"]

# ---- conservation --------------------------------------------------------------------------------


class Fed(NamedTuple):
    data: bytes
    port: int
    flow: object  # packets of the same one keep their order
    step_ns: int
    link: LinkType


PAIR = st.tuples(st.integers(10, 13), st.integers(20, 23))
STEP_NS = st.sampled_from([0, 0, 0, 1, 1 << 20, NS // 2, 7 * NS, 40 * NS])


@st.composite
def packets(draw: st.DrawFn) -> Fed:
    port = draw(st.integers(0, 4))
    step_ns = draw(STEP_NS)
    if draw(st.integers(0, 9)) == 0:
        data, link = draw(st.binary(max_size=100)), draw(st.sampled_from(LinkType))
        return Fed(data, port, None, step_ns, link)
    family = draw(st.sampled_from(FAMILIES))
    client, server = draw(PAIR)
    names = {4: "192.0.2.{}", 6: "2001:db8:1::{}"}, {4: "198.51.100.{}", 6: "2001:db8:2::{}"}
    src, dst = names[0][family].format(client), names[1][family].format(server)
    back = draw(st.booleans())
    kind = draw(st.sampled_from(["tcp", "udp", "echo", "gre", "error"]))
    if kind == "tcp":
        data = tcp(
            draw(st.sampled_from(["S", "SA", "A", "FA", "R"])), family, back=back, src=src, dst=dst
        )
    elif kind == "udp":
        data = udp(family, back=back, src=src, dst=dst)
    elif kind == "echo":
        data = echo(family, reply=draw(st.booleans()), back=back, src=src, dst=dst)
    elif kind == "gre":
        data = other(47, family, back=back)
    else:
        data = icmp_error(udp(family, src=src, dst=dst))
    is_damaged = draw(st.integers(0, 9)) == 0  # and perhaps of no flow any more
    if is_damaged:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
    flow = (
        (kind, family, client, server, back, port) if kind != "error" and not is_damaged else None
    )
    return Fed(data, port, flow, step_ns, LinkType.IP)


def host(address: str) -> AddressRange:
    return AddressRange(ip_address(address).packed, ip_address(address).packed)


TRANSLATED = (
    NatRule(
        "in",
        from_zones=("untrust",),
        destination=(host("192.0.2.11"),),
        destination_translation=DestinationTranslation((host("203.0.113.30"),)),
    ),
    NatRule(
        "leased",
        source=(host("192.0.2.12"),),
        source_translation=DynamicIp((host("198.51.100.9"),)),
    ),
    NatRule(
        "out",
        to_zones=("untrust",),
        source_translation=DynamicIpAndPort((host("198.51.100.1"), host("2001:db8:2::1"))),
    ),
)

POLICIES = [
    snapshot(interzone="allow"),
    replace(snapshot(interzone="allow"), nat_rules=TRANSLATED),
    snapshot(default_rule("no", "reset-both")),
    snapshot(default_rule("no", "deny"), discard_denied=False),
    snapshot(
        SecurityRule(name="in", action="deny", from_zones=("untrust",)),
        ALLOW,
        tcp_reject_non_syn=False,
    ),
]


@given(
    st.sampled_from(POLICIES),
    st.lists(st.lists(packets(), max_size=12), max_size=8),
    st.booleans(),
    st.sampled_from([2, 5, 1000]),
)
def test_every_packet_has_one_verdict(
    policy: Snapshot, bursts: list[list[Fed]], one_at_a_time: bool, max_sessions: int
) -> None:
    """And the counters add up, flows keep their order, and nothing stays behind."""
    firewall = Firewall(max_sessions=max_sessions)
    engine = firewall.engine
    engine.configure(policy)
    now_ns = 0
    fed: list[Fed] = []
    verdicts: list[Verdict] = []
    for burst in bursts:
        given_packets = []
        for packet in burst:
            now_ns += packet.step_ns
            given_packets.append(Packet(packet.data, packet.port, now_ns, len(fed), packet.link))
            fed.append(packet)
        verdicts += engine.feed(given_packets, one_at_a_time=one_at_a_time)
    verdicts = [verdict for verdict in verdicts if verdict.action is not VerdictAction.EMIT]
    assert sorted(verdict.tag for verdict in verdicts) == list(range(len(fed)))
    last: dict[object, int] = {}
    for verdict in verdicts:
        flow = fed[verdict.tag].flow
        assert flow is None or last.get(flow, -1) < verdict.tag
        last[flow] = verdict.tag
        assert (verdict.action is VerdictAction.DROP) == (verdict.reason != 0)
    counters, stats = engine.counters(), engine.stats()
    actions = [verdict.action for verdict in verdicts]
    assert counters["pkt_recv"] == len(fed)
    assert counters["pkt_sent"] == actions.count(VerdictAction.FORWARD) == stats.packets
    assert counters["flow_host_pass"] == actions.count(VerdictAction.HOST)
    assert sum(counters[name] for name in DROPS) == actions.count(VerdictAction.DROP)
    assert stats.held == stats.undecided == 0
    assert counters["flow_slowpath_error"] == 0
    sessions, cursor = engine.sessions(0, SessionFilter())
    assert cursor == 0
    assert stats.allocated == stats.tcp + stats.udp + stats.icmp + stats.other
    assert len(sessions) <= stats.allocated <= max_sessions
    engine.tick(now_ns + 10_000 * NS)
    assert engine.stats().allocated == 0
    counters = engine.counters()
    assert counters["session_allocated"] == counters["session_freed"]
    assert counters["nat_dynamic_port_xlat"] == counters["nat_dynamic_port_release"]


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from(LinkType), st.booleans())
def test_any_bytes_are_a_counted_drop(data: list[bytes], link: LinkType, trusted: bool) -> None:
    firewall = Firewall(snapshot(interzone="allow"))
    burst = [Packet(item, 1, 5, tag, link, trusted) for tag, item in enumerate(data)]
    assert [verdict.tag for verdict in firewall.engine.feed(burst)] == list(range(len(data)))


HEADERS = [
    tcp(),
    tcp("S", 6),
    udp(),
    udp(6),
    echo(),
    echo(6),
    icmp_error(tcp()),
    icmp_error(udp(6)),
]


@given(st.sampled_from(HEADERS), st.data())
def test_nearly_right_bytes(packet: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(packet)))
        packet = packet[:at] + data.draw(st.binary(max_size=3)) + packet[at + 1 :]
    firewall = Firewall(snapshot(interzone="allow"))
    firewall.send(packet, trusted=True)


# ---- the log -------------------------------------------------------------------------------------


def logged(
    rule: SecurityRule, *packets: tuple[bytes, str, float], end_s: float = 10_000
) -> list[Entry]:
    firewall = Firewall(snapshot(rule), wall_offset_s=1_700_000_000)
    for packet, port, at_s in packets:
        firewall.send(packet, port, at_s)
    firewall.tick(end_s)
    return firewall.entries()


def test_an_entry_says_everything() -> None:
    (entry,) = logged(
        replace(ALLOW, name="web out"),
        (tcp("S"), TRUST, 1.25),
        (tcp("SA", back=True), UNTRUST, 2),
        (tcp("A"), TRUST, 3),
        (tcp("PA", payload=b"x" * 100), TRUST, 4),
        (tcp("FA"), TRUST, 5),
        (tcp("FA", back=True), UNTRUST, 6.75),
    )
    assert entry == Entry(
        subtype="end",
        time_generated="2023/11/14 22:13:41",  # the start and 21.75 s
        start="2023/11/14 22:13:21",
        elapsed=20,
        sessionid=1,
        src=CLIENT[4],
        dst=SERVER[4],
        natsrc="0.0.0.0",
        natdst="0.0.0.0",
        sport=40001,
        dport=80,
        natsport=0,
        natdport=0,
        proto="tcp",
        from_="trust",
        to="untrust",
        inbound_if=TRUST,
        outbound_if=UNTRUST,
        app="insufficient-data",
        rule="web out",
        action="allow",
        bytes=340,
        bytes_sent=260,
        bytes_received=80,
        packets=6,
        pkts_sent=4,
        pkts_received=2,
        session_end_reason="tcp-fin",
        tracker_stage="TCP FIN",
        offloaded=0,
        srcuser="",
        category="any",
        parent_session_id=0,
        record="traffic",
    )


def test_an_entry_in_ipv6() -> None:
    (entry,) = logged(ALLOW, (udp(6), TRUST, 1), (udp(6, back=True), UNTRUST, 2))
    assert (entry.src, entry.dst, entry.natsrc, entry.natdst) == (CLIENT[6], SERVER[6], "::", "::")
    assert (entry.elapsed, entry.session_end_reason, entry.tracker_stage) == (
        31,
        "aged-out",
        "Aged out",
    )


# log-start, log-end, and the subtypes that follow for an allowed and for a denied packet
LOGGING = [
    pytest.param(False, False, [], [], id="neither"),
    pytest.param(False, True, ["end"], ["drop"], id="end, the default"),
    pytest.param(True, False, ["start"], ["drop"], id="start"),
    pytest.param(True, True, ["start", "end"], ["drop"], id="both"),
]


@pytest.mark.parametrize(("log_start", "log_end", "allowed", "denied"), LOGGING)
def test_what_is_logged(
    log_start: bool, log_end: bool, allowed: list[str], denied: list[str]
) -> None:
    sent = [(udp(), TRUST, at_s) for at_s in (1, 2, 3)]
    rule = replace(ALLOW, log_start=log_start, log_end=log_end)
    assert [entry.subtype for entry in logged(rule, *sent)] == allowed
    rule = replace(rule, action="drop")  # denied: once, however often it is tried
    assert [entry.subtype for entry in logged(rule, *sent)] == denied


def test_a_start_has_no_end_yet() -> None:
    (entry,) = logged(replace(ALLOW, log_start=True, log_end=False), (udp(), TRUST, 1))
    assert (entry.session_end_reason, entry.tracker_stage, entry.app) == ("n/a", "", "undecided")
    assert (entry.elapsed, entry.time_generated) == (0, entry.start)


@pytest.mark.parametrize("action", ["deny", "drop", "reset-client", "reset-server", "reset-both"])
@pytest.mark.parametrize("discard", [True, False])
def test_a_drop(action: str, discard: bool) -> None:
    rule = SecurityRule(name="no", action=action)
    firewall = Firewall(snapshot(rule, discard_denied=discard))
    for at_s in (1, 2):
        firewall.send(tcp(), TRUST, at_s)
    entries = firewall.entries()
    assert len(entries) == (1 if discard else 2)
    for entry in entries:
        assert (entry.subtype, entry.action, entry.rule) == ("drop", action, "no")
        assert (entry.app, entry.session_end_reason) == ("not-applicable", "policy-deny")
        assert (entry.from_, entry.to) == ("trust", "untrust")
        assert (entry.inbound_if, entry.outbound_if) == (TRUST, UNTRUST)
        assert (entry.sessionid, entry.elapsed, entry.proto) == (1 if discard else 0, 0, "tcp")
    counters = firewall.counters()
    assert counters["flow_policy_deny"] == (1 if discard else 2)
    assert firewall.engine.stats().allocated == discard
    firewall.tick(1000)
    assert firewall.entries() == []


def test_default_rules_log_nothing_unless_told() -> None:
    firewall = Firewall(snapshot())
    assert firewall.send(udp(), TRUST, 1).what == "flow_policy_deny"
    assert firewall.send(udp(dst="192.0.2.77"), TRUST, 1).what == "forward"  # within the zone
    firewall.tick(100)
    assert firewall.entries() == []
    told = replace(snapshot(), interzone_default=SecurityRule(name="mine", action="deny"))
    firewall.engine.configure(told)
    firewall.send(udp(), TRUST, 200)
    assert [entry.rule for entry in firewall.entries()] == ["mine"]


def test_entries_are_taken_once_and_in_order() -> None:
    firewall = Firewall()
    for number in range(5):
        firewall.send(udp(sport=5 - number), at_s=number)
    firewall.tick(100)
    assert [entry.sport for entry in firewall.entries()] == [5, 4, 3, 2, 1]
    assert firewall.entries() == []


def test_a_storm_of_short_sessions_loses_no_entry() -> None:
    firewall = Firewall(snapshot(replace(ALLOW, log_start=True)), max_sessions=4)
    packet = udp()
    burst = [Packet(packet, 1, 31 * n * NS, n) for n in range(40_000)]
    firewall.engine.feed(burst, one_at_a_time=True)
    assert firewall.engine.counters()["log_event_lost"] == 0
    assert len(firewall.entries()) == 2 * 40_000 - 1


# ---- both ends speak first -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("first", [TRUST, UNTRUST])
def test_both_ends_speak_first(first: str, family: int) -> None:
    firewall = Firewall()
    ports = (TRUST, UNTRUST) if first == TRUST else (UNTRUST, TRUST)
    burst = [
        Packet(udp(family, back=port == UNTRUST), firewall.engine.port_number(port), 0, tag)
        for tag, port in enumerate(ports * 3)
    ]
    verdicts = firewall.engine.feed(burst)
    assert {verdict.action for verdict in verdicts} == {VerdictAction.FORWARD}
    assert {verdict.session for verdict in verdicts} == {1}
    assert firewall.engine.stats().allocated == 1
    assert firewall.session().c2s.zone == ("trust" if first == TRUST else "untrust")
    assert (firewall.session().packets_c2s, firewall.session().packets_s2c) == (3, 3)


# ---- configuration -------------------------------------------------------------------------------


def test_before_it_is_configured() -> None:
    engine = Engine(hash_key=HASH_KEY, now_ns=0)
    assert engine.port_number(TRUST) == 0
    (verdict,) = engine.feed([Packet(udp(), 1, 0)])
    assert verdict.action is VerdictAction.DROP
    assert engine.counters()["flow_no_interface"] == 1
    assert engine.stats().max_sessions == 262_144


def test_without_routes_nothing_goes_anywhere() -> None:
    firewall = Firewall()
    firewall.engine.set_routes([])
    assert firewall.send(udp()).what == "flow_fwd_l3_noroute"


def test_sessions_live_on_across_commits() -> None:
    firewall = Firewall()
    firewall.send(udp(), TRUST, 1)
    firewall.engine.configure(replace(snapshot(default_rule("closed", "deny")), rematch=False))
    assert firewall.send(udp(), TRUST, 2).what == "forward"
    assert firewall.send(udp(dport=54), TRUST, 2).what == "flow_policy_deny"
    firewall.tick(100)
    (entry,) = firewall.entries()
    assert (entry.rule, entry.from_, entry.to) == ("allow", "trust", "untrust")


def test_names_keep_their_meaning_across_commits() -> None:
    firewall = Firewall()
    firewall.send(udp(), TRUST, 1)
    base = snapshot(default_rule("one", "allow"), default_rule("two", "deny"))
    renamed = replace(base, ports=tuple(replace(p, zone=f"new-{p.zone}") for p in base.ports[::-1]))
    firewall.engine.configure(renamed)
    assert firewall.engine.port_number(TRUST) == 1
    assert firewall.session().c2s.zone == "trust"
    assert firewall.send(udp(), TRUST, 2).session == 2  # another zone, another key
    assert firewall.session(2).c2s.zone == "new-trust"
    assert (firewall.session(1).rule, firewall.session(2).rule) == ("allow", "one")


def test_a_port_that_goes_away_and_comes_back() -> None:
    firewall = Firewall()
    whole = snapshot(ALLOW)
    firewall.engine.configure(replace(whole, ports=whole.ports[1:]))
    assert firewall.engine.port_number(TRUST) == 0
    assert firewall.send(udp(), TRUST).what == "flow_no_interface"
    assert firewall.send(udp(back=True), UNTRUST).what == "flow_policy_nofwd"
    firewall.engine.configure(whole)
    assert firewall.engine.port_number(TRUST) == 1
    assert firewall.send(udp(), TRUST).what == "forward"


def test_a_port_without_a_zone() -> None:
    base = snapshot(ALLOW)
    firewall = Firewall(replace(base, ports=(base.ports[0], replace(base.ports[1], zone=""))))
    assert firewall.send(udp(), TRUST).what == "flow_policy_nofwd"
    assert firewall.send(udp(back=True), UNTRUST).what == "flow_no_interface"


BAD_SNAPSHOTS = [
    pytest.param(
        {"timeouts_s": {"timeout-udp": -1}},
        "timeout-udp -1 is not within 1..15999999",
        id="negative",
    ),
    pytest.param(
        {"timeouts_s": {"timeout-tcp": 1 << 70}}, "timeout-tcp .* is not within", id="endless"
    ),
    pytest.param({"timeouts_s": {"timeout-tcpinit": 61}}, "timeout-tcpinit 61 is not", id="61 s"),
    pytest.param({"rules": (default_rule("r", "alow"),)}, "rule r: alow is no action", id="action"),
    pytest.param(
        {"interzone_default": default_rule("d", "")}, "rule d:  is no action", id="default"
    ),
    pytest.param(
        {"rules": (replace(ALLOW, rule_type="zonal"),)}, "allow: zonal is no rule type", id="type"
    ),
    pytest.param(
        {"rules": (replace(ALLOW, services=(ServiceMatch(6, override=Timeouts(-1)),)),)},
        "a timer of a service of rule allow is not within 0..15999999",
        id="service timer",
    ),
    pytest.param(
        {"applications": {"ssl": ApplicationTimeouts(other=Timeouts(discard=1 << 32))}},
        "a timer of application ssl is not within 0..15999999",
        id="application timer",
    ),
    pytest.param(
        {"accelerated_aging": AcceleratedAging(factor=0)},
        "accelerated aging factor 0 is not within 1..16",
        id="aging factor",
    ),
    pytest.param(
        {"accelerated_aging": AcceleratedAging(threshold_percent=101)},
        "accelerated aging threshold 101 is not within 1..100",
        id="aging threshold",
    ),
    pytest.param(
        {"accelerated_aging": AcceleratedAging(threshold_percent=0)},
        "accelerated aging threshold 0 is not within 1..100",
        id="no aging threshold",
    ),
    pytest.param(
        {"max_sessions": -1}, "session maximum -1 is not within 0..4294967295", id="sessions"
    ),
    pytest.param(
        {"ports": tuple(replace(snapshot().ports[0], name=f"p{n}") for n in range(2000))},
        "more than 1023 ports",
        id="ports",
    ),
]


@pytest.mark.parametrize(("fields", "message"), BAD_SNAPSHOTS)
def test_a_snapshot_it_cannot_run_leaves_the_old_one(
    fields: dict[str, object], message: str
) -> None:
    firewall = Firewall()
    running = firewall.engine.snapshot
    with pytest.raises(ValueError, match=message):
        firewall.engine.configure(replace(running, **fields))
    assert firewall.engine.snapshot is running
    assert firewall.send(udp()).what == "forward"
    firewall.engine.configure(running)  # and nothing of it stays behind
    firewall.engine.set_routes(routes())
    assert firewall.engine.port_number("p1") == 0
    assert firewall.send(udp(dport=54)).what == "forward"


def test_routes_it_cannot_read_leave_the_old_ones() -> None:
    firewall = Firewall()
    with pytest.raises(ValueError, match="everywhere"):
        firewall.engine.set_routes([Route(prefix="everywhere", kind="unicast")])
    assert firewall.send(udp()).what == "forward"


def test_timers_in_force() -> None:
    firewall = Firewall(snapshot(timeouts_s={"timeout-udp": 77}))
    assert firewall.engine.timeouts_s() == default_timeouts(timeout_udp=77)


def test_an_answer_that_makes_no_sense_is_a_drop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(packet: Undecided, tables: Tables) -> Decision:
        context, *_ = decide(packet, tables)
        assert context.spec is not None
        context.spec = context.spec._replace(application=1 << 16)  # more than a session can hold
        return Decision(context, None)

    firewall = Firewall()
    monkeypatch.setattr("dataplane.engine.decide", odd)
    with caplog.at_level(logging.ERROR):
        assert firewall.send(udp()).what == "flow_slowpath_error"
    assert "makes no sense" in caplog.text
    assert firewall.engine.stats().undecided == 0


def test_a_fault_of_a_stage_is_a_drop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    firewall = Firewall()
    monkeypatch.setattr("dataplane.engine.decide", broken)
    with caplog.at_level(logging.ERROR):
        assert firewall.send(udp()).what == "flow_slowpath_error"
    assert "slowpath failed on a packet" in caplog.text
    monkeypatch.undo()
    assert firewall.send(udp()).what == "forward"


# ---- looking and clearing ------------------------------------------------------------------------


def test_a_session_as_it_is_shown() -> None:
    firewall = Firewall(wall_offset_s=1000)
    firewall.send(echo(6), TRUST, 5)
    session = firewall.session()
    assert (session.id, session.vsys, session.type, session.state) == (1, "vsys1", "FLOW", "ACTIVE")
    assert (session.application, session.protocol) == ("ipv6-icmp", 58)
    assert (session.rule, session.action, session.log_start, session.log_end) == (
        "allow",
        "allow",
        False,
        True,
    )
    assert (session.start_ns, session.last_ns) == (1005 * NS, 1005 * NS)
    assert (session.end_ns, session.now_ns, session.timeout_s) == (1011 * NS, 1005 * NS, 6)


def listed(firewall: Firewall, wanted: SessionFilter) -> list[int]:
    found, cursor = firewall.engine.sessions(0, wanted)
    assert cursor == 0
    return [session.id for session in found]


FILTERS = [
    (SessionFilter(), [1, 2, 3, 4]),
    (SessionFilter(source=CLIENT[4]), [1, 3]),
    (SessionFilter(source=CLIENT[6]), [2]),
    (SessionFilter(source=SERVER[4]), [4]),  # of the c2s flow
    (SessionFilter(destination=SERVER[4]), [1, 3]),
    (SessionFilter(source_port=40001), [1, 2]),
    (SessionFilter(destination_port=53), [3, 4]),
    (SessionFilter(protocol=6), [1, 2]),
    (SessionFilter(protocol=17, from_zone="trust"), [3]),
    (SessionFilter(to_zone="dmz"), [4]),
    (SessionFilter(to_zone="nowhere"), []),
    (SessionFilter(rule="allow"), [1, 2, 3]),
    (SessionFilter(rule="nobody's"), []),
    (SessionFilter(application="undecided"), [1, 2, 3, 4]),
    (SessionFilter(application="ssl"), []),
    (SessionFilter(state="active"), [1, 2, 3]),
    (SessionFilter(state="discard"), [4]),
    (SessionFilter(state="closed"), []),
    (SessionFilter(state="initial"), []),
    (SessionFilter(type="flow"), [1, 2, 3, 4]),
    (SessionFilter(type="predict"), []),
]


def four_sessions() -> Firewall:
    firewall = Firewall(snapshot(SecurityRule(name="no", action="deny", to_zones=("dmz",)), ALLOW))
    firewall.send(tcp())
    firewall.send(tcp("S", 6))
    firewall.send(udp())
    firewall.send(udp(src=SERVER[4], dst="203.0.113.30"), UNTRUST)
    return firewall


@pytest.mark.parametrize(("wanted", "expected"), FILTERS, ids=str)
def test_filters(wanted: SessionFilter, expected: list[int]) -> None:
    firewall = four_sessions()
    assert listed(firewall, wanted) == expected
    assert firewall.engine.clear_matching(0, wanted) == (len(expected), 0)
    assert listed(firewall, SessionFilter()) == [n for n in (1, 2, 3, 4) if n not in expected]
    assert len(firewall.entries()) == len([n for n in expected if n != 4]) + 1  # and the drop's


BAD_FILTERS = [
    (
        SessionFilter(source="everywhere"),
        "'everywhere' does not appear to be an IPv4 or IPv6 address",
    ),
    (SessionFilter(destination=""), "'' does not appear to be"),
    (SessionFilter(source_port=65536), r"source-port 65536 is not within 0\.\.65535"),
    (SessionFilter(destination_port=-1), "destination-port -1 is not within"),
    (SessionFilter(protocol=256), r"protocol 256 is not within 0\.\.255"),
    (SessionFilter(state="sleepy"), "sleepy is no session state"),
]


@pytest.mark.parametrize(("wanted", "message"), BAD_FILTERS, ids=str)
def test_filters_that_make_no_sense(wanted: SessionFilter, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        four_sessions().engine.sessions(0, wanted)
    with pytest.raises(ValueError, match=message):
        four_sessions().engine.clear_matching(0, wanted)


def test_pages_of_a_thousand_sessions() -> None:
    firewall = Firewall()
    burst = [Packet(udp(sport=1 + number), 1, 0, number) for number in range(1000)]
    firewall.engine.feed(burst)
    cursor, ids = 0, []
    for _ in range(10):
        page, cursor = firewall.engine.sessions(cursor, SessionFilter())
        ids += [session.id for session in page]
        if not cursor:
            break
    assert ids == list(range(1, 1001))
    cleared, cursor = firewall.engine.clear_matching(0, SessionFilter())
    assert cleared == 512
    assert firewall.engine.clear_matching(cursor, SessionFilter()) == (488, 0)
    assert firewall.engine.stats().allocated == 0
    assert len(firewall.entries()) == 1000


@pytest.mark.parametrize("session_id", [0, -1, 2, 4097, 1 << 32, 1 << 70])
def test_sessions_nobody_has(session_id: int) -> None:
    firewall = Firewall()
    firewall.send(udp(), DMZ)
    assert firewall.engine.session(session_id) is None
    assert not firewall.engine.clear(session_id)
