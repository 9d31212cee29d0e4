"""Virtual routers and paths: which are needed, how they are numbered, and where packets go then.

                    +--- eth2 10.0.2.1 --- 10.0.2.2 first --+
client --- eth1 ----+                                       +--- 10.9.0.1, everybody's
     10.0.1.2       +--- eth3 10.0.3.1 --- 10.0.3.2 second -+
"""

import threading
from pathlib import Path as FilePath

import netfilterqueue
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from control.system import paths
from control.system.kernel import Kernel
from control.system.paths import HIGHEST, Numbers, Pair
from control.system.remembered import Remembered
from control.system.routes import StaticRoute
from dataplane import marks
from dataplane.snapshot import (
    Ecmp,
    Hop,
    Path,
    PbfRule,
    Port,
    Route,
    SecurityRule,
    Snapshot,
    VirtualRouter,
)
from tests.support.private import in_namespace, run
from vm.waiting import wait_until

RUN = FilePath("/run")
RULE = SecurityRule("default", "deny")
FIRST = VirtualRouter("default", 254)


def port(number: int, router: str = "default", zone: str = "zone") -> Port:
    addresses = (f"10.0.{number}.1/24", f"2001:db8:{number}::1/64")
    return Port(f"ethernet1/{number}", f"eth{number}", zone, addresses, True, router)


def snapshot(*ports: Port, pbf: tuple[PbfRule, ...] = (), **fields: object) -> Snapshot:
    routers = fields.get("routers", (FIRST,))
    assert isinstance(routers, tuple)
    return Snapshot(ports, (), RULE, RULE, {}, virtual_routers=routers, pbf_rules=pbf)


PORTS = (port(1, zone="inside"), port(2), port(3))
GATEWAYS = (
    Route("0.0.0.0/0", "unicast", "ethernet1/2", "10.0.2.2"),
    Route("10.0.2.0/24", "unicast", "ethernet1/2"),
)


def several(*hops: Hop) -> Route:
    return Route("10.9.0.0/16", "unicast", hops[0].port, hops[0].nexthop, hops=hops)


@pytest.mark.parametrize(
    ("pbf", "ecmp", "routes", "expected"),
    [
        pytest.param((), None, GATEWAYS, [], id="ordinary routes need none"),
        pytest.param(
            (
                PbfRule("a", "forward", egress="ethernet1/3", nexthop="10.0.3.2"),
                PbfRule("b", "forward", egress="ethernet1/3"),
                PbfRule("c", "discard"),
                PbfRule("d", "forward", egress="ethernet1/9", nexthop="10.0.9.2"),
            ),
            None,
            GATEWAYS,
            [("ethernet1/3", "10.0.3.2"), ("ethernet1/3", "")],
            id="policy-based forwarding",
        ),
        pytest.param(
            (
                PbfRule(
                    "a",
                    "no-pbf",
                    from_zones=("zone",),
                    symmetric_return=True,
                    return_nexthops=("10.0.3.7",),
                ),
            ),
            None,
            GATEWAYS,
            [
                ("ethernet1/2", ""),
                ("ethernet1/2", "10.0.2.2"),
                ("ethernet1/3", ""),
                ("ethernet1/3", "10.0.3.7"),
            ],
            id="symmetric return",
        ),
        pytest.param(
            (
                PbfRule("a", "no-pbf", from_ports=("ethernet1/3",), symmetric_return=True),
                PbfRule("b", "forward", egress="ethernet1/3", nexthop="10.0.3.2"),
            ),
            None,
            (),
            [("ethernet1/3", "10.0.3.2"), ("ethernet1/3", "")],
            id="symmetric return to a next hop of another rule",
        ),
        pytest.param(
            (),
            None,
            (several(Hop("ethernet1/2", "10.0.2.2"), Hop("", "192.0.2.1"), Hop("ethernet1/3")),),
            [("ethernet1/2", "10.0.2.2"), ("ethernet1/3", "")],
            id="several next hops",
        ),
        pytest.param(
            (),
            Ecmp(symmetric_return=True),
            GATEWAYS,
            [
                ("ethernet1/1", ""),
                ("ethernet1/2", ""),
                ("ethernet1/2", "10.0.2.2"),
                ("ethernet1/3", ""),
            ],
            id="ECMP with symmetric return",
        ),
    ],
)
def test_what_is_needed(
    pbf: tuple[PbfRule, ...], ecmp: Ecmp | None, routes: tuple[Route, ...], expected: list[Pair]
) -> None:
    config = snapshot(*PORTS, pbf=pbf, routers=(replace(FIRST, ecmp=ecmp),))
    assert paths.wanted(config, routes) == expected


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([p.name for p in PORTS]), st.text("ab", max_size=8)))
    )
)
def test_a_number_keeps_its_meaning(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Pair]]
) -> None:
    file = tmp_path_factory.mktemp("paths") / "paths.json"
    given_out: dict[int, Pair] = {}
    for pairs in rounds:
        numbers = Numbers(Remembered(file, list[Pair], []))  # a successor each time
        left = numbers.give(dict.fromkeys(pairs))
        found = {path.number: (path.port, path.nexthop) for path in numbers.paths(PORTS)}
        assert given_out.items() <= found.items()
        assert {*pairs} - {*left} <= {*found.values()}
        assert len(set(found.values())) == len(found)
        assert all(0 < number <= HIGHEST for number in found)
        given_out = found


