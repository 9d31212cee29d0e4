"""Explanations of packets, whole ones and the lines that matter of others."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace
from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Raw

from control.replay.play import Play
from control.replay.setup import Setup
from dataplane.explain import Explainer
from dataplane.snapshot import (
    AddressRange,
    ApplicationOverride,
    ApplicationTimeouts,
    DestinationTranslation,
    DynamicIpAndPort,
    FloodLimits,
    ManagementProfile,
    NatRule,
    PbfRule,
    QosRule,
    SecurityRule,
    Snapshot,
    StaticIp,
    Timeouts,
    Zone,
    ZoneProtection,
)
from native import CaptureWriter
from tests.support.packets import (
    ALLOW,
    BASTION,
    CLIENT,
    CLIENT_ISN,
    DMZ,
    NS,
    OWN,
    SERVER,
    echo,
    icmp_error,
    routes,
    snapshot,
    tcp,
    udp,
)

START_NS = 1_700_000_000 * NS
OPENED = (tcp("S"), tcp("SA", back=True), tcp("A"))
CONFIGURATION = snapshot(
    SecurityRule(name="no telnet", action="deny", services=(), destination=(), from_zones=("dmz",)),
    ALLOW,
    application_overrides=(ApplicationOverride("names", "ssl", 6, ((443, 443),)),),
    applications={"ssl": ApplicationTimeouts(tcp=Timeouts(established=1800))},
)


COOKIES = replace(
    CONFIGURATION,
    zones=(
        Zone(
            "trust",
            ZoneProtection(
                "cookies", floods={"tcp_syn": FloodLimits(activate=0, syn_cookies=True)}
            ),
        ),
    ),
)


def explained(
    packets: Sequence[bytes],
    folder: Path,
    platform: str = "pa-5000",
    gap_s: float = 1,
    configuration: Snapshot = CONFIGURATION,
) -> list[list[str]]:
    """The lines of each packet."""
    path = folder / "in.pcap"
    with CaptureWriter(str(path)) as writer:
        for number, packet in enumerate(packets):
            writer.write(packet, START_NS + round(number * gap_s * NS))
    explainer = Explainer()
    setup = Setup(configuration, tuple(routes()), ())
    play = Play(setup, path, platform=platform, observer=explainer)
    found = []
    while (packet := play.edge.next()) is not None:
        explainer.before(play.engine)
        verdict = play.edge.step()
        number = len(found) + 1
        found.append(explainer.after(play.engine, number, packet, verdict, play.first_ns))
    return found


def stages(lines: list[str]) -> dict[str, str]:
    return {line[:26].strip(): line[26:] for line in lines[1:]}


def test_a_first_packet(tmp_path: Path) -> None:
    (lines,) = explained([tcp("S", dport=443)], tmp_path)
    assert (
        "\n".join(lines)
        == f"""\
