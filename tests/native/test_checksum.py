"""Checksums: the engine takes what scapy sums, and scapy what the engine sums."""

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from tests.support.packets import FAMILIES, TRUST, Firewall, default_rule, echo, snapshot, tcp, udp

FAMILY = st.sampled_from(FAMILIES)
PAYLOAD = st.binary(max_size=200)


@given(FAMILY, st.sampled_from([tcp, udp, echo]), PAYLOAD)
def test_the_engine_takes_what_scapy_sums(family: int, build: object, payload: bytes) -> None:
    assert callable(build)
    packet = build(family=family, payload=payload)
    assert Firewall().send(packet).what == "forward"


@given(FAMILY, PAYLOAD, st.data())
def test_one_bit_is_enough_to_be_refused(family: int, payload: bytes, data: st.DataObject) -> None:
    packet = bytearray(tcp("S", family, payload=payload))
    header = 20 if family == 4 else 40
    # not the lengths, the data offset and the flags, which are looked at in their own right
    at = data.draw(
        st.sampled_from([i for i in range(header, len(packet)) if i - header not in (12, 13)])
    )
    packet[at] ^= 1 << data.draw(st.integers(0, 7))
    assert Firewall().send(bytes(packet)).what == "flow_parse_l4_cksm"


@given(FAMILY, st.integers(0, 2**32 - 1), st.integers(1, 65535), st.integers(1, 65535), PAYLOAD)
def test_scapy_takes_what_the_engine_sums(
    family: int, seq: int, sport: int, dport: int, payload: bytes
) -> None:
    rule = default_rule("no", "reset-both")
    firewall = Firewall(snapshot(rule))
    syn = tcp("S", family, seq=seq, sport=sport, dport=dport, payload=payload)
    ((port, reset),) = firewall.send(syn).emitted
    assert port == TRUST
    layer = IP if family == 4 else IPv6
    parsed = layer(reset)
    assert parsed[TCP].ack == (seq + len(payload) + 1) % 2**32
    if family == 4:
        del parsed.chksum
    del parsed[TCP].chksum
    assert bytes(parsed) == reset
