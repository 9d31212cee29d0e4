"""Protection against attacks as the engine takes it: names become numbers, names of checks bits."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import native
from dataplane.addresses import widened
from dataplane.names import Names
from dataplane.snapshot import (
    AddressRange,
    DosLimits,
    DosRule,
    FloodLimits,
    ScanLimits,
    ServiceMatch,
    Snapshot,
    Zone,
    ZoneProtection,
)
from native import FLOODS, PROTECTIONS, SCANS

CHECKS = {protection.name: 1 << number for number, protection in enumerate(PROTECTIONS)}
_STRIP_MPTCP = "strip_mptcp"
_EVERY_PORT = ((0, 65535),)


class Protection(NamedTuple):
    """Parts of native.EngineConfig."""

    zones: tuple[native.ZoneProtection, ...]
    places: dict[str, int]  # of zones: what a native.PortConfig names
    dos_rules: tuple[native.DosRule, ...]
    buffer: native.BufferProtection


def protection(
    snapshot: Snapshot, zones: Names, ports: Mapping[str, int], rules: Names
) -> Protection:
    """`rules` has the numbers of DoS rules, as `zones` and `ports` of theirs."""
    buffer = snapshot.buffer_protection
    return Protection(
        zones=tuple(_zone(snapshot, zone, zones) for zone in snapshot.zones),
        places={zone.name: place for place, zone in enumerate(snapshot.zones, start=1)},
        dos_rules=tuple(_rule(rule, zones, ports, rules) for rule in snapshot.dos_rules),
        buffer=native.BufferProtection(
            enabled=buffer.enabled,
            monitor_only=buffer.monitor_only,
            alert_percent=buffer.alert_percent,
            activate_percent=buffer.activate_percent,
            block_hold_s=buffer.block_hold_s,
            block_duration_s=buffer.block_duration_s,
        ),
    )


def _zone(snapshot: Snapshot, zone: Zone, zones: Names) -> native.ZoneProtection:
    # a zone that has only its packet buffer protected is as one without a profile
    profile = zone.protection or ZoneProtection(
        name="",
        checks=(_STRIP_MPTCP,) if snapshot.strip_mptcp else (),
        tcp_reject_non_syn=snapshot.tcp_reject_non_syn,
        tcp_asymmetric_bypass=snapshot.tcp_asymmetric_bypass,
    )
    return native.ZoneProtection(
        zone=zones.number(zone.name),
        checks=sum(CHECKS[name] for name in set(profile.checks)),
        tcp_reject_non_syn=profile.tcp_reject_non_syn,
        tcp_asymmetric_bypass=profile.tcp_asymmetric_bypass,
        buffer_protection=zone.buffer_protection,
        floods=_floods(profile.floods),
        scans=tuple(_scan(profile.scans.get(scan.name)) for scan in SCANS),
        scan_exempt=_ranges(profile.scan_exempt),
    )


def _floods(limits: Mapping[str, FloodLimits]) -> tuple[native.FloodLimits, ...]:
    return tuple(_flood(limits.get(flood.name)) for flood in FLOODS)


def _flood(limits: FloodLimits | None) -> native.FloodLimits:
    if limits is None:
        return native.FloodLimits()
    return native.FloodLimits(
        enabled=True,
        syn_cookies=limits.syn_cookies,
        alarm=limits.alarm,
        activate=limits.activate,
        maximal=limits.maximal,
    )


def _scan(limits: ScanLimits | None) -> native.ScanLimits:
    if limits is None:
        return native.ScanLimits()
    return native.ScanLimits(
        enabled=True,
        by_pair=limits.by_pair,
        action=limits.action,
        interval_s=limits.interval_s,
        threshold=limits.threshold,
        block_s=limits.block_s,
    )


def _rule(rule: DosRule, zones: Names, ports: Mapping[str, int], rules: Names) -> native.DosRule:
    return native.DosRule(
        number=rules.number(rule.name),
        action=rule.action,
        from_zones=tuple(map(zones.number, rule.from_zones)),
        from_ports=tuple(ports[name] for name in rule.from_ports),
        to_zones=tuple(map(zones.number, rule.to_zones)),
        to_ports=tuple(ports[name] for name in rule.to_ports),
        source=_ranges(rule.source),
        destination=_ranges(rule.destination),
        negate_source=rule.negate_source,
        negate_destination=rule.negate_destination,
        services=tuple(found for service in rule.services for found in _services(service)),
        aggregate=_limits(rule.aggregate),
        classified=_limits(rule.classified),
        classified_by=rule.classified_by,
    )


def _services(service: ServiceMatch) -> Iterable[native.ServiceRange]:
    for source_first, source_last in service.source_ports or _EVERY_PORT:
        for first, last in service.destination_ports or _EVERY_PORT:
            yield native.ServiceRange(service.protocol, source_first, source_last, first, last)


def _limits(limits: DosLimits | None) -> native.DosLimits | None:
    if limits is None:
        return None
    return native.DosLimits(
        floods=_floods(limits.floods),
        block_s=tuple(
            limits.floods[flood.name].block_s if flood.name in limits.floods else 0
            for flood in FLOODS
        ),
        max_sessions=limits.max_sessions,
    )


def _ranges(ranges: Iterable[AddressRange]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((widened(found.first), widened(found.last)) for found in ranges)
