"""Forwarding of live sessions: what happens when the routes or a port's zone change under them."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dataplane.messages import Session
from tests.support.conversations import Conversation
from tests.support.packets import (
    DMZ,
    FAMILIES,
    NS,
    TRUST,
    UNTRUST,
    Firewall,
    echo,
    icmp_error,
    other,
    routes,
    tcp,
    udp,
)

Build = Callable[[int, bool], bytes]  # family, whether it goes back

WAYS = [
    pytest.param(lambda family, back: udp(family, back=back), id="udp"),
    pytest.param(lambda family, back: tcp("A", family, back=back), id="tcp"),
    pytest.param(lambda family, back: echo(family, reply=back, back=back), id="echo"),
    pytest.param(lambda family, back: other(47, family, back=back), id="gre"),
]


def lead(firewall: Firewall, network: str, port: str | None, kind: str = "unicast") -> None:
    """Has the routes to a port's network lead elsewhere, or nowhere."""
    kept = [route for route in routes() if route.port != network or route.kind != "unicast"]
    moved = [
        replace(route, port=port if kind == "unicast" else "", kind=kind)
        for route in routes()
        if route.port == network and route.kind == "unicast" and port is not None
    ]
    firewall.engine.set_routes(kept + moved)


def seen(session: Session) -> tuple[int, int]:
    """Packets of a session by direction, those the offload engine has yet to report included."""
    return (
        session.packets_c2s + session.unreported_c2s,
        session.packets_s2c + session.unreported_s2c,
    )


def talking(build: Build, family: int, platform: str) -> Firewall:
    """A firewall with a session that has spoken both ways, offloaded where that can be."""
    firewall = Firewall(platform=platform)
    if build(4, False)[9] == 6:
        Conversation(firewall, family).play(">S <SA >A")
    else:
        firewall.send(build(family, False), TRUST)
        firewall.send(build(family, True), UNTRUST)
    can_be = platform != "software" and build(4, False)[9] != 1
    assert firewall.session().offloaded is can_be
    return firewall


# which network's route changes, where it leads now, the direction that suffers, and why
CHANGES = [
    pytest.param((UNTRUST, DMZ), ">", "flow_fwd_zonechange", id="the server is in another zone"),
    pytest.param((TRUST, DMZ), "<", "flow_fwd_zonechange", id="the client is"),
    pytest.param((UNTRUST, TRUST), ">", "flow_fwd_zonechange", id="behind the client's port"),
    pytest.param((UNTRUST, ""), ">", "flow_fwd_zonechange", id="not through the firewall"),
    pytest.param((UNTRUST, "ethernet1/9"), ">", "flow_fwd_zonechange", id="a port nobody knows"),
    pytest.param((UNTRUST, TRUST, "discard"), ">", "flow_fwd_zonechange", id="discarded"),
    pytest.param((UNTRUST, None), ">", "flow_fwd_l3_noroute", id="no route to the server"),
    pytest.param((TRUST, None), "<", "flow_fwd_l3_noroute", id="no route to the client"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["software", "pa-5000"])
@pytest.mark.parametrize("build", WAYS)
@pytest.mark.parametrize(("change", "side", "reason"), CHANGES)
def test_routes_that_lead_elsewhere(
    change: tuple[str, str], side: str, reason: str, build: Build, platform: str, family: int
) -> None:
    firewall = talking(build, family, platform)
    before = firewall.session()
    lead(firewall, *change)
    there, back = build(family, False), build(family, True)
    for port, packet, is_lost, way in (
        (TRUST, there, side == ">", UNTRUST),
        (UNTRUST, back, side == "<", TRUST),
    ):
        answer = firewall.send(packet, port, 5)
        assert answer[:3] == ((reason, "", 1) if is_lost else ("forward", way, 1))
    after = firewall.session()  # what is dropped is not counted, and keeps nothing alive
    c2s, s2c = seen(before)
    assert (after.packets_c2s, after.packets_s2c) == (c2s + (side == "<"), s2c + (side == ">"))
    assert after.last_ns == 5 * NS
    assert not after.offloaded
    assert firewall.counters()[reason] == 1
    firewall.engine.set_routes(routes())  # and back
    for at_s, port, packet in ((5, TRUST, there), (5, UNTRUST, back)):
        assert firewall.send(packet, port, at_s).what == "forward"
    assert firewall.session().offloaded is before.offloaded
    assert firewall.engine.stats().installed == 1


@pytest.mark.parametrize("platform", ["software", "pa-5000"])
def test_what_is_only_dropped_does_not_keep_a_session(platform: str) -> None:
    firewall = Firewall(platform=platform)
    firewall.send(udp(), TRUST, 0)
    lead(firewall, UNTRUST, DMZ)
    for at_s in range(1, 30):
        assert firewall.send(udp(), TRUST, at_s).what == "flow_fwd_zonechange"
    assert firewall.session().end_ns == 30 * NS
    assert firewall.send(udp(), TRUST, 30)[:3] == ("forward", DMZ, 2)  # the next is elsewhere


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["software", "pa-5000"])
@pytest.mark.parametrize("build", WAYS)
def test_routes_to_another_port_of_the_zone(build: Build, platform: str, family: int) -> None:
    firewall = talking(build, family, platform)
    base = firewall.engine.snapshot
    together = (*base.ports[:2], replace(base.ports[2], zone="untrust"))
    firewall.engine.configure(replace(base, ports=together))
    lead(firewall, UNTRUST, DMZ)
    there, back = build(family, False), build(family, True)
    for port in (UNTRUST, DMZ):  # whichever way the answers come
        assert firewall.send(there, TRUST)[:3] == ("forward", DMZ, 1)
        assert firewall.send(back, port)[:3] == ("forward", TRUST, 1)
    assert firewall.session().egress == DMZ
    assert firewall.session().offloaded is (build(4, False)[9] != 1 and platform == "pa-5000")
    lead(firewall, TRUST, TRUST)
    assert firewall.send(there, TRUST)[:3] == ("forward", UNTRUST, 1)
    assert firewall.engine.stats().installed == 1


