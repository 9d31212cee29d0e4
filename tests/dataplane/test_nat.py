"""NAT: what leaves is what the rule says, what comes back finds its way, and nothing is lost."""

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.messages import SessionFilter
from dataplane.snapshot import (
    AddressRange,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    PbfRule,
    Port,
    Route,
    SecurityRule,
    ServiceMatch,
    Snapshot,
    StaticIp,
    VirtualRouter,
)
from tests.support.packets import (
    ALLOW,
    BASTION,
    CLIENT,
    DMZ,
    OWN,
    SERVER,
    TRUST,
    UNTRUST,
    Ends,
    Firewall,
    echo,
    ends,
    icmp_error,
    other,
    routes,
    snapshot,
    tcp,
    udp,
)

TCP, UDP, GRE = 6, 17, 47
PUBLIC = {4: "198.51.100.1", 6: "2001:db8:2::1"}  # the firewall's address in untrust
NEXT_CLIENT = "192.0.2.11"
FORWARDED = "198.51.100.80"  # nobody's, in untrust's network


def addresses(first: str, last: str = "") -> AddressRange:
    return AddressRange(ip_address(first).packed, ip_address(last or first).packed)


def dipp(*ranges: AddressRange) -> DynamicIpAndPort:
    return DynamicIpAndPort(ranges)


def source_rule(translation: object, **fields: object) -> NatRule:
    rule = NatRule("out", from_zones=("trust",), source_translation=translation)  # type: ignore[arg-type]
    return replace(rule, **fields)


def destination_rule(*translated: AddressRange, **fields: object) -> NatRule:
    names = DestinationTranslation.__struct_fields__
    own = {name: value for name, value in fields.items() if name in names}
    rest = {name: value for name, value in fields.items() if name not in names}
    translation = replace(DestinationTranslation(translated), **own)
    return replace(NatRule("in", destination_translation=translation), **rest)


def firewall(*rules: NatRule, **fields: object) -> Firewall:
    """Everything is allowed."""
    return Firewall(replace(snapshot(ALLOW), nat_rules=rules, **fields))


BOTH = dipp(addresses(PUBLIC[4]), addresses(PUBLIC[6]))


# ---- source --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kind", [tcp, udp])
def test_dynamic_ip_and_port(kind: object, family: int) -> None:
    nat = firewall(source_rule(BOTH))
    request = tcp("S", family) if kind is tcp else udp(family)
    sent = nat.send(request)
    assert (sent.what, sent.port) == ("forward", UNTRUST)
    assert sent.data is not None
    seen = ends(sent.data)
    assert (seen.src, seen.dst, seen.dport) == (PUBLIC[family], SERVER[family], ends(request).dport)
    assert seen.sport >= 1024
    way_back = {"src": SERVER[family], "dst": PUBLIC[family], "sport": seen.dport}
    if kind is tcp:
        reply = tcp("SA", family, dport=seen.sport, seq=0x55667788, ack=0x11223345, **way_back)  # type: ignore[arg-type]
    else:
        reply = udp(family, dport=seen.sport, **way_back)  # type: ignore[arg-type]
    answer = nat.send(reply, UNTRUST)
    assert (answer.what, answer.port, answer.session) == ("forward", TRUST, 1)
    assert answer.data is not None
    asked = ends(request)
    assert ends(answer.data) == Ends(asked.dst, asked.dport, asked.src, asked.sport)
    assert nat.session().nat_rule == "out"


@pytest.mark.parametrize("family", [4, 6])
def test_an_echo_has_a_translated_identifier(family: int) -> None:
    nat = firewall(source_rule(BOTH))
    sent = nat.send(echo(family))
    assert sent.data is not None
    seen = ends(sent.data)
    assert (seen.src, seen.dst) == (PUBLIC[family], SERVER[family])
    reply = echo(family, identifier=seen.sport, reply=True, src=SERVER[family], dst=PUBLIC[family])
    answer = nat.send(reply, UNTRUST)
    assert answer.data is not None
    assert ends(answer.data) == Ends(SERVER[family], 0x0102, CLIENT[family], 0x0102)


