"""control/config/shadows.py: rules that are never reached, beside trying every packet."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config.load import load_config
from control.config.shadows import nat_covers, pbf_covers, security_covers, shadows
from dataplane.snapshot import (
    AddressRange,
    DynamicIpAndPort,
    Monitor,
    NatRule,
    PbfRule,
    Schedule,
    SecurityRule,
    ServiceMatch,
    Wildcard,
)

ZONES = ("a", "b", "c")
LAST_BYTES = range(8)
PORTS = range(5)


def v4(first: int, last: int | None = None) -> AddressRange:
    return AddressRange(bytes((10, 0, 0, first)), bytes((10, 0, 0, last or first)))


def matches(rule: SecurityRule, packet: tuple[str, str, int, int, int]) -> bool:
    source_zone, target_zone, source, destination, port = packet

    def holds(ranges: tuple[AddressRange, ...], address: int, is_negated: bool) -> bool:
        inside = any(found.first[3] <= address <= found.last[3] for found in ranges)
        return not ranges or inside != is_negated

    kind = {"intrazone": source_zone == target_zone, "interzone": source_zone != target_zone}
    return (
        kind.get(rule.rule_type, True)
        and source_zone in (rule.from_zones or ZONES)
        and target_zone in (rule.to_zones or ZONES)
        and holds(rule.source, source, rule.negate_source)
        and holds(rule.destination, destination, rule.negate_destination)
        and (
            not rule.services
            or any(
                first <= port <= last
                for service in rule.services
                for first, last in service.destination_ports or ((0, 65535),)
            )
        )
    )


def intervals(numbers: range) -> st.SearchStrategy[list[tuple[int, int]]]:
    one = st.tuples(*[st.sampled_from(numbers)] * 2).map(lambda ends: (min(ends), max(ends)))
    return st.lists(one, max_size=2)


@st.composite
def rules(draw: st.DrawFn) -> SecurityRule:
    addresses = intervals(LAST_BYTES).map(
        lambda found: tuple(AddressRange(v4(a).first, v4(b).last) for a, b in found)
    )
    zones = st.lists(st.sampled_from(ZONES), max_size=2, unique=True).map(tuple)
    source, destination = draw(addresses), draw(addresses)
    kind = draw(st.sampled_from(["universal", "interzone", "intrazone"]))
    return SecurityRule(
        name="r",
        action="allow",
        rule_type=kind,
        from_zones=draw(zones),
        to_zones=() if kind == "intrazone" else draw(zones),
        source=source,
        destination=destination,
        negate_source=bool(source) and draw(st.booleans()),
        negate_destination=bool(destination) and draw(st.booleans()),
        services=tuple(ServiceMatch(6, (), (found,)) for found in draw(intervals(PORTS))),
    )


@given(st.lists(rules(), max_size=5))
def test_what_is_said_to_be_unreachable_is(ordered: list[SecurityRule]) -> None:
    packets = [*product(ZONES, ZONES, LAST_BYTES, LAST_BYTES, PORTS)]
    matched = [{packet for packet in packets if matches(rule, packet)} for rule in ordered]
    for later, earlier in shadows(ordered, security_covers):
        assert earlier < later
        assert matched[earlier] >= matched[later]


@given(rules())
def test_a_rule_covers_itself(rule: SecurityRule) -> None:
    assert [*shadows([rule, rule, rule], security_covers)] == [(1, 0), (2, 0)]


def rule(**changes: object) -> SecurityRule:
    return SecurityRule(**{"name": "r", "action": "allow"} | changes)  # type: ignore[arg-type]


WILD = Wildcard(bytes((10, 0, 0, 1)), bytes((0, 255, 0, 0)))
V6 = AddressRange(bytes(16), bytes([255] * 16))
TCP80, TCP = ServiceMatch(6, (), ((80, 80),)), ServiceMatch(6)


@pytest.mark.parametrize(
    ("earlier", "later", "is_covered"),
    [
        pytest.param(rule(), rule(source=(v4(1),)), True, id="any around an address"),
        pytest.param(rule(source=(v4(1),)), rule(), False, id="an address is not any"),
        pytest.param(
            rule(source=(v4(0, 3), v4(4, 9))),
            rule(source=(v4(2, 6),)),
            True,
            id="ranges that touch",
        ),
        pytest.param(rule(source=(V6,)), rule(source=(v4(1),)), False, id="::/0 holds no IPv4"),
        pytest.param(
            rule(source=(v4(1),), negate_source=True),
            rule(source=(v4(1, 2),), negate_source=True),
            True,
            id="the more is left out the less is left",
        ),
        pytest.param(
            rule(from_zones=("a",), rule_type="intrazone"),
            rule(from_zones=("a",), to_zones=("a",)),
            False,
            id="universal behind intrazone",
        ),
        pytest.param(
            rule(from_zones=("a",), to_zones=("a", "b")),
            rule(from_zones=("a",), rule_type="intrazone"),
            True,
            id="intrazone behind universal",
        ),
        pytest.param(rule(services=(TCP,)), rule(services=(TCP80,)), True, id="a port of all"),
        pytest.param(rule(services=(TCP80,)), rule(services=(TCP,)), False, id="all of a port"),
        pytest.param(rule(services=(TCP,)), rule(), False, id="TCP is not every service"),
        pytest.param(
            rule(services=(ServiceMatch(6, ((1, 9),), ((80, 80),)),)),
            rule(services=(TCP80,)),
            False,
            id="from some ports only",
        ),
        pytest.param(
            rule(services=(ServiceMatch(17),)), rule(services=(TCP80,)), False, id="UDP is not TCP"
        ),
        pytest.param(rule(schedule=Schedule("s")), rule(), False, id="now and then"),
        pytest.param(rule(), rule(schedule=Schedule("s")), True, id="always and now and then"),
        pytest.param(
            rule(source_wildcards=(WILD,)), rule(source=(v4(1),)), False, id="a wildcard is not any"
        ),
        pytest.param(
            rule(source=(v4(1),)),
            rule(source=(v4(1),), source_wildcards=(WILD,)),
            False,
            id="a wildcard beside what is covered",
        ),
        pytest.param(
            rule(source=(v4(1),), source_wildcards=(WILD,)),
            rule(source=(v4(1),), source_wildcards=(WILD,)),
            True,
            id="the same wildcard",
        ),
    ],
)
def test_security_rules(earlier: SecurityRule, later: SecurityRule, is_covered: bool) -> None:
    assert [*shadows([earlier, later], security_covers)] == ([(1, 0)] if is_covered else [])


POOL4, POOL6 = DynamicIpAndPort((v4(1),)), DynamicIpAndPort((V6,))


@pytest.mark.parametrize(
    ("earlier", "later", "is_covered"),
    [
        pytest.param(NatRule("a"), NatRule("b", source_translation=POOL4), True, id="exempted"),
        pytest.param(
            NatRule("a", source_translation=POOL4),
            NatRule("b", source_translation=POOL6),
            False,
            id="a pool is for its family only",
        ),
        pytest.param(
            NatRule("a", source_translation=POOL4), NatRule("b"), False, id="IPv6 is left over"
        ),
        pytest.param(
            NatRule("a", source_translation=POOL4),
            NatRule("b", source=(v4(1),)),
            True,
            id="nothing but IPv4 is asked for",
        ),
        pytest.param(
            NatRule("a", to_interface="ethernet1/1"), NatRule("b"), False, id="one interface of all"
        ),
        pytest.param(NatRule("a"), NatRule("b", mirrors=True), False, id="mirrors are not written"),
    ],
)
def test_nat_rules(earlier: NatRule, later: NatRule, is_covered: bool) -> None:
    assert [*shadows([earlier, later], nat_covers)] == ([(1, 0)] if is_covered else [])


@pytest.mark.parametrize(
    ("earlier", "later", "is_covered"),
    [
        pytest.param(
            PbfRule("a", "discard", from_ports=("p", "q")),
            PbfRule("b", "discard", from_ports=("q",)),
            True,
            id="one interface of two",
        ),
        pytest.param(
            PbfRule("a", "discard", from_ports=("p",)),
            PbfRule("b", "discard", from_ports=("q",)),
            False,
            id="another interface",
        ),
        pytest.param(
            PbfRule("a", "discard", from_ports=("p",)),
            PbfRule("b", "discard", from_zones=("z",)),
            False,
            id="an interface and a zone",
        ),
        pytest.param(
            PbfRule("a", "forward", monitor=Monitor("10.0.0.1", disable_if_unreachable=True)),
            PbfRule("b", "discard"),
            False,
            id="may be left out",
        ),
    ],
)
def test_pbf_rules(earlier: PbfRule, later: PbfRule, is_covered: bool) -> None:
    assert [*shadows([earlier, later], pbf_covers)] == ([(1, 0)] if is_covered else [])


def test_the_warning_names_both_rules() -> None:
    config = load_config(
        b"set zone a\n"
        b"set rulebase security rules one from any to any source any destination any action deny\n"
        b"set rulebase security rules two from a to any source any destination any action allow\n"
        b"set rulebase nat rules n from a to a source any destination any\n"
        b"set rulebase nat rules m from a to a source any destination 192.0.2.1\n"
        b"set rulebase nat rules m disabled yes\n"
        b"set rulebase pbf rules p from zone a\n"
        b"set rulebase pbf rules p source any destination any action no-pbf\n"
        b"set rulebase pbf rules q from zone a\n"
        b"set rulebase pbf rules q source 192.0.2.1 destination any action discard\n",
        "test",
    )
    assert [problem.text("f") for problem in config.problems] == [
        "f:3: warning: rulebase security rules two: is never reached: "
        'rule "one" (line 2) matches all of it',
        'f:9: warning: rulebase pbf rules q: is never reached: rule "p" (line 7) matches all of it',
    ]
