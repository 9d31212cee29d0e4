"""The RST a denied connection is answered with (checksums: test_checksum.py)."""

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from tests.support.packets import (
    CLIENT,
    FAMILIES,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    snapshot,
    tcp,
    udp,
)

# RFC 9293 3.10.7.1: segment, and flags, sequence and acknowledgement number of the answer
ANSWERS = [
    pytest.param("S", b"", "RA", 0, 0x11223345, id="SYN"),
    pytest.param("S", b"abc", "RA", 0, 0x11223348, id="SYN with data"),
    pytest.param("SA", b"", "R", 0x55667789, 0, id="SYN-ACK"),
    pytest.param("A", b"", "R", 0x55667789, 0, id="ACK"),
    pytest.param("FA", b"abc", "R", 0x55667789, 0, id="FIN"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("action", ["reset-client", "reset-both"])
@pytest.mark.parametrize(("flags", "payload", "answer", "seq", "ack"), ANSWERS)
def test_resets(
    flags: str, payload: bytes, answer: str, seq: int, ack: int, action: str, family: int
) -> None:
    rules = snapshot(default_rule("no", action), tcp_reject_non_syn=False)
    firewall = Firewall(rules)
    verdict = firewall.send(tcp(flags, family, payload=payload))
    assert verdict.what == "flow_policy_deny"
    *to_server, (port, data) = reversed(verdict.emitted)
    assert port == TRUST
    # whom it was meant for may have a connection, unless it was to open one
    assert len(to_server) == (action == "reset-both" and "S" not in flags)
    for egress, reset in to_server:
        packet = (IP if family == 4 else IPv6)(reset)
        assert (egress, packet.src, packet.dst) == (UNTRUST, CLIENT[family], SERVER[family])
        assert (packet[TCP].sport, packet[TCP].dport, packet[TCP].seq) == (40001, 80, 0x11223345)
        assert str(packet[TCP].flags) == "R"
    packet = (IP if family == 4 else IPv6)(data)
    assert (packet.src, packet.dst) == (SERVER[family], CLIENT[family])
    segment = packet[TCP]
    assert (segment.sport, segment.dport) == (80, 40001)
    assert (str(segment.flags), segment.seq, segment.ack) == (answer, seq, ack)
    assert len(segment.payload) == 0
    assert firewall.counters()["flow_action_close"] == 1 + len(to_server)
    # the way back is open to it: it is a packet like any other
    assert firewall.send(data, UNTRUST).what != "flow_discard_drop"


@pytest.mark.parametrize("action", ["deny", "drop", "reset-server"])
def test_actions_that_answer_nobody(action: str) -> None:
    assert Firewall(snapshot(default_rule("no", action))).send(tcp()).emitted == ()


def test_resets_are_for_tcp_and_never_for_a_reset() -> None:
    rules = snapshot(default_rule("no", "reset-both"), tcp_reject_non_syn=False)
    assert Firewall(rules).send(udp()).emitted == ()
    assert Firewall(rules).send(tcp("R")).emitted == ()
    assert Firewall(rules).send(tcp("RA")).emitted == ()


def test_resets_need_no_session() -> None:
    firewall = Firewall(snapshot(default_rule("no", "reset-both"), discard_denied=False))
    verdict = firewall.send(tcp())
    assert (verdict.what, verdict.session, len(verdict.emitted)) == ("flow_policy_deny", 0, 1)
    assert firewall.engine.stats().allocated == 0
