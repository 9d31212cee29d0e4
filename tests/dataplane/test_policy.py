"""Security rules, row by row: what matches, and in which order."""

from ipaddress import ip_address, ip_network
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.addresses import packed
from dataplane.policy import Policy
from dataplane.snapshot import AddressRange, SecurityRule, ServiceMatch, Wildcard
from native import FlowKey
from tests.support.packets import default_rule

INTRAZONE = default_rule("intrazone-default", "allow")
INTERZONE = default_rule("interzone-default", "deny")
TCP, UDP, ICMP = 6, 17, 1


def rule(name: str = "rule", **fields: object) -> SecurityRule:
    return replace(SecurityRule(name=name, action="allow"), **fields)


def prefix(text: str) -> AddressRange:
    network = ip_network(text)
    return AddressRange(network[0].packed, network[-1].packed)


def between(first: str, last: str) -> AddressRange:
    return AddressRange(ip_address(first).packed, ip_address(last).packed)


def service(
    protocol: int, *ports: int | tuple[int, int], source: int | None = None
) -> ServiceMatch:
    ranges = tuple((p, p) if isinstance(p, int) else p for p in ports)
    return ServiceMatch(protocol, () if source is None else ((source, source),), ranges)


def key(
    src: str = "192.0.2.10",
    dst: str = "198.51.100.20",
    proto: int = TCP,
    sport: int = 40001,
    dport: int = 80,
) -> FlowKey:
    return FlowKey(packed(src), packed(dst), sport, dport, 0, proto, 6 if ":" in src else 4)


def match(*rules: SecurityRule, zones: str = "trust>untrust", **packet: object) -> str:
    policy = Policy(rules, INTRAZONE, INTERZONE)
    return policy.match(*zones.split(">"), key(**packet)).name


V6 = {"src": "2001:db8:1::10", "dst": "2001:db8:2::20"}

