"""What an administrator asks the running tables, by the messages that ask it."""

import pytest
from msgspec.structs import replace

from dataplane.messages import (
    ClearHits,
    Done,
    Failed,
    FindRoute,
    FoundRoute,
    GetHits,
    GetNatPools,
    Hits,
    Match,
    Matched,
    NatPool,
    NatPools,
    Reply,
    Request,
    SetPaths,
)
from dataplane.requests import Process, answer
from dataplane.snapshot import (
    AddressRange,
    ApplicationOverride,
    DosRule,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    Path,
    PbfRule,
    QosRule,
    Route,
    Schedule,
    SecurityRule,
    ServiceMatch,
    Snapshot,
    VirtualRouter,
)
from tests.support.packets import CLIENT, DMZ, SERVER, TRUST, UNTRUST, Firewall, snapshot, udp

UDP = 17
POOL = AddressRange(b"\xc6\x33\x64\x64", b"\xc6\x33\x64\x65")
DIPP = DynamicIpAndPort((POOL,))


def configuration() -> Snapshot:
    return replace(
        snapshot(
            SecurityRule("dns", "allow", services=(ServiceMatch(UDP, (), ((53, 53),)),)),
            SecurityRule("never", "allow", schedule=Schedule("never")),
            SecurityRule("to dmz", "deny", to_zones=("dmz",)),
            SecurityRule("out", "allow", to_zones=("untrust",)),
            application_overrides=(ApplicationOverride("dns", "dns", UDP, ((53, 53),)),),
        ),
        nat_rules=(
            NatRule("by dmz", to_interface=DMZ, source_translation=DIPP),
            NatRule("out", to_zones=("untrust",), source_translation=DIPP),
            NatRule("rest", source_translation=DynamicIp((POOL,), DIPP)),
        ),
        pbf_rules=(
            PbfRule("trust", "no-pbf", from_ports=(TRUST,)),
            PbfRule("all", "forward", egress=UNTRUST),
        ),
        qos_rules=(QosRule("marked", 1, dscps=(46,)), QosRule("bulk", 7)),
        dos_rules=(
            DosRule("rests", "deny", schedule=Schedule("never")),
            DosRule("in by untrust", "protect", from_ports=(UNTRUST,)),
            DosRule("out by dmz", "protect", to_ports=(DMZ,)),
            DosRule("to untrust", "allow", to_zones=("untrust",)),
            DosRule("rest", "protect"),
        ),
        virtual_routers=(VirtualRouter("default", 254), VirtualRouter("second", 100)),
    )


def ask(firewall: Firewall, request: Request) -> Reply:
    return answer(firewall.engine, request, Process(1, "pcap", 0, 0), 9)


def asked(rulebase: str, **fields: object) -> Match:
    match = Match(rulebase, CLIENT[4], SERVER[4], UDP, destination_port=53)
    return replace(match, **fields)


TO_UNTRUST = {"from_zone": "trust", "to_zone": "untrust"}
MATCHES = [
    pytest.param("security", TO_UNTRUST, ["dns"], id="the first"),
    pytest.param(
        "security",
        TO_UNTRUST | {"every": True},
        ["dns", "out", "interzone-default"],
        id="every one",
    ),
    pytest.param("security", {"to_zone": "dmz", "destination_port": 9}, ["to dmz"], id="zone"),
    pytest.param(
        "security",
        {"from_interface": TRUST, "to_interface": TRUST, "destination_port": 9},
        ["intrazone-default"],
        id="by interfaces",
    ),
    pytest.param(
        "security",
        {"from_zone": "dmz", "to_zone": "trust", "destination_port": 9},
        ["interzone-default"],
        id="none",
    ),
    pytest.param("nat", TO_UNTRUST | {"to_interface": UNTRUST}, ["out"], id="nat"),
    pytest.param("nat", {"to_interface": DMZ}, ["by dmz"], id="nat by interface"),
    pytest.param("nat", {"every": True}, ["by dmz", "out", "rest"], id="nat, every one"),
    pytest.param(
        "nat", {"source": "2001:db8::1", "destination": "2001:db8::2"}, [], id="nat of IPv6"
    ),
    pytest.param("pbf", {"from_interface": TRUST}, ["trust"], id="pbf"),
    pytest.param("pbf", {"from_interface": DMZ}, ["all"], id="pbf by interface"),
    pytest.param("qos", {}, ["marked"], id="qos"),
    pytest.param("qos", {"every": True}, ["marked", "bulk"], id="qos, every one"),
    pytest.param("dos", {"from_interface": TRUST, "to_interface": TRUST}, ["rest"], id="dos"),
    pytest.param("dos", {"from_interface": UNTRUST}, ["in by untrust"], id="dos by ingress"),
    pytest.param(
        "dos", {"from_interface": TRUST, "to_interface": DMZ}, ["out by dmz"], id="dos by egress"
    ),
    pytest.param(
        "dos",
        TO_UNTRUST | {"every": True},
        ["in by untrust", "out by dmz", "to untrust", "rest"],
        id="dos, every one",
    ),
    pytest.param("application-override", TO_UNTRUST, ["dns"], id="application"),
    pytest.param("application-override", {"protocol": 6}, [], id="no application"),
]


