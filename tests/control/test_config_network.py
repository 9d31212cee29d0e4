"""control/config/network.py, and what compile.py and network_checks.py make of interfaces, routers
and shaping ports: rows of configuration and of what is wrong with it."""

import pytest

from control.config.compile import compile_snapshot
from control.config.errors import ConfigError, Problem
from control.config.load import StaticRoute, load_config, static_routes
from dataplane.snapshot import (
    AddressRange,
    Ecmp,
    ManagementProfile,
    Port,
    Qos,
    QosClass,
    Snapshot,
    VirtualRouter,
)

NETWORK = "set network "
ETHERNET = "set network interface ethernet "


def lines(*texts: str) -> str:
    return "".join(f"set {text}\n" for text in texts)


BASE = lines(
    "network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24",
    "network interface ethernet ethernet1/2 layer3 units ethernet1/2.5 tag 5 ip 10.0.0.1/24",
    "network interface ethernet ethernet1/3 layer2",
    "network interface ethernet ethernet1/4 layer2 units ethernet1/4.7 tag 7",
    "network interface ethernet ethernet1/5 virtual-wire",
    "network interface ethernet ethernet1/6 virtual-wire",
    "network interface ethernet ethernet1/7 tap",
    "network interface loopback units loopback.1 ip 10.255.0.1/32",
    "network interface tunnel units tunnel.9 ip 169.254.9.1/30",
    "network virtual-wire w interface1 ethernet1/5 interface2 ethernet1/6",
    "network vlan v interface [ ethernet1/3 ethernet1/4.7 ]",
    "network virtual-router one interface [ ethernet1/1 loopback.1 ]",
    "network virtual-router two interface [ ethernet1/2.5 tunnel.9 ]",
    "network profiles interface-management-profile m ping yes https yes ssh no",
    "network qos profile q class-bandwidth-type mbps class class1 priority high",
    "zone out network layer3 [ ethernet1/1 loopback.1 ]",
    "zone in network layer3 ethernet1/2.5",
    "zone switched network layer2 [ ethernet1/3 ethernet1/4.7 ]",
    "zone wired network virtual-wire [ ethernet1/5 ethernet1/6 ]",
    "zone heard network tap ethernet1/7",
    "zone far network tunnel tunnel.9",
)
LINE = BASE.count("\n") + 1


def problems_of(*texts: str) -> tuple[Problem, ...]:
    return load_config((BASE + lines(*texts)).encode(), "test").problems


def snapshot(*texts: str, **port_map: str) -> Snapshot:
    config = load_config((BASE + lines(*texts)).encode(), "test")
    assert config.errors == ()
    return compile_snapshot(config.tree, {f"ethernet1/{n[1:]}": to for n, to in port_map.items()})


def port(name: str, *texts: str) -> Port:
    (found,) = (port for port in snapshot(*texts).ports if port.name == name)
    return found


def test_the_base_is_right() -> None:
    assert problems_of() == ()


def test_every_mode() -> None:
    assert snapshot().ports == (
        Port("ethernet1/1", "eth1", "out", ("198.51.100.2/24",), False, "one"),
        Port("ethernet1/2", "eth2", "", (), False, ""),
        Port("ethernet1/2.5", "eth2.5", "in", ("10.0.0.1/24",), False, "two", parent="eth2", tag=5),
        Port("ethernet1/3", "eth3", "switched", (), False, "", mode="layer2", bridge="v"),
        Port("ethernet1/4", "eth4", "", (), False, "", mode="layer2"),
        Port(
            "ethernet1/4.7",
            "eth4.7",
            "switched",
            (),
            False,
            "",
            mode="layer2",
            parent="eth4",
            tag=7,
            bridge="v",
        ),
        Port(
            "ethernet1/5",
            "eth5",
            "wired",
            (),
            False,
            "",
            mode="virtual-wire",
            bridge="w",
            peer="ethernet1/6",
        ),
        Port(
            "ethernet1/6",
            "eth6",
            "wired",
            (),
            False,
            "",
            mode="virtual-wire",
            bridge="w",
            peer="ethernet1/5",
        ),
        Port("ethernet1/7", "eth7", "heard", (), False, "", mode="tap"),
        Port("loopback.1", "lo", "out", ("10.255.0.1/32",), False, "one", mode="loopback"),
        Port("tunnel.9", "tunnel.9", "far", ("169.254.9.1/30",), False, "two", mode="tunnel"),
    )


def test_multicast_on_a_wire() -> None:
    ports = snapshot("network virtual-wire w multicast-firewalling enable yes").ports
    assert [port.name for port in ports if port.multicast_firewalling] == [
        "ethernet1/5",
        "ethernet1/6",
    ]


def test_several_loopbacks_share_a_link() -> None:
    more = "network interface loopback units loopback.2 ip 10.255.0.2/32"
    assert port("loopback.2", more).interface == "lo"


