"""Virtual routers and the choice of the next hop; what follows from it for both directions."""

from collections import Counter

import pytest
from msgspec.structs import replace

from dataplane.snapshot import Ecmp, Hop, Path, Port, Route, Snapshot, VirtualRouter
from native import SessionView
from tests.support.packets import (
    ALLOW,
    CLIENT,
    DMZ,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    echo,
    routes,
    snapshot,
    udp,
)

FAR = "10.9.9.9"
NEXT_HOPS = ("198.51.100.9", "203.0.113.9")
ROUTER_MAC, OTHER_MAC = bytes.fromhex("020000000009"), bytes.fromhex("0200000000aa")
PATHS = (
    Path(1, UNTRUST, NEXT_HOPS[0]),
    Path(2, DMZ, NEXT_HOPS[1]),
    Path(3, TRUST, "192.0.2.9", ROUTER_MAC),
    Path(4, TRUST, ""),
)


def two_ways(weights: tuple[int, int] = (1, 1)) -> Route:
    hops = (Hop(UNTRUST, NEXT_HOPS[0], weights[0]), Hop(DMZ, NEXT_HOPS[1], weights[1]))
    return Route("10.0.0.0/8", "unicast", UNTRUST, NEXT_HOPS[0], hops=hops)


def firewall(ecmp: Ecmp | None, *further: Route, paths: tuple[Path, ...] = PATHS) -> Firewall:
    routers = (VirtualRouter("default", 254, ecmp),)
    found = Firewall(replace(snapshot(ALLOW), virtual_routers=routers))
    found.engine.set_paths(paths)
    found.engine.set_routes([*routes(), *further])
    return found


def view(found: Firewall, session_id: int = 1) -> SessionView:
    session = found.engine.native.session(session_id)
    assert session is not None
    return session


def ways(found: Firewall, clients: int = 100, sport: int = 0) -> list[tuple[str, int]]:
    """Egress and path of a session of each client."""
    result = []
    for number in range(clients):
        host = 2 + (0 if sport else number)
        packet = udp(src=f"192.0.2.{host}", dst=FAR, sport=sport + number if sport else 40002)
        answer = found.send(packet)
        assert answer.what == "forward"
        result.append((answer.port, view(found, answer.session).path_c2s))
    return result


def test_without_ecmp_there_is_one_way() -> None:
    assert set(ways(firewall(None, two_ways()))) == {(UNTRUST, 1)}


@pytest.mark.parametrize("algorithm", ["ip-modulo", "ip-hash", "balanced-round-robin"])
def test_sessions_are_spread(algorithm: str) -> None:
    found = Counter(ways(firewall(Ecmp(algorithm=algorithm), two_ways())))
    assert set(found) == {(UNTRUST, 1), (DMZ, 2)}
    assert min(found.values()) >= 30


@pytest.mark.parametrize(("use_ports", "count"), [(True, 2), (False, 1)])
def test_ports_may_count(use_ports: bool, count: int) -> None:
    hashed = Ecmp(algorithm="ip-hash", use_ports=use_ports)
    assert len(set(ways(firewall(hashed, two_ways()), sport=1000))) == count


def test_weights() -> None:
    weighted = firewall(Ecmp(algorithm="weighted-round-robin"), two_ways((3, 1)))
    assert Counter(ways(weighted)) == {(UNTRUST, 1): 75, (DMZ, 2): 25}
    balanced = firewall(Ecmp(algorithm="balanced-round-robin"), two_ways((3, 1)))
    assert Counter(ways(balanced)) == {(UNTRUST, 1): 50, (DMZ, 2): 50}


def test_max_path() -> None:
    hops = (*two_ways().hops, Hop(UNTRUST, "198.51.100.10"))
    route = replace(two_ways(), hops=hops)
    balanced = "balanced-round-robin"
    assert len(set(ways(firewall(Ecmp(2, balanced), route)))) == 2
    assert len(set(ways(firewall(Ecmp(3, balanced), route)))) == 3


def test_hops_that_are_no_port_of_ours_are_left_out() -> None:
    route = replace(two_ways(), hops=(Hop("", "192.168.0.1"), *two_ways().hops[1:]))
    assert set(ways(firewall(Ecmp(), route), 10)) == {(DMZ, 2)}
    nobody = firewall(Ecmp(), replace(route, hops=(Hop("", "192.168.0.1"),)))
    assert nobody.send(udp(dst=FAR)).what == "flow_policy_nofwd"


def test_a_session_keeps_its_way_when_routes_change() -> None:
    found = firewall(Ecmp(algorithm="balanced-round-robin"), two_ways())
    before = [(a.port, a.session) for a in (found.send(udp(dst=FAR, sport=n)) for n in (5, 6))]
    assert {port for port, _ in before} == {UNTRUST, DMZ}
    found.engine.set_routes([*routes(), two_ways(), Route("10.0.0.0/24", "unicast", DMZ)])
    after = [(a.port, a.session) for a in (found.send(udp(dst=FAR, sport=n)) for n in (5, 6))]
    assert after == before