#1  0.000000 s  ethernet1/1  192.0.2.10[40001] > 198.51.100.20[443]  tcp SYN  \
seq {CLIENT_ISN} ack 1432778633 win 39338  40 bytes
    parse                 IPv4, TTL 61, 0 bytes of payload
    flow lookup           no session
    zone                  trust (ethernet1/1)
    forwarding            route 198.51.100.0/24 by ethernet1/2, zone untrust
    security              rule "allow": allow
    application override  ssl, by rule "names"
    allocation            timers of application ssl: established 1800 s
    session               1 is ACTIVE
    TCP                   NONE -> INIT
    fastpath              timer started: 5.000 s of 5 s left
    verdict               forward by ethernet1/2"""
    )


def test_a_fragment(tmp_path: Path) -> None:
    packet = IP(src=CLIENT[4], dst=SERVER[4], id=0x1234) / UDP(sport=1, dport=2) / Raw(bytes(32))
    first, *_, last = [bytes(piece) for piece in fragment(packet, fragsize=16)]
    found = explained([first, last], tmp_path)
    whose = f"ethernet1/1  {CLIENT[4]} > {SERVER[4]}  udp  fragment of 0x1234 at"
    assert [lines[0].partition(" s  ")[2] for lines in found] == [
        f"{whose} 0, more to come  36 bytes",
        f"{whose} 32, the last  28 bytes",
    ]


CASES = [  # packets, platform, and what is said of the last one
    pytest.param(
        [*OPENED],
        "pa-5000",
        {
            "TCP": "HANDSHAKE -> ESTABLISHED",
            "fastpath": "timer started: 3600.000 s of 3600 s left",
            "offload": "session 1 enters the offload engine",
        },
        id="offloaded",
    ),
    pytest.param(
        [*OPENED, tcp("A")],
        "pa-5000",
        {
            "flow lookup": "session 1 c2s",
            "offload": "c2s packet 1 of 16 since the last report,"
            " timer goes on: 3599.000 s of 3600 s left",
        },
        id="counted",
    ),
    pytest.param(
        [*OPENED, *[tcp("A", back=True)] * 16],
        "pa-5000",
        {
            "flow lookup": "session 1 s2c",
            "offload": "s2c reported, timer started: 3600.000 s of 3600 s left",
        },
        id="reported",
    ),
    pytest.param(
        [*OPENED, tcp("FA")],
        "pa-5000",
        {
            "TCP": "ESTABLISHED -> HALF_CLOSED_C2S",
            "fastpath": "timer started: 120.000 s of 120 s left",
            "offload": "session 1 leaves the offload engine",
        },
        id="pulled back by a FIN",
    ),
    pytest.param(
        [*OPENED, tcp("A")],
        "software",
        {"fastpath": "timer started: 3600.000 s of 3600 s left"},
        id="in software",
    ),
    pytest.param(
        [*OPENED, tcp("A", seq=CLIENT_ISN + 100_000)],
        "pa-5000",
        {
            "window": f"c2s may send from {CLIENT_ISN + 1 - 39338} to {CLIENT_ISN + 1 + 39338}"
            " and acknowledge 1432712633 to 1432778633",
            "verdict": "drop, tcp_drop_out_of_wnd: TCP segment out of window",
        },
        id="out of window",
    ),
    pytest.param(
        [tcp("S"), tcp("A", back=True)],
        "pa-5000",
        {"verdict": "drop, tcp_drop_challenge_ack: challenge ACK to a SYN"},
        id="challenge",
    ),
    pytest.param(
        [tcp("A")],
        "pa-5000",
        {
            "flow lookup": "no session",
            "verdict": "drop, flow_tcp_non_syn_drop: non-SYN TCP without session match",
        },
        id="non-SYN",
    ),
    pytest.param(
        [b"\x45" + bytes(30)],
        "pa-5000",
        {
            "parse": "refused",
            "verdict": "drop, flow_parse_ip_hdr: IP header truncated or malformed",
        },
        id="malformed",
    ),
    pytest.param(
        [udp(dst="8.8.8.8")],
        "pa-5000",
        {
            "zone": "trust (ethernet1/1)",
            "forwarding": "refused: flow_fwd_l3_noroute",
            "verdict": "drop, flow_fwd_l3_noroute: no route",
        },
        id="no route",
    ),
    pytest.param(
        [udp(src="203.0.113.30")],
        "pa-5000",
        {
            "zone": "dmz (ethernet1/3)",
            "security": 'rule "no telnet": deny',
            "session": "1 is DISCARD",
            "verdict": "drop, flow_policy_deny: Session setup: denied by policy",
        },
        id="denied",
    ),
    pytest.param(
        [udp(src="203.0.113.30")] * 2,
        "pa-5000",
        {
            "flow lookup": "session 1 c2s",
            "fastpath": "timer started: 60.000 s of 60 s left",
            "verdict": "drop, flow_discard_drop: session in discard state",
        },
        id="discarded",
    ),
    pytest.param(
        [udp(), icmp_error(udp())],
        "pa-5000",
        {"flow lookup": "session 1 that an ICMP error speaks about"},
        id="ICMP error",
    ),
    pytest.param([echo(6)], "pa-5000", {"parse": "IPv6, TTL 61, 4 bytes of payload"}, id="echo"),
]


@pytest.mark.parametrize(("packets", "platform", "said"), CASES)
def test_the_last_packet(
    packets: list[bytes], platform: str, said: dict[str, str], tmp_path: Path
) -> None:
    found = stages(explained(packets, tmp_path, platform)[-1])
    assert {name: found.get(name) for name in said} == said


def test_ends_are_told_before_the_packet_that_comes_later(tmp_path: Path) -> None:
    found = stages(explained([udp(), udp()], tmp_path, gap_s=31)[1])
    assert found["ager"] == "session 1 ended at 30.000000 s: aged-out"
    assert found["session"] == "2 is ACTIVE"


# ---- what a rulebase says, where it has something to say -----------------------------------------


def host(text: str) -> AddressRange:
    return AddressRange(ip_address(text).packed, ip_address(text).packed)


PUBLIC = host("198.51.100.1")
SHARED = NatRule("shared", to_zones=("untrust",), source_translation=DynamicIpAndPort((PUBLIC,)))
STATIC = NatRule("static", source_translation=StaticIp(host(CLIENT[4]), host("198.51.100.50")))
FORWARD = NatRule(
    "forward", destination_translation=DestinationTranslation((host(BASTION[4]),), port=8080)
)
BY_DMZ = PbfRule("by dmz", "forward", egress=DMZ, nexthop="203.0.113.9", symmetric_return=True)
MANAGED = replace(
    snapshot(ALLOW).ports[0], management=ManagementProfile(("ping",), (host(CLIENT[4]),))
)
TOLD = [  # the configuration, a packet, and what is said of it
    pytest.param(
        {"nat_rules": (STATIC,)},
        tcp(),
        {
            "NAT": 'rule "static"',
            "NAT source": "source 198.51.100.50[40001]",
            "translation": "198.51.100.50[40001] > 198.51.100.20[80]",
        },
        id="source",
    ),
    pytest.param(
        {"nat_rules": (SHARED,)},
        tcp(),
        {"NAT": 'rule "shared"', "NAT source": "source 198.51.100.1, a port of its own"},
        id="shared",
    ),
    pytest.param(
        {"nat_rules": (FORWARD,)},
        tcp(),
        {
            "forwarding": "route 198.51.100.0/24 by ethernet1/2, zone untrust",
            "NAT": 'rule "forward": destination 203.0.113.30[8080];'
            " route 203.0.113.0/24 by ethernet1/3, zone dmz",
            "verdict": "forward by ethernet1/3",
        },
        id="destination",
    ),
    pytest.param(
        {"nat_rules": (NatRule("no"),)},
        tcp(),
        {"NAT": 'rule "no": no translation', "NAT source": None},
        id="exempt",
    ),
    pytest.param(
        {"nat_rules": (replace(SHARED, to_zones=("dmz",)),)}, tcp(), {"NAT": "no rule"}, id="none"
    ),
    pytest.param(
        {
            "nat_rules": (
                replace(
                    FORWARD, destination_translation=DestinationTranslation((host("10.1.1.1"),))
                ),
            )
        },
        tcp(),
        {"NAT": 'rule "forward", refused: flow_fwd_l3_noroute_nat', "security": None},
        id="refused",
    ),
    pytest.param(
        {"pbf_rules": (BY_DMZ,)},
        tcp(),
        {
            "PBF": 'rule "by dmz": forward via 203.0.113.9 by ethernet1/3, answers the way it came',
            "forwarding": "by ethernet1/3, zone dmz",
        },
        id="PBF",
    ),
    pytest.param(
        {"pbf_rules": (PbfRule("stop", "discard"),)},
        tcp(),
        {"PBF": 'rule "stop", refused: flow_policy_nofwd'},
        id="PBF discards",
    ),
    pytest.param(
        {"qos_rules": (QosRule("bulk", 7),)}, tcp(), {"QoS": 'rule "bulk": class 7'}, id="QoS"
    ),
    pytest.param(
        {"ports": (MANAGED, *snapshot(ALLOW).ports[1:])},
        echo(dst=OWN[4]),
        {
            "forwarding": "192.0.2.1 is an address of the firewall",
            "management": "allowed by the management profile of ethernet1/1, zone trust",
            "verdict": "for the firewall itself",
        },
        id="management",
    ),
    pytest.param(
        {}, echo(dst=OWN[4]), {"management": "refused: flow_host_service_deny"}, id="no profile"
    ),
    pytest.param(
        {},
        tcp(),
        dict.fromkeys(["PBF", "NAT", "NAT source", "QoS", "management", "translation"]),
        id="nothing",
    ),
]


@pytest.mark.parametrize(("fields", "packet", "said"), TOLD)
def test_rulebases(
    fields: dict[str, object], packet: bytes, said: dict[str, str | None], tmp_path: Path
) -> None:
    configuration = replace(snapshot(ALLOW), **fields)
    found = stages(explained([packet], tmp_path, configuration=configuration)[0])
    assert {name: found.get(name) for name in said} == said


@pytest.mark.parametrize(
    ("packets", "cookie", "verdict"),
    [
        (
            [tcp("S")],
            "sent to the client, for the server",
            "answered by the firewall, or sent on in another form",
        ),
        (
            [tcp("S"), tcp("A")],
            "not what the ACK answers",
            "drop, flow_tcp_non_syn_drop: non-SYN TCP without session match",
        ),
    ],
)
def test_syn_cookies(packets: Sequence[bytes], cookie: str, verdict: str, tmp_path: Path) -> None:
    *_, last = explained(packets, tmp_path, configuration=COOKIES)
    said = stages(last)
    assert (said["SYN cookie"], said["verdict"]) == (cookie, verdict)
