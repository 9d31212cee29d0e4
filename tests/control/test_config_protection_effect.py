"""What is configured against attacks, on packets: each element changes what becomes of them."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from scapy.layers.inet import ICMP, IP, UDP, IPOption_RR, IPOption_Timestamp
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from control.config.compile import compile_snapshot
from control.config.load import load_config
from dataplane.edges.pcap import PcapEdge
from dataplane.snapshot import Route
from native import COUNTERS, FOREVER_NS, PROTECTIONS, LinkType
from tests.native.test_capture import write_pcap
from tests.support.packets import (
    CLIENT,
    DMZ,
    SERVER,
    TRUST,
    Firewall,
    ip,
    routes,
    tcp,
    udp,
)

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24
set network interface ethernet ethernet1/1 layer3 ipv6 enabled yes address 2001:db8:1::1/64
set network interface ethernet ethernet1/1 layer3 units ethernet1/1.77 tag 77 ip 10.77.0.1/24
set network interface ethernet ethernet1/2 layer3 ip 198.51.100.1/24
set network interface ethernet ethernet1/2 layer3 ipv6 enabled yes address 2001:db8:2::1/64
set network interface ethernet ethernet1/3 layer3 ip 203.0.113.1/24
set network interface ethernet ethernet1/3 layer3 ipv6 enabled yes address 2001:db8:3::1/64
set network virtual-router default interface [ ethernet1/1 ethernet1/1.77 ethernet1/2 ethernet1/3 ]
set zone trust network layer3 ethernet1/1
set zone tagged network layer3 ethernet1/1.77
set zone untrust network layer3 ethernet1/2
set zone dmz network layer3 ethernet1/3
set rulebase security rules all from any to any source any destination any action allow
set network profiles zone-protection-profile zp
set zone trust network zone-protection-profile zp
set schedule mornings schedule-type recurring daily 08:00-09:00
"""
PROFILE = "set network profiles zone-protection-profile zp"
_ETHERNET = 1  # link type of captures
EIGHT_S = 8 * 3600


def firewall(*lines: str, wall_offset_s: int = 0) -> Firewall:
    config = load_config((BASE + "\n".join(lines)).encode(), "test")
    assert config.errors == ()
    made = Firewall(compile_snapshot(config.tree, {}), wall_offset_s=wall_offset_s)
    tagged = Route(prefix="10.77.0.0/24", kind="unicast", port="ethernet1/1.77")
    made.engine.set_routes([*routes(), tagged])
    return made


_NAMES = {counter.number: counter.name for counter in COUNTERS}
REASONS = {protection.element: _NAMES[protection.counter] for protection in PROTECTIONS}

PACKETS = {
    "discard-ip-spoof": udp(src="203.0.113.99"),
    "discard-ip-frag": bytes(IP(src=CLIENT[4], dst=SERVER[4], flags="MF") / UDP() / Raw(bytes(64))),
    "discard-record-route": bytes(IP(src=CLIENT[4], dst=SERVER[4], options=IPOption_RR()) / UDP()),
    "discard-timestamp": bytes(
        IP(src=CLIENT[4], dst=SERVER[4], options=IPOption_Timestamp()) / UDP()
    ),
    "discard-icmp-ping-zero-id": bytes(ip() / ICMP(id=0)),
    "discard-icmp-large-packet": bytes(ip() / ICMP(id=9) / Raw(bytes(1100))),
    "discard-tcp-syn-with-data": tcp(payload=b"early"),
    "ipv6 routing-header-253": bytes(
        IPv6(src=CLIENT[6], dst=SERVER[6]) / IPv6ExtHdrRouting(type=253, segleft=0) / UDP()
    ),
    "ipv6 filter-ext-hdr dest-option-hdr": bytes(
        IPv6(src=CLIENT[6], dst=SERVER[6]) / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(id=3)
    ),
}
PASSES = [element for element in PACKETS if element != "discard-ip-frag"]  # which would be held


@pytest.mark.parametrize("element", PACKETS)
def test_a_packet_that_is_refused(element: str) -> None:
    assert firewall(f"{PROFILE} {element} yes").send(PACKETS[element]).what == REASONS[element]


