"""The tables of a configuration: row by row, and against those a kernel has for it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from control.config.compile import compile_snapshot
from control.config.load import StaticRoute, load_config, static_routes
from control.config.routes import Tables, kernel_tables
from control.system import fib, links, routes, sysctls, tables
from control.system.netlink import Netlink
from control.system.remembered import Remembered
from dataplane.snapshot import Hop, Port, Route, Snapshot, VirtualRouter
from tests.support.private import ROOT, cable, in_namespace

P1, P2 = "ethernet1/1", "ethernet1/2"


def port(name: str, *addresses: str, ipv6: bool = False) -> Port:
    return Port(name, "eth9", "zone", addresses, ipv6, "default")


def static(
    prefix: str, nexthop: str | None = None, by: str | None = None, metric: int = 10
) -> StaticRoute:
    discard = nexthop is None and by is None
    return StaticRoute(prefix, nexthop, by, metric, discard)


LINK_LOCAL = [
    Route("fe80::/64", "unicast", P1, metric=256),
    Route("ff00::/8", "multicast", metric=256),
]
CONNECTED = [
    pytest.param(
        port(P1, "192.0.2.1/24"),
        [
            Route("192.0.2.1/32", "local"),
            Route("192.0.2.0/24", "unicast", P1),
            Route("192.0.2.255/32", "broadcast"),
        ],
        id="IPv4",
    ),
    pytest.param(
        port(P1, "192.0.2.1/24", "192.0.2.2/24"),
        [
            Route("192.0.2.1/32", "local"),
            Route("192.0.2.0/24", "unicast", P1),
            Route("192.0.2.255/32", "broadcast"),
            Route("192.0.2.2/32", "local"),
        ],
        id="two addresses of a network",
    ),
    pytest.param(
        port(P1, "192.0.2.1/31"),
        [Route("192.0.2.1/32", "local"), Route("192.0.2.0/31", "unicast", P1)],
        id="a link of two",
    ),
    pytest.param(port(P1, "192.0.2.1/32"), [Route("192.0.2.1/32", "local")], id="alone"),
    pytest.param(
        port(P1, "2001:db8::1/64", ipv6=True),
        [
            Route("2001:db8::1/128", "local"),
            Route("2001:db8::/64", "unicast", P1, metric=256),
            Route("2001:db8::/128", "local"),
            *LINK_LOCAL,
        ],
        id="IPv6",
    ),
    pytest.param(
        port(P1, "2001:db8::1/127", ipv6=True),
        [
            Route("2001:db8::1/128", "local"),
            Route("2001:db8::/127", "unicast", P1, metric=256),
            *LINK_LOCAL,
        ],
        id="an IPv6 link of two",
    ),
    pytest.param(port(P1), [], id="no address"),
]


@pytest.mark.parametrize(("one", "expected"), CONNECTED)
def test_what_follows_from_addresses(one: Port, expected: list[Route]) -> None:
    assert kernel_tables([one], []) == Tables(tuple(expected), [])


PORTS = (
    port(P1, "192.0.2.1/24", "2001:db8:1::1/64", ipv6=True),
    port(P2, "198.51.100.1/25", "198.51.100.1/24"),
)
STATIC = [
    pytest.param(static("10.0.0.0/8"), Route("10.0.0.0/8", "discard", metric=10), id="discard"),
    pytest.param(
        static("10.0.0.0/8", "192.0.2.9", metric=7),
        Route("10.0.0.0/8", "unicast", P1, "192.0.2.9", 7),
        id="the port is found",
    ),
    pytest.param(
        static("0.0.0.0/0", "198.51.100.9", P2),
        Route("0.0.0.0/0", "unicast", P2, "198.51.100.9", 10),
        id="the port is named",
    ),
    pytest.param(
        static("10.0.0.0/8", None, P2), Route("10.0.0.0/8", "unicast", P2, "", 10), id="on link"
    ),
    pytest.param(
        static("::/0", "fe80::9", P1), Route("::/0", "unicast", P1, "fe80::9", 10), id="link-local"
    ),
    pytest.param(
        static("10.0.0.0/8", "192.0.2.9", P2),
        "static route 10.0.0.0/8: next hop 192.0.2.9 is on no connected network",
        id="next hop elsewhere",
    ),
    pytest.param(
        static("10.0.0.0/8", None, "tunnel.1"),
        "static route 10.0.0.0/8: there is no interface tunnel.1",
        id="no such port",
    ),
    pytest.param(
        static("2001:db8:9::/48", None, P2),
        "static route 2001:db8:9::/48: IPv6 is not enabled on ethernet1/2",
        id="no IPv6",
    ),
]


@pytest.mark.parametrize(("route", "expected"), STATIC)
def test_static_routes(route: StaticRoute, expected: Route | str) -> None:
    before = kernel_tables(PORTS, []).routes
    found = kernel_tables(PORTS, [route])
    if isinstance(expected, str):
        assert found == Tables(before, [expected])
    else:
        assert found == Tables((*before, expected), [])


def test_a_next_hop_behind_a_static_route() -> None:
    """It is on the link if another route says so; the longest prefix knows best."""
    behind = static("10.0.0.0/8", "172.16.0.9")
    on_link = [static("172.16.0.0/12", None, P1), static("172.16.0.0/24", None, P2)]
    found = kernel_tables(PORTS, [behind, *on_link])
    assert Route("10.0.0.0/8", "unicast", P2, "172.16.0.9", 10) in found.routes
    assert found.refused == []


ONE, TWO = VirtualRouter("one", 254), VirtualRouter("two", 2001)


def test_every_router_has_a_table() -> None:
    """What belongs to the second is in its table, what belongs to none in the first's."""
    ports = [
        replace(port(P1, "192.0.2.1/24"), virtual_router="one"),
        replace(port(P2, "198.51.100.1/32"), virtual_router="two"),
        replace(port("ethernet1/3", "203.0.113.1/32"), virtual_router=""),
    ]
    there = static("0.0.0.0/0", "192.0.2.9")
    nowhere = replace(there, virtual_router="two")
    assert kernel_tables(ports, [there, nowhere], (ONE, TWO)) == Tables(
        (
            Route("192.0.2.1/32", "local"),
            Route("192.0.2.0/24", "unicast", P1),
            Route("192.0.2.255/32", "broadcast"),
            Route("203.0.113.1/32", "local"),
            Route("0.0.0.0/0", "unicast", P1, "192.0.2.9", 10),
            Route("198.51.100.1/32", "local", virtual_router="two"),
        ),
        ["static route 0.0.0.0/0: next hop 192.0.2.9 is on no connected network"],
    )


