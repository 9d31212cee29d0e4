"""The slowpath's stages: where a packet comes from, where it would go, and what is installed."""

import pytest
from msgspec.structs import replace

from dataplane.addresses import packed
from dataplane.engine import Engine
from dataplane.slowpath import pipeline
from dataplane.slowpath.context import Context
from dataplane.slowpath.zone import zone
from dataplane.snapshot import Route
from native import DropReason, FlowKey, Undecided
from tests.support.packets import (
    ALLOW,
    BASTION,
    CLIENT,
    DMZ,
    OWN,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    routes,
    snapshot,
    tcp,
    udp,
)

NOBODY = "10.99.99.99"

# destination, further routes, drop reason or egress port
FORWARDING = [
    pytest.param(SERVER[4], [], UNTRUST, id="connected"),
    pytest.param(SERVER[6], [], UNTRUST, id="connected, IPv6"),
    pytest.param(BASTION[4], [], DMZ, id="another port"),
    pytest.param("192.0.2.77", [], TRUST, id="back where it came from"),
    pytest.param(NOBODY, [], "flow_fwd_l3_noroute", id="no route"),
    pytest.param(
        NOBODY,
        [Route("0.0.0.0/0", "unicast", UNTRUST, "198.51.100.9")],
        UNTRUST,
        id="default route",
    ),
    pytest.param(
        NOBODY,
        [Route("0.0.0.0/0", "unicast", UNTRUST), Route("10.0.0.0/8", "unicast", DMZ)],
        DMZ,
        id="longest prefix",
    ),
    pytest.param(
        NOBODY,
        [Route("10.0.0.0/8", "unicast", DMZ, metric=20), Route("10.0.0.0/8", "unicast", UNTRUST)],
        UNTRUST,
        id="lowest metric",
    ),
    pytest.param(NOBODY, [Route("10.0.0.0/8", "discard")], "flow_policy_nofwd", id="discard route"),
    pytest.param(NOBODY, [Route("10.0.0.0/8", "unicast")], "flow_policy_nofwd", id="by no port"),
    pytest.param(
        NOBODY, [Route("10.0.0.0/8", "unicast", "eth9")], "flow_policy_nofwd", id="unknown port"
    ),
    pytest.param(OWN[4], [], "flow_host_service_deny", id="to the firewall"),
    pytest.param(OWN[6], [], "flow_host_service_deny", id="to the firewall, IPv6"),
    pytest.param("203.0.113.1", [], "flow_host_service_deny", id="to another port's address"),
    pytest.param("198.51.100.255", [], "flow_fwd_l3_bcast_drop", id="directed broadcast"),
    pytest.param("255.255.255.255", [], "flow_fwd_l3_bcast_drop", id="limited broadcast"),
    pytest.param("224.0.0.251", [], "flow_fwd_l3_mcast_drop", id="multicast"),
    pytest.param("ff02::fb", [], "flow_fwd_l3_mcast_drop", id="multicast, IPv6"),
    pytest.param(
        "ff05::2", [Route("ff00::/8", "multicast")], "flow_fwd_l3_mcast_drop", id="with a route"
    ),
    pytest.param(
        "fe80::99", [Route("fe80::/64", "unicast", TRUST)], "flow_fwd_l3_noroute", id="link"
    ),
    pytest.param(
        "fe80::1", [Route("fe80::1", "local")], "flow_host_service_deny", id="own link-local"
    ),
]


@pytest.mark.parametrize(("destination", "further", "expected"), FORWARDING)
def test_forwarding(destination: str, further: list[Route], expected: str) -> None:
    firewall = Firewall(snapshot(ALLOW))
    firewall.engine.set_routes([*routes(), *further])
    family = 6 if ":" in destination else 4
    answer = firewall.send(udp(family, dst=destination))
    assert expected in (answer.what, answer.port)
    assert (answer.what == "forward") == (answer.session == 1)


def test_a_link_local_source_is_not_forwarded() -> None:
    assert Firewall().send(udp(6, src="fe80::5")).what == "flow_fwd_l3_noroute"


def test_a_refusal_makes_no_session_and_no_entry() -> None:
    firewall = Firewall()
    for _ in range(3):
        assert firewall.send(udp(dst=NOBODY)).what == "flow_fwd_l3_noroute"
    assert firewall.counters() == {"pkt_recv": 3, "flow_undecided": 3, "flow_fwd_l3_noroute": 3}
    firewall.tick(1000)
    assert firewall.entries() == []


def waiting(port: int) -> Undecided:
    key = FlowKey(packed(CLIENT[4]), packed(SERVER[4]), 40001, 80, 1, 6, 4)
    return Undecided(1, 40, 0, key, port, 61, 11, 2, 0, 0)


def test_a_port_that_a_commit_took_away() -> None:
    engine = Engine(hash_key=bytes(16), now_ns=0)
    assert zone(Context(waiting(1)), engine._tables) is DropReason.flow_no_interface
    base = snapshot(ALLOW)
    engine.configure(replace(base, ports=(replace(base.ports[0], zone=""),)))
    assert pipeline.decide(waiting(1), engine._tables).refusal is DropReason.flow_no_interface
    engine.configure(base)
    engine.set_routes(routes())
    decision = pipeline.decide(waiting(1), engine._tables)
    assert decision.refusal is None
    assert decision.context.from_zone == "trust"


# rules, and what the session or the drop shows of the one that matched
SECURITY = [
    pytest.param([], "interzone-default", "deny", id="nothing matches"),
    pytest.param([default_rule("web", "allow")], "web", "allow", id="a rule"),
    pytest.param(
        [default_rule("first", "drop"), default_rule("second", "allow")],
        "first",
        "drop",
        id="order",
    ),
    pytest.param(
        [
            replace(default_rule("intra", "drop"), rule_type="intrazone"),
            default_rule("all", "allow"),
        ],
        "all",
        "allow",
        id="rule type",
    ),
]


@pytest.mark.parametrize(("rules", "name", "action"), SECURITY)
def test_security(rules: list[object], name: str, action: str) -> None:
    firewall = Firewall(snapshot(*rules))  # type: ignore[arg-type]
    firewall.send(tcp())
    session = firewall.session()
    assert (session.rule, session.action) == (name, action)
    assert session.state == ("ACTIVE" if action == "allow" else "DISCARD")


def test_allocation_fills_both_keys() -> None:
    firewall = Firewall()
    firewall.send(tcp("S", 6, sport=5, dport=6), DMZ)
    session = firewall.session()
    assert (session.c2s.source, session.c2s.sport, session.c2s.zone) == (CLIENT[6], 5, "dmz")
    assert (session.s2c.source, session.s2c.sport, session.s2c.zone) == (SERVER[6], 6, "untrust")
    assert (session.ingress, session.egress) == (DMZ, UNTRUST)