def test_there_is_an_end_of_numbers(tmp_path: FilePath) -> None:
    numbers = Numbers(Remembered(tmp_path / "paths.json", list[Pair], []))
    pairs = [("ethernet1/1", f"10.0.{n // 256}.{n % 256}") for n in range(300)]
    assert numbers.give(pairs) == pairs[HIGHEST:]
    assert numbers.give(pairs[:HIGHEST]) == []
    assert [path.number for path in numbers.paths(PORTS)] == [*range(1, 256)]
    assert numbers.paths(PORTS[1:]) == ()
    # what is needed no more makes room
    needed = [*pairs[:200], *pairs[HIGHEST:]]
    assert numbers.give(needed) == []
    found = {path.number: path.nexthop for path in numbers.paths(PORTS)}
    assert [found[number] for number in range(1, 201)] == [nexthop for _, nexthop in pairs[:200]]
    assert {*found.values()} >= {nexthop for _, nexthop in needed}


# ---- in the kernel -------------------------------------------------------------------------------


def lab() -> None:
    run("""
        mkdir /run/netns; sysctl -qw net.ipv6.conf.default.accept_dad=0
        sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    """)
    for number, name in enumerate(("client", "first", "second"), start=1):
        run(f"""
            ip netns add {name}
            ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0
            ip link add eth{number} type veth peer eth0 netns {name}
            ip link set eth{number} up
            ip -n {name} link set eth0 up; ip -n {name} link set lo up
            ip -n {name} addr add 10.0.{number}.2/24 dev eth0
            ip -n {name} addr add 2001:db8:{number}::2/64 dev eth0
            ip -n {name} addr add 10.9.0.1/32 dev lo; ip -n {name} addr add 2001:db8:9::1/128 dev lo
            ip -n {name} route add default via 10.0.{number}.1
            ip -n {name} route add default via 2001:db8:{number}::1
        """)


def way(target: str, **selected: object) -> str:
    """Where the kernel would route a packet from the client."""
    source = "2001:db8:1::2" if ":" in target else "10.0.1.2"
    words = [f"{name} {value}" for name, value in ({"iif": "eth1"} | selected).items()]
    shown = run(f"ip route get {target} from {source} {' '.join(words)} 2>&1 || true")
    return " ".join(shown.split("\n")[0].split())


def routes(*prefixes: tuple[str, int], router: str = "") -> tuple[StaticRoute, ...]:
    """Of each prefix a static route by the port of that number."""
    return tuple(
        StaticRoute(
            prefix,
            f"2001:db8:{number}::2" if ":" in prefix else f"10.0.{number}.2",
            f"eth{number}",
            10,
            False,
            router,
        )
        for prefix, number in prefixes
    )


@in_namespace
def test_a_neighbour_that_is_known_is_not_asked_for() -> None:
    lab()
    kernel = Kernel(7, RUN)
    kernel.configure(snapshot(*PORTS), ())
    run("ip neigh replace 10.0.3.77 lladdr 02:00:00:00:00:77 dev eth3 nud permanent")
    kernel.resolve([("ethernet1/3", "10.0.3.77"), ("ethernet1/3", "10.0.3.78")])
    shown = run("ip neigh show dev eth3")
    assert "10.0.3.77 lladdr 02:00:00:00:00:77 PERMANENT" in shown
    assert "10.0.3.78" in shown
    assert kernel.close() == []