def test_routes_of_equal_cost_are_one() -> None:
    first = static("0.0.0.0/0", "192.0.2.9")
    second = replace(static("0.0.0.0/0", "198.51.100.9"), weight=7)
    other = static("0.0.0.0/0", "192.0.2.8", metric=20)
    assert kernel_tables(PORTS, [first, other, second]).routes[-2:] == (
        Route(
            "0.0.0.0/0",
            "unicast",
            P1,
            "192.0.2.9",
            10,
            hops=(Hop(P1, "192.0.2.9"), Hop(P2, "198.51.100.9", 7)),
        ),
        Route("0.0.0.0/0", "unicast", P1, "192.0.2.8", 20),
    )


def test_a_loopback_is_on_no_link() -> None:
    loopback = replace(port("loopback.1", "10.9.9.9/32", ipv6=True), mode="loopback")
    assert kernel_tables([loopback], []).routes == (Route("10.9.9.9/32", "local"),)


# ---- beside a kernel -----------------------------------------------------------------------------

_PORT_LINES = """
ethernet1/1 layer3 ip [ 192.0.2.1/24 192.0.2.9/24 192.0.2.130/25 ]
ethernet1/1 layer3 ipv6 enabled yes address [ 2001:db8:1::1/64 fe80::1/64 ]
ethernet1/2 layer3 ip [ 198.51.100.0/31 203.0.113.1/32 ]
ethernet1/2 layer3 ipv6 enabled yes address [ 2001:db8:2::1/127 2001:db8:3::1/128 ]
ethernet1/3 layer3 ip 10.9.0.1/16
ethernet1/4 layer3 ip 10.10.0.1/16
ethernet1/4 link-state down
ethernet1/5 layer3 ipv6 enabled yes
"""
_ROUTE_LINES = """
ip static-route a destination 0.0.0.0/0 nexthop ip-address 198.51.100.1
ip static-route b destination 0.0.0.0/0 nexthop ip-address 192.0.2.5
ip static-route b metric 20
ip static-route c destination 10.0.0.0/8 nexthop discard
ip static-route d destination 172.16.0.0/12 interface ethernet1/3
ip static-route d nexthop ip-address 10.9.0.7
ip static-route e destination 10.12.0.0/16 nexthop ip-address 192.0.2.200
ip static-route f destination 10.13.0.0/16 interface ethernet1/3
ip static-route f nexthop ip-address 192.0.2.8
ip static-route g destination 10.14.0.0/16 interface ethernet1/4
ip static-route h destination 10.15.0.0/16 interface ethernet1/3
ipv6 static-route i destination ::/0 interface ethernet1/1
ipv6 static-route i nexthop ipv6-address fe80::7
ipv6 static-route j destination 2001:db8::/32 nexthop discard
ipv6 static-route k destination 2001:db8:7::/48 nexthop ipv6-address 2001:db8:1::7
ipv6 static-route l destination 2001:db8:8::/48 interface ethernet1/5
"""
ODD = "".join(
    f"set network {where} {line}\n"
    for where, lines in (
        ("interface ethernet", _PORT_LINES),
        ("virtual-router r routing-table", _ROUTE_LINES),
    )
    for line in lines.split("\n")
    if line
)
ODD += "set network virtual-router r interface [ " + " ".join(
    f"ethernet1/{number}" for number in range(1, 6)
)
ROUTERS = """
set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24 ipv6 enabled yes
set network interface ethernet ethernet1/2 layer3 ip 198.51.100.1/24
set network interface ethernet ethernet1/3 layer3 ip 10.3.0.1/24
set network interface ethernet ethernet1/3 layer3 ipv6 enabled yes address 2001:db8:3::1/64
set network interface ethernet ethernet1/4 layer3 ip 10.4.0.1/24
set network interface loopback units loopback.1 ip 10.255.0.1/32
set network interface loopback units loopback.2 ip 10.255.0.2/32
set network virtual-router a interface [ ethernet1/1 ethernet1/2 loopback.1 ]
set network virtual-router a ecmp enable yes
set network virtual-router a routing-table ip static-route r destination 0.0.0.0/0
set network virtual-router a routing-table ip static-route r nexthop ip-address 192.0.2.9
set network virtual-router a routing-table ip static-route s destination 0.0.0.0/0
set network virtual-router a routing-table ip static-route s nexthop ip-address 198.51.100.9
set network virtual-router b interface [ ethernet1/3 ethernet1/4 loopback.2 ]
set network virtual-router b ecmp enable yes algorithm weighted-round-robin
set network virtual-router b ecmp algorithm weighted-round-robin interface ethernet1/3 weight 7
set network virtual-router b routing-table ip static-route r destination 0.0.0.0/0
set network virtual-router b routing-table ip static-route r nexthop ip-address 10.4.0.9
set network virtual-router b routing-table ip static-route s destination 0.0.0.0/0
set network virtual-router b routing-table ip static-route s nexthop ip-address 10.3.0.9
set network virtual-router b routing-table ip static-route t destination 10.99.0.0/16
set network virtual-router b routing-table ip static-route t nexthop discard
"""
CONFIGURATIONS = {
    "routers": ROUTERS,
    "odd": ODD + " ]\n",
    "branch office": (ROOT / "docs/examples/branch-office.set").read_text(),
    "lab": (ROOT / "vm/lab.set").read_text(),
}


