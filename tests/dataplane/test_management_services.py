"""What may be asked of the firewall's own addresses: the profile first, then the policy."""

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from dataplane.management_services import SERVICES
from dataplane.snapshot import (
    AddressRange,
    DynamicIpAndPort,
    ManagementProfile,
    NatRule,
    SecurityRule,
    Snapshot,
)
from native import VerdictAction
from tests.support.packets import (
    ALLOW,
    DMZ,
    OWN,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    echo,
    ends,
    snapshot,
    tcp,
    udp,
)

DENY = "flow_host_service_deny"
TCP, UDP = 6, 17


def managed(
    *services: str, permitted: str = "", rules: tuple[SecurityRule, ...] = (ALLOW,)
) -> Snapshot:
    """The port in trust has a profile, the others none."""
    base = snapshot(*rules)
    network = ip_network(permitted) if permitted else None
    ranges = (AddressRange(network[0].packed, network[-1].packed),) if network else ()
    trust, *others = base.ports
    profile = ManagementProfile(services, ranges)
    return replace(base, ports=(replace(trust, management=profile), *others))


def asking(service: str, family: int) -> bytes:
    if service == "ping":
        return echo(family, dst=OWN[family])
    proto, port = SERVICES[service][0]
    build = tcp if proto == TCP else udp
    return build(family=family, dst=OWN[family], dport=port)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("service", SERVICES)
def test_each_service(service: str, family: int) -> None:
    packet = asking(service, family)
    permitting = Firewall(managed(service))
    answer = permitting.send(packet)
    assert (answer.what, answer.data) == (VerdictAction.HOST.name.lower(), None)
    session = permitting.session()
    assert session.is_host
    assert (session.egress, session.s2c.zone) == (TRUST, "trust")
    others = {name for name, asked in SERVICES.items() if not set(asked) & set(SERVICES[service])}
    assert Firewall(managed(*others)).send(packet).what == DENY
    assert Firewall(managed()).send(packet).what == DENY


@pytest.mark.parametrize(
    ("permitted", "what"),
    [("192.0.2.0/24", "host"), ("192.0.2.10/32", "host"), ("10.0.0.0/8", DENY), ("::/0", DENY)],
)
def test_who_may_ask(permitted: str, what: str) -> None:
    firewall = Firewall(managed("ping", permitted=permitted))
    assert firewall.send(echo(dst=OWN[4])).what == what


def test_the_port_that_has_the_address_decides() -> None:
    firewall = Firewall(managed("ping"))
    assert firewall.send(echo(dst="198.51.100.1")).what == DENY
    assert firewall.send(echo(src="203.0.113.30", dst=OWN[4]), DMZ).what == "host"
    assert firewall.session().s2c.zone == "trust"


def test_the_policy_decides_after_the_profile() -> None:
    no_ssh = SecurityRule("no", "deny", from_zones=("dmz",), to_zones=("trust",))
    firewall = Firewall(managed("ssh", rules=(no_ssh,)))
    assert firewall.send(tcp(dst=OWN[4], dport=22)).what == "host"  # within the zone
    from_dmz = tcp(src="203.0.113.30", dst=OWN[4], dport=22)
    assert firewall.send(from_dmz, DMZ).what == "flow_policy_deny"
    closed = Firewall(replace(managed("ssh"), rules=(default_rule("closed", "drop"),)))
    assert closed.send(tcp(dst=OWN[4], dport=22)).what == "flow_policy_deny"


def test_a_port_without_a_zone_is_asked_nothing() -> None:
    configured = managed("ping")
    trust, *others = configured.ports
    nowhere = Firewall(replace(configured, ports=(replace(trust, zone=""), *others)))
    assert nowhere.send(echo(src="203.0.113.30", dst=OWN[4]), DMZ).what == DENY


def test_a_conversation_with_the_firewall() -> None:
    """Only what it receives is seen."""
    firewall = Firewall(managed("ssh"))
    opening = tcp(dst=OWN[4], dport=22)
    assert firewall.send(opening).what == "host"
    assert firewall.send(tcp("A", dst=OWN[4], dport=22)).what == "host"
    assert firewall.send(tcp("PA", dst=OWN[4], dport=22, payload=b"SSH-2.0")).what == "host"
    assert firewall.session().packets_c2s == 3


def test_source_nat_leaves_it_alone() -> None:
    pool = AddressRange(b"\xc0\x00\x02\x64", b"\xc0\x00\x02\x64")
    nat = NatRule("out", source_translation=DynamicIpAndPort((pool,)))
    firewall = Firewall(replace(managed("ping"), nat_rules=(nat,)))
    assert firewall.send(echo(dst=OWN[4])).what == "host"
    assert firewall.session().nat_rule == ""
    sent = firewall.send(echo())
    assert sent.data is not None
    assert (ends(sent.data).src, sent.port) == ("192.0.2.100", UNTRUST)


def test_services_nobody_knows() -> None:
    with pytest.raises(ValueError, match=r"ethernet1/1: gopher is no management service; ping, "):
        Firewall(managed("gopher"))
