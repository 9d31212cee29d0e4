"""Captures of the client's side of translated conversations, in one file.

What the client saw is what it sees without translation, so the same becomes of it.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.edges.pcap import PcapEdge
from dataplane.snapshot import (
    AddressRange,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    SecurityRule,
    StaticIp,
)
from native import Capture
from tests.support.captures import RAW_IP, write
from tests.support.conversations import Talk
from tests.support.packets import (
    BASTION,
    CLIENT,
    FAMILIES,
    NS,
    ROUTER,
    SERVER,
    Firewall,
    ends,
    icmp_error,
    snapshot,
)

PUBLIC = {4: "198.51.100.80", 6: "2001:db8:2::80"}  # nobody has it
POOL = {4: "198.51.100.200", 6: "2001:db8:2::200"}
OTHER = {4: "203.0.113.99", 6: "2001:db8:3::99"}  # in the network of BASTION
_OUT = SecurityRule(name="out", action="allow", from_zones=("trust",), log_end=True)
_NO_NAT_FIELDS = {"natsrc", "natdst", "natsport", "natdport"}


def one(address: str) -> AddressRange:
    packed = ip_address(address).packed
    return AddressRange(packed, packed)


def rules(kind: str, family: int) -> tuple[NatRule, ...]:
    pool = (one(POOL[family]),)
    sources: dict[str, Any] = {
        "dynamic-ip-and-port": DynamicIpAndPort(pool),
        "dynamic-ip": DynamicIp(pool),
        "static-ip": StaticIp(one(CLIENT[family]), pool[0]),
        "destination": None,
        "both": DynamicIpAndPort((one(OTHER[family]),)),
    }
    to_public = DestinationTranslation((one(BASTION[family]),))
    return (
        NatRule(
            "rule",
            from_zones=("trust",),
            source=(one(CLIENT[family]),),
            source_translation=sources[kind],
            destination_translation=to_public if kind in ("destination", "both") else None,
        ),
    )


KINDS = ("dynamic-ip-and-port", "dynamic-ip", "static-ip", "destination", "both")


def played(packets: list[bytes], nat: tuple[NatRule, ...]) -> tuple[Firewall, list[bytes]]:
    """A firewall that a capture of these packets, one a second, was replayed through; and what has
    left by its outer ports.
    """
    firewall = Firewall(replace(snapshot(_OUT), nat_rules=nat), start_s=1)
    with TemporaryDirectory() as folder:
        path = write(
            Path(folder) / "client.pcap",
            [(at * NS, packet) for at, packet in enumerate(packets, 1)],
            RAW_IP,
        )
        edge = PcapEdge(path, firewall.engine, Path(folder))
        while edge.run_once(10_000 * NS):
            pass
        while edge.tick(10_000 * NS):
            pass
        edge.close()
        return firewall, list(_read(Path(folder)))


def _read(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("ethernet1_[23].pcap")):
        capture = Capture(str(path))
        while packets := capture.read():
            yield from (packet.data for packet in packets)


def outcome(firewall: Firewall) -> tuple[dict[str, int], list[dict[str, object]]]:
    counters = firewall.counters()
    log = [msgspec.to_builtins(entry) for entry in firewall.entries()]
    fields = _NO_NAT_FIELDS | {"to", "outbound_if"}
    return (
        {name: by for name, by in counters.items() if not name.startswith("nat_")},
        [{name: value for name, value in one.items() if name not in fields} for one in log],
    )


WORDS = st.sampled_from(
    (
        *(">S <SA >A", ">PA", "<PA", ">A", "<A", ">FA", "<FA", ">RA", "<RA"),
        *(">udp", "<udp", ">udp <udp", ">gre", ">echo <reply", "<reply", "error"),
    )
)


@pytest.mark.parametrize("kind", KINDS)
@given(st.sampled_from(FAMILIES), st.lists(WORDS, max_size=12))
def test_the_same_becomes_of_it_as_without_translation(
    kind: str, family: int, sayings: list[str]
) -> None:
    talk = Talk(family, dst=PUBLIC[family] if kind in ("destination", "both") else SERVER[family])
    packets: list[bytes] = []
    for word in " ".join([">S <SA >A", *sayings]).split():
        if word == "error":  # of a router on the way, about the last packet of the client
            (*_, about) = (one for one in packets if ends(one).src == CLIENT[family])
            packets.append(icmp_error(about, src=ROUTER[family]))
        elif "gre" not in word or kind not in ("destination", "both"):
            packets.append(talk.packet(word, b"data" if "P" in word else b""))
    plain, _ = played(packets, ())
    translated, left = played(packets, rules(kind, family))
    assert outcome(translated) == outcome(plain)
    for packet in left:
        seen = ends(packet)  # which checks the checksums
        if kind in ("dynamic-ip-and-port", "dynamic-ip", "static-ip"):
            assert seen.src == POOL[family]
        else:
            assert seen.dst == BASTION[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_log_has_both_sides(family: int) -> None:
    talk = Talk(family, sport=40001, dport=80)
    packets = [talk.packet(word) for word in (">S", "<SA", ">A", ">FA", "<FA", ">A")]
    firewall, left = played(packets, rules("dynamic-ip-and-port", family))
    (entry,) = firewall.entries()
    assert (entry.src, entry.sport, entry.natsrc) == (CLIENT[family], 40001, POOL[family])
    assert {ends(packet).sport for packet in left} == {entry.natsport}
    assert (entry.pkts_sent, entry.pkts_received) == (4, 2)
    assert entry.session_end_reason == "tcp-fin"
