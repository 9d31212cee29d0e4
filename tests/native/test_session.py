"""Session ids, their reuse, and tables that are full."""

from dataplane.messages import SessionFilter
from dataplane.snapshot import SecurityRule
from tests.support.packets import ALLOW, NS, TRUST, UNTRUST, Firewall, snapshot, tcp, udp

EVERYTHING = SessionFilter()


def hosts(count: int) -> list[bytes]:
    return [udp(src=f"192.0.2.{2 + number}") for number in range(count)]


def test_ids_are_slots_and_count_up() -> None:
    firewall = Firewall()
    assert [firewall.send(packet).session for packet in hosts(20)] == list(range(1, 21))
    assert firewall.engine.session(0) is None
    assert firewall.engine.session(21) is None


def test_a_full_table_refuses_until_somebody_leaves() -> None:
    firewall = Firewall(max_sessions=4)
    one, two, three, four, five, six = hosts(6)
    assert [firewall.send(p).what for p in (one, two, three, four)] == ["forward"] * 4
    assert firewall.send(five)[:3] == ("session_alloc_fail", "", 0)
    assert firewall.send(one).what == "forward"  # those inside are not disturbed
    assert firewall.engine.clear(3)
    assert firewall.send(five)[:3] == ("forward", UNTRUST, 3)
    assert firewall.send(six).what == "session_alloc_fail"
    counters = firewall.counters()
    assert counters["session_alloc_fail"] == 2
    assert counters["session_allocated"] == counters["session_installed"] == 5
    firewall.tick(60)
    assert firewall.send(six, TRUST, 61).what == "forward"


def test_denied_flows_take_slots_too() -> None:
    """All but the last fifth, which is for what is allowed."""
    rule = SecurityRule(name="no", action="deny")
    firewall = Firewall(snapshot(rule), max_sessions=10)
    answers = [firewall.send(packet) for packet in hosts(10)]
    assert {answer.what for answer in answers} == {"flow_policy_deny"}
    assert [answer.session for answer in answers] == [1, 2, 3, 4, 5, 6, 7, 8, 0, 0]
    assert firewall.counters()["session_discard_full"] == 2
    assert len(firewall.entries()) == 10  # each is logged all the same


def test_a_virtual_system_has_a_maximum() -> None:
    firewall = Firewall(snapshot(ALLOW, max_sessions=3))
    one, two, three, four, five = hosts(5)
    assert [firewall.send(p).what for p in (one, two, three)] == ["forward"] * 3
    for packet in (four, five):
        assert firewall.send(packet)[:3] == ("session_vsys_limit", "", 0)
    assert firewall.send(two).what == "forward"  # those inside are not disturbed
    assert firewall.engine.clear(2)
    assert firewall.send(four).what == "forward"
    assert firewall.send(five).what == "session_vsys_limit"
    assert firewall.counters()["session_vsys_limit"] == 3
    assert firewall.counters()["session_installed"] == 4
    firewall.tick(60)  # and when they age out
    assert firewall.send(five, TRUST, 61).what == "forward"


def test_a_maximum_below_what_there_is_takes_nobody_away() -> None:
    firewall = Firewall()
    one, two, three, four = hosts(4)
    for packet in (one, two, three):
        firewall.send(packet)
    firewall.engine.configure(snapshot(ALLOW, max_sessions=2))
    assert [firewall.send(p).what for p in (one, two, three)] == ["forward"] * 3
    assert firewall.engine.clear(1)
    assert firewall.send(four).what == "session_vsys_limit"
    firewall.engine.configure(snapshot(ALLOW))
    assert firewall.send(four).what == "forward"


def test_what_is_denied_counts_towards_the_maximum() -> None:
    firewall = Firewall(snapshot(SecurityRule(name="no", action="deny"), max_sessions=2))
    answers = [firewall.send(packet) for packet in hosts(4)]
    assert {answer.what for answer in answers} == {"flow_policy_deny"}
    assert [answer.session for answer in answers] == [1, 2, 0, 0]
    assert firewall.counters()["session_discard_full"] == 2


def test_the_slot_that_was_freed_first_serves_first() -> None:
    firewall = Firewall(max_sessions=3)
    one, two, three, four, five, six = hosts(6)
    for packet in (one, two, three):
        firewall.send(packet)
    for session_id in (2, 3, 1):
        assert firewall.engine.clear(session_id)
    assert [firewall.send(p).session for p in (four, five, six)] == [2, 3, 1]


def test_a_free_slot_shows_its_last_session() -> None:
    firewall = Firewall()
    firewall.send(tcp(), TRUST, 10)
    firewall.send(tcp("SA", back=True), UNTRUST, 11)
    live = firewall.session()
    assert (live.state, live.in_ager, live.end_reason) == ("ACTIVE", True, "unknown")
    firewall.tick(100)
    over = firewall.session()
    assert (over.state, over.in_ager, over.end_reason) == ("INIT", False, "aged-out")
    assert (over.end_ns, over.tracker) == (21 * NS, "Aged out")
    assert (over.c2s, over.s2c, over.bytes_c2s) == (live.c2s, live.s2c, live.bytes_c2s)
    assert firewall.engine.sessions(0, EVERYTHING) == ([], 0)
    firewall.send(udp(), TRUST, 101)
    assert firewall.session(1).protocol == 6  # never used slots serve before it


def test_a_cleared_session_ends_for_no_reason() -> None:
    firewall = Firewall()
    firewall.send(udp(), TRUST, 5)
    firewall.tick(9)
    assert firewall.engine.clear(1)
    assert not firewall.engine.clear(1)
    (entry,) = firewall.entries()
    assert (entry.session_end_reason, entry.tracker_stage, entry.elapsed) == ("unknown", "", 4)
    assert firewall.send(udp(back=True), UNTRUST).session == 2  # the old keys are gone