def test_a_protocol_without_ports_has_another_address() -> None:
    nat = firewall(source_rule(BOTH))
    sent = nat.send(other(GRE))
    assert sent.data is not None
    assert ends(sent.data) == Ends(PUBLIC[4], 0, SERVER[4], 0)


def test_an_error_about_a_translated_packet_finds_its_sender() -> None:
    nat = firewall(source_rule(BOTH))
    sent = nat.send(udp())
    assert sent.data is not None
    answer = nat.send(icmp_error(sent.data, src="198.51.100.77"), UNTRUST)
    assert (answer.what, answer.port) == ("forward", TRUST)
    assert answer.data is not None
    header = answer.data
    assert str(ip_address(header[16:20])) == CLIENT[4]
    assert ends_of_quote(header[28:]) == (CLIENT[4], SERVER[4], 40002)


def ends_of_quote(quote: bytes) -> tuple[str, str, int]:
    return (
        str(ip_address(quote[12:16])),
        str(ip_address(quote[16:20])),
        int.from_bytes(quote[20:22], "big"),
    )


POOL = addresses("198.51.100.100", "198.51.100.109")


def source_of(nat: Firewall, client: str, sport: int = 40002, dst: str = SERVER[4]) -> str:
    request = udp(src=client, sport=sport, dst=dst)
    answer = nat.send(request)
    return ends(answer.data or request).src if answer.what == "forward" else answer.what


@settings(max_examples=20)
@given(st.lists(st.integers(2, 250), min_size=1, max_size=10, unique=True))
def test_a_source_keeps_its_address(hosts: list[int]) -> None:
    nat = firewall(source_rule(dipp(POOL)))
    for host in hosts:
        client = f"192.0.2.{host}"
        found = {source_of(nat, client, 1000 + n, f"198.51.100.{20 + n}") for n in range(4)}
        assert len(found) == 1
        assert POOL.first <= ip_address(found.pop()).packed <= POOL.last


def test_sources_are_spread() -> None:
    nat = firewall(source_rule(dipp(POOL)))
    assert len({source_of(nat, f"192.0.2.{host}") for host in range(2, 250)}) == 10


def test_dynamic_ip() -> None:
    """Its own address as long as it has sessions; then somebody else may have it."""
    one = addresses("198.51.100.100")
    nat = firewall(source_rule(DynamicIp((one,))))
    sent = nat.send(udp())
    assert sent.data is not None
    assert ends(sent.data) == Ends("198.51.100.100", 40002, SERVER[4], 53)
    assert source_of(nat, CLIENT[4], 40003) == "198.51.100.100"
    assert source_of(nat, NEXT_CLIENT) == "nat_port_alloc_fail"
    nat.tick(100)
    assert source_of(nat, NEXT_CLIENT) == "198.51.100.100"


def test_a_dynamic_address_is_kept_by_a_session_that_goes_on() -> None:
    nat = firewall(source_rule(DynamicIp((addresses("198.51.100.100"),))))
    for at_s in range(0, 200, 20):
        nat.tick(at_s)
        assert source_of(nat, CLIENT[4]) == "198.51.100.100"
    assert nat.engine.stats().allocated == 1
    assert source_of(nat, NEXT_CLIENT) == "nat_port_alloc_fail"


def test_a_reserved_dynamic_address() -> None:
    one = addresses("198.51.100.100")
    nat = firewall(source_rule(DynamicIp((one,))), nat_reserve_s=1000)
    assert source_of(nat, CLIENT[4]) == "198.51.100.100"
    nat.tick(40)  # its session is over
    nat.tick(900)
    assert source_of(nat, NEXT_CLIENT) == "nat_port_alloc_fail"
    nat.tick(1100)
    assert source_of(nat, NEXT_CLIENT) == "198.51.100.100"


def test_dynamic_ip_falls_back() -> None:
    one, shared = addresses("198.51.100.100"), dipp(addresses("198.51.100.101"))
    nat = firewall(source_rule(DynamicIp((one,), shared)))
    assert source_of(nat, CLIENT[4]) == "198.51.100.100"
    assert source_of(nat, NEXT_CLIENT) == "198.51.100.101"
    assert source_of(nat, CLIENT[4], 5) == "198.51.100.100"


