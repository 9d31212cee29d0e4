"""control/config/rules.py: rulebases as the dataplane's rules."""

import ipaddress

import pytest

from control.config.load import load_config
from control.config.rules import Reader
from dataplane.snapshot import (
    AddressRange,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    Monitor,
    NatRule,
    PbfRule,
    QosRule,
    Schedule,
    SecurityRule,
    ServiceMatch,
    StaticIp,
    Wildcard,
)

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip [ 198.51.100.2/24 198.51.100.3/24 ]
set network interface ethernet ethernet1/1 layer3 ipv6 enabled yes
set network interface ethernet ethernet1/1 layer3 ipv6 address [ fe80::1/64 2001:db8::2/64 ]
set network interface ethernet ethernet1/2 layer3 units ethernet1/2.5 tag 5 ip 10.0.0.1/24
set network virtual-router vr interface [ ethernet1/1 ethernet1/2.5 ]
set network profiles monitor-profile quick interval 2 threshold 3
set zone out network layer3 ethernet1/1
set zone in network layer3 ethernet1/2.5
set address host ip-netmask 10.0.0.5
set address wild ip-wildcard 10.0.9.7/0.255.0.3
set address-group inner static [ host wild ]
set address-group outer static inner
set service web protocol tcp port 80
set schedule days schedule-type recurring daily [ 22:00-23:59 00:00-06:00 ]
set schedule week schedule-type recurring weekly monday 08:00-17:30 sunday [ 10:00-11:00 ]
set schedule once schedule-type non-recurring 2026/01/01@00:00-2026/01/01@00:01
set application shop default port [ tcp/8443 udp/dynamic ]
set application odd default ident-by-ip-protocol 99
set application echo default ident-by-icmp-type type 8
set application echo6 default ident-by-icmp6-type type 128
set application unknown
set application-group some members [ shop odd ]
set application-group more members [ some ssl ]
"""


def reader(text: str) -> Reader:
    config = load_config((BASE + text).encode(), "test")
    assert config.errors == ()
    return Reader(config.tree)


def addresses(first: str, last: str | None = None) -> AddressRange:
    return AddressRange(
        ipaddress.ip_address(first).packed, ipaddress.ip_address(last or first).packed
    )


ANY = "source any destination any"


def security(text: str) -> SecurityRule:
    words = f"from in to out {ANY} action allow"
    (only,) = reader(f"set rulebase security rules r {words}\n{text}".replace("+", PATH)).security()
    return only


PATH = "set rulebase security rules r"
WILD = Wildcard(bytes((10, 0, 9, 4)), bytes((0, 255, 0, 3)))
DAY = 24 * 60


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("week", Schedule("week", ((480, 1050), (6 * DAY + 600, 6 * DAY + 660)))),
        (
            "days",
            Schedule(
                "days",
                tuple(
                    span
                    for day in range(7)
                    for span in ((day * DAY, day * DAY + 360), (day * DAY + 1320, (day + 1) * DAY))
                ),
            ),
        ),
        ("once", Schedule("once", (), ((1_767_225_600, 1_767_225_660),))),
    ],
)
def test_schedules(text: str, schedule: Schedule) -> None:
    assert security(f"+ schedule {text}").schedule == schedule


@pytest.mark.parametrize(
    ("marking", "dscp", "follows"),
    [
        ("ip-dscp ef", 46, False),
        ("ip-dscp af43", 38, False),
        ("ip-dscp cs1", 8, False),
        ("ip-dscp 000001", 1, False),
        ("ip-precedence cs5", 40, False),
        ("ip-precedence 011", 24, False),
        ("follow-c2s-flow", None, True),
    ],
)
def test_marking(marking: str, dscp: int | None, follows: bool) -> None:
    rule = security(f"+ qos marking {marking}")
    assert (rule.dscp, rule.dscp_follows) == (dscp, follows)


def test_wildcards_of_nested_groups() -> None:
    (rule,) = reader(
        "set rulebase security rules r from in to any source outer destination wild action deny\n"
        "set rulebase security rules r icmp-unreachable yes"
    ).security()
    assert (rule.source, rule.source_wildcards) == ((addresses("10.0.0.5"),), (WILD,))
    assert (rule.destination, rule.destination_wildcards) == ((), (WILD,))
    assert rule.icmp_unreachable


SSL = ServiceMatch(6, (), ((443, 443),))
SHOP = (ServiceMatch(6, (), ((8443, 8443),)), ServiceMatch(17))


@pytest.mark.parametrize(
    ("applications", "services"),
    [
        ("any", ()),
        ("ssl", (SSL,)),
        ("[ ssl shop ]", (SSL, *SHOP)),
        ("more", (*SHOP, ServiceMatch(99), SSL)),
        ("dns", (ServiceMatch(6, (), ((53, 53),)), ServiceMatch(17, (), ((53, 53), (5353, 5353))))),
        ("ping", (ServiceMatch(1), ServiceMatch(58))),
        ("ospf", (ServiceMatch(89),)),
        ("echo", (ServiceMatch(1),)),
        ("echo6", (ServiceMatch(58),)),
        ("[ ssl unknown ]", ()),
    ],
)
def test_application_default(applications: str, services: tuple[ServiceMatch, ...]) -> None:
    assert security(f"+ application {applications}").services == services


def test_default_rules_are_overridden() -> None:
    rules = reader(
        "set rulebase default-security-rules rules interzone-default action reset-both\n"
        "set rulebase default-security-rules rules interzone-default log-end yes\n"
        "set rulebase default-security-rules rules interzone-default icmp-unreachable yes\n"
    )
    assert rules.default("interzone-default", "deny", "interzone") == SecurityRule(
        "interzone-default",
        "reset-both",
        rule_type="interzone",
        log_end=True,
        icmp_unreachable=True,
    )
    assert rules.default("intrazone-default", "allow", "intrazone") == SecurityRule(
        "intrazone-default", "allow", rule_type="intrazone", log_end=False
    )


POOL = DynamicIpAndPort((addresses("198.51.100.16", "198.51.100.19"),))
OWN = addresses("198.51.100.2")
OWN_BY = "interface-address interface ethernet1/1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", NatRule("n"), id="exempted"),
        pytest.param(
            "to-interface ethernet1/2.5 service web",
            NatRule(
                "n",
                to_interface="ethernet1/2.5",
                services=(ServiceMatch(6, (), ((80, 80),)),),
            ),
            id="interface and service",
        ),
        pytest.param(
            "source-translation dynamic-ip-and-port translated-address "
            "[ 198.51.100.16/31 198.51.100.18-198.51.100.19 ]",
            NatRule("n", source_translation=POOL),
            id="dynamic-ip-and-port",
        ),
        pytest.param(
            f"source-translation dynamic-ip-and-port {OWN_BY}",
            NatRule("n", source_translation=DynamicIpAndPort((OWN,), "ethernet1/1")),
            id="interface",
        ),
        pytest.param(
            f"source-translation dynamic-ip-and-port {OWN_BY} ip 198.51.100.3/24",
            NatRule(
                "n",
                source_translation=DynamicIpAndPort((addresses("198.51.100.3"),), "ethernet1/1"),
            ),
            id="interface and address",
        ),
        pytest.param(
            f"source-translation dynamic-ip-and-port {OWN_BY} ip 2001:db8::2",
            NatRule(
                "n", source_translation=DynamicIpAndPort((addresses("2001:db8::2"),), "ethernet1/1")
            ),
            id="interface and IPv6 address",
        ),
        pytest.param(
            f"destination 2001:db8:9::/48 source-translation dynamic-ip-and-port {OWN_BY}",
            NatRule(
                "n",
                destination=(addresses("2001:db8:9::", "2001:db8:9:ffff:ffff:ffff:ffff:ffff"),),
                source_translation=DynamicIpAndPort((addresses("2001:db8::2"),), "ethernet1/1"),
            ),
            id="interface, for IPv6",
        ),
        pytest.param(
            f"source-translation dynamic-ip translated-address 198.51.100.16/30 fallback {OWN_BY}",
            NatRule(
                "n",
                source_translation=DynamicIp(
                    POOL.addresses, DynamicIpAndPort((OWN,), "ethernet1/1")
                ),
            ),
            id="dynamic-ip",
        ),
        pytest.param(
            "source 10.0.0.4/30 source-translation static-ip translated-address 198.51.100.16/30",
            NatRule(
                "n",
                source=(addresses("10.0.0.4", "10.0.0.7"),),
                source_translation=StaticIp(addresses("10.0.0.4", "10.0.0.7"), POOL.addresses[0]),
            ),
            id="static-ip",
        ),
        pytest.param(
            "destination 198.51.100.16/30 destination-translation translated-address host "
            "translated-port 8080",
            NatRule(
                "n",
                destination=POOL.addresses,
                destination_translation=DestinationTranslation((addresses("10.0.0.5"),), port=8080),
            ),
            id="destination, several to one",
        ),
        pytest.param(
            "destination 198.51.100.16/30 destination-translation translated-address 10.0.0.4/30",
            NatRule(
                "n",
                destination=POOL.addresses,
                destination_translation=DestinationTranslation(
                    (addresses("10.0.0.4", "10.0.0.7"),), POOL.addresses[0]
                ),
            ),
            id="destination, one to one",
        ),
        pytest.param(
            "destination 198.51.100.16 dynamic-destination-translation translated-address "
            "[ host 10.0.0.9 ] distribution least-sessions translated-port 8080",
            NatRule(
                "n",
                destination=(addresses("198.51.100.16"),),
                destination_translation=DestinationTranslation(
                    (addresses("10.0.0.5"), addresses("10.0.0.9")),
                    port=8080,
                    distribution="least-sessions",
                ),
            ),
            id="servers",
        ),
        pytest.param(
            "destination 198.51.100.16 dynamic-destination-translation translated-address host",
            NatRule(
                "n",
                destination=(addresses("198.51.100.16"),),
                destination_translation=DestinationTranslation(
                    (addresses("10.0.0.5"),), distribution="round-robin"
                ),
            ),
            id="servers in turn",
        ),
        pytest.param(
            "nat-type nptv6 source 2001:db8:1::/64 source-translation static-ip "
            "translated-address 2001:db8:2::/64",
            NatRule(
                "n",
                source=(addresses("2001:db8:1::", "2001:db8:1::ffff:ffff:ffff:ffff"),),
                source_translation=StaticIp(
                    addresses("2001:db8:1::", "2001:db8:1::ffff:ffff:ffff:ffff"),
                    addresses("2001:db8:2::", "2001:db8:2::ffff:ffff:ffff:ffff"),
                ),
                nat_type="nptv6",
            ),
            id="nptv6",
        ),
    ],
)
def test_nat(text: str, expected: NatRule) -> None:
    words = "from any to any"
    for side in ("source", "destination"):
        if side not in text.split():
            words += f" {side} any"
    assert reader(f"set rulebase nat rules n {words} {text}").nat() == (expected,)


def test_the_other_direction_is_behind_its_rule() -> None:
    rules = reader(
        "set rulebase nat rules n from in to out source host destination 192.0.2.0/24\n"
        "set rulebase nat rules n to-interface ethernet1/1 service web\n"
        "set rulebase nat rules n source-translation static-ip translated-address 198.51.100.9\n"
        "set rulebase nat rules n source-translation static-ip bi-directional yes\n"
        f"set rulebase nat rules m from in to out {ANY}\n"
    ).nat()
    assert [(rule.name, rule.mirrors) for rule in rules] == [
        ("n", False),
        ("n", True),
        ("m", False),
    ]
    assert rules[1] == NatRule(
        "n",
        from_zones=(),
        to_zones=("out",),
        to_interface="ethernet1/1",
        source=(addresses("192.0.2.0", "192.0.2.255"),),
        destination=(addresses("198.51.100.9"),),
        services=(ServiceMatch(6, (), ((80, 80),)),),
        destination_translation=DestinationTranslation(
            (addresses("10.0.0.5"),), addresses("198.51.100.9")
        ),
        mirrors=True,
    )


FORWARD = "action forward egress-interface ethernet1/1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from zone in action no-pbf", PbfRule("p", "no-pbf", ("in",))),
        (
            "from interface [ ethernet1/1 ethernet1/2.5 ] service web action discard",
            PbfRule(
                "p",
                "discard",
                from_ports=("ethernet1/1", "ethernet1/2.5"),
                services=(ServiceMatch(6, (), ((80, 80),)),),
            ),
        ),
        (f"from zone in {FORWARD}", PbfRule("p", "forward", ("in",), egress="ethernet1/1")),
        (
            f"from zone in {FORWARD} nexthop ip-address 198.51.100.9 monitor profile quick",
            PbfRule(
                "p",
                "forward",
                ("in",),
                egress="ethernet1/1",
                nexthop="198.51.100.9",
                monitor=Monitor("198.51.100.9", 2, 3),
            ),
        ),
        (
            f"from zone in {FORWARD} nexthop ip-address 2001:DB8::9 monitor ip-address 192.0.2.1 "
            "disable-if-unreachable yes",
            PbfRule(
                "p",
                "forward",
                ("in",),
                egress="ethernet1/1",
                nexthop="2001:db8::9",
                monitor=Monitor("192.0.2.1", 3, 5, True),
            ),
        ),
        (
            "from zone in enforce-symmetric-return enabled yes nexthop-address-list "
            "[ 10.0.0.7 10.0.0.8 ]\n+ action no-pbf negate-source no",
            PbfRule(
                "p",
                "no-pbf",
                ("in",),
                symmetric_return=True,
                return_nexthops=("10.0.0.7", "10.0.0.8"),
            ),
        ),
    ],
)
def test_pbf(text: str, expected: PbfRule) -> None:
    path = "set rulebase pbf rules p"
    assert reader(f"{path} {text.replace('+', path)}\n{path} {ANY}").pbf() == (expected,)


@pytest.mark.parametrize(
    ("codepoints", "dscps"),
    [
        ([], ()),
        (["any"], ()),
        (["codepoints a ef codepoint ef", "codepoints b af codepoint af11"], (10, 46)),
        (["codepoints a cs codepoint cs2"], (16,)),
        (["codepoints a tos codepoint cs2"], tuple(range(16, 24))),
        (["codepoints a custom codepoint value 111110"], (62,)),
    ],
)
def test_qos(codepoints: list[str], dscps: tuple[int, ...]) -> None:
    path = "set rulebase qos rules q"
    lines = [f"{path} from in to out {ANY} action class 2"]
    lines += [f"{path} dscp-tos {words}" for words in codepoints]
    assert reader("\n".join(lines)).qos() == (QosRule("q", 2, ("in",), ("out",), dscps=dscps),)


def test_rules_that_are_skipped() -> None:
    rules = reader(
        f"set rulebase nat rules n disabled yes from any to any {ANY}\n"
        f"set rulebase qos rules q disabled yes from any to any {ANY} action class 1\n"
        f"set rulebase pbf rules p disabled yes {ANY} action no-pbf\n"
        "set rulebase pbf rules p from zone in\n"
    )
    assert (rules.nat(), rules.qos(), rules.pbf()) == ((), (), ())