# a rule's fields, a packet's, whether the one matches the other
ROWS = [
    pytest.param({}, {}, True, id="any"),
    pytest.param({"from_zones": ("trust",)}, {}, True, id="from"),
    pytest.param({"from_zones": ("dmz", "trust")}, {}, True, id="from one of two"),
    pytest.param({"from_zones": ("untrust",)}, {}, False, id="from another"),
    pytest.param({"to_zones": ("untrust",)}, {}, True, id="to"),
    pytest.param({"to_zones": ("trust",)}, {}, False, id="to another"),
    pytest.param({"rule_type": "intrazone"}, {}, False, id="intrazone, two zones"),
    pytest.param({"rule_type": "intrazone"}, {"zones": "dmz>dmz"}, True, id="intrazone, one zone"),
    pytest.param({"rule_type": "interzone"}, {}, True, id="interzone, two zones"),
    pytest.param({"rule_type": "interzone"}, {"zones": "dmz>dmz"}, False, id="interzone, one zone"),
    pytest.param(
        {"rule_type": "intrazone", "from_zones": ("trust",)},
        {"zones": "dmz>dmz"},
        False,
        id="intrazone of another",
    ),
    pytest.param({"source": (prefix("192.0.2.0/24"),)}, {}, True, id="source"),
    pytest.param({"source": (prefix("192.0.2.10"),)}, {}, True, id="host"),
    pytest.param({"source": (prefix("192.0.2.11"),)}, {}, False, id="the next host"),
    pytest.param(
        {"source": (prefix("198.51.100.0/24"),)}, {}, False, id="source is not destination"
    ),
    pytest.param(
        {"source": (between("192.0.2.10", "192.0.2.12"),)}, {}, True, id="first of a range"
    ),
    pytest.param({"source": (between("192.0.2.8", "192.0.2.10"),)}, {}, True, id="last of a range"),
    pytest.param({"source": (between("192.0.2.1", "192.0.2.9"),)}, {}, False, id="behind a range"),
    pytest.param(
        {"source": (prefix("10.0.0.0/8"), prefix("192.0.2.0/24"))},
        {},
        True,
        id="one of two sources",
    ),
    pytest.param({"destination": (prefix("198.51.100.0/24"),)}, {}, True, id="destination"),
    pytest.param({"destination": (prefix("192.0.2.0/24"),)}, {}, False, id="another destination"),
    pytest.param(
        {"source": (prefix("192.0.2.0/24"),), "negate_source": True},
        {},
        False,
        id="not this source",
    ),
    pytest.param(
        {"source": (prefix("10.0.0.0/8"),), "negate_source": True}, {}, True, id="not that source"
    ),
    pytest.param({"negate_source": True}, {}, True, id="not any is any"),
    pytest.param(
        {"destination": (prefix("198.51.100.0/24"),), "negate_destination": True},
        {},
        False,
        id="not this destination",
    ),
    pytest.param({"source": (prefix("0.0.0.0/0"),)}, {}, True, id="all of IPv4"),
    pytest.param({"source": (prefix("0.0.0.0/0"),)}, V6, False, id="all of IPv4 is no IPv6"),
    pytest.param({"source": (prefix("::/0"),)}, V6, True, id="all of IPv6"),
    pytest.param({"source": (prefix("::/0"),)}, {}, False, id="all of IPv6 is no IPv4"),
    pytest.param({"destination": (prefix("::/64"),)}, {}, False, id="nor is its beginning"),
    pytest.param(
        {"source": (prefix("::/0"),), "negate_source": True}, {}, True, id="IPv4 is not IPv6"
    ),
    pytest.param({"source": (prefix("2001:db8:1::/64"),)}, V6, True, id="IPv6 source"),
    pytest.param({"source": (prefix("2001:db8:9::/64"),)}, V6, False, id="another IPv6 source"),
    pytest.param(
        {"source": (prefix("10.0.0.0/8"), prefix("2001:db8::/32"))}, V6, True, id="mixed families"
    ),
    pytest.param({"services": (service(TCP, 80),)}, {}, True, id="port"),
    pytest.param({"services": (service(TCP, 81),)}, {}, False, id="another port"),
    pytest.param({"services": (service(UDP, 80),)}, {}, False, id="another protocol"),
    pytest.param({"services": (service(TCP, (80, 90)),)}, {}, True, id="first of a port range"),
    pytest.param({"services": (service(TCP, (70, 80)),)}, {}, True, id="last of a port range"),
    pytest.param({"services": (service(TCP, (81, 90)),)}, {}, False, id="beside a port range"),
    pytest.param({"services": (service(TCP, 443, 80),)}, {}, True, id="one of two ports"),
    pytest.param({"services": (service(UDP, 53), service(TCP, 80))}, {}, True, id="two services"),
    pytest.param({"services": (service(TCP),)}, {}, True, id="every port"),
    pytest.param({"services": (service(TCP),)}, {"proto": UDP}, False, id="TCP only"),
    pytest.param({"services": (service(TCP, source=40001),)}, {}, True, id="source port"),
    pytest.param({"services": (service(TCP, source=40002),)}, {}, False, id="another source port"),
    pytest.param({"services": (service(TCP),)}, {"proto": ICMP}, False, id="ICMP is no service"),
    pytest.param(
        {"from_zones": ("trust",), "services": (service(TCP, 81),)}, {}, False, id="all must match"
    ),
]


@pytest.mark.parametrize(("fields", "packet", "matches"), ROWS)
def test_rules(fields: dict[str, object], packet: dict[str, object], matches: bool) -> None:
    default = match(**packet)  # type: ignore[arg-type]
    assert default == (
        "intrazone-default" if packet.get("zones") == "dmz>dmz" else "interzone-default"
    )
    found = match(rule(**fields), **packet)  # type: ignore[arg-type]
    assert found == ("rule" if matches else default)


def test_the_first_match_counts() -> None:
    wide, narrow = rule("wide"), rule("narrow", source=(prefix("192.0.2.10"),))
    assert match(wide, narrow) == "wide"
    assert match(narrow, wide) == "narrow"
    assert match(narrow, wide, src="192.0.2.11") == "wide"


