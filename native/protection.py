"""What protects the firewall and those behind it, as the engine takes it: see engine.h."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from native._engine import ffi, lib

if TYPE_CHECKING:
    from native import EngineConfig

SCAN_ACTIONS = ("allow", "alert", "block", "block-ip")


def _text(value: Any) -> str:
    result: str = ffi.string(value).decode()
    return result


class ProtectionInfo(NamedTuple):
    """What a zone protection profile can refuse or do about single packets."""

    name: str
    element: str  # below the profile: "discard-ip-spoof", "ipv6 routing-header-0"
    counter: int


class ThreatInfo(NamedTuple):
    """A flood or a scan."""

    name: str
    element: str  # of a flood, below the profile's `flood`
    text: str  # name of the threat
    id: int


def _protections() -> Iterator[ProtectionInfo]:
    for number in range(lib.PROTECTION_COUNT):
        info = lib.protection_info(number)
        yield ProtectionInfo(_text(info.name), _text(info.element), info.counter)


def _threat_infos(info_of: Any, count: int) -> Iterator[ThreatInfo]:
    for number in range(count):
        info = info_of(number)
        yield ThreatInfo(_text(info.name), _text(info.element), _text(info.text), info.id)


PROTECTIONS = tuple(_protections())
FLOODS = tuple(_threat_infos(lib.flood_info, lib.FLOOD_COUNT))
SCANS = tuple(_threat_infos(lib.scan_info, lib.SCAN_COUNT))


class ThreatType(IntEnum):
    FLOOD = lib.THREAT_FLOOD
    SCAN = lib.THREAT_SCAN
    PACKET = lib.THREAT_PACKET
    SESSION_LIMIT = lib.THREAT_SESSION_LIMIT
    BUFFER = lib.THREAT_BUFFER


TUNNEL_TYPES = {"gre": lib.TUNNEL_GRE, "ipip": lib.TUNNEL_IPIP, "vxlan": lib.TUNNEL_VXLAN}
_DOS_ACTIONS = {"deny": lib.DOS_DENY, "allow": lib.DOS_ALLOW, "protect": lib.DOS_PROTECT}
_CLASSIFIED_BY = {
    "source-ip-only": lib.DOS_BY_SOURCE,
    "destination-ip-only": lib.DOS_BY_DESTINATION,
    "src-dest-ip-both": lib.DOS_BY_BOTH,
}


class FloodLimits(NamedTuple):
    """Packets a second that match no session; see struct flood_limits."""

    enabled: bool = False
    syn_cookies: bool = False
    alarm: int = 0
    activate: int = 0
    maximal: int = 0


class ScanLimits(NamedTuple):
    """So many different ports, hosts or protocols within the interval; see struct scan_limits."""

    enabled: bool = False
    by_pair: bool = False
    action: str = "alert"  # of SCAN_ACTIONS
    interval_s: int = 2
    threshold: int = 100
    block_s: int = 0


NO_FLOODS = (FloodLimits(),) * lib.FLOOD_COUNT
NO_SCANS = (ScanLimits(),) * lib.SCAN_COUNT


class ZoneProtection(NamedTuple):
    zone: int
    checks: int = 0  # bits, by the number of a protection (PROTECTIONS)
    tcp_reject_non_syn: bool = True
    tcp_asymmetric_bypass: bool = False
    buffer_protection: bool = False
    floods: tuple[FloodLimits, ...] = NO_FLOODS  # as FLOODS
    scans: tuple[ScanLimits, ...] = NO_SCANS  # as SCANS
    scan_exempt: tuple[tuple[bytes, bytes], ...] = ()  # ranges of sources, 16 bytes each end


class DosLimits(NamedTuple):
    floods: tuple[FloodLimits, ...] = NO_FLOODS
    block_s: tuple[int, ...] = (0,) * lib.FLOOD_COUNT
    max_sessions: int = 0  # 0: any number


class ServiceRange(NamedTuple):
    protocol: int
    source_first: int = 0
    source_last: int = 65535
    first: int = 0
    last: int = 65535


class DosRule(NamedTuple):
    """Of lists an empty one matches everything; see struct dos_rule."""

    number: int
    action: str  # deny, allow, protect
    from_zones: tuple[int, ...] = ()
    from_ports: tuple[int, ...] = ()
    to_zones: tuple[int, ...] = ()
    to_ports: tuple[int, ...] = ()
    source: tuple[tuple[bytes, bytes], ...] = ()  # 16 bytes each end
    destination: tuple[tuple[bytes, bytes], ...] = ()
    negate_source: bool = False
    negate_destination: bool = False
    services: tuple[ServiceRange, ...] = ()
    aggregate: DosLimits | None = None
    classified: DosLimits | None = None
    classified_by: str = "source-ip-only"


class BufferProtection(NamedTuple):
    """What one source may fill of the packets that wait for the slowpath."""

    enabled: bool = False
    monitor_only: bool = False
    alert_percent: int = 50
    activate_percent: int = 80
    block_hold_s: int = 60
    block_duration_s: int = 3600


class TunnelConfig(NamedTuple):
    """What arrives from `peer` for `local` has come in by `port`; see struct tunnel_config."""

    port: int
    outer_port: int
    type: str  # of TUNNEL_TYPES
    local: bytes  # 16 bytes
    peer: bytes
    ttl: int = 64
    copy_tos: bool = False
    udp_port: int = 0
    vni: int = 0
    mac: bytes = bytes(6)
    peer_mac: bytes = bytes(6)  # zeros: learnt


class _Tables:
    """The tables that lists are pieces of."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.ranges: list[tuple[bytes, bytes]] = []
        self.services: list[ServiceRange] = []

    def fill(self, raw: Any) -> list[Any]:
        numbers = ffi.new("uint16_t[]", self.numbers or 1)
        ranges = ffi.new("struct address_range[]", max(len(self.ranges), 1))
        for item, (first, last) in zip(ranges, self.ranges, strict=False):
            ffi.memmove(item.first, first, 16)
            ffi.memmove(item.last, last, 16)
        services = ffi.new("struct service_range[]", max(len(self.services), 1))
        for item, service in zip(services, self.services, strict=False):
            item.proto = service.protocol
            item.sport_first, item.sport_last = service.source_first, service.source_last
            item.dport_first, item.dport_last = service.first, service.last
        raw.number_count, raw.numbers = len(self.numbers), numbers
        raw.range_count, raw.ranges = len(self.ranges), ranges
        raw.service_count, raw.services = len(self.services), services
        return [numbers, ranges, services]


