"""Hit counts: what matched counts, over commits, until somebody clears it."""

import pytest
from msgspec.structs import replace

from dataplane.messages import Hit
from dataplane.snapshot import (
    AddressRange,
    ApplicationOverride,
    DynamicIpAndPort,
    NatRule,
    PbfRule,
    QosRule,
    SecurityRule,
    Snapshot,
)
from tests.support.packets import ALLOW, DMZ, NS, UNTRUST, Firewall, snapshot, tcp, udp

EPOCH_S = 1_700_000_000
PUBLIC = AddressRange(b"\xc6\x33\x64\x01", b"\xc6\x33\x64\x01")


def ns(at_s: float) -> int:
    return round((EPOCH_S + at_s) * NS)


def every_rulebase() -> Snapshot:
    return replace(
        snapshot(
            SecurityRule("first", "allow", to_zones=("dmz",)),
            ALLOW,
            application_overrides=(ApplicationOverride("dns", "dns", 17, ((53, 53),)),),
        ),
        nat_rules=(NatRule("out", source_translation=DynamicIpAndPort((PUBLIC,))),),
        pbf_rules=(PbfRule("by untrust", "forward", egress=UNTRUST),),
        qos_rules=(QosRule("bulk", 7),),
    )


def firewall() -> Firewall:
    return Firewall(every_rulebase(), wall_offset_s=EPOCH_S)


def of(found: Firewall, rulebase: str) -> dict[str, Hit]:
    return {hit.rule: hit for hit in found.engine.hits.of(rulebase)}


RULEBASES = [
    ("security", "allow"),
    ("nat", "out"),
    ("pbf", "by untrust"),
    ("qos", "bulk"),
    ("application-override", "dns"),
]


@pytest.mark.parametrize(("rulebase", "rule"), RULEBASES)
def test_what_matches_is_counted(rulebase: str, rule: str) -> None:
    found = firewall()
    for at_s in (1, 2, 90):
        found.send(udp(sport=1), at_s=at_s)  # the second belongs to the first's session
    assert of(found, rulebase)[rule] == Hit(rule, 2, ns(1), ns(90), ns(0))


def test_in_the_order_of_the_rules_with_the_defaults() -> None:
    found = firewall()
    found.send(udp(dst="192.0.2.77"))
    hits = found.engine.hits.of("security")
    names = ["first", "allow", "intrazone-default", "interzone-default"]
    assert [hit.rule for hit in hits] == names
    assert [hit.hits for hit in hits] == [0, 1, 0, 0]
    assert hits[0] == Hit("first", 0, 0, 0, ns(0))


@pytest.mark.parametrize("discard", [True, False])
def test_denied_packets(discard: bool) -> None:
    found = Firewall(snapshot(discard_denied=discard))
    for at_s in (1, 2, 3):
        found.send(udp(), at_s=at_s)
    assert of(found, "security")["interzone-default"].hits == (1 if discard else 3)


def test_a_refused_packet_counts_where_it_matched() -> None:
    found = firewall()
    found.engine.configure(replace(every_rulebase(), pbf_rules=(PbfRule("by untrust", "discard"),)))
    assert found.send(udp()).what == "flow_policy_nofwd"
    assert of(found, "pbf")["by untrust"].hits == 1
    assert of(found, "security")["allow"].hits == 0


def test_counts_live_on_over_commits_as_long_as_the_rule_does() -> None:
    found = firewall()
    found.send(udp(), at_s=5)
    moved = replace(every_rulebase(), rules=(ALLOW, SecurityRule("new", "allow")))
    found.engine.tick(20 * NS)
    found.engine.configure(moved)
    assert of(found, "security")["allow"] == Hit("allow", 1, ns(5), ns(5), ns(0))
    assert of(found, "security")["new"] == Hit("new", 0, 0, 0, ns(20))
    found.engine.configure(replace(moved, rules=()))
    found.engine.configure(moved)
    assert of(found, "security")["allow"].hits == 0


def test_a_rule_and_its_mirror_are_one() -> None:
    rules = (*every_rulebase().nat_rules, NatRule("out", mirrors=True))
    found = Firewall(replace(every_rulebase(), nat_rules=rules))
    found.send(tcp(), DMZ)
    assert [(hit.rule, hit.hits) for hit in found.engine.hits.of("nat")] == [("out", 1)]


def test_clearing() -> None:
    found = firewall()
    found.send(udp(), at_s=5)
    hits = found.engine.hits
    assert hits.clear("security", ["first"], ns(6)) == 1
    assert of(found, "security")["allow"].hits == 1
    assert hits.clear("security", [], ns(7)) == 4
    assert of(found, "security")["allow"] == Hit("allow", 0, 0, 0, ns(7))
    assert of(found, "nat")["out"].hits == 1
    with pytest.raises(ValueError, match="security has no rule nobody"):
        hits.clear("security", ["allow", "nobody"], ns(8))
    with pytest.raises(ValueError, match="decryption is no rulebase; security, nat, "):
        hits.of("decryption")