HOST = st.integers(1, 14)
FAMILY = st.sampled_from(["192.0.2.{}", "2001:db8::{:x}"])


@given(st.lists(st.tuples(FAMILY, HOST, HOST), max_size=4), st.booleans(), FAMILY, HOST)
def test_ranges_against_sets(
    pairs: list[tuple[str, int, int]], negate: bool, family: str, host: int
) -> None:
    ranges = []
    members = set()
    for pattern, one, other in pairs:
        first, last = min(one, other), max(one, other)
        ranges.append(between(pattern.format(first), pattern.format(last)))
        members |= {pattern.format(number) for number in range(first, last + 1)}
    source = family.format(host)
    found = match(rule(source=tuple(ranges), negate_source=negate), src=source)
    expected = not ranges or (source in members) != negate
    assert found == ("rule" if expected else "interzone-default")


# ---- many rules against a dull walk through the list ---------------------------------------------

ZONE = st.sampled_from(["trust", "untrust", "dmz"])
PORT = st.integers(0, 6) | st.sampled_from([65534, 65535])
PORTS = st.tuples(PORT, PORT).map(lambda pair: (min(pair), max(pair)))
PROTOCOL = st.sampled_from([TCP, UDP, ICMP])
NEAR = ["0.0.0.0", "192.0.2.1", "192.0.2.2", "192.0.2.9", "255.255.255.255"]
NEAR += ["::", "::1", "2001:db8::1", "2001:db8::2", "f" * 4 + ":ffff" * 7]
NEAR_BY_FAMILY = [[a for a in NEAR if (":" in a) == six] for six in (False, True)]
RANGE = st.one_of(
    *(
        st.tuples(st.sampled_from(family), st.sampled_from(family)).map(
            lambda pair: between(*sorted(pair, key=packed))
        )
        for family in NEAR_BY_FAMILY
    )
)
SERVICE = st.builds(
    ServiceMatch,
    PROTOCOL,
    st.lists(PORTS, max_size=1).map(tuple),
    st.lists(PORTS, max_size=3).map(tuple),
)
RULE = st.builds(
    SecurityRule,
    name=st.uuids().map(str),
    action=st.just("allow"),
    from_zones=st.lists(ZONE, max_size=2).map(tuple),
    to_zones=st.lists(ZONE, max_size=2).map(tuple),
    rule_type=st.sampled_from(["universal", "universal", "intrazone", "interzone"]),
    source=st.lists(RANGE, max_size=2).map(tuple),
    destination=st.lists(RANGE, max_size=2).map(tuple),
    negate_source=st.booleans(),
    negate_destination=st.booleans(),
    services=st.lists(SERVICE, max_size=2).map(tuple),
)


class Packet(NamedTuple):
    from_zone: str
    to_zone: str
    src: str
    dst: str
    proto: int
    sport: int
    dport: int


PACKETS = st.one_of(
    *(
        st.builds(
            Packet,
            ZONE,
            ZONE,
            st.sampled_from(family),
            st.sampled_from(family),
            PROTOCOL,
            PORT,
            PORT,
        )
        for family in NEAR_BY_FAMILY
    )
)


def fits(ranges: tuple[AddressRange, ...], negate: bool, address: str) -> bool:
    raw = ip_address(address).packed
    inside = any(len(r.first) == len(raw) and r.first <= raw <= r.last for r in ranges)
    return not ranges or inside != negate