def test_who_is_denied_takes_no_address() -> None:
    rules = (SecurityRule("no", "deny", source=(addresses(CLIENT[4]),)), ALLOW)
    one = addresses("198.51.100.100")
    nat = firewall(source_rule(DynamicIp((one,))), rules=rules)
    assert nat.send(udp()).what == "flow_policy_deny"
    assert nat.session().nat_rule == ""
    assert source_of(nat, NEXT_CLIENT) == "198.51.100.100"


STATIC = StaticIp(addresses("192.0.2.8", "192.0.2.15"), addresses("198.51.100.8", "198.51.100.15"))


def test_static_ip_keeps_the_place_in_the_range() -> None:
    nat = firewall(source_rule(STATIC))
    sent = nat.send(udp())
    assert sent.data is not None
    assert ends(sent.data) == Ends("198.51.100.10", 40002, SERVER[4], 53)
    assert source_of(nat, "192.0.2.15") == "198.51.100.15"
    assert source_of(nat, "192.0.2.16") == "nat_port_alloc_fail"


def test_a_pool_of_another_family_is_no_translation() -> None:
    nat = firewall(source_rule(dipp(addresses(PUBLIC[4]))))
    assert nat.send(udp(6)).data is None
    assert nat.session().nat_rule == ""


def test_prefix_translation() -> None:
    """RFC 6296 3.4: checksums stay as they are, so only addresses change."""
    inside, outside = (
        addresses(f"{prefix}::", f"{prefix}:ffff:ffff:ffff:ffff:ffff")
        for prefix in ("2001:db8:1", "2001:db8:9")
    )
    out = source_rule(StaticIp(inside, outside), nat_type="nptv6")
    back = destination_rule(inside, original=outside, destination=(outside,), nat_type="nptv6")
    nat = firewall(out, back)
    nat.engine.set_routes([*routes(), Route("2001:db8:9::/48", "unicast", UNTRUST)])
    sent = nat.send(udp(6))
    assert sent.data is not None
    assert ends(sent.data).src.startswith("2001:db8:9:")
    assert sent.data[40:] == udp(6)[40:]  # with its checksum
    called = nat.send(udp(6, src=SERVER[6], dst=ends(sent.data).src, sport=9, dport=10), UNTRUST)
    assert called.data is not None
    assert ends(called.data) == Ends(SERVER[6], 9, CLIENT[6], 10)
    assert called.port == TRUST


FLOWS = st.lists(
    st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(20, 22), st.integers(80, 81)),
    min_size=1,
    max_size=30,
    unique=True,
)


@settings(max_examples=50)
@given(FLOWS, st.sampled_from([1, 8]), st.sampled_from([POOL, addresses(PUBLIC[4])]))
def test_every_answer_finds_its_client(
    flows: list[tuple[int, int, int, int]], oversubscription: int, pool: AddressRange
) -> None:
    """Whatever the others do: no two sessions look alike to a server."""
    nat = firewall(source_rule(dipp(pool)), nat_oversubscription=oversubscription)
    asked = {}
    for host, sport, server, dport in flows:
        request = udp(src=f"192.0.2.{host}", sport=sport, dst=f"198.51.100.{server}", dport=dport)
        sent = nat.send(request)
        assert sent.data is not None
        asked[ends(sent.data)] = ends(request)
    assert len(asked) == len(flows)
    for seen, own in asked.items():
        reply = udp(src=seen.dst, sport=seen.dport, dst=seen.src, dport=seen.sport)
        answer = nat.send(reply, UNTRUST)
        assert answer.data is not None
        assert ends(answer.data) == Ends(own.dst, own.dport, own.src, own.sport)


# ---- destination ---------------------------------------------------------------------------------

# what is asked for, the rule's fields and what is meant
BASTIONS = addresses("203.0.113.30", "203.0.113.37")
DESTINATIONS = [
    pytest.param(FORWARDED, {}, ("203.0.113.30", 53), id="an address"),
    pytest.param(FORWARDED, {"port": 5353}, ("203.0.113.30", 5353), id="a port"),
    pytest.param(PUBLIC[4], {}, ("203.0.113.30", 53), id="the interface address"),
    pytest.param(
        "198.51.100.83",
        {"original": addresses("198.51.100.80", "198.51.100.87")},
        ("203.0.113.33", 53),
        id="by its place",
    ),
    pytest.param(
        "198.51.100.89",
        {"original": addresses("198.51.100.80", "198.51.100.95")},
        ("203.0.113.31", 53),
        id="of a smaller range",
    ),
    pytest.param(
        "198.51.100.99",
        {"original": addresses("198.51.100.80", "198.51.100.95")},
        "nat_port_alloc_fail",
        id="beside the range",
    ),
]