def test_a_sub_interface_follows_its_port() -> None:
    ports = {port.name: port.interface for port in snapshot(p2="wan0").ports}
    assert ports["ethernet1/2.5"] == "wan0.5"
    assert port("ethernet1/2.5", "network interface ethernet ethernet1/2 link-state down") == Port(
        "ethernet1/2.5", "eth2.5", "", (), False, "", parent="eth2", tag=5
    )


def test_a_linux_name_that_is_too_long() -> None:
    with pytest.raises(ConfigError) as raised:
        snapshot(p2="a-name-of-15-ch", p4="eth4")
    (problem,) = raised.value.problems
    assert problem.path.endswith("units ethernet1/2.5")
    assert "not the name of a Linux interface, such as eth1; give ethernet1/2 a" in problem.message


L3 = "network interface ethernet ethernet1/1 layer3 "


@pytest.mark.parametrize(
    ("text", "adjustment"),
    [
        ("adjust-tcp-mss enable yes", (40, 60)),
        ("adjust-tcp-mss enable yes ipv4-mss-adjustment 300", (300, 60)),
        ("adjust-tcp-mss enable yes ipv6-mss-adjustment 80", (40, 80)),
        ("adjust-tcp-mss enable no ipv4-mss-adjustment 300", None),
        ("adjust-tcp-mss ipv4-mss-adjustment 300", None),
    ],
)
def test_mss(text: str, adjustment: tuple[int, int] | None) -> None:
    assert port("ethernet1/1", L3 + text).mss_adjustment == adjustment


def test_management() -> None:
    profile = L3 + "interface-management-profile m"
    assert port("ethernet1/1", profile).management == ManagementProfile(("ping", "https"))
    permitted = "network profiles interface-management-profile m permitted-ip 192.0.2.0/31"
    assert port("ethernet1/1", profile, permitted).management == ManagementProfile(
        ("ping", "https"), (AddressRange(bytes((192, 0, 2, 0)), bytes((192, 0, 2, 1))),)
    )


def test_virtual_routers() -> None:
    more = (
        "network virtual-router three ecmp enable yes max-path 4 symmetric-return yes",
        "network virtual-router three ecmp algorithm ip-hash use-port yes",
        "network virtual-router one ecmp max-path 3",
        "network virtual-router two multicast enable yes",
        "network virtual-router two ecmp enable yes",
    )
    assert snapshot(*more).virtual_routers == (
        VirtualRouter("one", 254),
        VirtualRouter("two", 2001, Ecmp(), multicast=True),
        VirtualRouter("three", 2002, Ecmp(4, "ip-hash", True, True)),
    )


ROUTE = "network virtual-router {} routing-table ip static-route {} destination 0.0.0.0/0 "


def test_routes_of_equal_cost_in_a_router_of_their_own() -> None:
    texts = (
        "network virtual-router two ecmp enable yes algorithm weighted-round-robin "
        "interface ethernet1/2.5 weight 7",
        ROUTE.format("two", "a") + "nexthop ip-address 10.0.0.9",
        ROUTE.format("two", "b") + "interface tunnel.9",
        ROUTE.format("one", "c") + "nexthop ip-address 198.51.100.9",
    )
    config = load_config((BASE + lines(*texts)).encode(), "test")
    assert config.problems == ()
    assert static_routes(config.tree) == (
        StaticRoute("0.0.0.0/0", "198.51.100.9", None, 10, False),
        StaticRoute("0.0.0.0/0", "10.0.0.9", None, 10, False, "two", 7),
        StaticRoute("0.0.0.0/0", None, "tunnel.9", 10, False, "two", 100),
    )


QOS = "network qos "
ON_PORT = QOS + "interface ethernet1/1 "
IN_MBPS = QOS + "profile q class-bandwidth-type mbps class "
IN_PERCENT = QOS + "profile p class-bandwidth-type percentage class "
USES_P = ON_PORT + "interface-bandwidth egress-max 20 regular-traffic default-group qos-profile p"
USES_Q = USES_P[:-1] + "q"


@pytest.mark.parametrize(
    ("texts", "qos"),
    [
        ([], None),
        ([ON_PORT + "enabled no"], None),
        ([ON_PORT + "interface-bandwidth egress-max 1.5"], Qos(1_500_000)),
        ([USES_Q], Qos(20_000_000, (QosClass(1, "high"),))),
        (
            [USES_Q, QOS + "profile q aggregate-bandwidth egress-max 10"],
            Qos(10_000_000, (QosClass(1, "high"),)),
        ),
        (
            [
                USES_P,
                IN_PERCENT + "class2 class-bandwidth egress-max 50 egress-guaranteed 12.5",
                IN_PERCENT + "class8 priority real-time",
            ],
            Qos(
                20_000_000,
                (QosClass(2, "medium", 10_000_000, 2_500_000), QosClass(8, "real-time")),
            ),
        ),
        (
            [USES_Q, IN_MBPS + "class1 class-bandwidth egress-max 3 egress-guaranteed 0.001"],
            Qos(20_000_000, (QosClass(1, "high", 3_000_000, 1_000),)),
        ),
    ],
)
def test_shaping(texts: list[str], qos: Qos | None) -> None:
    assert port("ethernet1/1", *texts).qos == qos


