"""The typed face of the engine: sizes, bursts, pages, and the errors it raises."""

import pytest

from native import (
    MAX_BURST,
    Engine,
    EngineConfig,
    Filter,
    OffloadProfile,
    Packet,
    PortConfig,
    VerdictAction,
)
from tests.native.test_undecided import CONFIG, engine, feed, spec
from tests.support.packets import HASH_KEY, udp

BAD_SIZES = [
    {"max_sessions": 0},
    {"max_sessions": 1 << 30},
    {"max_undecided": 0},
    {"max_undecided": 65536},
    {"max_held": 0},
    {"max_events": 0},
    {"max_events": 1000},
    {"max_sessions": 10, "max_offloaded": 11},
]


@pytest.mark.parametrize("sizes", BAD_SIZES, ids=str)
def test_sizes_that_make_no_sense(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sizes must be positive, max_events a power of two"):
        Engine(hash_key=HASH_KEY, now_ns=0, **sizes)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_hash_keys(length: int) -> None:
    with pytest.raises(ValueError, match=f"hash_key has {length} bytes, not 16"):
        Engine(hash_key=bytes(length), now_ns=0)


def test_too_many_ports_leave_the_old_configuration() -> None:
    target = engine()
    with pytest.raises(ValueError, match="more than 1023 ports"):
        target.configure(CONFIG._replace(ports=[PortConfig(1, True)] * 1025))
    feed(target, udp())
    assert len(target.undecided()) == 1
    target.configure(CONFIG._replace(ports=[PortConfig(1, True)] * 1024))


PROFILE = OffloadProfile(packets=16, udp_packets=8, scan_ms=0, max_sessions=10)

BAD_FIGURES: list[dict[str, object]] = [
    {"aging_factor": 0},
    {"aging_factor": 17},
    {"aging_threshold_percent": 101},
    {"aging_threshold_percent": 0, "aging_factor": 2},
    {"offload": PROFILE._replace(packets=0)},
    {"offload": PROFILE._replace(udp_packets=0)},
    {"offload": PROFILE._replace(packets=32769)},
    {"offload": PROFILE._replace(udp_packets=32769)},
]


@pytest.mark.parametrize("fields", BAD_FIGURES, ids=str)
def test_figures_out_of_range_leave_the_old_configuration(fields: dict[str, object]) -> None:
    target = engine()
    with pytest.raises(ValueError, match="virtual router or protection out of range"):
        target.configure(CONFIG._replace(**fields))
    feed(target, udp())
    assert len(target.undecided()) == 1


def test_before_it_is_configured_everything_is_dropped() -> None:
    target = Engine(hash_key=HASH_KEY, now_ns=0)
    feed(target, udp(), port=1)
    (verdict,) = target.verdicts()
    assert verdict.action is VerdictAction.DROP
    assert target.counters()["flow_no_interface"] == 1


def test_a_burst_is_bounded() -> None:
    target = engine()
    burst = [Packet(b"", 1, 0, tag) for tag in range(MAX_BURST + 5)]
    assert target.input(burst) == MAX_BURST
    assert target.input(burst[MAX_BURST:]) == 5
    assert [verdict.tag for verdict in target.verdicts()] == list(range(MAX_BURST + 5))
    assert target.input([]) == 0


def test_a_full_verdict_list_takes_no_more() -> None:
    target = engine(max_held=10)
    burst = [Packet(b"", 1, 0)] * MAX_BURST
    assert target.input(burst) == MAX_BURST
    assert target.input(burst) == 10
    assert target.input(burst) == 0
    assert len(target.verdicts()) == MAX_BURST + 10


def test_one_packet_at_a_time() -> None:
    target = engine()
    burst = [Packet(data, 1, 0) for data in (b"", udp(), udp(), udp(dport=9), udp())]
    assert target.input(burst, stop_when_undecided=True) == 2
    assert target.input(burst[2:], stop_when_undecided=True) == 2  # one parks, one is new
    assert target.input(burst[4:], stop_when_undecided=True) == 1


def with_sessions(count: int) -> Engine:
    target = engine(max_sessions=2000)
    for number in range(count):
        feed(target, udp(sport=1 + number))
        (waiting,) = target.undecided()
        target.install(waiting.handle, spec(waiting))
        target.verdicts()
    return target


def test_pages() -> None:
    target = with_sessions(1100)
    cursor, ids = 0, []
    for _ in range(100):
        views, cursor = target.sessions(cursor, scan=100)
        ids += [view.id for view in views]
        if not cursor:
            break
    assert ids == list(range(1, 1101))
    views, cursor = target.sessions()
    assert (len(views), cursor) == (512, 513)  # as many as a page holds
    assert target.sessions(5000) == ([], 0)


@pytest.mark.parametrize(
    ("matching", "count"),
    [
        (Filter(), 3),
        (Filter(source_port=2), 1),
        (Filter(source_port=2, destination_port=53), 1),
        (Filter(destination_port=2), 0),
        (Filter(protocol=17), 3),
        (Filter(protocol=6), 0),
        (Filter(from_zone=1, to_zone=2), 3),
        (Filter(from_zone=2), 0),
        (Filter(state=2), 3),
        (Filter(state=3), 0),
        (Filter(rule=1, application=1), 3),
        (Filter(rule=0), 0),
        (Filter(source=bytes(16)), 0),
    ],
    ids=str,
)
def test_filters(matching: Filter, count: int) -> None:
    views, cursor = with_sessions(3).sessions(matching=matching)
    assert (len(views), cursor) == (count, 0)


def test_a_full_event_ring_is_counted() -> None:
    target = engine(max_events=4)
    for number in range(6):
        feed(target, udp(sport=1 + number))
        (waiting,) = target.undecided()
        target.install(waiting.handle, spec(waiting))
        assert target.clear(number + 1)
    assert [event.session.id for event in target.events()] == [1, 2, 3, 4]
    assert target.events() == []
    assert target.counters()["log_event_lost"] == 2


def test_engines_do_not_know_each_other() -> None:
    one, two = engine(), Engine(hash_key=bytes(16), now_ns=7)
    two.configure(EngineConfig({}, True, True, [PortConfig(0, False), PortConfig(5, False)], []))
    feed(one, udp())
    feed(two, udp(6))
    assert len(one.undecided()) == 1
    assert two.undecided() == []
    assert two.counters()["flow_ipv6_disabled"] == 1
    assert one.counters()["flow_ipv6_disabled"] == 0