def rezoned(firewall: Firewall, number: int, zone: str) -> None:
    ports = list(firewall.engine.snapshot.ports)
    ports[number] = replace(ports[number], zone=zone)
    firewall.engine.configure(replace(firewall.engine.snapshot, ports=tuple(ports)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["software", "pa-5000"])
@pytest.mark.parametrize("build", WAYS)
def test_a_port_that_changes_its_zone(build: Build, platform: str, family: int) -> None:
    """What goes to it is elsewhere now; what comes from it is no session's any more."""
    there, back = build(family, False), build(family, True)
    for number, port, packet, other_port, other_packet in (
        (1, TRUST, there, UNTRUST, back),
        (0, UNTRUST, back, TRUST, there),
    ):
        firewall = talking(build, family, platform)
        before = firewall.session()
        rezoned(firewall, number, "elsewhere")
        assert firewall.send(packet, port)[:3] == ("flow_fwd_zonechange", "", 1)
        assert firewall.send(other_packet, other_port).session != 1
        rezoned(firewall, number, ("trust", "untrust")[number])
        assert firewall.send(packet, port)[:3] == ("forward", other_port, 1)
        assert sum(seen(firewall.session())) == sum(seen(before)) + 1


@pytest.mark.parametrize("platform", ["software", "pa-5000"])
def test_a_port_that_loses_its_zone(platform: str) -> None:
    firewall = talking(WAYS[0].values[0], 4, platform)
    rezoned(firewall, 1, "")
    assert firewall.send(udp(), TRUST).what == "flow_fwd_zonechange"
    assert firewall.send(udp(back=True), UNTRUST).what == "flow_no_interface"
    rezoned(firewall, 1, "untrust")
    assert firewall.send(udp(back=True), UNTRUST)[:3] == ("forward", TRUST, 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["software", "pa-5000"])
def test_errors_go_where_their_session_goes(platform: str, family: int) -> None:
    firewall = talking(WAYS[0].values[0], family, platform)
    behind_the_client = "192.0.2.99" if family == 4 else "2001:db8:1::99"
    to_client = icmp_error(udp(family))
    to_server = icmp_error(udp(family, back=True), src=behind_the_client)
    lead(firewall, TRUST, DMZ)
    assert firewall.send(to_client, UNTRUST)[:3] == ("flow_fwd_zonechange", "", 1)
    assert firewall.send(to_server, TRUST)[:3] == ("forward", UNTRUST, 1)
    lead(firewall, UNTRUST, None)
    assert firewall.send(to_client, UNTRUST)[:3] == ("forward", TRUST, 1)
    assert firewall.send(to_server, TRUST)[:3] == ("flow_fwd_l3_noroute", "", 1)
    assert seen(firewall.session()) == (1, 1)


def test_a_session_whose_client_has_no_route_has_no_answers() -> None:
    firewall = Firewall()
    lead(firewall, TRUST, None)
    assert firewall.send(udp(), TRUST).what == "forward"
    assert firewall.send(udp(back=True), UNTRUST).what == "flow_fwd_l3_noroute"
