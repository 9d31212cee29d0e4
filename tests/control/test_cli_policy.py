"""Rules as the command line shows them, what they match, and how often they did."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from dataplane.messages import ClearHits, Hit, Match, NatPool
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
from tests.control.cli_fake import START_NS, FakeManagement, refusal, run


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def addresses(first: str, last: str = "") -> AddressRange:
    return AddressRange(ip_address(first).packed, ip_address(last or first).packed)


TRUST, UNTRUST = ("trust",), ("untrust",)

NAT_RULES = (
    NatRule(
        "n-proxy",
        from_zones=("dmz",),
        to_zones=("untrust",),
        to_interface="ethernet1/5",
        source=(addresses("192.0.2.1"), addresses("192.0.2.2")),
        source_translation=DynamicIpAndPort((addresses("198.51.100.2"),)),
    ),
    NatRule(
        "if",
        from_zones=TRUST,
        to_zones=UNTRUST,
        source_translation=DynamicIpAndPort((addresses("198.51.100.150"),), "ethernet1/3"),
    ),
    NatRule(
        "in",
        from_zones=("untrust",),
        to_zones=("untrust",),
        destination=(addresses("198.51.100.10"),),
        services=(ServiceMatch(6, (), ((80, 80),)),),
        destination_translation=DestinationTranslation((addresses("192.0.2.10"),), port=8080),
    ),
    NatRule("exempt"),
    NatRule(
        "dip",
        from_zones=TRUST,
        to_zones=UNTRUST,
        source_translation=DynamicIp(
            (addresses("198.51.100.4", "198.51.100.7"),),
            DynamicIpAndPort((addresses("198.51.100.2"),)),
        ),
    ),
    NatRule(
        "both ways",
        from_zones=TRUST,
        to_zones=UNTRUST,
        source_translation=StaticIp(addresses("192.0.2.9"), addresses("198.51.100.9")),
        destination_translation=DestinationTranslation(
            (addresses("192.0.2.1", "192.0.2.5"),), distribution="round-robin"
        ),
    ),
    NatRule(
        "both ways",
        mirrors=True,
        destination_translation=DestinationTranslation((addresses("192.0.2.9"),)),
    ),
)
PBF_RULES = (
    PbfRule(
        "isp2",
        "forward",
        from_zones=("trust",),
        source=(addresses("10.0.0.0", "10.255.255.255"),),
        negate_destination=True,
        destination=(addresses("2001:db8::1"),),
        services=(ServiceMatch(6, (), ((443, 443),)),),
        egress="ethernet1/3",
        nexthop="203.0.113.1",
        symmetric_return=True,
        monitor=Monitor("203.0.113.1", disable_if_unreachable=True),
    ),
    PbfRule(
        "watched",
        "forward",
        from_ports=("ethernet1/1",),
        egress="tunnel.1",
        monitor=Monitor("203.0.113.2"),
    ),
    PbfRule("black hole", "discard"),
    PbfRule("not this", "no-pbf"),
)
QOS_RULES = (
    QosRule("voice", 1, from_zones=TRUST, to_zones=UNTRUST, dscps=(46, 34)),
    QosRule("rest", 7, services=(ServiceMatch(17, (), ()),)),
)


@pytest.fixture
def firewall() -> FakeManagement:
    firewall = FakeManagement()
    firewall.compiled = replace(
        firewall.compiled, nat_rules=NAT_RULES, pbf_rules=PBF_RULES, qos_rules=QOS_RULES
    )
    return firewall


# ---- show running ...-policy ---------------------------------------------------------------------

NAT_POLICY = """\
"n-proxy; index: 1" {
        nat-type ipv4;
        from dmz;
        source [ 192.0.2.1 192.0.2.2 ];
        to untrust;
        to-interface ethernet1/5 ;
        destination any;
        service 0:any/any/any;
        translate-to "src: 198.51.100.2 (dynamic-ip-and-port) (pool idx: 1)";
        terminal no;
}

"if; index: 2" {
        nat-type ipv4;
        from trust;
        source any;
        to untrust;
        to-interface  ;
        destination any;
        service 0:any/any/any;
        translate-to "src: ethernet1/3 198.51.100.150 (dynamic-ip-and-port) (pool idx: 2)";
        terminal no;
}

"in; index: 3" {
        nat-type ipv4;
        from untrust;
        source any;
        to untrust;
        to-interface  ;
        destination 198.51.100.10;
        service 0:tcp/any/80;
        translate-to "dst: 192.0.2.10 port 8080";
        terminal no;
}