@in_namespace
def test_a_path_goes_before_the_routes() -> None:
    lab()
    rules = (
        PbfRule("a", "forward", egress="ethernet1/3", nexthop="10.0.3.2"),
        PbfRule("b", "forward", egress="ethernet1/3", nexthop="2001:db8:3::2"),
        PbfRule("c", "forward", egress="ethernet1/3"),
    )
    kernel = Kernel(7, RUN)
    kernel.configure(snapshot(*PORTS, pbf=rules), routes(("10.9.0.0/16", 2), ("::/0", 2)))
    state = kernel.look()
    assert state.refused == [], state.refused
    assert state.paths == (
        Path(1, "ethernet1/3", "10.0.3.2"),
        Path(2, "ethernet1/3", "2001:db8:3::2"),
        Path(3, "ethernet1/3", ""),
    )
    assert "via 10.0.2.2 dev eth2" in way("10.9.0.1"), way("10.9.0.1")
    class_and_zone = 0xABCD0E00
    for mark in (1, class_and_zone | 1):
        assert "via 10.0.3.2 dev eth3 table 1001" in way("10.9.0.1", mark=mark)
    assert "via 2001:db8:3::2 dev eth3 table 1002" in way("2001:db8:9::1", mark=2)
    assert "unreachable" in way("10.9.0.1", mark=2) or "No route" in way("10.9.0.1", mark=2)
    assert way("10.9.0.1", mark=3).startswith("10.9.0.1 from 10.0.1.2 dev eth3 table 1003")
    assert "via 10.0.2.2 dev eth2" in way("10.9.0.1", mark=class_and_zone)
    run("ip link set eth3 down")
    kernel.look()
    assert "eth" not in way("10.9.0.1", mark=1).partition(" from ")[0]
    assert "via" not in way("10.9.0.1", mark=1)  # not by another either
    run("ip link set eth3 up")
    kernel.look()
    assert "via 10.0.3.2 dev eth3 table 1001" in way("10.9.0.1", mark=1)
    before = run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
    successor = Kernel(7, RUN)
    successor.configure(snapshot(*PORTS, pbf=rules[1:]), routes(("10.9.0.0/16", 2), ("::/0", 2)))
    assert successor.look().paths == state.paths  # sessions may have them
    after = run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
    assert after == before
    assert successor.close() == []
    assert "proto 66" not in run("ip rule; ip -6 rule; ip route show table all")
    assert list(RUN.glob("*.json")) == []


SECOND = VirtualRouter("second", 2001)
APART = (port(1, "second"), port(2), port(3, "second"))


@in_namespace
def test_virtual_routers_are_apart() -> None:
    lab()
    kernel = Kernel(7, RUN)
    config = snapshot(*APART, routers=(FIRST, SECOND))
    static = (
        *routes(("10.9.0.0/16", 2), ("2001:db8:9::/64", 2)),
        *routes(("10.9.0.0/16", 3), ("2001:db8:9::/64", 3), router="second"),
        StaticRoute("10.8.0.0/16", "10.0.3.2", "", 10, False, "second"),
    )
    kernel.configure(config, static)
    state = kernel.look()
    assert state.refused == [], state.refused
    second = {(one.prefix, one.kind) for one in state.fib if one.virtual_router == "second"}
    assert second >= {
        ("10.9.0.0/16", "unicast"),
        ("10.8.0.0/16", "unicast"),
        ("10.0.1.0/24", "unicast"),
        ("10.0.1.1/32", "local"),
        ("2001:db8:3::/64", "unicast"),
        ("2001:db8:3::1/128", "local"),
    }
    first = {(one.prefix, one.kind) for one in state.fib if not one.virtual_router}
    assert ("10.0.1.0/24", "unicast") not in first
    assert ("10.0.2.0/24", "unicast") in first
    assert "via 10.0.3.2 dev eth3 table 2001" in way("10.9.0.1"), way("10.9.0.1")
    assert "via 2001:db8:3::2 dev eth3 table 2001" in way("2001:db8:9::1")
    assert "via 10.0.2.2 dev eth2" in run("ip route get 10.9.0.1")
    for target in ("10.0.2.2", "2001:db8:2::2", "8.8.8.8"):  # the first one's networks
        assert "dev eth" not in way(target).partition(" from ")[2].partition("iif")[0]
        assert "via" not in way(target)
    assert "dev eth3" in run("ip route get 10.9.0.1 oif eth3")
    assert "dev eth3" in run("ip route get 10.9.0.1 from 10.0.3.1")
    before = run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip a")
    kernel.look()
    successor = Kernel(7, RUN)
    successor.configure(config, static)
    successor.look()
    after = run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip a")
    assert after == before
    successor.configure(snapshot(*PORTS), routes(("10.9.0.0/16", 2)))
    successor.look()
    assert "2001 " not in run("ip rule; ip -6 rule; ip route show table all")
    assert "dev eth1 proto kernel" in run("ip route show 10.0.1.0/24")