E1 = "network interface ethernet ethernet1/"


@pytest.mark.parametrize(
    ("text", "path", "fragment"),
    [
        # sub-interfaces
        (
            E1 + "2 layer3 units ethernet1/3.6 tag 6",
            E1 + "2 layer3 units ethernet1/3.6",
            "is not a sub-interface of ethernet1/2; its name is ethernet1/2. and a number",
        ),
        (E1 + "2 layer3 units ethernet1/2.6", E1 + "2 layer3 units ethernet1/2.6", "missing: tag"),
        (
            E1 + "4 layer2 units ethernet1/4.8 tag 7",
            E1 + "4 layer2 units ethernet1/4.8 tag",
            "tag 7 is ethernet1/4.7's already (line 4)",
        ),
        (
            E1 + "8 layer3 units ethernet1/8.1 tag 4095",
            E1 + "8 layer3 units ethernet1/8.1 tag",
            "is not a number from 1 to 4094",
        ),
        # zones
        (
            "zone in network layer3 ethernet1/2.6",
            "zone in network layer3",
            '"ethernet1/2.6" does not exist; did you mean ethernet1/2.5?',
        ),
        (
            "zone more network tap ethernet1/7",
            "zone more network tap",
            '"ethernet1/7" is in zone "heard" already (line 20)',
        ),
        (
            "zone heard network tunnel",
            "zone heard network",
            "tunnel excludes tap (line 20)",
        ),
        # wires and VLANs
        ("network virtual-wire x interface1 ethernet1/8", None, "missing: interface2"),
        (
            "network virtual-wire x interface1 ethernet1/5 interface2 ethernet1/8",
            "network virtual-wire x interface1",
            '"ethernet1/5" is in virtual wire "w" already (line 10)',
        ),
        (
            "network virtual-wire x interface1 ethernet1/8 interface2 ethernet1/8",
            "network virtual-wire x interface2",
            '"ethernet1/8" is in virtual wire "x" already',
        ),
        (
            "network virtual-wire x interface1 ethernet1/8 interface2 ethernet1/7",
            "network virtual-wire x interface2",
            '"ethernet1/7" is a tap interface; virtual-wire ones go here',
        ),
        (
            "network vlan x interface ethernet1/3",
            "network vlan x interface",
            '"ethernet1/3" is in VLAN "v" already (line 11)',
        ),
        (
            "network vlan x interface ethernet1/1",
            "network vlan x interface",
            '"ethernet1/1" is a layer3 interface; layer2 ones go here',
        ),
        # routers
        (
            "network virtual-router one interface ethernet1/3",
            "network virtual-router one interface",
            '"ethernet1/3" is a layer2 interface; only routed ones go here',
        ),
        (
            "network virtual-router one ecmp algorithm weighted-round-robin "
            "interface ethernet1/2.5 weight 5",
            "network virtual-router one ecmp algorithm weighted-round-robin interface "
            "ethernet1/2.5",
            '"ethernet1/2.5" is not an interface of the virtual router',
        ),
        (
            ROUTE.format("one", "r") + "nexthop ip-address 10.0.0.9",
            "network virtual-router one routing-table ip static-route r",
            "next hop 10.0.0.9 is on no network of the router's interfaces",
        ),
        # addresses
        (
            "network interface loopback units loopback.2 ip 10.9.0.1/24",
            "network interface loopback units loopback.2 ip",
            "10.9.0.1/24 is a network; a loopback has single addresses: /32",
        ),
        (
            "network interface loopback units loopback.2 ip 10.0.0.1/32",
            "network interface loopback units loopback.2 ip",
            "10.0.0.1 is an address of ethernet1/2.5 already (line 2)",
        ),
        (
            L3 + "interface-management-profile n",
            L3 + "interface-management-profile",
            'interface management profile "n" does not exist',
        ),
        # shaping
        (
            QOS + "interface ethernet1/9 interface-bandwidth egress-max 1",
            QOS + "interface ethernet1/9",
            '"ethernet1/9" is not a port that is configured',
        ),
        (ON_PORT + "enabled yes", ON_PORT, "how much the port may send is not known"),
        (
            QOS + "profile q class-bandwidth-type percentage class class2",
            QOS + "profile q class-bandwidth-type",
            "percentage excludes mbps",
        ),
        (
            QOS + "profile q class-bandwidth-type mbps class class9",
            QOS + "profile q class-bandwidth-type mbps class",
            "did you mean class",
        ),
        (
            QOS + "profile q aggregate-bandwidth egress-max 60001",
            QOS + "profile q aggregate-bandwidth egress-max",
            "is not a number of Mbit/s from 0 to 60000",
        ),
    ],
)
def test_one_error(text: str, path: str | None, fragment: str) -> None:
    spare = E1 + "8 virtual-wire" if "virtual-wire x" in text else ""
    found = [
        problem
        for problem in problems_of(text, *filter(None, [spare]))
        if problem.severity == "error"
    ]
    assert [(problem.line, fragment in problem.message) for problem in found] == [(LINE, True)]
    assert path is None or found[0].path == path.strip()