@pytest.mark.parametrize(("asked", "fields", "meant"), DESTINATIONS)
def test_destination(asked: str, fields: dict[str, object], meant: object) -> None:
    nat = firewall(destination_rule(BASTIONS, **fields))
    answer = nat.send(udp(src=SERVER[4], dst=asked), UNTRUST)
    if isinstance(meant, str):
        assert answer.what == meant
        return
    assert (answer.what, answer.port) == ("forward", DMZ)
    assert answer.data is not None
    seen = ends(answer.data)
    assert (seen.dst, seen.dport) == meant
    reply = nat.send(udp(src=seen.dst, dst=seen.src, sport=seen.dport, dport=seen.sport), DMZ)
    assert reply.data is not None
    assert (ends(reply.data).src, ends(reply.data).sport) == (asked, 53)
    assert nat.session().nat_rule == "in"


def test_a_port_is_of_tcp_and_udp() -> None:
    nat = firewall(destination_rule(BASTIONS, port=5353))
    sent = nat.send(echo(src=SERVER[4], dst=FORWARDED), UNTRUST)
    assert sent.data is not None
    assert ends(sent.data) == Ends(SERVER[4], 0x0102, "203.0.113.30", 0x0102)
    answer = nat.send(echo(src="203.0.113.30", dst=SERVER[4], reply=True), DMZ)
    assert answer.data is not None
    assert ends(answer.data) == Ends(FORWARDED, 0x0102, SERVER[4], 0x0102)


def test_a_denied_session_is_not_translated() -> None:
    nat = firewall(destination_rule(BASTIONS), rules=(SecurityRule("no", "drop"),))
    assert nat.send(udp(dst=FORWARDED)).what == "flow_policy_deny"
    session = nat.session()
    assert (session.nat_rule, session.s2c.source) == ("", FORWARDED)
    assert session.s2c.zone == "dmz"


def test_a_way_by_rule_stays_when_the_destination_is_translated() -> None:
    by_dmz = PbfRule("by dmz", "forward", egress=DMZ, nexthop="203.0.113.9")
    nat = firewall(destination_rule(addresses("198.51.100.99")), pbf_rules=(by_dmz,))
    sent = nat.send(udp())
    assert sent.data is not None
    assert (sent.port, ends(sent.data).dst) == (DMZ, "198.51.100.99")


def test_multicast_is_not_translated() -> None:
    routers = (VirtualRouter("default", 254, multicast=True),)
    nat = firewall(source_rule(dipp(POOL)), virtual_routers=routers)
    assert source_of(nat, CLIENT[4], dst="239.1.2.3") == CLIENT[4]


def servers(distribution: str, sessions: list[tuple[str, str]]) -> list[str]:
    """Which server each session, of a source and a destination, is given."""
    nat = firewall(destination_rule(BASTIONS, distribution=distribution))
    found = []
    for number, (src, dst) in enumerate(sessions):
        answer = nat.send(udp(src=src, dst=dst, sport=1000 + number), UNTRUST)
        assert answer.data is not None
        found.append(ends(answer.data).dst)
    return found


SOURCES = [f"198.51.100.{host}" for host in range(2, 40)]
EVERY_SERVER = {f"203.0.113.{host}" for host in range(30, 38)}


def test_round_robin() -> None:
    found = servers("round-robin", [(SOURCES[0], FORWARDED)] * 16)
    assert set(found[:8]) == EVERY_SERVER
    assert found[:8] == found[8:]


def test_least_sessions() -> None:
    assert set(servers("least-sessions", [(SOURCES[0], FORWARDED)] * 8)) == EVERY_SERVER


