"""What the engine could not run on is refused before anything changes, with one line that says why.

The configuration's own checks (control/config) come first and say more; these hold for whoever
makes a snapshot.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec.structs import astuple

from dataplane import marks
from dataplane.management_services import SERVICES
from dataplane.policy import RULE_TYPES
from dataplane.snapshot import FloodLimits, Port, Snapshot, Timeouts, ZoneProtection
from native import (
    ACTIONS,
    CLASSIFIED_BY,
    DOS_ACTIONS,
    FLOODS,
    MAX_DOS_RULES,
    MAX_PROTECTIONS,
    MAX_TUNNELS,
    MAX_VIRTUAL_ROUTERS,
    PORT_MODES,
    PROTECTIONS,
    SCAN_ACTIONS,
    SCANS,
    TIMERS,
    TUNNEL_TYPES,
)

_MAX_TIMEOUT_S = max(timer.max_s for timer in TIMERS)
_MAX_AGING_FACTOR = 16
_MAX_OVERSUBSCRIPTION = 8
_MAX_RESERVE_S = 604_800
_PBF_ACTIONS = ("forward", "discard", "no-pbf")


def check(snapshot: Snapshot) -> None:
    """Raises ValueError for what the engine could not run on."""
    for timer in TIMERS:
        seconds = snapshot.timeouts_s.get(timer.knob, timer.default_s)
        if not timer.min_s <= seconds <= timer.max_s and seconds != timer.default_s:
            raise ValueError(f"{timer.knob} {seconds} is not within {timer.min_s}..{timer.max_s}")
    for rule in (*snapshot.rules, snapshot.intrazone_default, snapshot.interzone_default):
        if rule.action not in ACTIONS:
            raise ValueError(f"rule {rule.name}: {rule.action} is no action")
        if rule.rule_type not in RULE_TYPES:
            raise ValueError(f"rule {rule.name}: {rule.rule_type} is no rule type")
        if rule.dscp is not None:
            bounded(f"DSCP of rule {rule.name}", rule.dscp, 63)
    for owner, own in _own_timeouts(snapshot):
        if not all(0 <= seconds <= _MAX_TIMEOUT_S for seconds in astuple(own)):
            raise ValueError(f"a timer of {owner} is not within 0..{_MAX_TIMEOUT_S}")
    aging = snapshot.accelerated_aging
    bounded("accelerated aging threshold", aging.threshold_percent, 100, lowest=1)
    bounded("accelerated aging factor", aging.factor, _MAX_AGING_FACTOR, lowest=1)
    bounded("session maximum", snapshot.max_sessions, (1 << 32) - 1)
    bounded("NAT oversubscription", snapshot.nat_oversubscription, _MAX_OVERSUBSCRIPTION, lowest=1)
    bounded("NAT reserve time", snapshot.nat_reserve_s, _MAX_RESERVE_S)
    bounded("number of virtual routers", len(snapshot.virtual_routers), MAX_VIRTUAL_ROUTERS)
    for port in snapshot.ports:
        _check_port(port)
    for pbf in snapshot.pbf_rules:
        if pbf.action not in _PBF_ACTIONS:
            raise ValueError(f"PBF rule {pbf.name}: {pbf.action} is none of {_PBF_ACTIONS}")
    for qos in snapshot.qos_rules:
        bounded(f"class of QoS rule {qos.name}", qos.qos_class, 8, lowest=1)
    _check_protection(snapshot)
    _check_tunnels(snapshot)
    _check_marks(snapshot)


def _check_protection(snapshot: Snapshot) -> None:
    bounded("number of protected zones", len(snapshot.zones), MAX_PROTECTIONS)
    bounded("number of DoS rules", len(snapshot.dos_rules), MAX_DOS_RULES)
    buffer = snapshot.buffer_protection
    bounded("packet buffer alert", buffer.alert_percent, 100)
    bounded("packet buffer activation", buffer.activate_percent, 100)
    for zone in snapshot.zones:
        if zone.protection is not None:
            _check_zone_protection(zone.protection)
    for rule in snapshot.dos_rules:
        owner = f"DoS rule {rule.name}"
        _known(owner, "action", [rule.action], DOS_ACTIONS)
        _known(owner, "classification", [rule.classified_by], CLASSIFIED_BY)
        for limits in (rule.aggregate, rule.classified):
            if limits is not None:
                _check_floods(f"DoS profile {limits.name}", limits.floods)
        known = [port.name for port in snapshot.ports]
        _known(owner, "port", (*rule.from_ports, *rule.to_ports), known)


def _check_zone_protection(profile: ZoneProtection) -> None:
    owner = f"zone protection profile {profile.name}"
    _known(owner, "check", profile.checks, [protection.name for protection in PROTECTIONS])
    _check_floods(owner, profile.floods)
    _known(owner, "scan", profile.scans, [scan.name for scan in SCANS])
    for scan in profile.scans.values():
        _known(owner, "scan action", [scan.action], SCAN_ACTIONS)


def _check_floods(owner: str, floods: Mapping[str, FloodLimits]) -> None:
    _known(owner, "flood", floods, [flood.name for flood in FLOODS])
    for limits in floods.values():
        if limits.activate > limits.maximal:
            raise ValueError(
                f"{owner}: activation {limits.activate} is above the maximum {limits.maximal}"
            )


def _known(owner: str, noun: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{owner}: {name} is no {noun}; {', '.join(known) or 'none'} are")


def _check_port(port: Port) -> None:
    if port.mode not in PORT_MODES:
        raise ValueError(f"port {port.name}: {port.mode} is no interface mode")
    for service in port.management.services if port.management else ():
        if service not in SERVICES:
            raise ValueError(
                f"port {port.name}: {service} is no management service; {', '.join(SERVICES)} are"
            )


def _check_tunnels(snapshot: Snapshot) -> None:
    modes = {port.name: port.mode for port in snapshot.ports}
    bounded("number of tunnels", len(snapshot.tunnels), MAX_TUNNELS)
    for tunnel in snapshot.tunnels:
        if tunnel.type not in TUNNEL_TYPES:
            raise ValueError(f"tunnel {tunnel.name}: {tunnel.type} is no tunnel type")
        if modes.get(tunnel.port) != "tunnel":
            raise ValueError(f"tunnel {tunnel.name}: {tunnel.port} is no tunnel interface")
        if modes.get(tunnel.outer_port) not in ("layer3", "tunnel"):
            raise ValueError(f"tunnel {tunnel.name}: {tunnel.outer_port} is no routed interface")
        bounded(f"TTL of tunnel {tunnel.name}", tunnel.ttl, 255, lowest=1)


def _check_marks(snapshot: Snapshot) -> None:
    zones: dict[int, str] = {}
    for name in {port.zone for port in snapshot.ports if port.zone}:
        other = zones.setdefault(marks.of_zone(name), name)
        if other != name:
            raise ValueError(f"zones {other} and {name} have the same mark; rename one of them")


def _own_timeouts(snapshot: Snapshot) -> Iterator[tuple[str, Timeouts]]:
    for rule in snapshot.rules:
        for service in rule.services:
            if service.override:
                yield f"a service of rule {rule.name}", service.override
    for name, application in snapshot.applications.items():
        for own in (application.tcp, application.udp, application.other):
            yield f"application {name}", own


def bounded(what: str, value: int | None, highest: int, *, lowest: int = 0) -> int | None:
    """The value, None included. Raises ValueError where it is out of bounds."""
    if value is not None and not lowest <= value <= highest:
        raise ValueError(f"{what} {value} is not within {lowest}..{highest}")
    return value