@pytest.mark.parametrize(
    ("texts", "fragment"),
    [
        (
            [USES_Q, IN_MBPS + "class2 class-bandwidth egress-guaranteed 20.001"],
            "the classes are guaranteed 20.001 Mbit/s, the port may send 20 Mbit/s",
        ),
        (
            [
                USES_P,
                IN_PERCENT + "class1 class-bandwidth egress-guaranteed 60",
                IN_PERCENT + "class2 class-bandwidth egress-guaranteed 41",
            ],
            "the classes are guaranteed 20.2 Mbit/s, the port may send 20 Mbit/s",
        ),
        (
            [USES_Q, IN_MBPS + "class2 class-bandwidth egress-max 1 egress-guaranteed 2"],
            "class2 is guaranteed 2 Mbit/s and may have 1 Mbit/s",
        ),
        (
            [USES_Q, IN_MBPS + "class2 class-bandwidth egress-max 21"],
            "class2 may have 21 Mbit/s, more than the 20 Mbit/s of the port",
        ),
    ],
)
def test_rates_that_do_not_fit(texts: list[str], fragment: str) -> None:
    (problem,) = problems_of(*texts)
    assert (problem.severity, problem.path) == ("error", ON_PORT.strip())
    assert fragment in problem.message


@pytest.mark.parametrize(
    ("texts", "fragment"),
    [
        ([], 'is route "a" already (line 22); give one of them another metric, or set ecmp'),
        (["network virtual-router two ecmp enable yes"], ""),
        (
            [
                "network virtual-router two ecmp enable yes",
                ROUTE.format("two", "c") + "nexthop ip-address 10.0.0.9",
            ],
            'goes the same way as route "a" (line 22); remove one of them',
        ),
        (
            [
                "network virtual-router two ecmp enable yes",
                ROUTE.format("two", "c") + "nexthop discard",
            ],
            "and one of them discards",
        ),
        (
            [
                "network virtual-router two ecmp enable yes",
                ROUTE.format("two", "c") + "nexthop ip-address 10.0.0.8",
            ],
            "is not used: 2 routes of this metric fill ecmp max-path",
        ),
    ],
)
def test_equal_routes(texts: list[str], fragment: str) -> None:
    found = problems_of(
        ROUTE.format("two", "a") + "nexthop ip-address 10.0.0.9",
        ROUTE.format("two", "b") + "nexthop ip-address 10.0.0.7",
        *texts,
    )
    assert len(found) == bool(fragment)
    assert all(fragment in problem.message for problem in found)


@pytest.mark.parametrize(
    ("text", "path", "fragment"),
    [
        (E1 + "8 tap", E1 + "8", "is in no zone"),
        (E1 + "8 virtual-wire", E1 + "8", "is in no virtual wire: nothing is forwarded by it"),
        (E1 + "8 layer2", E1 + "8", "is in no VLAN: nothing is forwarded by it"),
        (
            "network interface tunnel units tunnel.8",
            "network interface tunnel units tunnel.8",
            "is in no virtual router",
        ),
    ],
)
def test_a_warning(text: str, path: str, fragment: str) -> None:
    found = problems_of(text)
    assert {(problem.path, problem.severity) for problem in found} == {(path, "warning")}
    assert any(fragment in problem.message for problem in found)


def test_overlaps_are_those_of_a_router() -> None:
    ip = "network interface tunnel units tunnel.8 ip 10.0.0.129/25"
    others = ["zone far network tunnel tunnel.8"]
    apart = problems_of(ip, *others, "network virtual-router one interface tunnel.8")
    assert apart == ()
    (problem,) = problems_of(ip, *others, "network virtual-router two interface tunnel.8")
    assert "10.0.0.129/25 overlaps 10.0.0.1/24 of ethernet1/2.5" in problem.message


def test_a_loopback_may_have_an_address_of_a_network_elsewhere() -> None:
    assert (
        problems_of(
            "network interface loopback units loopback.2 ip 10.0.0.77/32",
            "network virtual-router two interface loopback.2",
            "zone in network layer3 loopback.2",
        )
        == ()
    )