@pytest.mark.parametrize(
    ("mac", "path"), [(ROUTER_MAC, 3), (OTHER_MAC, 4), (bytes(6), 4)], ids=["router", "host", "-"]
)
def test_symmetric_return(mac: bytes, path: int) -> None:
    """Answers leave by the port and to the next hop the first packet came from, whatever the
    routes say."""
    found = firewall(Ecmp(symmetric_return=True), two_ways())
    sent = found.send(udp(src="172.16.0.1"), mac=mac)
    assert sent.what == "forward"
    answer = found.send(udp(src=SERVER[4], dst="172.16.0.1", sport=53, dport=40002), UNTRUST)
    assert (answer.what, answer.port) == ("forward", TRUST)
    assert view(found).path_s2c == path


# ---- virtual routers -----------------------------------------------------------------------------


def two_routers() -> Snapshot:
    base = snapshot(ALLOW)
    trust, untrust, dmz = base.ports
    dmz = replace(dmz, virtual_router="second")
    routers = (VirtualRouter("default", 254), VirtualRouter("second", 100))
    return replace(base, ports=(trust, untrust, dmz), virtual_routers=routers)


def routed() -> Firewall:
    found = Firewall(two_routers())
    own = [replace(r, virtual_router="second" if r.port == DMZ else "") for r in routes()]
    found.engine.set_routes(
        [
            *own,
            Route("10.0.0.0/8", "unicast", UNTRUST),
            Route("10.0.0.0/8", "unicast", DMZ, "203.0.113.9", virtual_router="second"),
        ]
    )
    return found


@pytest.mark.parametrize(
    ("port", "dst", "what"),
    [
        (TRUST, FAR, UNTRUST),
        (DMZ, FAR, DMZ),
        (TRUST, "203.0.113.30", "flow_fwd_l3_noroute"),
        (DMZ, CLIENT[4], "flow_fwd_l3_noroute"),
        (DMZ, "192.0.2.1", "flow_host_service_deny"),  # the kernel's local table is everybody's
    ],
)
def test_each_router_has_its_own_table(port: str, dst: str, what: str) -> None:
    answer = routed().send(udp(src="172.16.0.1", dst=dst), port)
    assert what in (answer.what, answer.port)


def test_too_many_routers() -> None:
    found = Firewall()
    routers = tuple(VirtualRouter(str(n), n) for n in range(100))
    with pytest.raises(ValueError, match=r"number of virtual routers 100 is not within 0\.\.64"):
        found.engine.configure(replace(snapshot(), virtual_routers=routers))
    assert found.send(udp()).what == "forward"


def test_multicast_goes_to_its_zone() -> None:
    group = "239.1.2.3"
    assert Firewall().send(udp(dst=group)).what == "flow_fwd_l3_mcast_drop"
    routers = (VirtualRouter("default", 254, multicast=True),)
    found = Firewall(replace(snapshot(ALLOW), virtual_routers=routers))
    assert found.send(udp(dst=group)).what == "forward"
    assert found.session().s2c.zone == "multicast"
    assert found.send(udp(dst="224.0.0.5")).what == "flow_fwd_l3_mcast_drop"
    assert found.send(udp(6, dst="ff02::5")).what == "flow_fwd_l3_mcast_drop"
    found.engine.set_routes(routes())
    assert found.send(udp(dst=group)).what == "forward"


def test_a_tunnel_without_encapsulation() -> None:
    tunnel = Port("tunnel.1", "tunnel.1", "vpn", (), True, "default", mode="tunnel")
    base = snapshot(ALLOW)
    found = Firewall(replace(base, ports=(*base.ports, tunnel)))
    found.engine.set_routes([*routes(), Route("10.0.0.0/8", "unicast", "tunnel.1")])
    assert found.send(udp(dst=FAR)).what == "flow_tunnel_no_encap"


# ---- bridged ports -------------------------------------------------------------------------------


def bridged(mode: str) -> Snapshot:
    base = snapshot(ALLOW)
    trust, untrust, dmz = (
        replace(port, mode=mode, addresses=(), virtual_router="") for port in base.ports
    )
    ports = (replace(trust, peer=UNTRUST), replace(untrust, peer=TRUST), dmz)
    return replace(base, ports=ports)


BRIDGED = [  # mode, ingress, the port the bridge sends it by, what becomes of it
    pytest.param("virtual-wire", TRUST, UNTRUST, UNTRUST, id="the other end"),
    pytest.param("virtual-wire", DMZ, "", "flow_policy_nofwd", id="no other end"),
    pytest.param("layer2", TRUST, DMZ, DMZ, id="by the bridge's table"),
    pytest.param("layer2", TRUST, "", "flow_policy_nofwd", id="nobody knows"),
    pytest.param("tap", TRUST, "", "flow_tap_drop", id="tap"),
]


@pytest.mark.parametrize(("mode", "ingress", "egress", "what"), BRIDGED)
@pytest.mark.parametrize("family", [4, 6])
def test_bridged_ports(mode: str, ingress: str, egress: str, what: str, family: int) -> None:
    """Whatever the addresses: nothing is routed, not even what the firewall knows."""
    found = Firewall(bridged(mode))
    own = {4: "192.0.2.1", 6: "fe80::1"}
    for packet in (udp(family), udp(family, src=own[family])):
        answer = found.send(packet, ingress, egress=egress)
        assert what in (answer.what, answer.port)


def test_a_tap_is_inspected() -> None:
    found = Firewall(bridged("tap"))
    assert found.send(echo()).what == "flow_tap_drop"
    session = found.session()
    assert (session.rule, session.ingress, session.egress) == ("allow", TRUST, TRUST)
