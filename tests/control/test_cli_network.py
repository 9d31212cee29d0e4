"""Interfaces of every mode, bridges, routes, next hops and shaping, as they are shown."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from control.management import InterfaceStatus, QosClassStatus
from dataplane.messages import FindRoute
from dataplane.snapshot import (
    AddressRange,
    Hop,
    ManagementProfile,
    Monitor,
    PbfRule,
    Port,
    Qos,
    Route,
    VirtualRouter,
)
from tests.control.cli_fake import FakeManagement, refusal, run


def addresses(first: str, last: str = "") -> AddressRange:
    return AddressRange(ip_address(first).packed, ip_address(last or first).packed)


PORTS = (
    Port(
        "ethernet1/1",
        "eth1",
        "trust",
        ("192.0.2.1/24", "2001:db8::1/64"),
        True,
        "default",
        mode="layer3",
        management=ManagementProfile(("ping", "ssh"), (addresses("10.0.0.0", "10.255.255.255"),)),
        mss_adjustment=(40, 60),
        qos=Qos(100_000_000),
    ),
    Port("ethernet1/1.7", "eth1.7", "seven", ("10.0.0.1/24",), False, "blue", parent="eth1", tag=7),
    Port("ethernet1/2", "eth2", "l2", (), False, "", mode="layer2", bridge="office"),
    Port("ethernet1/3", "eth3", "l2", (), False, "", mode="layer2"),
    Port(
        "ethernet1/3.9",
        "eth3.9",
        "l2",
        (),
        False,
        "",
        mode="layer2",
        bridge="office",
        tag=9,
        parent="eth3",
    ),
    Port(
        "ethernet1/5",
        "eth5",
        "wire",
        (),
        False,
        "",
        mode="virtual-wire",
        bridge="vw1",
        peer="ethernet1/6",
        multicast_firewalling=True,
    ),
    Port(
        "ethernet1/6",
        "eth6",
        "wire",
        (),
        False,
        "",
        mode="virtual-wire",
        bridge="vw1",
        peer="ethernet1/5",
        multicast_firewalling=True,
    ),
    Port("ethernet1/7", "eth7", "ear", (), False, "", mode="tap"),
    Port("loopback.1", "lo", "trust", ("10.9.9.9/32",), False, "default", mode="loopback"),
    Port("tunnel.1", "tunnel.1", "vpn", (), False, "blue", mode="tunnel"),
)

ECMP = Route(
    "0.0.0.0/0",
    "unicast",
    "ethernet1/1",
    "192.0.2.9",
    10,
    hops=(Hop("ethernet1/1", "192.0.2.9"), Hop("ethernet1/1", "192.0.2.8", 3)),
)
DISCARD = Route("10.8.0.0/16", "discard", metric=10, virtual_router="blue")


@pytest.fixture
def firewall() -> FakeManagement:
    firewall = FakeManagement()
    firewall.compiled = replace(
        firewall.compiled,
        ports=PORTS,
        virtual_routers=(VirtualRouter("default", 254), VirtualRouter("blue", 100)),
    )
    firewall.ports = [
        InterfaceStatus(
            name=port.name,
            interface=port.interface,
            index=index,
            mac=f"02:00:00:00:00:{index:02x}" if port.mode == "layer3" else "",
            is_up=True,
            speed_mbps=1000,
            is_full_duplex=True,
            mtu=1500,
            vsys=1,
            zone=port.zone,
            virtual_router=port.virtual_router,
            addresses=port.addresses,
            mode=port.mode,
            tag=port.tag,
            bridge=port.bridge,
        )
        for index, port in enumerate(PORTS, start=16)
    ]
    firewall.fib = (
        ECMP,
        Route("0.0.0.0/0", "unicast", "ethernet1/1", "192.0.2.7", 20),
        Route("192.0.2.0/24", "unicast", "ethernet1/1"),
        Route("192.0.2.1/32", "local"),
        Route("10.0.0.0/24", "unicast", "ethernet1/1.7", virtual_router="blue"),
        DISCARD,
    )
    return firewall


# ---- interfaces ----------------------------------------------------------------------------------


def test_interfaces_of_every_mode(firewall: FakeManagement) -> None:
    _, _, logical = run(firewall, "show interface all").partition("aggregation groups: 0\n\n\n")
    assert logical == (
        """\
total configured logical interfaces: 10

name                id    vsys zone             forwarding               tag    address
------------------- ----- ---- ---------------- ------------------------ ------ ------------------
ethernet1/1         16    1    trust            vr:default               0      192.0.2.1/24
                                                                                2001:db8::1/64