def configured(text: str) -> tuple[Snapshot, tuple[StaticRoute, ...]]:
    loaded = load_config(text.encode(), "test")
    assert loaded.errors == ()
    return compile_snapshot(loaded.tree, {}), static_routes(loaded.tree)


def in_kernel(snapshot: Snapshot, wanted: tuple[StaticRoute, ...]) -> tuple[set[Route], list[str]]:
    """The tables of this machine when the configuration was brought into them.

    Without what follows from addresses nobody configured: the kernel makes link-local ones by
    itself, for ports without IPv6 as well.
    """
    interfaces = {one.name: one.interface for one in snapshot.ports}
    planned = [
        routes.StaticRoute(
            route.prefix,
            route.nexthop or "",
            interfaces[route.interface] if route.interface else "",
            route.metric,
            route.discard,
            route.virtual_router,
            route.weight,
        )
        for route in wanted
    ]
    cable(*(name for name in interfaces.values() if name != "lo"))
    sysctls.apply(snapshot.ports, Remembered(Path("/run/sysctls"), dict[str, str], {}))
    sysctls.set_forwarding(True)
    with Netlink() as netlink:
        own = tables.of_routers(snapshot.virtual_routers)
        unrouted = {one.name for one in snapshot.ports if one.virtual_router in own}
        links.configure(netlink, snapshot.ports, unrouted)
        links.configure_loopback(
            netlink, snapshot.ports, Remembered(Path("/run/loopback"), list[str], [])
        )
        present = netlink.links()
        plan = routes.plan(
            planned,
            present,
            netlink.routes(),
            ports=snapshot.ports,
            routers=snapshot.virtual_routers,
            others=[*routes.connected(snapshot.ports, own, present)],
        )
        refused = routes.carry_out(netlink, plan)
        ports = links.indices(snapshot.ports, netlink.links())
        foreign = {
            str(address.interface.ip)
            for address in netlink.addresses()
            if str(address.interface) not in {text for p in snapshot.ports for text in p.addresses}
        }
        found = fib.mirror(netlink.routes(), ports, snapshot.ports, snapshot.virtual_routers)
    return {
        route
        for route in found
        if not route.prefix.startswith(("127.", "fe80::/"))
        and route.prefix.partition("/")[0] not in foreign
    }, refused


@pytest.mark.parametrize("name", CONFIGURATIONS)
@in_namespace
def test_the_kernel_has_the_same(name: str) -> None:
    snapshot, wanted = configured(CONFIGURATIONS[name])
    found = kernel_tables(snapshot.ports, wanted, snapshot.virtual_routers)
    there, refused = in_kernel(snapshot, wanted)
    ours = {route for route in found.routes if not route.prefix.startswith("fe80::/")}
    assert ours - there == set(), ours - there
    assert there - ours == set(), there - ours
    assert found.refused == refused, refused