@pytest.mark.parametrize("element", PASSES)
def test_and_passes_without(element: str) -> None:
    assert firewall(f"{PROFILE} {element} no").send(PACKETS[element]).what == "forward"


def test_only_in_zones_of_the_profile() -> None:
    made = firewall(f"{PROFILE} discard-icmp-ping-zero-id yes")
    packet = bytes(IP(src="203.0.113.30", dst=SERVER[4]) / ICMP(id=0))
    assert made.send(packet, DMZ).what == "forward"


@pytest.mark.parametrize(
    ("lines", "from_trust", "from_dmz"),
    [
        ([], False, False),
        ([f"{PROFILE} tcp-reject-non-syn no"], True, False),
        (["set deviceconfig setting session tcp-reject-non-syn no"], True, True),
        (
            [
                "set deviceconfig setting session tcp-reject-non-syn no",
                f"{PROFILE} tcp-reject-non-syn yes",
            ],
            False,
            True,
        ),
    ],
)
def test_tcp_in_the_middle(lines: list[str], from_trust: bool, from_dmz: bool) -> None:
    made = firewall(*lines)
    expected = {True: "forward", False: "flow_tcp_non_syn_drop"}
    assert made.send(tcp("A")).what == expected[from_trust]
    assert made.send(tcp("A", src="203.0.113.30"), DMZ).what == expected[from_dmz]


def test_a_flood() -> None:
    made = firewall(
        f"{PROFILE} flood udp enable yes red alarm-rate 5 activate-rate 10 maximal-rate 20"
    )

    def refused(at_s: float, port: str, source: str) -> int:
        """Of 200 packets within a second, each of a session of its own."""
        answers = [
            made.send(udp(sport=1024 + n, src=source), port, at_s + n / 250).what
            for n in range(200)
        ]
        assert set(answers) <= {"forward", *(a for a in answers if a.startswith("flow_dos_"))}
        return sum(answer != "forward" for answer in answers)

    assert refused(10, TRUST, CLIENT[4]) > 100
    assert refused(20, DMZ, "203.0.113.30") == 0
    assert made.send(udp(sport=999), at_s=30).what == "forward"
    assert made.send(tcp(), at_s=30).what == "forward"


RULE = "set rulebase dos rules r from zone trust to zone untrust source any destination any"


def test_a_dos_rule_that_denies() -> None:
    made = firewall(f"{RULE} service service-http action deny")
    assert made.send(tcp(dport=80)).what == "flow_dos_rule_deny"
    assert made.send(tcp(dport=81)).what == "forward"
    assert made.send(tcp(dport=80, src="203.0.113.30"), DMZ).what == "forward"
    assert made.send(tcp(dport=80, dst="203.0.113.30")).what == "forward"


def test_the_first_dos_rule_decides() -> None:
    allowed = RULE.replace("rules r", "rules a").replace("source any", f"source {CLIENT[4]}")
    made = firewall(f"{allowed} action allow", f"{RULE} action deny")
    assert made.send(tcp()).what == "forward"
    assert made.send(tcp(src="192.0.2.11")).what == "flow_dos_rule_deny"


def test_a_dos_rule_by_the_clock() -> None:
    made = firewall(f"{RULE} action deny schedule mornings", wall_offset_s=EIGHT_S)
    assert made.send(tcp(sport=1), at_s=1).what == "flow_dos_rule_deny"
    assert made.send(tcp(sport=2), at_s=3599).what == "flow_dos_rule_deny"
    assert made.send(tcp(sport=3), at_s=3600).what == "forward"
    made.tick(24 * 3600)
    assert made.send(tcp(sport=4)).what == "flow_dos_rule_deny"


def test_a_commit_keeps_a_rule_out_of_its_schedule() -> None:
    made = firewall(f"{RULE} action deny schedule mornings", wall_offset_s=EIGHT_S + 3600)
    assert made.send(tcp(sport=1), at_s=1).what == "forward"
    made.engine.configure(replace(made.engine.snapshot, offload=False))
    assert made.send(tcp(sport=2)).what == "forward"


