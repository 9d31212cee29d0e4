"""Packets of translated sessions: sources, destinations and both, with ICMP errors about them.

A script is written as both ends see it: the server answers the translated address. Ports of a pool
are drawn from a secret; scripts speak of them as 50001, 50002, ... in the order they are taken.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from msgspec.structs import replace
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPerror6, IPv6
from scapy.packet import Packet as Layers

from dataplane.snapshot import (
    AddressRange,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    SecurityRule,
    SourceTranslation,
    StaticIp,
)
from tests.parity.outcome import Outcome
from tests.parity.scripts import Script, Sent
from tests.support.conversations import Talk
from tests.support.fragments import cut
from tests.support.packets import (
    BASTION,
    CLIENT,
    DMZ,
    FAMILIES,
    SERVER,
    TRUST,
    UNTRUST,
    ends,
    icmp_error,
    snapshot,
)
from tests.support.translation import rebuilt

TRANSLATED = {4: "198.51.100.99", 6: "2001:db8:2::99"}  # of the client
PUBLIC = {4: "198.51.100.80", 6: "2001:db8:2::80"}  # of the bastion
FIRST_PORT = 50001  # the first that was taken of the pool
_OUT = SecurityRule(name="out", action="allow", from_zones=("trust",), log_start=True)


def _one(address: str) -> AddressRange:
    return AddressRange(ip_address(address).packed, ip_address(address).packed)


def _rules(source: bool, destination: bool, kind: str = "static-ip") -> tuple[NatRule, ...]:
    rules = []
    for family in FAMILIES:
        pool = (_one(TRANSLATED[family]),)
        kinds: dict[str, SourceTranslation] = {
            "static-ip": StaticIp(_one(CLIENT[family]), pool[0]),
            "dynamic-ip": DynamicIp(pool),
            "dynamic-ip-and-port": DynamicIpAndPort(pool),
        }
        rules.append(
            NatRule(
                name=f"v{family}",
                from_zones=("trust",),
                to_zones=("untrust",),
                source=(_one(CLIENT[family]),),
                destination=(_one(PUBLIC[family]),) if destination else (),
                source_translation=kinds[kind] if source else None,
                destination_translation=DestinationTranslation((_one(BASTION[family]),), port=8080)
                if destination
                else None,
            )
        )
    return tuple(rules)


class _Ends:
    """The client as it sees the server, and the server as it sees the client."""

    def __init__(self, family: int, *, source: bool, destination: bool, **fields: Any) -> None:
        self._client = Talk(family, dst=PUBLIC[family] if destination else SERVER[family], **fields)
        seen = dict(fields)
        if destination:
            seen["dport"] = 8080
        self._server = Talk(
            family,
            src=TRANSLATED[family] if source else CLIENT[family],
            dst=BASTION[family] if destination else SERVER[family],
            **seen,
        )
        self._server_port = DMZ if destination else UNTRUST
        self.sent: list[Sent] = []
        self.as_client, self.as_server = b"", b""  # the last packet, as each of them has it

    def say(self, words: str) -> None:
        for word in words.split():
            payload = b"data" if "P" in word else b""
            self.as_client = self._client.packet(word, payload)
            self.as_server = self._server.packet(word, payload)
            if word[0] == ">":
                self.sent.append(Sent(TRUST, self.as_client))
            else:
                self.sent.append(Sent(self._server_port, self.as_server))

    def say_in_fragments(self, words: str) -> None:
        """As `say`, a datagram a word, its last fragment first."""
        for number, word in enumerate(words.split(), 100):
            sender = self._client if word[0] == ">" else self._server
            port = TRUST if word[0] == ">" else self._server_port
            pieces = cut(sender.packet(word, bytes(range(200))), [64, 128], number)
            self.sent += [Sent(port, piece) for piece in reversed(pieces)]

    def error(self, kind: str, *, of_the_client: bool = False) -> None:
        """About the last packet, by the one who got it."""
        if of_the_client:
            self.sent.append(Sent(TRUST, icmp_error(self.as_client, kind=kind, src=_src(self))))
        else:
            error = icmp_error(self.as_server, kind=kind)
            self.sent.append(Sent(self._server_port, error))


def _src(talk: _Ends) -> str:
    return ends(talk.sent[0].packet).src


_SHAPES = {
    "source": {"source": True, "destination": False},
    "destination": {"source": False, "destination": True},
    "both": {"source": True, "destination": True},
}


def _scripts(family: int) -> Iterator[Script]:
    for name, shape in _SHAPES.items():
        config = replace(snapshot(_OUT), nat_rules=_rules(**shape))
        for what, words in (
            ("TCP, from handshake to close", ">S <SA >A >PA <PA >A <A >FA <FA >A"),
            ("TCP, offloaded", ">S <SA >A " + ">PA <A <PA >A " * 12),
            ("TCP, reset by the server", ">S <RA >S <SA"),
            ("UDP", ">udp <udp " * 12),
        ):
            two = _Ends(family, **shape, sport=40001, dport=80)
            two.say(words)
            yield Script(f"{name}: {what}", tuple(two.sent), config)
        two = _Ends(family, **shape, sport=40001, dport=80)
        two.say_in_fragments(">udp <udp >udp")
        yield Script(f"{name}: UDP in fragments", tuple(two.sent), config)
        for kind in ("unreachable", "too-big", "exceeded"):
            two = _Ends(family, **shape, sport=40001, dport=80)
            two.say(">udp")
            two.error(kind)
            two.say(">udp <udp")
            yield Script(f"{name}: {kind} about UDP", tuple(two.sent), config)
        two = _Ends(family, **shape, sport=40001, dport=80)
        two.say(">S <SA >A >PA")
        two.error("too-big")
        two.say("<A <PA")
        two.error("unreachable", of_the_client=True)
        two.say(">A")
        yield Script(f"{name}: errors about TCP, both ways", tuple(two.sent), config)
    config = replace(snapshot(_OUT), nat_rules=_rules(True, False))
    two = _Ends(family, source=True, destination=False)
    two.say(">echo <reply")
    two.error("exceeded", of_the_client=True)
    two.say(">gre <gre >gre")
    yield Script("source: ping, an error about its answer, GRE", tuple(two.sent), config)
    for kind in ("dynamic-ip", "dynamic-ip-and-port"):
        config = replace(snapshot(_OUT), nat_rules=_rules(True, False, kind))
        first, second = 40001, 40003
        sent: list[Sent] = []
        for number, sport in enumerate((first, second)):
            outside = FIRST_PORT + number if kind == "dynamic-ip-and-port" else sport
            client = Talk(family, sport=sport)
            server = Talk(family, src=TRANSLATED[family], sport=outside)
            for word in [">S", "<SA", ">A", ">PA", "<A", "<PA", ">A"]:
                payload = b"data" if "P" in word else b""
                theirs, ours = client.packet(word, payload), server.packet(word, payload)
                sent.append(Sent(TRUST, theirs) if word[0] == ">" else Sent(UNTRUST, ours))
            sent.append(Sent(UNTRUST, icmp_error(server.packet(">A"), kind="too-big")))
        yield Script(
            f"{kind}: two connections and errors",
            tuple(sent),
            config,
            has_pool=kind == "dynamic-ip-and-port",
        )


TRANSLATIONS = {
    f"v{family}, {script.name}": script for family in FAMILIES for script in _scripts(family)
}


# ---- ports of the pool ---------------------------------------------------------------------------

_PORTS = (TCP, UDP, TCPerror, UDPerror)
_ECHOES = (ICMP, ICMPerror, ICMPv6EchoRequest, ICMPv6EchoReply)


def renumbered(packet: bytes, ports: dict[int, int]) -> bytes:
    """With other ports at the translated addresses, in the packet and in what it quotes."""
    header = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    is_other = False
    layer: Layers = header
    at: Layers | None = None
    while layer:
        if isinstance(layer, (IP, IPv6, IPerror, IPerror6)):
            at = layer
        if isinstance(layer, _PORTS) and at is not None:
            for end, port in (("src", "sport"), ("dst", "dport")):
                if getattr(at, end) in TRANSLATED.values() and getattr(layer, port) in ports:
                    setattr(layer, port, ports[getattr(layer, port)])
                    is_other = True
        layer = layer.payload
    return rebuilt(header) if is_other else packet


class Ports:
    """The ports of a pool by the names that scripts have for them."""

    def __init__(self) -> None:
        self._names: dict[int, int] = {}  # by port

    def learn(self, out: dict[str, list[bytes]]) -> bool:
        """Whether there was anything new in what has left."""
        known = len(self._names)
        for packet in out.get(UNTRUST, []):
            seen = ends(packet)  # checks the checksums
            if seen.src in TRANSLATED.values() and seen.sport:
                self._names.setdefault(seen.sport, FIRST_PORT + len(self._names))
        return len(self._names) > known

    def knows(self, packet: bytes) -> bool:
        """Whether a packet of a script can be sent."""
        return packet == renumbered(packet, dict.fromkeys(range(FIRST_PORT, 1 << 16), 1)) or (
            self.real(packet) != packet
        )

    def real(self, packet: bytes) -> bytes:
        """A packet of a script as it is sent."""
        return renumbered(packet, {name: port for port, name in self._names.items()})

    def named(self, outcome: Outcome) -> Outcome:
        """As a script has it."""
        out = {
            port: [renumbered(packet, self._names) for packet in packets]
            for port, packets in outcome.out.items()
        }
        log = [
            entry | {"natsport": self._names.get(int(str(entry["natsport"])), entry["natsport"])}
            for entry in outcome.log
        ]
        return Outcome(outcome.counters, out, log)
