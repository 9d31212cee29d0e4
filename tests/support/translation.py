"""An engine whose sessions are installed by hand, for what it does to the bytes of packets."""

from ipaddress import ip_address
from typing import NamedTuple

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet as Layers

from native import (
    COUNTERS,
    Engine,
    EngineConfig,
    FlowKey,
    InputFlag,
    Packet,
    PortConfig,
    SessionSpec,
    Undecided,
    Verdict,
)

NS = 1_000_000_000
HOST_MARK = 0x100
INSIDE, OUTSIDE = 1, 2  # ports, and their zones
OWN = {4: ("10.1.0.1", "10.2.0.1"), 6: ("2001:db8:1::1", "2001:db8:2::1")}  # by port
CLIENT = {4: "10.1.0.5", 6: "2001:db8:1::5"}
SERVER = {4: "10.2.0.9", 6: "2001:db8:2::9"}


def packed(address: str) -> bytes:
    raw = ip_address(address).packed
    return raw if len(raw) == 16 else bytes(10) + b"\xff\xff" + raw


def parsed(data: bytes) -> Layers:
    return (IP if data[0] >> 4 == 4 else IPv6)(data)


def rebuilt(packet: Layers) -> bytes:
    """The packet with every length and checksum computed anew."""
    copy = packet.copy()
    layer = copy
    while layer:
        for field in ("chksum", "cksum", "len", "plen"):
            if field in layer.fields:
                del layer.fields[field]
        layer = layer.payload
    return bytes(type(copy)(bytes(copy)))


class Translation(NamedTuple):
    """What the outside sees of a session; None is as inside."""

    source: str | None = None
    sport: int | None = None
    destination: str | None = None
    dport: int | None = None

    def s2c(self, key: FlowKey, zone: int = OUTSIDE) -> FlowKey:
        return FlowKey(
            src=packed(self.destination) if self.destination else key.dst,
            dst=packed(self.source) if self.source else key.src,
            sport=key.dport if self.dport is None else self.dport,
            dport=key.sport if self.sport is None else self.sport,
            zone=zone,
            proto=key.proto,
            family=key.family,
        )


_NAMES = {counter.number: counter.name for counter in COUNTERS}

AS_IS = Translation()


class Translator:
    """=> packets come in at port INSIDE unless told otherwise"""

    def __init__(self, *, nat_reserve_s: int = 0, **outside: object) -> None:
        """`outside` sets fields of the outer port."""
        self.engine = Engine(hash_key=bytes(16), now_ns=0, max_sessions=131_072)
        self.now_ns = 0
        self._nat_reserve_s = nat_reserve_s
        self._ports = [PortConfig(0, False)]
        for index in range(2):
            address = packed(OWN[4][index]), packed(OWN[6][index])
            self._ports.append(PortConfig(index + 1, True, (index + 1) << 13, address=address))
        self._ports[OUTSIDE] = self._ports[OUTSIDE]._replace(**outside)
        self._configure()

    def set_ports(self, *, ipv6_firewalling: bool = True, **fields: object) -> None:
        """Sets these fields of every port."""
        self._ports = [port._replace(**fields) for port in self._ports]
        self._configure(ipv6_firewalling)

    def set_reserve(self, seconds: int) -> None:
        self._nat_reserve_s = seconds
        self._configure()

    def add_port(self, zone: int) -> int:
        """Another port like the outer one; its number."""
        self._ports.append(self._ports[OUTSIDE]._replace(zone=zone))
        self._configure()
        return len(self._ports) - 1

    def _configure(self, ipv6_firewalling: bool = True) -> None:
        local = [packed(address) for family in OWN.values() for address in family]
        self.engine.configure(
            EngineConfig(
                {},
                True,
                ipv6_firewalling,
                self._ports,
                local,
                host_mark=HOST_MARK,
                nat_reserve_s=self._nat_reserve_s,
            )
        )

    def feed(
        self,
        data: bytes,
        port: int = INSIDE,
        translation: Translation = AS_IS,
        flags: int = 0,
        egress: int = 0,
        mac: bytes = bytes(6),
        **spec: object,
    ) -> list[Verdict]:
        """A packet, and the session it opens if it opens one."""
        port = 0 if flags & InputFlag.FROM_HOST else port
        packet = Packet(data, port, self.now_ns, flags=flags, egress=egress, mac=mac)
        assert self.engine.input([packet]) == 1
        for undecided in self.engine.undecided():
            assert (undecided.egress, undecided.mac) == (egress, mac)
            self.engine.install(undecided.handle, self.spec(undecided, translation, **spec))
        return self.engine.verdicts()

    def spec(
        self, undecided: Undecided, translation: Translation, zone: int = 0, **fields: object
    ) -> SessionSpec:
        other = OUTSIDE if undecided.port == INSIDE else INSIDE
        spec = SessionSpec(
            s2c=translation.s2c(undecided.key, zone or other),
            egress_port=other,
            action="allow",
            rule=1,
            application=0,
            log_start=False,
            log_end=False,
        )
        return spec._replace(**fields)

    def forwarded(
        self,
        data: bytes,
        port: int = INSIDE,
        translation: Translation = AS_IS,
        **spec: object,
    ) -> bytes:
        """What of a packet leaves."""
        (verdict,) = self.feed(data, port, translation, **spec)
        assert verdict.action.name == "FORWARD", (verdict, self.reason(verdict))
        return data if verdict.data is None else verdict.data

    def reason(self, verdict: Verdict) -> str:
        return _NAMES.get(verdict.reason, "")
