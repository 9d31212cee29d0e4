"""What protects the firewall and those behind it, as the engine takes it: see engine.h."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.structs import fill, table

MAX_PROTECTIONS: int = lib.MAX_PROTECTIONS
MAX_DOS_RULES: int = lib.MAX_DOS_RULES
SCAN_ACTIONS = ("allow", "alert", "block", "block-ip")
DOS_ACTIONS = {"deny": lib.DOS_DENY, "allow": lib.DOS_ALLOW, "protect": lib.DOS_PROTECT}
CLASSIFIED_BY = {
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


class _Tables:
    """The tables that lists are pieces of."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.ranges: list[tuple[bytes, bytes]] = []
        self.services: list[ServiceRange] = []

    def fill(self, raw: Any) -> list[Any]:
        numbers = ffi.new("uint16_t[]", self.numbers or 1)
        ranges = table("address_range", self.ranges, _fill_range)
        services = table("service_range", self.services, _fill_service)
        raw.number_count, raw.numbers = len(self.numbers), numbers
        raw.range_count, raw.ranges = len(self.ranges), ranges
        raw.service_count, raw.services = len(self.services), services
        return [numbers, ranges, services]


def _add(raw: Any, whole: list[Any], items: Iterable[Any]) -> None:
    """Makes a list of a table's new end."""
    raw.first = len(whole)
    whole += items
    raw.count = len(whole) - raw.first


def _fill_range(raw: Any, addresses: tuple[bytes, bytes]) -> None:
    first, last = addresses
    ffi.memmove(raw.first, first, 16)
    ffi.memmove(raw.last, last, 16)


def _fill_service(raw: Any, service: ServiceRange) -> None:
    raw.proto = service.protocol
    raw.sport_first, raw.sport_last = service.source_first, service.source_last
    raw.dport_first, raw.dport_last = service.first, service.last


def _fill_floods(raw: Any, floods: Sequence[FloodLimits]) -> None:
    for item, flood in zip(raw, floods, strict=True):
        fill(item, flood, flood._fields)


def _fill_zone(raw: Any, zone: ZoneProtection, tables: _Tables) -> None:
    names = ("zone", "checks", "tcp_reject_non_syn", "tcp_asymmetric_bypass", "buffer_protection")
    fill(raw, zone, names)
    _fill_floods(raw.flood, zone.floods)
    for item, scan in zip(raw.scan, zone.scans, strict=True):
        fill(item, scan, ("enabled", "by_pair", "interval_s", "threshold", "block_s"))
        item.action = SCAN_ACTIONS.index(scan.action)
    _add(raw.scan_exempt, tables.ranges, zone.scan_exempt)


def _fill_limits(raw: Any, limits: DosLimits | None) -> None:
    raw.enabled = limits is not None
    if limits is not None:
        _fill_floods(raw.flood, limits.floods)
        raw.block_s = limits.block_s
        raw.max_sessions = limits.max_sessions


def _fill_dos_rule(raw: Any, rule: DosRule, tables: _Tables) -> None:
    raw.number, raw.action = rule.number, DOS_ACTIONS[rule.action]
    raw.classified_by = CLASSIFIED_BY[rule.classified_by]
    raw.negate_source, raw.negate_destination = rule.negate_source, rule.negate_destination
    for name in ("from_zones", "from_ports", "to_zones", "to_ports"):
        _add(getattr(raw, name), tables.numbers, getattr(rule, name))
    _add(raw.source, tables.ranges, rule.source)
    _add(raw.destination, tables.ranges, rule.destination)
    _add(raw.services, tables.services, rule.services)
    _fill_limits(raw.aggregate, rule.aggregate)
    _fill_limits(raw.classified, rule.classified)


def fill_protection(
    raw: Any, zones: Sequence[ZoneProtection], rules: Sequence[DosRule]
) -> list[Any]:
    """Fills a struct engine_config; what is returned must live as long as it is used."""
    tables = _Tables()
    raw_zones = table("zone_protection", zones, partial(_fill_zone, tables=tables))
    raw_rules = table("dos_rule", rules, partial(_fill_dos_rule, tables=tables))
    raw.protection_count, raw.protections = len(zones), raw_zones
    raw.dos_rule_count, raw.dos_rules = len(rules), raw_rules
    return [raw_zones, raw_rules, *tables.fill(raw)]