def test_sessions_of_one_source() -> None:
    made = firewall(
        "set profiles dos-protection d type classified resource sessions enabled yes "
        "max-concurrent-limit 2",
        f"{RULE} action protect protection classified profile d",
    )
    found = [made.send(udp(sport=port)).what for port in (1, 2, 3)]
    assert found == ["forward", "forward", "flow_dos_cl_max_sess_limit"]
    assert made.send(udp(sport=3, src="192.0.2.11")).what == "forward"
    assert made.send(udp(sport=1)).what == "forward"  # of a session there is


def test_a_tagged_frame_is_of_its_sub_interface() -> None:
    made = firewall(f"{PROFILE} discard-icmp-ping-zero-id yes")
    packet = IP(src="10.77.0.9", dst=SERVER[4]) / ICMP(id=0)
    frame = Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:01")
    tagged = bytes(frame / Dot1Q(vlan=77) / packet)
    answer = made.send(tagged, link=LinkType.ETHERNET)
    assert answer.what == "forward"
    assert made.session(answer.session).c2s.zone == "tagged"
    other = bytes(frame / Dot1Q(vlan=78) / packet)
    assert made.send(other, link=LinkType.ETHERNET).what != "forward"
    plain = bytes(frame / packet)
    assert made.send(plain, link=LinkType.ETHERNET).what == REASONS["discard-icmp-ping-zero-id"]


def test_a_port_that_only_carries_tags() -> None:
    """It is in no zone itself, so what has no tag is dropped."""
    carrier = "set network interface ethernet ethernet1/4 layer3 units ethernet1/4.5"
    made = firewall(
        f"{carrier} tag 5 ip 10.5.0.1/24",
        "set network virtual-router default interface ethernet1/4.5",
        "set zone tagged network layer3 ethernet1/4.5",
        "set zone tagged network zone-protection-profile zp",
        f"{PROFILE} discard-icmp-large-packet yes",
    )
    frame = Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:01")
    header = IP(src="10.5.0.9", dst=SERVER[4]) / ICMP(id=5)
    small, large = header / Raw(bytes(9)), header / Raw(bytes(1100))
    ethernet = LinkType.ETHERNET
    assert made.send(bytes(frame / Dot1Q(vlan=5) / small), "ethernet1/4", link=ethernet)[0] == (
        "forward"
    )
    refused = made.send(bytes(frame / Dot1Q(vlan=5) / large), "ethernet1/4", link=ethernet)
    assert refused.what == REASONS["discard-icmp-large-packet"]
    untagged = made.send(bytes(frame / small), "ethernet1/4", link=ethernet)
    assert untagged.what == "flow_no_interface"


@pytest.mark.parametrize("tag", [77, 78, None])
@pytest.mark.parametrize("by_source", [False, True])
def test_a_capture_of_tagged_frames(tmp_path: Path, tag: int | None, by_source: bool) -> None:
    """Of one port the tag says which sub-interface, else the source does, in both directions."""
    made = firewall()
    question = IP(src="10.77.0.9", dst=SERVER[4]) / UDP(sport=7, dport=8)
    answer = IP(src=SERVER[4], dst="10.77.0.9") / UDP(sport=8, dport=7)
    frame = Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:01")
    link = frame if tag is None else frame / Dot1Q(vlan=tag)
    frames = [(1.0, bytes(link / question)), (2.0, bytes(link / answer))]
    path = write_pcap(tmp_path / "a.pcap", frames[: 2 if by_source else 1], _ETHERNET)
    edge = PcapEdge(path if by_source else {TRUST: path}, made.engine)
    while edge.run_once(FOREVER_NS):
        pass
    if not by_source and tag == 78:
        assert made.counters()["flow_rcv_dot1q_tag_err"] == 1
        return
    session = made.session(1)
    assert session.c2s.zone == ("trust" if not by_source and tag is None else "tagged")
    assert (session.packets_c2s, session.packets_s2c) == (1, int(by_source))