def _add(raw: Any, table: list[Any], items: Iterable[Any]) -> None:
    """Makes a list of a table's new end."""
    raw.first = len(table)
    table += items
    raw.count = len(table) - raw.first


def _fill_floods(raw: Any, floods: Sequence[FloodLimits]) -> None:
    for item, flood in zip(raw, floods, strict=True):
        for name, value in flood._asdict().items():
            setattr(item, name, value)


def _fill_zone(raw: Any, zone: ZoneProtection, tables: _Tables) -> None:
    for name in (
        "zone",
        "checks",
        "tcp_reject_non_syn",
        "tcp_asymmetric_bypass",
        "buffer_protection",
    ):
        setattr(raw, name, getattr(zone, name))
    _fill_floods(raw.flood, zone.floods)
    for item, scan in zip(raw.scan, zone.scans, strict=True):
        for name, value in scan._asdict().items():
            setattr(item, name, SCAN_ACTIONS.index(value) if name == "action" else value)
    _add(raw.scan_exempt, tables.ranges, zone.scan_exempt)


def _fill_limits(raw: Any, limits: DosLimits | None) -> None:
    raw.enabled = limits is not None
    if limits is not None:
        _fill_floods(raw.flood, limits.floods)
        raw.block_s = limits.block_s
        raw.max_sessions = limits.max_sessions


def _fill_dos_rule(raw: Any, rule: DosRule, tables: _Tables) -> None:
    raw.number, raw.action = rule.number, _DOS_ACTIONS[rule.action]
    raw.classified_by = _CLASSIFIED_BY[rule.classified_by]
    raw.negate_source, raw.negate_destination = rule.negate_source, rule.negate_destination
    for name in ("from_zones", "from_ports", "to_zones", "to_ports"):
        _add(getattr(raw, name), tables.numbers, getattr(rule, name))
    _add(raw.source, tables.ranges, rule.source)
    _add(raw.destination, tables.ranges, rule.destination)
    _add(raw.services, tables.services, rule.services)
    _fill_limits(raw.aggregate, rule.aggregate)
    _fill_limits(raw.classified, rule.classified)


def _fill_tunnel(raw: Any, tunnel: TunnelConfig) -> None:
    for name in ("port", "outer_port", "ttl", "copy_tos", "udp_port", "vni", "mac", "peer_mac"):
        setattr(raw, name, getattr(tunnel, name))
    raw.type = TUNNEL_TYPES[tunnel.type]
    ffi.memmove(raw.local, tunnel.local, 16)
    ffi.memmove(raw.peer, tunnel.peer, 16)


def fill_protection(raw: Any, config: EngineConfig) -> list[Any]:
    """Fills a struct engine_config; what is returned must live as long as it is used."""
    tables = _Tables()
    for name, value in config.buffer_protection._asdict().items():
        setattr(raw.buffer_protection, name, value)
    zones = ffi.new("struct zone_protection[]", max(len(config.protections), 1))
    for item, zone in zip(zones, config.protections, strict=False):
        _fill_zone(item, zone, tables)
    rules = ffi.new("struct dos_rule[]", max(len(config.dos_rules), 1))
    for item, rule in zip(rules, config.dos_rules, strict=False):
        _fill_dos_rule(item, rule, tables)
    tunnels = ffi.new("struct tunnel_config[]", max(len(config.tunnels), 1))
    for item, tunnel in zip(tunnels, config.tunnels, strict=False):
        _fill_tunnel(item, tunnel)
    raw.protection_count, raw.protections = len(config.protections), zones
    raw.dos_rule_count, raw.dos_rules = len(config.dos_rules), rules
    raw.tunnel_count, raw.tunnels = len(config.tunnels), tunnels
    return [zones, rules, tunnels, *tables.fill(raw)]
