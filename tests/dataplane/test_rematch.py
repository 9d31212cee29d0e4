"""After a commit: what the new policy denies ends, everything else goes on."""

import pytest
from msgspec.structs import replace

from dataplane.messages import SessionFilter
from dataplane.snapshot import SecurityRule, Snapshot
from native import Packet
from tests.support.packets import (
    ALLOW,
    CLIENT_ISN,
    DMZ,
    SERVER_ISN,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    snapshot,
    tcp,
    udp,
)


def firewall(configuration: Snapshot | None = None) -> Firewall:
    """With a session within the zone, one to untrust and one from dmz."""
    found = Firewall(configuration)
    found.send(udp(dst="192.0.2.77"))
    found.send(udp())
    found.send(udp(src="203.0.113.30"), DMZ)
    return found


def states(found: Firewall) -> list[str]:
    return [found.session(number).state for number in (1, 2, 3)]


def commit(found: Firewall, configuration: Snapshot) -> None:
    found.engine.configure(configuration)
    while found.engine.advance(found.engine.now_ns):
        pass


ALL = ["ACTIVE"] * 3
COMMITS = [
    pytest.param(snapshot(ALLOW), ALL, id="nothing new"),
    pytest.param(snapshot(interzone="allow"), ALL, id="by another rule"),
    pytest.param(snapshot(), ["ACTIVE", "DISCARD", "DISCARD"], id="nothing but the defaults"),
    pytest.param(snapshot(default_rule("no", "drop")), ["DISCARD"] * 3, id="everything denied"),
    pytest.param(
        snapshot(SecurityRule("no", "deny", from_zones=("dmz",)), ALLOW),
        ["ACTIVE", "ACTIVE", "DISCARD"],
        id="one zone",
    ),
    pytest.param(replace(snapshot(), rematch=False), ALL, id="not asked for"),
]


@pytest.mark.parametrize(("configuration", "expected"), COMMITS)
def test_commits(configuration: Snapshot, expected: list[str]) -> None:
    found = firewall()
    commit(found, configuration)
    assert states(found) == expected
    denied = expected.count("DISCARD")
    assert found.counters().get("session_rematch_deny", 0) == denied
    assert (found.send(udp()).what == "forward") == (expected[1] == "ACTIVE")
    assert (found.send(udp(back=True), UNTRUST).what == "forward") == (expected[1] == "ACTIVE")


def test_the_session_names_the_rule_that_denies() -> None:
    found = firewall()
    commit(found, snapshot(SecurityRule("closed", "drop")))
    session = found.session(2)
    assert (session.rule, session.action) == ("closed", "drop")


def test_a_denied_session_is_not_revived() -> None:
    found = firewall(snapshot())
    commit(found, snapshot(ALLOW))
    assert states(found)[1:] == ["DISCARD", "DISCARD"]


def test_a_reset_tells_both_ends() -> None:
    found = Firewall(snapshot(ALLOW))
    for segment, port in ((tcp("S"), TRUST), (tcp("SA", back=True), UNTRUST), (tcp("A"), TRUST)):
        found.send(segment, port)
    found.engine.configure(snapshot(SecurityRule("closed", "reset-both")))
    emitted = found.engine.tick(found.engine.now_ns)
    sent = {found.engine.port_name(v.port): v.data for v in emitted}
    assert set(sent) == {TRUST, UNTRUST}
    numbers = {port: int.from_bytes((data or b"")[24:28], "big") for port, data in sent.items()}
    assert numbers == {TRUST: SERVER_ISN + 1, UNTRUST: CLIENT_ISN + 1}


def test_many_sessions_are_looked_at_in_pages() -> None:
    found = Firewall(max_sessions=8192)
    burst = [Packet(udp(sport=1 + number), 1, 0, number) for number in range(6000)]
    found.engine.feed(burst)
    found.engine.configure(snapshot())
    pages = 0
    while found.engine.advance(0):
        pages += 1
    assert pages > 5
    wanted = SessionFilter(state="active")
    assert found.engine.sessions(0, wanted)[0] == []
    assert found.counters()["session_rematch_deny"] == 6000