def dull_match(rules: list[SecurityRule], packet: Packet) -> str:
    within = packet.from_zone == packet.to_zone
    for rule in rules:
        served = not rule.services or any(
            service.protocol == packet.proto
            and all(
                not ports or any(low <= port <= high for low, high in ports)
                for ports, port in (
                    (service.source_ports, packet.sport),
                    (service.destination_ports, packet.dport),
                )
            )
            for service in rule.services
        )
        if (
            packet.from_zone in (rule.from_zones or (packet.from_zone,))
            and packet.to_zone in (rule.to_zones or (packet.to_zone,))
            and rule.rule_type in ("universal", "intrazone" if within else "interzone")
            and fits(rule.source, rule.negate_source, packet.src)
            and fits(rule.destination, rule.negate_destination, packet.dst)
            and served
        ):
            return rule.name
    return "intrazone-default" if within else "interzone-default"


@given(st.lists(RULE, max_size=8), st.lists(PACKETS, min_size=1, max_size=10))
def test_many_rules_against_a_walk(rules: list[SecurityRule], packets: list[Packet]) -> None:
    policy = Policy(tuple(rules), INTRAZONE, INTERZONE)
    for packet in packets:
        found = policy.match(packet.from_zone, packet.to_zone, key(*packet[2:]))
        assert found.name == dull_match(rules, packet)


# ---- wildcards, rules that are left out, and every match -----------------------------------------


def wildcard(text: str) -> Wildcard:
    address, _, mask = text.partition("/")
    return Wildcard(ip_address(address).packed, ip_address(mask).packed)


ODD_HOSTS = wildcard("192.0.0.10/0.0.255.4")  # 192.0.x.10 and 192.0.x.14
WILDCARDS = [  # a rule's fields, a packet's source, whether it matches
    pytest.param({}, "192.0.2.10", True, id="like it"),
    pytest.param({}, "192.0.77.14", True, id="like it too"),
    pytest.param({}, "192.0.2.11", False, id="another bit"),
    pytest.param({}, "192.1.2.10", False, id="another net"),
    pytest.param({}, "2001:db8::10", False, id="IPv6"),
    pytest.param({}, "::192.0.2.10", False, id="IPv6 that looks like it"),
    pytest.param({"negate_source": True}, "192.0.2.10", False, id="not like it"),
    pytest.param({"negate_source": True}, "192.0.2.11", True, id="everything else"),
    pytest.param({"negate_source": True}, "2001:db8::10", True, id="IPv6 is everything else"),
    pytest.param({"source": (prefix("10.0.0.0/8"),)}, "10.1.2.3", True, id="beside ranges"),
    pytest.param({"source": (prefix("10.0.0.0/8"),)}, "192.0.2.14", True, id="both count"),
    pytest.param({"source": (prefix("10.0.0.0/8"),)}, "192.0.2.11", False, id="neither"),
    pytest.param(
        {"source": (prefix("10.0.0.0/8"),), "negate_source": True}, "10.1.2.3", False, id="not both"
    ),
]


@pytest.mark.parametrize(("fields", "src", "matches"), WILDCARDS)
def test_wildcards(fields: dict[str, object], src: str, matches: bool) -> None:
    rule_with = rule(source_wildcards=(ODD_HOSTS,), **fields)
    expected = "rule" if matches else "interzone-default"
    other = V6["dst"] if ":" in src else "198.51.100.20"
    assert match(rule_with, src=src, dst=other) == expected
    turned = replace(
        rule_with,
        destination_wildcards=(ODD_HOSTS,),
        source_wildcards=(),
        destination=rule_with.source,
        negate_destination=rule_with.negate_source,
        source=(),
        negate_source=False,
    )
    assert match(turned, src=other, dst=src) == expected
    assert match(rule_with, rule("next"), src=src, dst=other) == ("rule" if matches else "next")


TWO = (wildcard("10.0.0.1/0.0.0.4"), wildcard("192.0.0.2/0.0.0.4"))


@pytest.mark.parametrize(
    ("src", "matches"), [("10.0.0.5", True), ("192.0.0.6", True), ("10.0.0.2", False)]
)
def test_wildcards_of_one_rule_are_not_mixed_up(src: str, matches: bool) -> None:
    expected = "rule" if matches else "interzone-default"
    assert match(rule(source_wildcards=TWO), src=src) == expected


BYTES = st.binary(min_size=4, max_size=4)
WILD = st.builds(Wildcard, st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4))


