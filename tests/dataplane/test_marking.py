"""What the slowpath decides of a session's packets besides their way: class, DSCP, ICMP errors."""

import pytest
from msgspec.structs import replace

from dataplane import marks
from dataplane.snapshot import AddressRange, QosRule, SecurityRule, ServiceMatch
from native import Packet
from tests.support.packets import ALLOW, TRUST, UNTRUST, Firewall, snapshot, udp

DSCP = 0x2C >> 2  # of the packets
QOS = [  # a rule's fields, whether a UDP packet from trust to untrust is of its class
    pytest.param({}, True, id="any"),
    pytest.param({"from_zones": ("trust",), "to_zones": ("untrust",)}, True, id="zones"),
    pytest.param({"to_zones": ("dmz",)}, False, id="another zone"),
    pytest.param({"services": (ServiceMatch(17, (), ((53, 53),)),)}, True, id="service"),
    pytest.param({"services": (ServiceMatch(6),)}, False, id="another service"),
    pytest.param({"dscps": (DSCP, 46)}, True, id="marked"),
    pytest.param({"dscps": (46,)}, False, id="marked otherwise"),
    pytest.param(
        {"source": (AddressRange(b"\xc0\x00\x02\x0a", b"\xc0\x00\x02\x0a"),)}, True, id="source"
    ),
]


@pytest.mark.parametrize(("fields", "matches"), QOS)
def test_classes(fields: dict[str, object], matches: bool) -> None:
    rules = (replace(QosRule("voice", 2), **fields), QosRule("rest", 6, to_zones=("trust",)))
    firewall = Firewall(replace(snapshot(ALLOW), qos_rules=rules))
    for packet, port in ((udp(), 1), (udp(back=True), 2)):
        (verdict,) = firewall.engine.feed([Packet(packet, port, 0)])
        found = (verdict.mark & marks.CLASS_MASK) >> marks.CLASS_SHIFT
        assert found == (2 if matches else 0)
    session = firewall.session()
    assert (session.qos_rule, session.qos_class) == (("voice", 2) if matches else ("", 4))


def test_classes_there_are_not() -> None:
    with pytest.raises(ValueError, match=r"class of QoS rule best 9 is not within 1\.\.8"):
        Firewall(replace(snapshot(), qos_rules=(QosRule("best", 9),)))


MARKINGS = [  # a rule's marking, and what packets of both directions have then
    pytest.param({}, (DSCP, 9), id="left alone"),
    pytest.param({"dscp": 46}, (46, 46), id="marked"),
    pytest.param({"dscp_follows": True}, (DSCP, DSCP), id="as the first packet"),
]


@pytest.mark.parametrize(("fields", "expected"), MARKINGS)
@pytest.mark.parametrize("family", [4, 6])
def test_dscp(fields: dict[str, object], expected: tuple[int, int], family: int) -> None:
    firewall = Firewall(snapshot(replace(ALLOW, **fields)))
    there = firewall.send(udp(family))
    reply = marked(udp(family, back=True), 9)
    back = firewall.send(reply, UNTRUST)
    assert (dscp(there.data or udp(family)), dscp(back.data or reply)) == expected


def dscp(packet: bytes) -> int:
    if packet[0] >> 4 == 4:
        return packet[1] >> 2
    return int.from_bytes(packet[:2], "big") >> 6 & 0x3F


def marked(packet: bytes, value: int) -> bytes:
    if packet[0] >> 4 == 6:
        word = int.from_bytes(packet[:2], "big") & 0xF03F | value << 6
        return word.to_bytes(2, "big") + packet[2:]
    header = bytearray(packet[:20])
    header[1], header[10:12] = value << 2, bytes(2)
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(header) + packet[20:]


@pytest.mark.parametrize("told", [True, False])
def test_who_is_denied_may_be_told(told: bool) -> None:
    firewall = Firewall(snapshot(SecurityRule("no", "drop", icmp_unreachable=told)))
    answer = firewall.send(udp())
    assert answer.what == "flow_policy_deny"
    assert [port for port, _ in answer.emitted] == ([TRUST] if told else [])
    for _, error in answer.emitted:
        assert error[9] == 1
        assert error[20] == 3
        assert error[28 + 12 : 28 + 20] == udp()[12:20]