@pytest.mark.parametrize("distribution", ["source-ip-hash", "ip-modulo", "ip-hash"])
def test_hashes(distribution: str) -> None:
    sessions = [(source, FORWARDED) for source in SOURCES]
    found = servers(distribution, sessions)
    assert found == servers(distribution, sessions)
    assert len(set(found)) > 4
    again = servers(distribution, [(SOURCES[0], FORWARDED), (SOURCES[0], "198.51.100.81")])
    if distribution == "source-ip-hash":
        assert again[0] == again[1]
    if distribution == "ip-modulo":
        assert again[0] != again[1]


def test_the_policy_sees_the_original_packet_and_the_zone_it_ends_in() -> None:
    forwarded = addresses(FORWARDED)
    rules = (
        SecurityRule("post-NAT address", "deny", destination=(BASTIONS,)),
        SecurityRule("pre-NAT zone", "deny", to_zones=("untrust",)),
        SecurityRule(
            "right",
            "allow",
            to_zones=("dmz",),
            destination=(forwarded,),
            services=(ServiceMatch(UDP, (), ((53, 53),)),),
        ),
    )
    rule = destination_rule(BASTIONS, port=5353, destination=(forwarded,), to_zones=("untrust",))
    nat = firewall(rule, rules=rules)
    assert nat.send(udp(dst=FORWARDED)).what == "forward"
    assert (nat.session().rule, nat.session().s2c.zone) == ("right", "dmz")


REFUSED = [
    pytest.param(addresses("10.9.9.9"), "flow_fwd_l3_noroute_nat", id="no route"),
    pytest.param(addresses("203.0.113.255"), "flow_fwd_l3_bcast_drop", id="broadcast"),
    pytest.param(addresses(OWN[4]), "flow_host_service_deny", id="the firewall"),
    pytest.param(addresses(CLIENT[4]), "flow_policy_nat_land", id="the sender"),
]


@pytest.mark.parametrize(("translated", "reason"), REFUSED)
def test_destinations_that_cannot_be(translated: AddressRange, reason: str) -> None:
    nat = firewall(destination_rule(translated))
    assert nat.send(udp(dst=FORWARDED)).what == reason
    assert nat.engine.stats().allocated == 0


def test_u_turn() -> None:
    """Client and server inside, the public address asked for: the server answers the firewall."""
    both = NatRule(
        "u-turn",
        from_zones=("trust",),
        to_zones=("untrust",),
        source_translation=dipp(addresses(OWN[4])),
        destination_translation=DestinationTranslation((addresses("192.0.2.80"),)),
    )
    nat = firewall(both)
    sent = nat.send(tcp("S", dst=FORWARDED))
    assert sent.data is not None
    assert (sent.what, sent.port) == ("forward", TRUST)
    seen = ends(sent.data)
    assert (seen.src, seen.dst, seen.dport) == (OWN[4], "192.0.2.80", 80)
    reply = tcp("SA", src=seen.dst, dst=seen.src, sport=80, dport=seen.sport, ack=0x11223345, seq=5)
    answer = nat.send(reply, TRUST)
    assert answer.data is not None
    assert ends(answer.data) == Ends(FORWARDED, 80, CLIENT[4], 40001)


# ---- which rule ----------------------------------------------------------------------------------

OUT = source_rule(dipp(addresses(PUBLIC[4])))
MATCHING = [
    pytest.param([], "", id="no rule"),
    pytest.param([replace(OUT, to_zones=("untrust",))], "out", id="zones"),
    pytest.param([replace(OUT, from_zones=("dmz",))], "", id="another from"),
    pytest.param([replace(OUT, to_zones=("dmz",))], "", id="another to"),
    pytest.param([replace(OUT, source=(addresses(CLIENT[4]),))], "out", id="source"),
    pytest.param([replace(OUT, source=(addresses(NEXT_CLIENT),))], "", id="another source"),
    pytest.param([replace(OUT, destination=(addresses(SERVER[4]),))], "out", id="destination"),
    pytest.param([replace(OUT, services=(ServiceMatch(UDP, (), ((53, 53),)),))], "out", id="port"),
    pytest.param([replace(OUT, services=(ServiceMatch(TCP),))], "", id="another protocol"),
    pytest.param([replace(OUT, to_interface=UNTRUST)], "out", id="egress"),
    pytest.param([replace(OUT, to_interface=DMZ)], "", id="another egress"),
    pytest.param([replace(OUT, to_interface=DMZ), replace(OUT, name="b")], "b", id="the second"),
    pytest.param([OUT, replace(OUT, name="b")], "out", id="the first"),
    pytest.param([NatRule("exempt"), OUT], "", id="exempt"),
    pytest.param([NatRule("exempt", source=(addresses(NEXT_CLIENT),)), OUT], "out", id="others"),
]