@in_namespace
def test_the_kernels_errors_find_the_virtual_router() -> None:
    lab()
    kernel = Kernel(7, RUN)
    static = routes(("10.9.0.0/16", 3), router="second")
    kernel.configure(snapshot(*APART, routers=(FIRST, SECOND)), static)
    kernel.look()
    run("ip link set eth3 mtu 1300; ip route flush cache")
    kernel.look()

    def decide(packet: netfilterqueue.Packet) -> None:
        packet.set_mark(marks.of_zone("zone") if packet.indev else marks.HOST)
        packet.accept()

    queue = netfilterqueue.NetfilterQueue()
    queue.bind(7, decide)
    threading.Thread(target=queue.run, daemon=True).start()
    asked = "ip netns exec client ping -c1 -W2 -M do"
    assert "1 received" in run(f"{asked} -s 100 10.0.3.2")
    assert "From 10.0.1.1 " in run(f"{asked} -s 1400 10.0.3.2 2>&1 || true")


@in_namespace
def test_without_its_state_directory_the_routes_are_followed() -> None:
    lab()
    run("mkdir /run/state")
    kernel = Kernel(7, RUN / "state")
    kernel.configure(snapshot(*PORTS), ())
    run("rm -r /run/state; ip route add 10.9.0.0/16 nexthop via 10.0.2.2 nexthop via 10.0.3.2")
    state = kernel.look()
    assert any(route.prefix == "10.9.0.0/16" for route in state.fib)
    reason = "/run/state/paths.json: No such file or directory"
    assert state.refused == [f"new paths are not used: {reason}"]
    assert state.paths == ()


@pytest.mark.parametrize(("most", "symmetric"), [(1, False), (2, False), (2, True), (4, False)])
@in_namespace
def test_routes_of_equal_cost(most: int, symmetric: bool) -> None:
    lab()
    kernel = Kernel(7, RUN)
    ecmp = Ecmp(max_path=most, symmetric_return=symmetric) if most > 1 else None
    router = replace(FIRST, ecmp=ecmp)
    equal = routes(("10.9.0.0/16", 2), ("10.9.0.0/16", 3), ("2001:db8:9::/64", 2))
    equal += routes(("2001:db8:9::/64", 3))
    equal = tuple(one._replace(weight=index + 1) for index, one in enumerate(equal))
    if symmetric:  # paths of links lead anywhere, and to no next hop whose link is unknown
        equal = tuple(one._replace(interface="") for one in equal)
    kernel.configure(snapshot(*PORTS, routers=(router,)), equal)
    state = kernel.look()
    found = {route.prefix: route for route in state.fib}
    hops = [Hop("ethernet1/2", "10.0.2.2", 1), Hop("ethernet1/3", "10.0.3.2", 2)]
    hops6 = [Hop("ethernet1/2", "2001:db8:2::2", 3), Hop("ethernet1/3", "2001:db8:3::2", 4)]
    if most == 1:
        assert [found["10.9.0.0/16"].hops, found["2001:db8:9::/64"].hops] == [(), ()]
        assert state.refused == [
            f"static route {prefix}: another has metric 10, and is used"
            for prefix in ("10.9.0.0/16", "2001:db8:9::/64")
        ]
        return
    assert state.refused == [], state.refused
    assert list(found["10.9.0.0/16"].hops) == hops
    assert list(found["2001:db8:9::/64"].hops) == hops6
    links = {(port.name, "") for port in PORTS if symmetric}
    assert {(path.port, path.nexthop) for path in state.paths} == links | {
        (hop.port, hop.nexthop) for hop in (*hops, *hops6)
    }
    (number,) = [path.number for path in state.paths if path.nexthop == "10.0.3.2"]
    assert f"via 10.0.3.2 dev eth3 table {1000 + number}" in way("10.9.0.1", mark=number), way(
        "10.9.0.1", mark=number
    )
    run("ip link set eth3 down")
    for _ in range(2):
        down = kernel.look()
        left = {route.prefix: route for route in down.fib}
        for prefix, nexthop in (("10.9.0.0/16", "10.0.2.2"), ("2001:db8:9::/64", "2001:db8:2::2")):
            assert (left[prefix].nexthop, left[prefix].hops) == (nexthop, ())
    run("ip link set eth3 up")

    def is_back() -> bool:
        back = {route.prefix: route for route in kernel.look().fib}
        return all(len(back[one].hops) == 2 for one in ("10.9.0.0/16", "2001:db8:9::/64"))

    wait_until(is_back, "both next hops are back", seconds=10)
