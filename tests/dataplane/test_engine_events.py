"""Very many sessions that end at once: nothing is lost, and nobody waits for the log."""

from dataplane.engine import _EVENT_PAGES
from dataplane.snapshot import SecurityRule
from tests.support.packets import NS, Firewall, snapshot, udp

SESSIONS = 3000


def test_sessions_that_end_together_are_logged_piece_by_piece() -> None:
    firewall = Firewall(snapshot(SecurityRule(name="all", action="allow")))
    for number in range(SESSIONS):
        firewall.send(udp(sport=1 + number), at_s=1)
    firewall.engine.take_entries()
    ends = 0
    rounds = 1
    while firewall.engine.advance(100 * NS):
        entries = firewall.engine.take_entries()
        assert 0 < len(entries) <= _EVENT_PAGES * 512
        ends += len(entries)
        rounds += 1
    ends += len(firewall.engine.take_entries())
    assert ends == SESSIONS
    assert rounds > 2
    assert firewall.counters().get("log_event_lost", 0) == 0