"exempt; index: 4" {
        nat-type ipv4;
        from any;
        source any;
        to any;
        to-interface  ;
        destination any;
        service 0:any/any/any;
        translate-to none;
        terminal no;
}

"dip; index: 5" {
        nat-type ipv4;
        from trust;
        source any;
        to untrust;
        to-interface  ;
        destination any;
        service 0:any/any/any;
        translate-to "src: 198.51.100.4/30 (dynamic-ip) (pool idx: 3) fallback 198.51.100.2";
        terminal no;
}

"both ways; index: 6" {
        nat-type ipv4;
        from trust;
        source any;
        to untrust;
        to-interface  ;
        destination any;
        service 0:any/any/any;
        translate-to "src: 198.51.100.9 (static-ip); dst: 192.0.2.1-192.0.2.5 (round-robin)";
        terminal no;
}

"both ways; index: 7" {
        nat-type ipv4;
        from any;
        source any;
        to any;
        to-interface  ;
        destination any;
        service 0:any/any/any;
        translate-to "dst: 192.0.2.9";
        terminal no;
}
"""

PBF_POLICY = """\
"isp2; index: 1" {
        id 1;
        from trust;
        source 10.0.0.0/8;
        destination 2001:db8::1;
        negate-destination yes;
        user any;
        application/service 0:any/tcp/any/443;
        action forward;
        forwarding-egress-IF/VSYS ethernet1/3;
        next-hop 203.0.113.1;
        symmetric-return yes;
        monitor 203.0.113.1;
        terminal yes;
}

"watched; index: 2" {
        id 2;
        from ethernet1/1;
        source any;
        destination any;
        user any;
        application/service 0:any/any/any/any;
        action forward;
        forwarding-egress-IF/VSYS tunnel.1;
        next-hop none;
        symmetric-return no;
        monitor 203.0.113.2;
        terminal yes;
}

"black hole; index: 3" {
        id 3;
        from any;
        source any;
        destination any;
        user any;
        application/service 0:any/any/any/any;
        action discard;
        symmetric-return no;
        terminal yes;
}

"not this; index: 4" {
        id 4;
        from any;
        source any;
        destination any;
        user any;
        application/service 0:any/any/any/any;
        action no-pbf;
        symmetric-return no;
        terminal yes;
}
"""

QOS_POLICY = """\
"voice; index: 1" {
        from trust;
        source any;
        to untrust;
        destination any;
        user any;
        category any;
        application/service 0:any/any/any/any;
        dscp [ 46 34 ];
        class 1;
        terminal yes;
}