ethernet1/1.7       17    1    seven            vr:blue                  7      10.0.0.1/24
ethernet1/2         18    1    l2               vlan:office              0      N/A
ethernet1/3         19    1    l2               N/A                      0      N/A
ethernet1/3.9       20    1    l2               vlan:office              9      N/A
ethernet1/5         21    1    wire             vwire:vw1                0      N/A
ethernet1/6         22    1    wire             vwire:vw1                0      N/A
ethernet1/7         23    1    ear              tap                      0      N/A
loopback.1          24    1    trust            vr:default               0      10.9.9.9/32
tunnel.1            25    1    vpn              vr:blue                  0      N/A
"""
    )


def test_hardware_interfaces_are_those_with_a_link_of_their_own(firewall: FakeManagement) -> None:
    names = ["ethernet1/1", *(f"ethernet1/{number}" for number in (2, 3, 5, 6, 7))]
    hardware, _, _ = run(firewall, "show interface all").partition("\n\naggregation")
    assert hardware.startswith("total configured hardware interfaces: 6\n")
    assert [row.split()[0] for row in hardware.splitlines()[4:]] == names


ONE = """\
--------------------------------------------------------------------------------
Name: ethernet1/1, ID: 16
Link status:
  Runtime link speed/duplex/state: 1000/full/up
MAC address:
  Port MAC address 02:00:00:00:00:10
Linux interface: eth1
--------------------------------------------------------------------------------
Name: ethernet1/1, ID: 16
Operation mode: layer3
Virtual router default
Interface MTU 1500
Interface IP address: 192.0.2.1/24
Interface IP address: 2001:db8::1/64
Interface management profile:
  ping: yes  telnet: no  ssh: yes  http: no  https: no
  snmp: no  response-pages: no  userid-service: no
  http-ocsp: no  userid-syslog-listener-ssl: no  userid-syslog-listener-udp: no
  permitted-ip: 10.0.0.0/8
Zone: trust, virtual system: vsys1
Adjust TCP MSS: yes, 40 bytes for IPv4, 60 for IPv6
QoS: yes
--------------------------------------------------------------------------------
"""


def test_one_interface(firewall: FakeManagement) -> None:
    assert run(firewall, "show interface ethernet1/1") == ONE


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("ethernet1/1.7", ["Name: ethernet1/1.7, ID: 17, 802.1q tag: 7", "Virtual router blue"]),
        ("ethernet1/2", ["Operation mode: layer2", "VLAN office"]),
        ("ethernet1/3", ["Operation mode: layer2", "VLAN N/A", "QoS: no"]),
        ("ethernet1/5", ["Operation mode: virtual-wire", "Virtual wire vw1, peer ethernet1/6"]),
        ("ethernet1/7", ["Operation mode: tap", "Zone: ear, virtual system: vsys1"]),
        ("loopback.1", ["Operation mode: loopback", "Interface IP address: 10.9.9.9/32"]),
        ("tunnel.1", ["Operation mode: tunnel", "Interface management profile: N/A"]),
    ],
)
def test_what_an_interface_is_for(firewall: FakeManagement, name: str, lines: list[str]) -> None:
    assert set(lines) <= set(run(firewall, f"show interface {name}").splitlines())


def test_an_interface_that_is_not_there(firewall: FakeManagement) -> None:
    message = "there is no interface ethernet1/99: show interface all lists them\n"
    assert refusal(firewall, "show interface ethernet1/99") == message
    assert refusal(firewall, "show qos interface ethernet1/99") == message


def test_virtual_wires(firewall: FakeManagement) -> None:
    assert run(firewall, "show virtual-wire all") == (
        """\
total virtual-wire shown :          1
flags : m - multicast firewalling

name                interface1          interface2          flags
--------------------------------------------------------------------------------
vw1                 ethernet1/5         ethernet1/6         m
"""
    )


def test_vlans(firewall: FakeManagement) -> None:
    assert run(firewall, "show vlan all") == (
        """\
total vlan shown :          1

name                interface           tag    zone
--------------------------------------------------------------------------------
office              ethernet1/2         0      l2
                    ethernet1/3.9       9      l2
"""
    )


# ---- routes --------------------------------------------------------------------------------------

FIB = """\
total virtual-router shown :              2

--------------------------------------------------------------------------------
virtual-router name: default
interfaces:
  ethernet1/1 loopback.1

route table:
flags: u - up, h - host, g - gateway, e - ecmp, * - preferred path

number of fib entries shown: 4

id      destination                                 nexthop                               \
  flags  interface          mtu
------------------------------------------------------------------------------------------\
----------------------------------
1       0.0.0.0/0                                   192.0.2.8                             \
  uge    ethernet1/1        1500
2       0.0.0.0/0                                   192.0.2.9                             \
  uge    ethernet1/1        1500
3       192.0.2.0/24                                192.0.2.1                             \
  u      ethernet1/1        1500
4       192.0.2.1/32                                0.0.0.0                                 uh

--------------------------------------------------------------------------------
virtual-router name: blue
interfaces:
  ethernet1/1.7 tunnel.1

route table:
flags: u - up, h - host, g - gateway, e - ecmp, * - preferred path

number of fib entries shown: 1

id      destination                                 nexthop                               \
  flags  interface          mtu
------------------------------------------------------------------------------------------\
----------------------------------
1       10.0.0.0/24                                 10.0.0.1                              \
  u      ethernet1/1.7      1500

