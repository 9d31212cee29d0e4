"""Every request is answered: with what was asked for, or with one line why not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane import messages
from dataplane.messages import (
    ClearSession,
    ClearSessions,
    Configure,
    Counters,
    Done,
    Failed,
    GetCounters,
    GetSession,
    GetSessions,
    GetStatus,
    SessionDetail,
    SessionFilter,
    SessionPage,
    SetOffload,
    SetRoutes,
    Status,
    Stop,
)
from dataplane.requests import Process, answer
from dataplane.snapshot import AcceleratedAging, Route
from native import COUNTERS, Packet
from tests.support.fragments import cut
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
    routes,
    snapshot,
    tcp,
    udp,
)

PROCESS = Process(pid=4711, io="netfilterqueue", started_ns=5 * NS, log_lost=3)
HUGE = [-(1 << 63), -1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]


def ask(firewall: Firewall, request: messages.Request) -> messages.Reply:
    """The reply, as it comes out at the other end of the socket."""
    reply = answer(firewall.engine, request, PROCESS, 9 * NS)
    encoded = msgspec.msgpack.encode(reply)
    assert msgspec.msgpack.decode(encoded, type=messages.Reply) == reply
    return reply


def busy() -> Firewall:
    firewall = Firewall(platform="pa-5000")
    for family in FAMILIES:
        for packet in (tcp("S", family), udp(family), echo(family)):
            firewall.send(packet)
    return firewall


def test_status() -> None:
    assert ask(busy(), GetStatus()) == Status(
        pid=4711,
        io="netfilterqueue",
        configured=True,
        uptime_s=4.0,
        max_sessions=4096,
        allocated=6,
        tcp=2,
        udp=2,
        icmp=2,
        other=0,
        discard=0,
        installed=6,
        packets_per_s=0,
        kbps=0,
        sessions_per_s=0,
        log_lost=3,
        held=0,
        max_held=2048,
        packet_threats=False,
        timeouts_s=default_timeouts(),
        tcp_reject_non_syn=True,
        ipv6_firewalling=True,
        platform="pa-5000",
        offload=True,
        offloaded=2,
        strict_tcp_sequence=True,
        no_refresh_on_discard=False,
        accelerated_aging=AcceleratedAging(),
        aging_accelerated=False,
        fragments=0,
        fragment_bytes=0,
        scan_threshold_percent=80,
        scan_factor=8,
        fail_open=False,
        vsys_max_sessions=0,
        vsys_throttled=0,
    )


def status(firewall: Firewall) -> Status:
    reply = ask(firewall, GetStatus())
    assert isinstance(reply, Status)
    return reply


@pytest.mark.parametrize(
    ("configured", "told"),
    [
        ({"offload": False}, {"offload": False}),
        ({"tcp_asymmetric_bypass": True}, {"strict_tcp_sequence": False}),
        ({"no_refresh_on_discard": True}, {"no_refresh_on_discard": True}),
        ({"accelerated_aging": AcceleratedAging(False, 51, 3)},) * 2,
        ({"scan_threshold_percent": 52, "scan_factor": 4},) * 2,
        ({"fail_open": True},) * 2,
        ({"max_sessions": 7}, {"vsys_max_sessions": 7}),
        ({"tcp_reject_non_syn": False},) * 2,
        ({"ipv6_firewalling": False},) * 2,
    ],
    ids=str,
)
def test_status_tells_the_settings(configured: dict[str, object], told: dict[str, object]) -> None:
    firewall = Firewall(platform="pa-5000")
    before = status(firewall)
    assert ask(firewall, Configure(replace(snapshot(ALLOW), **configured))) == Done()
    assert status(firewall) == replace(before, **told) != before


def test_status_tells_what_waits_for_more() -> None:
    firewall = Firewall()
    first, second, _ = cut(udp(payload=bytes(100)), [64, 80])
    for number, packet in enumerate((first, second)):
        fed = Packet(packet, firewall.engine.port_number(TRUST), 0, number)
        assert firewall.engine.feed([fed]) == []
    shown = status(firewall)
    assert (shown.fragments, shown.fragment_bytes) == (2, len(first) + len(second))


def test_status_tells_what_the_table_does() -> None:
    aging = AcceleratedAging(threshold_percent=50, factor=2)
    configuration = snapshot(ALLOW, accelerated_aging=aging, max_sessions=3)
    firewall = Firewall(configuration, max_sessions=4)
    for number in range(5):
        before = status(firewall)
        firewall.send(udp(sport=40000 + number), at_s=number)
    assert (before.allocated, before.aging_accelerated, before.vsys_throttled) == (3, True, 1)
    assert status(firewall).vsys_throttled == 2


def test_offload_is_switched_at_once_until_the_setting_changes() -> None:
    firewall = busy()
    assert ask(firewall, SetOffload(enabled=False)) == Done()
    for request in (
        GetStatus(),
        SetRoutes(tuple(routes())),
        Configure(snapshot(ALLOW)),
        Configure(snapshot(ALLOW, offload=False)),
    ):
        ask(firewall, request)
        assert (status(firewall).offload, status(firewall).offloaded) == (False, 0)
    assert ask(firewall, SetOffload(enabled=True)) == Done()
    assert status(firewall).offload
    for is_on in (True, False):
        assert ask(firewall, Configure(snapshot(ALLOW, offload=is_on))) == Done()
        assert status(firewall).offload is is_on


def test_software_has_nothing_to_switch_on() -> None:
    firewall = Firewall(platform="software")
    assert (status(firewall).platform, status(firewall).offload) == ("software", False)
    message = "platform software has no offload engine; pa-5000, pa-7000 have one"
    assert ask(firewall, SetOffload(enabled=True)) == Failed(message)
    assert ask(firewall, SetOffload(enabled=False)) == Done()
    assert not status(firewall).offload


@pytest.mark.parametrize(("platform", "every"), [("pa-5000", 8), ("pa-7000", 64), ("software", 0)])
def test_a_session_tells_what_the_offload_engine_counts(platform: str, every: int) -> None:
    firewall = Firewall(platform=platform)
    for at_s in range(4):
        firewall.send(udp(), at_s=at_s)
    firewall.send(udp(back=True), UNTRUST, at_s=5)
    detail = ask(firewall, GetSession(1))
    assert isinstance(detail, SessionDetail)
    session = detail.session
    assert session is not None
    is_offloaded = every > 0
    assert (session.offloaded, session.report_packets) == (is_offloaded, every)
    unreported = (session.unreported_c2s, session.unreported_s2c)
    assert unreported == ((3, 1) if is_offloaded else (0, 0))
    assert (session.packets_c2s, session.packets_s2c) == ((1, 0) if is_offloaded else (4, 1))
    assert session.longest_gap_ms == 2000
    assert session.longest_wait_ms == (5000 if is_offloaded else 2000)


def test_configure_and_routes() -> None:
    firewall = Firewall()
    closed = snapshot(default_rule("closed", "deny"))
    assert ask(firewall, Configure(closed)) == Done()
    assert firewall.send(udp()).what == "flow_policy_deny"
    assert ask(firewall, SetRoutes(())) == Done()
    assert firewall.send(udp(dport=54)).what == "flow_fwd_l3_noroute"
    assert ask(firewall, SetRoutes(tuple(routes()))) == Done()
    assert firewall.send(udp(dport=55)).what == "flow_policy_deny"


def test_looking_and_clearing() -> None:
    firewall = busy()
    page = ask(firewall, GetSessions())
    assert isinstance(page, SessionPage)
    assert [session.id for session in page.sessions] == [1, 2, 3, 4, 5, 6]
    detail = ask(firewall, GetSession(2))
    assert isinstance(detail, SessionDetail)
    assert detail.session == page.sessions[1]
    assert ask(firewall, ClearSession(2)) == Done(1)
    assert ask(firewall, ClearSession(2)) == Done(0)
    assert ask(firewall, ClearSessions(filter=SessionFilter(protocol=6))) == Done(2)
    assert ask(firewall, ClearSessions()) == Done(3)
    assert ask(firewall, GetSessions()) == SessionPage((), 0)
    assert isinstance(ask(firewall, Stop()), Done)


def test_every_counter_is_told() -> None:
    reply = ask(busy(), GetCounters())
    assert isinstance(reply, Counters)
    assert reply.now_ns == 9 * NS
    assert [counter.name for counter in reply.counters] == [info.name for info in COUNTERS]
    assert {c.name: c.value for c in reply.counters if c.value} == {
        "pkt_recv": 6,
        "pkt_sent": 6,
        "flow_undecided": 6,
        "session_allocated": 6,
        "session_installed": 6,
        "session_offloaded": 2,
    }


@pytest.mark.parametrize("number", [0, *HUGE])
def test_ids_that_cannot_be(number: int) -> None:
    firewall = busy()
    assert ask(firewall, GetSession(number)) == SessionDetail(None)
    assert ask(firewall, ClearSession(number)) == Done(0)


@pytest.mark.parametrize("number", HUGE)
def test_cursors_that_cannot_be(number: int) -> None:
    firewall = busy()
    for request in (GetSessions(number), ClearSessions(number)):
        reply = ask(firewall, request)
        if 0 <= number < 1 << 32:
            assert reply in (SessionPage((), 0), Done(0, 0))
        else:
            assert reply == Failed(f"cursor {number} is none that a page gave")
    assert firewall.engine.stats().allocated == 6


NONSENSE = [
    (Configure(snapshot(timeouts_s={"timeout-udp": 0})), "timeout-udp 0 is not within 1..15999999"),
    (Configure(snapshot(default_rule("r", "maybe"))), "rule r: maybe is no action"),
    (SetRoutes((Route("192.0.2.1/24", "unicast"),)), "192.0.2.1/24 has host bits set"),
    (
        SetRoutes((Route("x", "unicast"),)),
        "'x' does not appear to be an IPv4 or IPv6 network",
    ),
    (
        GetSessions(filter=SessionFilter(source="x")),
        "'x' does not appear to be an IPv4 or IPv6 address",
    ),
    (
        GetSessions(filter=SessionFilter(protocol=1 << 40)),
        "protocol 1099511627776 is not within 0..255",
    ),
    (ClearSessions(filter=SessionFilter(source_port=-1)), "source-port -1 is not within 0..65535"),
    (ClearSessions(filter=SessionFilter(state="x")), "x is no session state"),
]


@pytest.mark.parametrize(("request_", "message"), NONSENSE, ids=str)
def test_nonsense_is_refused_in_one_line(request_: messages.Request, message: str) -> None:
    firewall = busy()
    assert ask(firewall, request_) == Failed(message)
    assert firewall.engine.stats().allocated == 6
    assert firewall.send(udp()).what == "forward"


WORD = st.sampled_from(
    ["", "trust", "dmz", "allow", "active", "initial", "flow", "192.0.2.10", "::1"]
)
TEXT = st.none() | WORD | st.text(max_size=5)
NUMBER = st.none() | st.integers(-(2**63), 2**64 - 1) | st.integers(0, 300)
FILTER = st.builds(
    SessionFilter, TEXT, TEXT, NUMBER, NUMBER, NUMBER, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT
)
INTEGER = st.integers(-(2**63), 2**64 - 1) | st.integers(0, 10)
ROUTE = st.builds(Route, WORD | st.text(max_size=8), TEXT.filter(bool), TEXT.filter(bool))
TIMER = st.dictionaries(st.sampled_from([*default_timeouts(), "timeout-x"]), INTEGER, max_size=2)
REQUEST = st.one_of(
    st.builds(GetSessions, INTEGER, FILTER),
    st.builds(ClearSessions, INTEGER, FILTER),
    st.builds(GetSession, INTEGER),
    st.builds(ClearSession, INTEGER),
    st.builds(SetOffload, st.booleans()),
    st.builds(SetRoutes, st.lists(ROUTE, max_size=3).map(tuple)),
    st.builds(lambda timers: Configure(snapshot(timeouts_s=timers)), TIMER),
    st.builds(
        lambda action, kind: Configure(
            snapshot(replace(default_rule("r", action), rule_type=kind))
        ),
        WORD,
        WORD,
    ),
)


@given(st.lists(REQUEST, max_size=10))
def test_any_requests_are_answered(requests: list[messages.Request]) -> None:
    firewall = busy()
    for request in requests:
        reply = ask(firewall, request)
        if isinstance(reply, Failed):
            assert reply.message
            assert "\n" not in reply.message
        firewall.send(udp(), at_s=1)
