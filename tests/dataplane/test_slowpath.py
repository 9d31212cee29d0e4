"""The slowpath's stages: where a packet comes from, where it would go, and what is installed."""

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from dataplane.addresses import packed
from dataplane.engine import Engine
from dataplane.messages import Session, SessionFilter
from dataplane.slowpath import pipeline
from dataplane.slowpath.context import Context
from dataplane.slowpath.zone import zone
from dataplane.snapshot import (
    AddressRange,
    ApplicationOverride,
    ApplicationTimeouts,
    Route,
    SecurityRule,
    ServiceMatch,
    Timeouts,
)
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
    echo,
    other,
    routes,
    snapshot,
    tcp,
    udp,
)

TCP, UDP, GRE = 6, 17, 47
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


# ---- application override, and timers of a session's own -----------------------------------------


def override(**fields: object) -> ApplicationOverride:
    rule = ApplicationOverride("o", "my-app", TCP, ((80, 80), (8000, 8010)))
    return replace(rule, **fields)


NET = ip_network("192.0.2.0/24")
CLIENTS = (AddressRange(NET[0].packed, NET[-1].packed),)

# an override rule's fields, a packet from trust to untrust, its application
OVERRIDES = [
    pytest.param({}, tcp(), "my-app", id="any"),
    pytest.param({}, tcp("S", 6), "my-app", id="IPv6"),
    pytest.param({}, tcp(dport=8000), "my-app", id="first of a range"),
    pytest.param({}, tcp(dport=8010), "my-app", id="last of a range"),
    pytest.param({}, tcp(dport=8011), "undecided", id="another port"),
    pytest.param({}, tcp(sport=80, dport=81), "undecided", id="not the source port"),
    pytest.param({}, udp(dport=80), "undecided", id="another protocol"),
    pytest.param({"protocol": UDP}, udp(dport=80), "my-app", id="UDP"),
    pytest.param({}, echo(), "ping", id="no port"),
    pytest.param({"from_zones": ("trust",)}, tcp(), "my-app", id="from"),
    pytest.param({"from_zones": ("dmz",)}, tcp(), "undecided", id="from another zone"),
    pytest.param({"to_zones": ("untrust", "dmz")}, tcp(), "my-app", id="to"),
    pytest.param({"to_zones": ("trust",)}, tcp(), "undecided", id="to another zone"),
    pytest.param({"source": CLIENTS}, tcp(), "my-app", id="source"),
    pytest.param({"source": CLIENTS}, tcp("S", 6), "undecided", id="another source"),
    pytest.param(
        {"source": CLIENTS, "negate_source": True}, tcp(), "undecided", id="not that source"
    ),
    pytest.param({"destination": CLIENTS}, tcp(), "undecided", id="another destination"),
    pytest.param(
        {"destination": CLIENTS, "negate_destination": True}, tcp(), "my-app", id="any but those"
    ),
]


@pytest.mark.parametrize(("fields", "packet", "application"), OVERRIDES)
def test_application_override(fields: dict[str, object], packet: bytes, application: str) -> None:
    last = override(name="last", application="other-app", to_zones=("dmz",))
    firewall = Firewall(snapshot(ALLOW, application_overrides=(override(**fields), last)))
    firewall.send(packet)
    assert firewall.session().application == application
    assert [s.id for s in sessions(firewall, application)] == [1]
    assert sessions(firewall, "other-app") == []


def sessions(firewall: Firewall, application: str) -> list[Session]:
    return firewall.engine.sessions(0, SessionFilter(application=application))[0]


def test_the_first_override_counts() -> None:
    rules = (override(), override(name="second", application="other-app"))
    firewall = Firewall(snapshot(ALLOW, application_overrides=rules))
    firewall.send(tcp())
    assert firewall.session().application == "my-app"


def test_the_log_names_the_application_of_the_override() -> None:
    firewall = Firewall(snapshot(ALLOW, application_overrides=(override(),)))
    firewall.send(tcp())
    firewall.tick(100)
    assert [entry.app for entry in firewall.entries()] == ["my-app"]


WEB = ServiceMatch(TCP, (), ((80, 80),))
TIMED_WEB = replace(WEB, override=Timeouts(700, 7, 0))
MY_APP = ApplicationTimeouts(
    tcp=Timeouts(900, 90, 9, 99), udp=Timeouts(800, discard=88), other=Timeouts(500)
)
NO_TIMERS = (0, 0, 0, 0)

# services of the rule, its action, application timers, packet: the session's timers, of a service
TIMEOUTS = [
    pytest.param((), "allow", {}, (TCP, 80), NO_TIMERS, False, id="global"),
    pytest.param((WEB,), "allow", {}, (TCP, 80), NO_TIMERS, False, id="service without"),
    pytest.param(
        (), "allow", {"my-app": MY_APP}, (TCP, 80), (900, 90, 9, 99), False, id="application"
    ),
    pytest.param(
        (), "allow", {"my-app": MY_APP}, (UDP, 80), (800, 0, 0, 88), False, id="its UDP timers"
    ),
    pytest.param(
        (), "allow", {"gre": MY_APP}, (GRE, 0), (500, 0, 0, 0), False, id="those of the others"
    ),
    pytest.param(
        (), "allow", {"other-app": MY_APP}, (TCP, 80), NO_TIMERS, False, id="other application"
    ),
    pytest.param((TIMED_WEB,), "allow", {}, (TCP, 80), (700, 7, 0, 0), True, id="service"),
    pytest.param(
        (TIMED_WEB,),
        "allow",
        {"my-app": MY_APP},
        (TCP, 80),
        (700, 7, 9, 99),
        True,
        id="service, and where it has none the application",
    ),
    pytest.param(
        (WEB, TIMED_WEB),
        "allow",
        {"my-app": MY_APP},
        (TCP, 80),
        (900, 90, 9, 99),
        False,
        id="the first service counts",
    ),
    pytest.param(
        (replace(WEB, protocol=UDP), replace(WEB, source_ports=((1, 2),)), TIMED_WEB),
        "allow",
        {},
        (TCP, 80),
        (700, 7, 0, 0),
        True,
        id="the first that matches",
    ),
    pytest.param(
        (WEB, replace(TIMED_WEB, destination_ports=((81, 81),))),
        "allow",
        {},
        (TCP, 80),
        NO_TIMERS,
        False,
        id="another service of the rule",
    ),
    pytest.param(
        (TIMED_WEB,),
        "deny",
        {"my-app": MY_APP},
        (TCP, 80),
        (900, 90, 9, 99),
        False,
        id="denied: the application's",
    ),
    pytest.param((TIMED_WEB,), "drop", {}, (TCP, 80), NO_TIMERS, False, id="denied: global"),
]