@pytest.mark.parametrize(("rulebase", "fields", "rules"), MATCHES)
def test_which_rule(rulebase: str, fields: dict[str, object], rules: list[str]) -> None:
    firewall = Firewall(configuration())
    assert ask(firewall, asked(rulebase, **fields)) == Matched(tuple(rules))


@pytest.mark.parametrize("rulebase", ["nat", "pbf", "qos", "dos", "application-override"])
def test_rulebases_without_a_rule(rulebase: str) -> None:
    assert ask(Firewall(snapshot()), asked(rulebase)) == Matched(())


MISTAKES = [
    (asked("decryption"), "decryption is no rulebase"),
    (asked("nat", source="me"), "'me' does not appear to be an IPv4 or IPv6 address"),
    (asked("nat", source="::1"), "::1 and 198.51.100.20 are not of one family"),
    (asked("pbf", protocol=256), "protocol 256 is not within 0..255"),
    (asked("pbf", destination_port=-1), "destination-port -1 is not within 0..65535"),
    (asked("security", from_interface="eth1"), "interface eth1 is not configured"),
    (asked("nat", to_zone="nozone"), "no port is in zone nozone; there are dmz, trust, untrust"),
    (FindRoute("nowhere"), "'nowhere' does not appear to be an IPv4 or IPv6 address"),
    (FindRoute(SERVER[4], "third"), "virtual router third is not configured; default, second are"),
    (GetHits("all"), "all is no rulebase; security, nat, pbf, qos, application-override are"),
    (ClearHits("qos", ("slow",)), "qos has no rule slow"),
]


@pytest.mark.parametrize(("request_", "message"), MISTAKES)
def test_questions_that_make_no_sense(request_: Request, message: str) -> None:
    assert ask(Firewall(configuration()), request_) == Failed(message)


def test_routes() -> None:
    firewall = Firewall(configuration())
    connected = Route("198.51.100.0/24", "unicast", UNTRUST)
    for name in ("", "default"):
        assert ask(firewall, FindRoute(SERVER[4], name)) == FoundRoute(connected)
    assert ask(firewall, FindRoute(SERVER[4], "second")) == FoundRoute(None)
    local = ask(firewall, FindRoute("192.0.2.1", "second"))
    assert isinstance(local, FoundRoute)
    assert local.route is not None
    assert local.route.kind == "local"


def test_pools() -> None:
    rules = configuration().nat_rules
    firewall = Firewall(replace(configuration(), nat_rules=rules[1:], nat_oversubscription=2))
    for sport in (1, 2, 3):
        firewall.send(udp(sport=sport), DMZ)
    firewall.send(udp(dst="203.0.113.30"))
    addresses, ports = "198.51.100.100-198.51.100.101", 2 * 2 * 64512
    shared = NatPool("out", "dynamic-ip-and-port", addresses, 3, ports - 3, 2)
    assert ask(firewall, GetNatPools()) == NatPools(
        (
            shared,
            NatPool("rest", "dynamic-ip", addresses, 1, 1, 1),
            replace(shared, rule="rest"),
        )
    )
    assert ask(Firewall(), GetNatPools()) == NatPools(())


def test_hits_and_paths() -> None:
    firewall = Firewall(replace(configuration(), pbf_rules=()), wall_offset_s=5)
    firewall.send(udp())
    assert ask(firewall, ClearHits("security", ("dns",))) == Done(1)
    hits = ask(firewall, GetHits("security"))
    assert isinstance(hits, Hits)
    assert [hit.hits for hit in hits.hits] == [0] * 6
    assert hits.hits[0].since_ns == 5_000_000_009
    paths = SetPaths((Path(3, DMZ, "203.0.113.9"),), ("rule",))
    assert ask(firewall, paths) == Done()
    assert firewall.engine.tables.routing.paths.to(DMZ, "203.0.113.9") == 3