def like(address: bytes, wildcard: Wildcard) -> bool:
    return all(
        (a ^ b) & ~m & 0xFF == 0
        for a, b, m in zip(address, wildcard.address, wildcard.mask, strict=True)
    )


@given(
    st.lists(st.tuples(st.lists(WILD, max_size=3), st.booleans()), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), BYTES), min_size=1, max_size=5),
)
def test_wildcards_against_bits(
    rules: list[tuple[list[Wildcard], bool]], chosen: list[tuple[int, int, bytes]]
) -> None:
    """Addresses that are like a wildcard, but for the bits its mask leaves open."""
    policy = Policy(
        [
            rule(str(number), source_wildcards=tuple(wildcards), negate_source=negate)
            for number, (wildcards, negate) in enumerate(rules)
        ],
        INTRAZONE,
        INTERZONE,
    )
    for number, which, raw in chosen:
        wildcards, _ = rules[number % len(rules)]
        address = raw
        if wildcards:
            near = wildcards[which % len(wildcards)]
            address = bytes(
                a & ~m & 0xFF | r & m for a, m, r in zip(near.address, near.mask, raw, strict=True)
            )
        expected = [
            str(place)
            for place, (own, negate) in enumerate(rules)
            if not own or any(like(address, one) for one in own) != negate
        ]
        packet = ("trust", "untrust", key(str(ip_address(address))))
        assert [found.name for found in policy.match_all(*packet)] == expected
        assert policy.match(*packet).name == [*expected, "interzone-default"][0]


def test_rules_that_are_left_out() -> None:
    policy = Policy([rule("a"), rule("b"), rule("c")], INTRAZONE, INTERZONE)
    packet = ("trust", "untrust", key())
    names = [policy.match(*packet, among).name for among in (-1, 0b110, 0b100, 0)]
    assert names == ["a", "b", "c", "interzone-default"]
    assert [found.name for found in policy.match_all(*packet, 0b101)] == ["a", "c"]


@given(st.lists(RULE, max_size=8), PACKETS)
def test_every_match(rules: list[SecurityRule], packet: Packet) -> None:
    """The first of them is the one that counts, and the others are what follows without it."""
    if not packet.sport or not packet.dport:
        packet = packet._replace(sport=1, dport=1)
    policy = Policy(tuple(rules), INTRAZONE, INTERZONE)
    expected = [r.name for r in rules if dull_match([r], packet) == r.name]
    found = policy.match_all(packet.from_zone, packet.to_zone, key(*packet[2:]))
    assert [one.name for one in found] == expected


UNSAID = [
    pytest.param({}, {"zones": ">"}, True, id="any"),
    pytest.param({"from_zones": ("dmz",)}, {"zones": ">untrust"}, True, id="from"),
    pytest.param({"from_zones": ("dmz",)}, {"zones": "trust>untrust"}, False, id="from, said"),
    pytest.param({"rule_type": "intrazone"}, {"zones": ">untrust"}, True, id="may be one zone"),
    pytest.param({"rule_type": "interzone"}, {"zones": "dmz>"}, True, id="may be two"),
    pytest.param({"services": (service(TCP, 80),)}, {"dport": 0}, True, id="port"),
    pytest.param({"services": (service(TCP, 80),)}, {"dport": 0, "proto": UDP}, False, id="UDP"),
    pytest.param({"services": (service(TCP, 80, source=7),)}, {"sport": 0}, True, id="source port"),
]


@pytest.mark.parametrize(("fields", "packet", "matches"), UNSAID)
def test_what_is_not_said_may_be_anything(
    fields: dict[str, object], packet: dict[str, object], matches: bool
) -> None:
    asked = {"zones": "trust>untrust"} | packet
    zones = str(asked.pop("zones")).split(">")
    policy = Policy([rule(**fields)], INTRAZONE, INTERZONE)
    assert len(list(policy.match_all(*zones, key(**asked)))) == matches
