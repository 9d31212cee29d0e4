"""Packets that wait for the slowpath, through native.Engine as a slow slowpath would use it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.addresses import packed
from native import (
    COUNTERS,
    DropReason,
    Engine,
    EngineConfig,
    FlowKey,
    Packet,
    PortConfig,
    SessionSpec,
    Undecided,
    Verdict,
    VerdictAction,
)
from tests.support.packets import CLIENT, HASH_KEY, SERVER, udp

MAX_PARKED = 16
CONFIG = EngineConfig(
    timeouts_s={},
    tcp_reject_non_syn=True,
    ipv6_firewalling=True,
    ports=[PortConfig(0, False), PortConfig(1, True), PortConfig(2, True)],
    local=[],
)


DROPS = {info.name for info in COUNTERS if info.severity == "drop"}
# dropped on the spot, before those that wait
FULL = {c.number for c in COUNTERS if c.name in ("flow_parked_full", "flow_undecided_full")}


def engine(**sizes: int) -> Engine:
    made = Engine(hash_key=HASH_KEY, now_ns=0, **sizes)
    made.configure(CONFIG)
    return made


def spec(waiting: Undecided, egress: int = 2, action: str = "allow") -> SessionSpec:
    key = waiting.key
    server = FlowKey(key.dst, key.src, key.dport, key.sport, egress, key.proto, key.family)
    return SessionSpec(server, egress, action, 1, 1, False, True)


def feed(target: Engine, *packets: bytes, port: int = 1, now_ns: int = 0, tag: int = 0) -> None:
    burst = [Packet(data, port, now_ns, tag + number) for number, data in enumerate(packets)]
    assert target.input(burst) == len(packets)


def tags(verdicts: list[Verdict]) -> list[tuple[int, str]]:
    return [(verdict.tag, verdict.action.name) for verdict in verdicts]


def test_an_undecided_packet_is_described_and_handed_out_once() -> None:
    target = engine()
    feed(target, udp(), udp(), now_ns=5)
    (waiting,) = target.undecided()
    assert waiting.key == FlowKey(packed(CLIENT[4]), packed(SERVER[4]), 40002, 53, 1, 17, 4)
    assert (waiting.port, waiting.ttl, waiting.dscp, waiting.length) == (1, 61, 11, 36)
    assert (waiting.now_ns, waiting.tcp_flags, waiting.icmp_type) == (5, 0, 0)
    assert target.undecided() == []
    assert target.verdicts() == []
    assert target.install(waiting.handle, spec(waiting)) == 1
    assert tags(target.verdicts()) == [(0, "FORWARD"), (1, "FORWARD")]


def test_late_answers() -> None:
    target = engine()
    feed(target, udp())
    (waiting,) = target.undecided()
    target.refuse(waiting.handle, DropReason.flow_policy_nofwd)
    with pytest.raises(KeyError, match=f"handle {waiting.handle} is not outstanding"):
        target.refuse(waiting.handle, DropReason.flow_policy_nofwd)
    with pytest.raises(KeyError):
        target.install(waiting.handle, spec(waiting))
    with pytest.raises(KeyError):
        target.install(12345, spec(waiting))
    feed(target, udp())
    (again,) = target.undecided()
    with pytest.raises(ValueError, match="makes no sense"):
        target.install(again.handle, spec(again, egress=9))


def test_unanswered_handles_expire_with_a_verdict_for_every_packet() -> None:
    target = engine(answer_timeout_ms=100)
    feed(target, udp(), udp(), udp())
    (waiting,) = target.undecided()
    assert target.next_timer_ns() == 100_000_000
    target.tick(100_000_000)
    verdicts = target.verdicts()
    assert tags(verdicts) == [(0, "DROP"), (1, "DROP"), (2, "DROP")]
    assert target.counters()["flow_undecided_timeout"] == 3
    assert target.stats().held == target.stats().undecided == 0
    with pytest.raises(KeyError):
        target.install(waiting.handle, spec(waiting))


def test_bounds_are_counted() -> None:
    target = engine(max_undecided=2, max_held=25)
    feed(target, *[udp()] * (MAX_PARKED + 4))
    assert target.counters()["flow_parked"] == MAX_PARKED
    assert target.counters()["flow_parked_full"] == 3
    feed(target, udp(dport=1), udp(dport=2))  # the second would be a third handle
    assert target.counters()["flow_undecided_full"] == 1
    feed(target, *[udp(dport=1)] * 10)  # 17 and 1 are held: 7 more fit
    assert target.counters()["flow_undecided_full"] == 4
    assert target.stats().held == 25
    assert len(target.verdicts()) == 7


FLOW = st.integers(0, 3)
STEP = st.one_of(
    st.tuples(st.just("packet"), FLOW),
    st.tuples(st.just("answer"), st.integers(0, 3)),
    st.tuples(st.just("refuse"), st.integers(0, 3)),
    st.tuples(st.just("verdicts"), st.just(0)),
)


@given(st.lists(STEP, max_size=80))
def test_slow_answers_in_any_order(steps: list[tuple[str, int]]) -> None:
    """Two flows and their reverse: each packet one verdict, each flow in order."""
    target = engine(max_held=30)
    flows = [udp(), udp(back=True), udp(6), udp(6, back=True)]
    waiting: list[Undecided] = []
    flow_of: dict[int, int] = {}
    verdicts: list[Verdict] = []
    for what, number in steps:
        if what == "packet":
            tag = len(flow_of)
            flow_of[tag] = number
            feed(target, flows[number], port=1 + number % 2, tag=tag)
            waiting += target.undecided()
        elif what == "verdicts":
            verdicts += target.verdicts()
        elif waiting:
            chosen = waiting.pop(number % len(waiting))
            with contextlib.suppress(KeyError):  # the other end's answer was this one's
                if what == "answer":
                    target.install(chosen.handle, spec(chosen, egress=3 - chosen.port))
                else:
                    target.refuse(chosen.handle, DropReason.flow_policy_nofwd)
    target.tick(2_000_000_000)
    verdicts += target.verdicts()
    assert sorted(verdict.tag for verdict in verdicts) == list(flow_of)
    for flow in range(4):
        order = [v.tag for v in verdicts if flow_of[v.tag] == flow and v.reason not in FULL]
        assert order == sorted(order)
    counters = target.counters()
    assert counters["pkt_recv"] == len(flow_of)
    forwarded = sum(verdict.action is VerdictAction.FORWARD for verdict in verdicts)
    dropped = sum(counters[name] for name in DROPS)
    assert len(flow_of) == forwarded + dropped
    assert target.stats().held == target.stats().undecided == 0