"rest; index: 2" {
        from any;
        source any;
        to any;
        destination any;
        user any;
        category any;
        application/service 0:any/udp/any/any;
        class 7;
        terminal yes;
}
"""


@pytest.mark.parametrize(
    ("policy", "text"),
    [("nat", NAT_POLICY), ("pbf", PBF_POLICY), ("qos", QOS_POLICY)],
)
def test_a_running_policy(firewall: FakeManagement, policy: str, text: str) -> None:
    assert run(firewall, f"show running {policy}-policy") == text


@pytest.mark.parametrize("policy", ["nat", "pbf", "qos", "application-override"])
def test_no_rules(policy: str) -> None:
    firewall = FakeManagement()
    firewall.compiled = replace(firewall.compiled, nat_rules=())
    assert run(firewall, f"show running {policy}-policy") == "No rules\n"


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (
            SecurityRule(
                "r",
                "drop",
                source=(addresses("10.0.0.1"),),
                source_wildcards=(Wildcard(bytes((10, 0, 0, 7)), bytes((0, 0, 255, 0))),),
                destination_wildcards=(Wildcard(bytes((10, 1, 0, 7)), bytes((0, 0, 0, 8))),),
            ),
            [
                "source [ 10.0.0.1 10.0.0.7/0.0.255.0 ];",
                "destination 10.1.0.7/0.0.0.8;",
            ],
        ),
        (SecurityRule("r", "drop", icmp_unreachable=True), ["icmp-unreachable: yes"]),
        (
            SecurityRule("r", "allow", schedule=Schedule("office hours")),
            ['schedule "office hours";'],
        ),
        (SecurityRule("r", "allow", dscp=0), ["qos-marking ip-dscp 0;"]),
        (SecurityRule("r", "allow", dscp_follows=True), ["qos-marking follow-c2s-flow;"]),
    ],
    ids=["wildcards", "icmp-unreachable", "schedule", "dscp", "follows"],
)
def test_a_security_rule_says_what_it_does(
    firewall: FakeManagement, rule: SecurityRule, lines: list[str]
) -> None:
    firewall.compiled = replace(firewall.compiled, rules=(rule,))
    first, _, _ = run(firewall, "show running security-policy").partition("}\n")
    assert set(lines) <= {line.strip() for line in first.splitlines()}
    plain = replace(firewall.compiled, rules=(SecurityRule("r", rule.action),))
    firewall.compiled = plain
    first, _, _ = run(firewall, "show running security-policy").partition("}\n")
    assert not set(lines) & {line.strip() for line in first.splitlines()}


# ---- test ...-policy-match -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (
            "test security-policy-match source 192.0.2.1 destination 203.0.113.1 protocol tcp"
            " destination-port 443 source-port 40000 from trust to untrust show-all yes",
            Match(
                "security",
                "192.0.2.1",
                "203.0.113.1",
                6,
                destination_port=443,
                source_port=40000,
                from_zone="trust",
                to_zone="untrust",
                every=True,
            ),
        ),
        (
            "test security-policy-match source 192.0.2.1 destination 203.0.113.1 protocol 1"
            " show-all no",
            Match("security", "192.0.2.1", "203.0.113.1", 1),
        ),
        (
            "test nat-policy-match source 192.0.2.1 destination 203.0.113.1 protocol udp"
            " from trust to untrust to-interface ethernet1/2",
            Match(
                "nat",
                "192.0.2.1",
                "203.0.113.1",
                17,
                from_zone="trust",
                to_zone="untrust",
                to_interface="ethernet1/2",
            ),
        ),
        (
            "test pbf-policy-match protocol 6 source 2001:db8::1 destination 2001:db8:1::1"
            " from-interface ethernet1/1",
            Match("pbf", "2001:db8::1", "2001:db8:1::1", 6, from_interface="ethernet1/1"),
        ),
        (
            "test qos-policy-match source 192.0.2.1 destination 203.0.113.1 protocol 6 to untrust",
            Match("qos", "192.0.2.1", "203.0.113.1", 6, to_zone="untrust"),
        ),
    ],
)
def test_the_dataplane_is_asked(firewall: FakeManagement, line: str, match: Match) -> None:
    assert run(firewall, line) == "No rule matched\n"
    assert firewall.asked == [match]


PACKET = "source 192.0.2.1 destination 198.51.100.10 protocol tcp"


def blocks(text: str) -> dict[str, str]:
    """Rules as they are shown, by what opens them."""
    shown = [f"{block}}}\n" for block in text.split("}\n") if block]
    return {block.split("{")[0].strip(): block.lstrip("\n") for block in shown}


@pytest.mark.parametrize(
    ("policy", "matched", "opened"),
    [
        ("nat", ("in",), ['"in; index: 3"']),
        ("nat", ("both ways",), ['"both ways; index: 6"', '"both ways; index: 7"']),
        ("pbf", ("black hole",), ['"black hole; index: 3"']),
        ("qos", ("rest",), ['"rest; index: 2"']),
        (
            "security",
            ("two words", "interzone-default"),
            ['"two words; index: 2"', '"interzone-default; index: 4"'],
        ),
        ("security", ("gone with a commit",), []),
    ],
)
def test_what_matches_is_shown_as_it_runs(
    firewall: FakeManagement, policy: str, matched: tuple[str, ...], opened: list[str]
) -> None:
    firewall.matched = matched
    whole = blocks(run(firewall, f"show running {policy}-policy"))
    text = run(firewall, f"test {policy}-policy-match {PACKET}")
    if opened:
        assert blocks(text) == {one: whole[one] for one in opened}
    else:
        assert text == "No rule matched\n"


# ---- hit counts ----------------------------------------------------------------------------------

HITS = [
    Hit("r-ping", 17, START_NS, START_NS + 61 * 10**9, START_NS - 10**9),
    Hit("interzone-default", 0, 0, 0, START_NS),
]

HIT_COUNTS = """\
vsys: vsys1
rule-base: security

