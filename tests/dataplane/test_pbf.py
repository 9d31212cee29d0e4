"""Policy-based forwarding: which rule, and that it goes before the routes and not before us."""

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from dataplane.snapshot import AddressRange, Monitor, Path, PbfRule, Route, ServiceMatch
from native import SessionView
from tests.support.packets import (
    ALLOW,
    CLIENT,
    DMZ,
    OWN,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    routes,
    snapshot,
    tcp,
    udp,
)

GATEWAY = "203.0.113.9"
ROUTER_MAC, OTHER_MAC = bytes.fromhex("020000000009"), bytes.fromhex("0200000000aa")
PATHS = (
    Path(7, DMZ, GATEWAY),
    Path(8, TRUST, "192.0.2.8", OTHER_MAC),
    Path(9, TRUST, "192.0.2.9", ROUTER_MAC),
    Path(10, TRUST, ""),
)
TO_DMZ = PbfRule("to dmz", "forward", egress=DMZ, nexthop=GATEWAY)


def net(prefix: str) -> tuple[AddressRange, ...]:
    network = ip_network(prefix)
    return (AddressRange(network[0].packed, network[-1].packed),)


def firewall(*rules: PbfRule, unreachable: tuple[str, ...] = ()) -> Firewall:
    found = Firewall(replace(snapshot(ALLOW), pbf_rules=rules))
    found.engine.set_paths(PATHS, unreachable)
    return found


def view(found: Firewall) -> SessionView:
    session = found.engine.native.session(1)
    assert session is not None
    return session


RULES = [  # what of the rule, whether it matches a UDP packet from the client to the server
    pytest.param({}, True, id="any"),
    pytest.param({"from_zones": ("trust",)}, True, id="zone"),
    pytest.param({"from_zones": ("dmz",)}, False, id="another zone"),
    pytest.param({"from_ports": (DMZ, TRUST)}, True, id="interface"),
    pytest.param({"from_ports": (DMZ,)}, False, id="another interface"),
    pytest.param({"source": net("192.0.2.0/24")}, True, id="source"),
    pytest.param({"source": net("192.0.2.0/24"), "negate_source": True}, False, id="not source"),
    pytest.param({"destination": net("10.0.0.0/8")}, False, id="another destination"),
    pytest.param({"services": (ServiceMatch(17, (), ((53, 53),)),)}, True, id="service"),
    pytest.param({"services": (ServiceMatch(6),)}, False, id="another service"),
    pytest.param({"monitor": Monitor(GATEWAY)}, True, id="silent, and that is all"),
    pytest.param(
        {"monitor": Monitor(GATEWAY, disable_if_unreachable=True)}, False, id="silent, left out"
    ),
]


@pytest.mark.parametrize(("fields", "matches"), RULES)
def test_which_rule(fields: dict[str, object], matches: bool) -> None:
    found = firewall(replace(TO_DMZ, **fields), unreachable=("to dmz",))
    answer = found.send(udp())
    assert (answer.what, answer.port) == ("forward", DMZ if matches else UNTRUST)
    session = found.session()
    assert (session.pbf_rule, session.s2c.zone) == (
        ("to dmz", "dmz") if matches else ("", "untrust")
    )
    assert view(found).path_c2s == (7 if matches else 0)


ACTIONS = [
    pytest.param([replace(TO_DMZ, action="discard")], "flow_policy_nofwd", id="discard"),
    pytest.param([PbfRule("not me", "no-pbf", source=net(CLIENT[4])), TO_DMZ], UNTRUST, id="no"),
    pytest.param([replace(TO_DMZ, egress="ethernet1/9")], "flow_policy_nofwd", id="no such port"),
    pytest.param([replace(TO_DMZ, nexthop="")], DMZ, id="on the link"),
]


@pytest.mark.parametrize(("rules", "what"), ACTIONS)
def test_actions(rules: list[PbfRule], what: str) -> None:
    answer = firewall(*rules).send(udp())
    assert what in (answer.what, answer.port)


@pytest.mark.parametrize("action", ["forward", "discard"])
def test_the_firewall_itself_is_not_forwarded(action: str) -> None:
    found = firewall(replace(TO_DMZ, action=action))
    assert found.send(tcp(dst=OWN[4])).what == "flow_host_service_deny"


@pytest.mark.parametrize("dst", ["255.255.255.255", "239.1.2.3"])
def test_what_is_not_routed_is_not_forwarded(dst: str) -> None:
    assert "drop" in firewall(TO_DMZ).send(udp(dst=dst)).what


def test_no_route_is_needed_and_none_changes_it() -> None:
    found = firewall(TO_DMZ)
    assert found.send(udp(dst="10.9.9.9")).port == DMZ
    found.engine.set_routes([*routes(), Route("10.0.0.0/8", "unicast", UNTRUST)])
    assert found.send(udp(dst="10.9.9.9")).port == DMZ
    assert view(found).path_c2s == 7


RETURNS = [  # the rule's next hops for answers, who sent the first packet, the path of answers
    pytest.param((), ROUTER_MAC, 9, id="by the sender's address"),
    pytest.param((), bytes(6), 10, id="sender unknown: the link"),
    pytest.param(("192.0.2.8", "192.0.2.9"), ROUTER_MAC, 9, id="the one of the list"),
    pytest.param(("192.0.2.8",), ROUTER_MAC, 8, id="not in the list"),
    pytest.param(("192.0.2.9",), bytes(6), 9, id="the first of the list"),
]


@pytest.mark.parametrize(("nexthops", "mac", "path"), RETURNS)
def test_symmetric_return(nexthops: tuple[str, ...], mac: bytes, path: int) -> None:
    rule = replace(TO_DMZ, symmetric_return=True, return_nexthops=nexthops)
    found = firewall(rule)
    source = "172.16.0.1"  # no route leads back
    assert found.send(udp(src=source), mac=mac).port == DMZ
    answer = found.send(udp(src=SERVER[4], dst=source, sport=53, dport=40002), DMZ)
    assert (answer.what, answer.port) == ("forward", TRUST)
    assert view(found).path_s2c == path


def test_only_a_rule_that_forwards_returns() -> None:
    rule = PbfRule("not", "no-pbf", symmetric_return=True)
    found = firewall(rule)
    assert found.send(udp(), mac=ROUTER_MAC).port == UNTRUST
    assert view(found).path_s2c == 0


def test_bridged_ports_know_no_rule() -> None:
    base = snapshot(ALLOW)
    trust, untrust, dmz = base.ports
    wire = (
        replace(trust, mode="virtual-wire", peer=UNTRUST),
        replace(untrust, mode="virtual-wire", peer=TRUST),
    )
    rules = (replace(TO_DMZ, action="discard"),)
    found = Firewall(replace(base, ports=(*wire, dmz), pbf_rules=rules))
    assert found.send(udp(), egress=UNTRUST).port == UNTRUST


def test_a_monitored_host_that_answers_again() -> None:
    rule = replace(TO_DMZ, monitor=Monitor(GATEWAY, disable_if_unreachable=True))
    found = firewall(rule, unreachable=("to dmz",))
    assert found.send(udp(sport=1)).port == UNTRUST
    found.engine.set_paths(PATHS)
    assert found.send(udp(sport=2)).port == DMZ