@pytest.mark.parametrize(
    ("services", "action", "applications", "packet", "timeouts", "of_service"), TIMEOUTS
)
def test_timers_of_its_own(
    services: tuple[ServiceMatch, ...],
    action: str,
    applications: dict[str, ApplicationTimeouts],
    packet: tuple[int, int],
    timeouts: tuple[int, ...],
    of_service: bool,
) -> None:
    rule = SecurityRule("r", action, services=services)
    overrides = tuple(override(name=str(p), protocol=p) for p in (TCP, UDP))
    engine = Engine(hash_key=bytes(16), now_ns=0)
    engine.configure(snapshot(rule, application_overrides=overrides, applications=applications))
    engine.set_routes(routes())
    proto, dport = packet
    first = waiting(1)
    context, *_ = pipeline.decide(
        first._replace(key=first.key._replace(proto=proto, dport=dport)), engine._tables
    )
    assert context.spec is not None
    assert context.spec.timeouts == timeouts
    assert context.spec.service_timeout == of_service


def established(firewall: Firewall) -> int:
    """The timer of a TCP session that is established."""
    for segment, port in ((tcp("S"), TRUST), (tcp("SA", back=True), UNTRUST), (tcp("A"), TRUST)):
        assert firewall.send(segment, port).what == "forward"
    return firewall.session().timeout_s


RULE = SecurityRule("r", "allow", services=(WEB,))
TIMED_RULE = replace(RULE, services=(TIMED_WEB,))
CONFIGURED = {"applications": {"my-app": MY_APP}, "application_overrides": (override(),)}


def test_service_then_application_then_global() -> None:
    timed = Firewall(snapshot(TIMED_RULE, **CONFIGURED))  # type: ignore[arg-type]
    assert established(timed) == 700
    assert timed.session().service_timeout
    known = Firewall(snapshot(RULE, **CONFIGURED))  # type: ignore[arg-type]
    assert established(known) == 900
    assert not known.session().service_timeout
    assert established(Firewall(snapshot(RULE))) == 3600
    unknown = Firewall(snapshot(RULE, applications={"my-app": MY_APP}))
    assert established(unknown) == 3600


@pytest.mark.parametrize(
    ("rule", "half_closed", "time_wait"),
    [(TIMED_RULE, 7, 9), (RULE, 90, 9), (replace(RULE, name="first", services=()), 90, 9)],
)
def test_closing_timers(rule: SecurityRule, half_closed: int, time_wait: int) -> None:
    firewall = Firewall(snapshot(rule, **CONFIGURED))  # type: ignore[arg-type]
    established(firewall)
    firewall.send(tcp("FA"))
    assert firewall.session().timeout_s == half_closed
    firewall.send(tcp("FA", back=True), UNTRUST)
    assert firewall.session().timeout_s == time_wait


@pytest.mark.parametrize(
    ("packet", "application", "timeout_s"),
    [
        (udp(dport=80), "my-app", 800),
        (udp(dport=81), "undecided", 30),
        (other(GRE), "gre", 1200),
        (other(GRE, 6), "gre", 1200),
        (echo(), "ping", 6),
        (tcp(), "my-app", 5),  # before the handshake
    ],
)
def test_timers_by_protocol(packet: bytes, application: str, timeout_s: int) -> None:
    firewall = Firewall(
        snapshot(
            ALLOW,
            applications={
                "my-app": MY_APP,
                "gre": ApplicationTimeouts(other=Timeouts(1200), tcp=Timeouts(1)),
            },
            application_overrides=(override(), override(name="u", protocol=UDP)),
        )
    )
    firewall.send(packet)
    session = firewall.session()
    assert (session.application, session.timeout_s) == (application, timeout_s)


@pytest.mark.parametrize(
    ("packet", "timeout_s"), [(tcp(), 99), (udp(dport=80), 88), (udp(), 60), (other(GRE), 60)]
)
def test_discard_timers(packet: bytes, timeout_s: int) -> None:
    overrides = (override(), override(name="u", protocol=UDP))
    firewall = Firewall(
        snapshot(
            default_rule("no", "deny"),
            applications={"my-app": MY_APP, "gre": ApplicationTimeouts()},
            application_overrides=overrides,
        )
    )
    firewall.send(packet)
    session = firewall.session()
    assert (session.state, session.timeout_s) == ("DISCARD", timeout_s)
    assert not session.service_timeout


def test_a_commit_changes_the_timers_of_new_sessions_alone() -> None:
    firewall = Firewall(snapshot(RULE, **CONFIGURED), platform="software")  # type: ignore[arg-type]
    assert established(firewall) == 900
    firewall.engine.configure(snapshot(RULE))
    assert firewall.send(tcp("A")).what == "forward"
    assert firewall.session().timeout_s == 900
