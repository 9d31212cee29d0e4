"""Static routes: what is planned, and what the kernel's table has afterwards."""

import pytest

from control.system import routes
from control.system.netlink import KernelRoute, Link, Netlink
from control.system.routes import StaticRoute
from tests.support.private import cable, in_namespace, run

LINKS = [Link(1, "lo", "", True, True, 65536), Link(5, "eth1", "", True, True, 1500)]

VIA = StaticRoute("10.0.0.0/8", "192.0.2.9", "eth1", 10, False)
OPEN = StaticRoute("10.0.0.0/8", "192.0.2.9", "", 10, False)
ON_LINK = StaticRoute("10.0.0.0/8", "", "eth1", 10, False)
DISCARD = StaticRoute("10.0.0.0/8", "", "", 10, True)


def kernel(
    *, table: int = 254, type: int = 1, protocol: int = 66, ifindex: int = 5, gateway: str = ""
) -> KernelRoute:
    return KernelRoute("10.0.0.0/8", table, type, protocol, 10, ifindex, gateway)


@pytest.mark.parametrize(
    ("wanted", "there", "deleted", "added"),
    [
        pytest.param([], [], 0, 0, id="nothing"),
        pytest.param([VIA], [], 0, 1, id="new"),
        pytest.param([VIA], [kernel(gateway="192.0.2.9")], 0, 0, id="there"),
        pytest.param([OPEN], [kernel(gateway="192.0.2.9")], 0, 0, id="there, link open"),
        pytest.param([VIA], [kernel(gateway="192.0.2.8")], 1, 1, id="another next hop"),
        pytest.param([VIA], [kernel(gateway="192.0.2.9", ifindex=7)], 1, 1, id="another link"),
        pytest.param([ON_LINK], [kernel()], 0, 0, id="on link, there"),
        pytest.param([DISCARD], [kernel(type=6, ifindex=0)], 0, 0, id="discard, there"),
        pytest.param([DISCARD], [kernel(type=6, ifindex=1)], 0, 0, id="discard as IPv6 has it"),
        pytest.param([DISCARD], [kernel()], 1, 1, id="becomes discard"),
        pytest.param([], [kernel()], 1, 0, id="gone"),
        pytest.param([], [kernel(protocol=3)], 0, 0, id="somebody else's"),
        pytest.param([], [kernel(table=2001)], 1, 0, id="of a virtual router that is gone"),
        pytest.param([], [kernel(table=2001, protocol=3)], 0, 0, id="somebody else's there"),
    ],
)
def test_plan(
    wanted: list[StaticRoute], there: list[KernelRoute], deleted: int, added: int
) -> None:
    plan = routes.plan(wanted, LINKS, there)
    assert (len(plan.delete), len(plan.add), plan.refused) == (deleted, added, [])
    assert plan.is_empty == (deleted + added == 0)


def reconcile(*wanted: StaticRoute) -> list[str]:
    with Netlink() as netlink:
        plan = routes.plan(wanted, netlink.links(), netlink.routes())
        return routes.carry_out(netlink, plan)


def shown() -> list[str]:
    both = run("ip route show proto 66; ip -6 route show proto 66")
    return sorted(" ".join(line.split()).removesuffix(" pref medium") for line in both.splitlines())


def connected() -> None:
    cable("eth1")
    run("ip link set eth1 up; ip addr add 192.0.2.1/24 dev eth1")
    run("ip addr add 2001:db8::1/64 dev eth1 nodad")


@in_namespace
def test_add_change_remove() -> None:
    connected()
    first = [
        StaticRoute("10.1.0.0/16", "192.0.2.9", "eth1", 10, False),
        StaticRoute("10.2.0.0/16", "192.0.2.9", "", 20, False),
        StaticRoute("10.3.0.0/16", "", "eth1", 10, False),
        StaticRoute("10.4.0.0/16", "", "", 10, True),
        StaticRoute("0.0.0.0/0", "192.0.2.254", "eth1", 10, False),
        StaticRoute("0.0.0.0/0", "192.0.2.253", "eth1", 20, False),
        StaticRoute("2001:db8:1::/48", "2001:db8::9", "", 10, False),
        StaticRoute("2001:db8:2::/48", "", "", 7, True),
        StaticRoute("::/0", "2001:db8::9", "eth1", 10, False),
    ]
    assert reconcile(*first) == []
    assert shown() == sorted(
        [
            "10.1.0.0/16 via 192.0.2.9 dev eth1 metric 10",
            "10.2.0.0/16 via 192.0.2.9 dev eth1 metric 20",
            "10.3.0.0/16 dev eth1 scope link metric 10",
            "2001:db8:1::/48 via 2001:db8::9 dev eth1 metric 10",
            "blackhole 10.4.0.0/16 metric 10",
            "blackhole 2001:db8:2::/48 dev lo metric 7",
            "default via 192.0.2.253 dev eth1 metric 20",
            "default via 192.0.2.254 dev eth1 metric 10",
            "default via 2001:db8::9 dev eth1 metric 10",
        ]
    ), shown()
    with Netlink() as netlink:
        assert routes.plan(first, netlink.links(), netlink.routes()).is_empty
    moved = first[0]._replace(nexthop="192.0.2.8")
    assert reconcile(moved, first[8]._replace(metric=5)) == []
    assert shown() == [
        "10.1.0.0/16 via 192.0.2.8 dev eth1 metric 10",
        "default via 2001:db8::9 dev eth1 metric 5",
    ]
    assert reconcile() == []
    assert shown() == []


@in_namespace
def test_routes_of_others_stay() -> None:
    connected()
    run("ip route add 10.1.0.0/16 via 192.0.2.7 metric 10; ip route add 10.5.0.0/16 dev eth1")
    before = run("ip route; ip -6 route")
    assert reconcile(StaticRoute("10.1.0.0/16", "192.0.2.9", "eth1", 10, False)) == [
        "static route 10.1.0.0/16: somebody else's route has metric 10 already"
    ]
    assert reconcile(VIA) == []
    assert reconcile() == []
    assert run("ip route; ip -6 route") == before


@pytest.mark.parametrize(
    ("nexthop", "interface", "reason"),
    [
        ("198.51.100.1", "", "next hop 198.51.100.1 is on no connected network"),
        ("198.51.100.1", "eth1", "next hop 198.51.100.1 is on no connected network"),
        ("192.0.2.9", "eth7", "there is no interface eth7"),
        ("", "eth2", "its interface is down"),
    ],
)
@in_namespace
def test_refused(nexthop: str, interface: str, reason: str) -> None:
    connected()
    cable("eth2")
    lines = reconcile(StaticRoute("10.0.0.0/8", nexthop, interface, 10, False))
    assert lines == [f"static route 10.0.0.0/8: {reason}"]
    lines = reconcile(VIA, StaticRoute("10.1.0.0/16", nexthop, interface, 10, False))
    assert lines == [f"static route 10.1.0.0/16: {reason}"]
    assert len(shown()) == 1
