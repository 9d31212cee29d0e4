"""The mirrored FIB: rows for every kind of route, and the kernel followed as it changes."""

import asyncio
from pathlib import Path

import pytest

from control.system import fib, mirror
from control.system.mirror import Mirror
from control.system.netlink import KernelRoute, Netlink
from dataplane.snapshot import Hop, Port, Route, VirtualRouter
from tests.support.private import cable, in_namespace, run

PORTS = {5: "ethernet1/1"}


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        pytest.param(
            KernelRoute("10.0.0.0/8", 254, 1, 3, 7, 5, "192.0.2.9"),
            Route("10.0.0.0/8", "unicast", "ethernet1/1", "192.0.2.9", 7),
            id="by a port",
        ),
        pytest.param(
            KernelRoute("10.0.0.0/8", 254, 1, 3, 0, 6, "192.0.2.9"),
            Route("10.0.0.0/8", "unicast", "", "192.0.2.9"),
            id="by the management interface",
        ),
        pytest.param(
            KernelRoute("192.0.2.0/24", 254, 1, 2, 0, 5, ""),
            Route("192.0.2.0/24", "unicast", "ethernet1/1"),
            id="connected",
        ),
        pytest.param(
            KernelRoute("192.0.2.1/32", 255, 2, 2, 0, 5, ""),
            Route("192.0.2.1/32", "local"),
            id="own address",
        ),
        pytest.param(
            KernelRoute("192.0.2.255/32", 255, 3, 2, 0, 5, ""),
            Route("192.0.2.255/32", "broadcast"),
            id="broadcast",
        ),
        pytest.param(
            KernelRoute("2001:db8::/128", 255, 4, 2, 0, 5, ""),
            Route("2001:db8::/128", "local"),
            id="anycast",
        ),
        pytest.param(
            KernelRoute("ff00::/8", 255, 5, 2, 256, 5, ""),
            Route("ff00::/8", "multicast", metric=256),
            id="multicast",
        ),
        *(
            pytest.param(
                KernelRoute("10.0.0.0/8", 254, type, 3, 0, 0, ""),
                Route("10.0.0.0/8", "discard"),
                id=f"type {type}",
            )
            for type in (6, 7, 8)
        ),
        pytest.param(KernelRoute("10.0.0.0/8", 254, 9, 3, 0, 0, ""), None, id="throw"),
        pytest.param(KernelRoute("10.0.0.0/8", 99, 1, 3, 0, 5, ""), None, id="another table"),
        pytest.param(
            KernelRoute("::/0", 254, 7, 2, 0xFFFFFFFF, 1, ""), None, id="the kernel's no route"
        ),
    ],
)
def test_kinds(route: KernelRoute, expected: Route | None) -> None:
    assert fib.mirror([route, route], PORTS) == ((expected,) if expected else ())


ROUTERS = (VirtualRouter("default", 254), VirtualRouter("second", 2001))
IN_SECOND = (
    Port("ethernet1/1", "eth1", "trust", ("192.0.2.1/24",), False, "second"),
    Port("loopback.1", "lo", "trust", ("203.0.113.1/32",), False, "second", mode="loopback"),
)


@pytest.mark.parametrize(
    ("route", "router"),
    [
        pytest.param(KernelRoute("10.0.0.0/8", 254, 1, 3, 0, 5, ""), "", id="main"),
        pytest.param(KernelRoute("10.0.0.0/8", 2001, 1, 66, 0, 5, ""), "second", id="its own"),
        pytest.param(KernelRoute("192.0.2.1/32", 255, 2, 2, 0, 5, ""), "second", id="address"),
        pytest.param(KernelRoute("203.0.113.1/32", 255, 2, 2, 0, 1, ""), "second", id="loopback"),
        pytest.param(KernelRoute("127.0.0.0/8", 255, 2, 2, 0, 1, ""), "", id="the machine's"),
        pytest.param(KernelRoute("10.0.0.0/8", 1001, 1, 66, 0, 5, ""), None, id="a path"),
        pytest.param(KernelRoute("0.0.0.0/0", 2001, 7, 66, 0xFFFFFFFF, 0, ""), None, id="the end"),
    ],
)
def test_virtual_routers(route: KernelRoute, router: str | None) -> None:
    mirrored = fib.mirror([route], PORTS, IN_SECOND, ROUTERS)
    assert [one.virtual_router for one in mirrored] == ([] if router is None else [router])


def test_order_is_fixed_and_learned_prefixes_are_named() -> None:
    routes = [
        KernelRoute("10.0.0.0/8", 254, 1, 66, 7, 5, "192.0.2.9"),
        KernelRoute("10.0.0.0/8", 254, 1, 66, 5, 5, "192.0.2.8"),
        KernelRoute("192.0.2.0/24", 254, 1, 2, 0, 5, ""),
        KernelRoute("192.0.2.1/32", 255, 2, 2, 0, 5, ""),
    ]
    assert fib.mirror(routes, PORTS) == fib.mirror(routes[::-1], PORTS)
    assert fib.learned(routes) == {"10.0.0.0/8"}


