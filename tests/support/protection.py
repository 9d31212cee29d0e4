"""An engine with protection, and packets of many hosts for it, packed by hand: there are many."""

import struct
from ipaddress import ip_address
from typing import NamedTuple

from native import (
    COUNTERS,
    FLOODS,
    SCANS,
    Engine,
    EngineConfig,
    FloodLimits,
    FlowKey,
    Packet,
    PortConfig,
    ScanLimits,
    SessionSpec,
    VerdictAction,
    ZoneProtection,
)
from tests.support.translation import packed

NS = 1_000_000_000
OUTSIDE, INSIDE = 1, 2  # ports, and their zones; the outer one has the profile
PASSED = ""  # the reason of a packet that was not dropped

_NAMES = {info.number: info.name for info in COUNTERS}
_FLOODS = {flood.name: number for number, flood in enumerate(FLOODS)}
_SCANS = {scan.name: number for number, scan in enumerate(SCANS)}


def floods(**limits: FloodLimits) -> tuple[FloodLimits, ...]:
    return tuple(limits.get(flood.name, FloodLimits()) for flood in FLOODS)


def scans(**limits: ScanLimits) -> tuple[ScanLimits, ...]:
    return tuple(limits.get(scan.name, ScanLimits()) for scan in SCANS)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _address(host: int, family: int) -> bytes:
    base = "10.0.0.0" if family == 4 else "2001:db8::"
    return (ip_address(base) + host).packed


class Knock(NamedTuple):
    """The first packet of a session; its layer 4 has no checksum."""

    kind: str = "udp"  # name of a flood
    source: int = 1  # hosts by number
    destination: int = 1000
    sport: int = 1024
    dport: int = 53
    family: int = 4

    @property
    def protocol(self) -> int:
        return {"tcp_syn": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "other_ip": 47}[self.kind]

    def __bytes__(self) -> bytes:
        ports = struct.pack("!HH", self.sport, self.dport)
        echo = 8 if self.kind == "icmp" else 128
        payload = {
            "tcp_syn": ports + struct.pack("!IIBBHHH", 1, 0, 0x50, 2, 1000, 0, 0),
            "udp": ports + struct.pack("!HH", 8, 1),
            "icmp": struct.pack("!BBH", echo, 0, 0) + ports,
            "icmpv6": struct.pack("!BBH", echo, 0, 0) + ports,
            "other_ip": bytes(8),
        }[self.kind]
        ends = _address(self.source, self.family) + _address(self.destination, self.family)
        if self.family == 6:
            head = struct.pack("!IHBB", 0x60000000, len(payload), self.protocol, 64)
            return head + ends + payload
        length = 20 + len(payload)
        head = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, self.protocol, 0)
        return head[:10] + struct.pack("!H", _checksum(head + ends)) + ends + payload


def host(number: int, family: int = 4) -> bytes:
    """A host's address of 16 bytes."""
    return packed(str(ip_address(_address(number, family))))


class Protected:
    """=> every session that is not refused is allowed"""

    def __init__(self, *, now_s: int = 100, max_sessions: int = 4096) -> None:
        self.now_ns = now_s * NS
        self.engine = Engine(hash_key=bytes(16), now_ns=self.now_ns, max_sessions=max_sessions)

    def configure(self, zone: ZoneProtection | None = None, **config: object) -> None:
        ports = [
            PortConfig(0, False),
            PortConfig(OUTSIDE, True, protection=1 if zone else 0),
            PortConfig(INSIDE, True),
        ]
        protections = (zone,) if zone else ()
        self.engine.configure(
            EngineConfig({}, True, True, ports, (), protections=protections)._replace(**config)
        )

    def wait(self, ns: int) -> None:
        self.now_ns += ns
        self.engine.tick(self.now_ns)

    def knock(self, knock: Knock, port: int = OUTSIDE) -> str:
        """Name of the drop reason, or PASSED, and then there is a session."""
        packet = Packet(bytes(knock), port, self.now_ns, checksum_trusted=True)
        assert self.engine.input([packet]) == 1
        for undecided in self.engine.undecided():
            key = undecided.key
            egress = INSIDE if port == OUTSIDE else OUTSIDE
            answer = FlowKey(key.dst, key.src, key.dport, key.sport, egress, key.proto, key.family)
            spec = SessionSpec(answer, egress, "allow", 1, 0, False, False)
            self.engine.install(undecided.handle, spec)
        (verdict,) = self.engine.verdicts()
        if verdict.action is VerdictAction.DROP:
            return _NAMES[verdict.reason]
        return PASSED

    def flood(self, name: str) -> tuple[int, int]:
        """Rate and dropped packets of the outer zone."""
        stats = self.engine.zone_stats(OUTSIDE)
        assert stats is not None
        found = stats.floods[_FLOODS[name]]
        return found.rate, found.dropped

    def scanned(self, name: str) -> int:
        stats = self.engine.zone_stats(OUTSIDE)
        assert stats is not None
        return stats.scans[_SCANS[name]]

    def clear_all(self) -> None:
        views, cursor = self.engine.sessions(0)
        while views or cursor:
            for view in views:
                self.engine.clear(view.id)
            views, cursor = self.engine.sessions(cursor)