rule                  hit-count  last-hit-timestamp        first-hit-timestamp       \
last-reset-timestamp
------------------------------------------------------------------------------------------\
-------------------
r-ping                       17  Thu Jan  1 10:01:01 2026  Thu Jan  1 10:00:00 2026  Thu \
Jan  1 09:59:59 2026
interzone-default             0  -                         -                         Thu \
Jan  1 10:00:00 2026
"""

OF_RULES = "rule-hit-count vsys vsys-name vsys1 rule-base security rules"


def test_hit_counts(firewall: FakeManagement) -> None:
    firewall.hits = {"security": HITS}
    assert run(firewall, f"show {OF_RULES} all") == HIT_COUNTS
    *_, row = run(firewall, f"show {OF_RULES} list [ interzone-default ]").splitlines()
    assert row.split()[:2] == ["interzone-default", "0"]
    rows = run(firewall, f"show {OF_RULES} list [ interzone-default r-ping ]").splitlines()[-2:]
    assert [one.split()[0] for one in rows] == ["interzone-default", "r-ping"]


@pytest.mark.parametrize("rulebase", ["nat", "pbf", "qos", "application-override"])
def test_hit_counts_of_every_rulebase(firewall: FakeManagement, rulebase: str) -> None:
    firewall.hits = {rulebase: [Hit("the rule", 3, 1, 1, 1)]}
    line = OF_RULES.replace("security", rulebase)
    *_, row = run(firewall, f"show {line} all").splitlines()
    assert row.startswith("the rule             3  Thu Jan  1 00:00:00 1970")
    assert run(firewall, f'clear {line} list "the rule"') == "Hit counts cleared, of rules: 1\n"
    assert firewall.asked[-1] == ClearHits(rulebase, ("the rule",))


def test_hit_counts_are_cleared(firewall: FakeManagement) -> None:
    firewall.hits = {"security": HITS}
    assert run(firewall, f"clear {OF_RULES} all") == "Hit counts cleared, of rules: 2\n"
    assert firewall.asked[-1] == ClearHits("security")


@pytest.mark.parametrize("verb", ["show", "clear"])
def test_rules_that_are_not_there_have_no_hit_counts(firewall: FakeManagement, verb: str) -> None:
    firewall.hits = {"security": HITS}
    assert refusal(firewall, f"{verb} {OF_RULES} list [ r-ping nix ]") == (
        'there is no security rule "nix" in force: show running security-policy lists them\n'
    )
    assert not any(isinstance(request, ClearHits) for request in firewall.asked)


# ---- pools ---------------------------------------------------------------------------------------

POOLS = (
    NatPool("n-proxy", "dynamic-ip-and-port", "198.51.100.2", 12, 128012, 2),
    NatPool("dip", "dynamic-ip", "198.51.100.4-198.51.100.7", 4, 0, 1),
    NatPool("dip", "dynamic-ip-and-port", "198.51.100.2", 0, 64512, 1),
)


def test_pools_have_the_numbers_they_have_in_the_policy(firewall: FakeManagement) -> None:
    """Each family's is one, and a fallback's."""
    both = (addresses("198.51.100.4"), addresses("2001:db8::4"))
    rules = (
        NatRule("a", source_translation=DynamicIp(both, DynamicIpAndPort(both))),
        NatRule("b", source_translation=DynamicIpAndPort(both)),
        NatRule("c", source_translation=DynamicIpAndPort(both)),
    )
    firewall.compiled = replace(firewall.compiled, nat_rules=rules)
    shown = run(firewall, "show running nat-policy")
    assert re.findall(r"pool idx: (\d+)", shown) == ["1", "5", "7"]


def test_pools(firewall: FakeManagement) -> None:
    firewall.pools = POOLS
    assert run(firewall, "show running ippool") == (
        """\
VSYS 1 has 2 NAT rules, DIP and DIPP rules:
Rule                                     Type                  Used  Available Ratio
---------------------------------------- --------------- ---------- ---------- -----
n-proxy                                  Dynamic IP/Port         12     128012     2
dip                                      Dynamic IP               4          0     1
dip                                      Dynamic IP/Port          0      64512     1
"""
    )
    assert run(firewall, "show running nat-rule-ippool rule dip") == (
        """\
VSYS 1 Rule dip:
Rule: dip, Pool index: 2, type: Dynamic IP
-----------------------------------------
Addresses:                              198.51.100.4-198.51.100.7
Oversubscription Ratio:                 1
Number of addresses in use:             4
Number of addresses available:          0

VSYS 1 Rule dip:
Rule: dip, Pool index: 3, type: Dynamic IP/Port
-----------------------------------------
Addresses:                              198.51.100.2
Oversubscription Ratio:                 1
Number of ports in use:                 0
Number of ports available:              64512
"""
    )
    assert refusal(firewall, "show running nat-rule-ippool rule exempt") == (
        'NAT rule "exempt" has no address pool: show running ippool lists them\n'
    )