@pytest.mark.parametrize(("rules", "name"), MATCHING)
def test_which_rule(rules: list[NatRule], name: str) -> None:
    nat = firewall(*rules)
    assert nat.send(udp()).what == "forward"
    assert nat.session().nat_rule == name


def bridged(mode: str, **fields: object) -> Snapshot:
    """Trust and untrust are ports of a bridge."""

    def as_bridged(port: Port, peer: str) -> Port:
        return replace(port, mode=mode, peer=peer, addresses=(), virtual_router="", **fields)

    base = snapshot(ALLOW)
    trust, untrust, dmz = base.ports
    return replace(base, ports=(as_bridged(trust, UNTRUST), as_bridged(untrust, TRUST), dmz))


@pytest.mark.parametrize(("mode", "source"), [("virtual-wire", PUBLIC[4]), ("layer2", CLIENT[4])])
def test_bridged_ports(mode: str, source: str) -> None:
    nat = Firewall(replace(bridged(mode), nat_rules=(OUT,)))
    answer = nat.send(udp(), egress=UNTRUST)
    assert (answer.what, answer.port) == ("forward", UNTRUST)
    assert ends(answer.data or udp()).src == source


def test_the_log_says_both() -> None:
    nat = firewall(OUT)
    sent = nat.send(udp())
    assert sent.data is not None
    nat.tick(100)
    (entry,) = nat.entries()
    translated = Ends(entry.natsrc, entry.natsport, entry.natdst, entry.natdport)
    assert translated == ends(sent.data)
    assert (entry.src, entry.sport, entry.dst, entry.dport) == (CLIENT[4], 40002, SERVER[4], 53)


FILTERS = [
    (SessionFilter(nat_rule="out"), [1]),
    (SessionFilter(nat_rule="in"), [2]),
    (SessionFilter(nat_rule="nobody"), []),
    (SessionFilter(nat="source"), [1]),
    (SessionFilter(nat="destination"), [2]),
    (SessionFilter(nat="both"), []),
    (SessionFilter(nat="none"), [3]),
    (SessionFilter(), [1, 2, 3]),
]


@pytest.mark.parametrize(("wanted", "ids"), FILTERS)
def test_filters(wanted: SessionFilter, ids: list[int]) -> None:
    nat = firewall(OUT, destination_rule(BASTIONS, from_zones=("untrust",)))
    nat.send(udp())
    nat.send(udp(src=SERVER[4], dst=FORWARDED), UNTRUST)
    nat.send(udp(src=BASTION[4]), DMZ)
    assert [session.id for session in nat.engine.sessions(0, wanted)[0]] == ids


def test_a_filter_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="nat some is none of none, source, destination, both"):
        firewall().engine.sessions(0, SessionFilter(nat="some"))


@pytest.mark.parametrize(
    "rule",
    [
        source_rule(StaticIp(addresses("2001:db8::"), addresses("192.0.2.1")), nat_type="nptv6"),
        destination_rule(
            addresses("2001:db8::", "2001:db8::5"),
            original=addresses("2001:db8::"),
            nat_type="nptv6",
        ),
    ],
)
def test_rules_that_make_no_sense(rule: NatRule) -> None:
    nat = firewall(OUT)
    with pytest.raises(ValueError, match=f"NAT rule {rule.name}: nptv6 translates"):
        nat.engine.configure(replace(snapshot(ALLOW), nat_rules=(rule,)))
    assert source_of(nat, CLIENT[4]) == PUBLIC[4]


def test_sessions_keep_their_translation_over_commits() -> None:
    nat = firewall(OUT)
    assert source_of(nat, CLIENT[4]) == PUBLIC[4]
    nat.engine.configure(snapshot(ALLOW))
    assert source_of(nat, CLIENT[4]) == PUBLIC[4]
    assert source_of(nat, CLIENT[4], dst=BASTION[4]) != PUBLIC[4]