"""


def test_show_routing_fib(firewall: FakeManagement) -> None:
    assert run(firewall, "show routing fib") == FIB
    only = run(firewall, "show routing fib virtual-router blue")
    assert only.startswith("total virtual-router shown :              1\n")
    assert only.partition("-" * 80)[2] == FIB.rpartition("-" * 80 + "\nvirtual-router")[2].join(
        ["\nvirtual-router", ""]
    )


RULE = "-" * 80


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (None, "  no route\n"),
        (
            ECMP,
            "  via 192.0.2.9 interface ethernet1/1, metric 10, route 0.0.0.0/0, weight 1\n"
            "  via 192.0.2.8 interface ethernet1/1, metric 10, route 0.0.0.0/0, weight 3\n",
        ),
        (DISCARD, "  discard, route 10.8.0.0/16\n"),
        (Route("192.0.2.1/32", "local"), "  local, route 192.0.2.1/32\n"),
        (
            Route("192.0.2.0/24", "unicast", "ethernet1/1"),
            "  interface ethernet1/1, metric 0, route 192.0.2.0/24\n",
        ),
        (
            Route("192.0.2.0/24", "unicast", "", "10.1.1.1"),
            "  via 10.1.1.1 interface N/A, metric 0, route 192.0.2.0/24\n",
        ),
    ],
    ids=["none", "ecmp", "discard", "local", "connected", "management"],
)
@pytest.mark.parametrize(("router", "asked"), [("default", ""), ("blue", "blue")])
def test_fib_lookup(
    firewall: FakeManagement, found: Route | None, result: str, router: str, asked: str
) -> None:
    firewall.found = found
    line = f"test routing fib-lookup virtual-router {router} ip 192.0.2.77"
    assert run(firewall, line) == (
        f"{RULE}\nruntime route lookup\n{RULE}\nvirtual-router:   {router}\n"
        f"destination:      192.0.2.77\nresult:\n{result}{RULE}\n"
    )
    assert firewall.asked == [FindRoute("192.0.2.77", asked)]


@pytest.mark.parametrize(
    "line",
    [
        "test routing fib-lookup virtual-router red ip 192.0.2.77",
        "show routing fib virtual-router red",
        "show routing route virtual-router red",
    ],
)
def test_a_virtual_router_that_is_not_there(firewall: FakeManagement, line: str) -> None:
    assert refusal(firewall, line) == (
        'there is no virtual router "red"; configured are: default, blue\n'
    )


# ---- policy-based forwarding, QoS ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "is_unreachable", "row"),
    [
        (PbfRule("r", "discard"), False, "r 1 Active discard N/A N/A N/A"),
        (
            PbfRule("r", "forward", egress="ethernet1/3", nexthop="192.0.2.9"),
            False,
            "r 1 Active forward ethernet1/3 192.0.2.9 N/A",
        ),
        (
            PbfRule("r", "forward", egress="tunnel.1", monitor=Monitor("192.0.2.9")),
            False,
            "r 1 Active forward tunnel.1 N/A UP",
        ),
        (
            PbfRule("r", "forward", egress="tunnel.1", monitor=Monitor("192.0.2.9")),
            True,
            "r 1 Active forward tunnel.1 N/A DOWN",
        ),
        (
            PbfRule(
                "r",
                "forward",
                egress="tunnel.1",
                monitor=Monitor("192.0.2.9", disable_if_unreachable=True),
            ),
            True,
            "r 1 Disabled forward tunnel.1 N/A DOWN",
        ),
    ],
)
def test_show_pbf_rule_all(
    firewall: FakeManagement, rule: PbfRule, is_unreachable: bool, row: str
) -> None:
    firewall.compiled = replace(firewall.compiled, pbf_rules=(rule,))
    firewall.unreachable = ("r",) if is_unreachable else ("other",)
    header, _, shown = run(firewall, "show pbf rule all").splitlines()
    assert shown.split() == row.split()
    columns = ("ID", "Rule State", "Action", "Egress IF/VSYS", "NextHop", "NextHop Status")
    starts = [header.index(f" {column}") for column in columns]
    assert all(shown[start] == " " != shown[start + 1] for start in starts)


def test_show_qos_interface(firewall: FakeManagement) -> None:
    firewall.classes = [
        QosClassStatus(1, "real-time", 20_000_000, 50_000_000, 123456789, 98765, 12),
        QosClassStatus(4, "medium", 0, 0, 0, 0, 0),
        QosClassStatus(8, "low", 1500, 1_500_000, 1, 1, 1),
    ]
    assert run(firewall, "show qos interface ethernet1/1") == (
        """\
Interface: ethernet1/1, maximum: 100 Mbps

class priority     guaranteed           max                bytes        packets      drops
------------------------------------------------------------------------------------------
1     real-time       20 Mbps       50 Mbps            123456789          98765         12
4     medium                -     unlimited                    0              0          0
8     low            1500 bps     1500 kbps                    1              1          1
"""
    )
    assert refusal(firewall, "show qos interface ethernet1/2") == (
        "interface ethernet1/2 has no QoS: set network qos interface ethernet1/2\n"
    )