def look() -> tuple[Route, ...]:
    with Netlink() as netlink:
        ports = {link.ifindex: link.name for link in netlink.links() if link.name != "lo"}
        return fib.mirror(netlink.routes(), ports)


STEPS = [
    # command, part of the new table, part of the table before
    ("ip addr add 192.0.2.1/24 dev eth1", ["192.0.2.0/24", "192.0.2.1/32", "192.0.2.255/32"], []),
    ("ip route add 10.0.0.0/8 via 192.0.2.9", ["10.0.0.0/8"], []),
    ("ip route add blackhole 10.1.0.0/16", ["10.1.0.0/16"], []),
    ("ip route del 10.0.0.0/8", [], ["10.0.0.0/8"]),
    ("ip addr add 2001:db8::1/64 dev eth1 nodad", ["2001:db8::/64", "2001:db8::1/128"], []),
    ("ip route add 2001:db8:1::/48 via 2001:db8::9", ["2001:db8:1::/48"], []),
    ("ip route add 10.2.0.0/16 via 192.0.2.9", ["10.2.0.0/16"], []),
    # The kernel says nothing of IPv4 routes that go with their link.
    ("ip link set eth1 down", [], ["10.2.0.0/16", "192.0.2.0/24", "2001:db8:1::/48"]),
]


@in_namespace
def test_follows_the_kernel() -> None:
    cable("eth1")
    run("ip link set eth1 up")
    asyncio.run(_follow())


async def _follow() -> None:
    seen: asyncio.Queue[tuple[Route, ...]] = asyncio.Queue()
    follower = Mirror(mirror.LINKS | mirror.ADDRESSES | mirror.ROUTES, look, seen.put)
    task = asyncio.create_task(follower.run())
    await follower.ready()
    for command, appear, vanish in STEPS:
        run(command)
        async with asyncio.timeout(10):
            while True:
                prefixes = {route.prefix for route in await seen.get()}
                if prefixes.issuperset(appear) and prefixes.isdisjoint(vanish):
                    break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def several(prefix: str, *hops: Hop, metric: int = 0) -> Route:
    return Route(prefix, "unicast", hops[0].port, hops[0].nexthop, metric, hops=hops)


@in_namespace
def test_routes_as_the_kernel_has_them() -> None:
    cable("eth1", "eth2")
    run(
        """
        ip link set eth1 up; ip link set eth2 up
        ip addr add 192.0.2.1/24 dev eth1; ip addr add 198.51.100.1/24 dev eth2
        ip addr add 2001:db8::1/64 dev eth1 nodad
        ip route add 10.1.0.0/16 nexthop via 192.0.2.9 weight 3 nexthop via 198.51.100.9
        ip route add 10.2.0.0/16 via inet6 fe80::9 dev eth1 metric 3
        ip nexthop add id 1 via 192.0.2.8 dev eth1; ip route add 10.3.0.0/16 nhid 1
        ip -6 route add unreachable 2001:db8:1::/48
        ip -6 route add 2001:db8:2::/48 nexthop via 2001:db8::8 nexthop via 2001:db8::9
        ip route add prohibit default
        ip route add 10.4.0.0/16 dev eth2 table 77
        """
    )
    routes = look()
    for expected in (
        several("10.1.0.0/16", Hop("eth1", "192.0.2.9", 3), Hop("eth2", "198.51.100.9")),
        Route("10.2.0.0/16", "unicast", "eth1", "fe80::9", 3),
        Route("10.3.0.0/16", "unicast", "eth1", "192.0.2.8"),
        Route("2001:db8:1::/48", "discard", metric=1024),
        several(
            "2001:db8:2::/48", Hop("eth1", "2001:db8::8"), Hop("eth1", "2001:db8::9"), metric=1024
        ),
        Route("0.0.0.0/0", "discard"),
        Route("198.51.100.0/24", "unicast", "eth2"),
        Route("127.0.0.0/8", "local"),
        Route("2001:db8::1/128", "local"),
    ):
        assert expected in routes, expected
    assert not any(route.prefix == "10.4.0.0/16" for route in routes)


@in_namespace
def test_a_flood_of_changes_is_not_lost() -> None:
    """More notifications than the socket holds: the last state counts all the same."""
    cable("eth1")
    run("ip link set eth1 up; ip addr add 192.0.2.1/24 dev eth1")
    asyncio.run(_flood())


async def _flood() -> None:
    seen: asyncio.Queue[tuple[Route, ...]] = asyncio.Queue()
    follower = Mirror(mirror.ROUTES, look, seen.put)
    task = asyncio.create_task(follower.run())
    await follower.ready()
    batch = "".join(f"route add 10.{n // 250}.{n % 250}.0/24 via 192.0.2.9\n" for n in range(5000))
    Path("/run/batch").write_text(batch)
    run("ip -batch /run/batch")  # blocks this loop, so that nobody reads
    async with asyncio.timeout(30):
        while sum(route.prefix.startswith("10.") for route in await seen.get()) != 5000:
            pass
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
