"""`show zone-protection`: the profile of each zone, and what it has done."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from control.cli.answers import ask
from control.cli.floods import flood_lines
from control.management import Management
from dataplane.messages import GetZoneProtection, ZoneFigures, ZoneProtections
from dataplane.snapshot import Snapshot, ZoneProtection
from native import COUNTERS, FLOODS, PROTECTIONS, SCANS

_RULE = "-" * 90
_DROPS = frozenset(info.number for info in COUNTERS if info.severity == "drop")


async def show(management: Management, zone: str) -> str:
    """Of one zone, or, where it is "", of all that have a profile."""
    found = await ask(management, GetZoneProtection(zone), ZoneProtections)
    profiles = _profiles(management.snapshot())
    shown = [(one, profiles[one.zone]) for one in found.zones if one.zone in profiles]
    has_lists = any(profile.non_ip for _, profile in shown)
    frames = await management.refused_frames() if has_lists else {}
    blocks = chain.from_iterable(
        _zone(figures, profile, frames.get(figures.zone)) for figures, profile in shown
    )
    count = [f"Number of zones with protection profile: {len(shown)}"]
    return "".join(f"{line}\n" for block in (count, *blocks) for line in (_RULE, *block)) + (
        f"{_RULE}\n"
    )


def _profiles(snapshot: Snapshot) -> dict[str, ZoneProtection]:
    return {zone.name: zone.protection for zone in snapshot.zones if zone.protection}


def _zone(figures: ZoneFigures, profile: ZoneProtection, frames: int | None) -> Iterator[list[str]]:
    """`frames` is how many its list of Ethernet types has kept out; None where it has no bridge."""
    yield [f"Zone {figures.zone}, vsys vsys1, profile {profile.name}"]
    for flood in FLOODS:
        yield flood_lines(flood.element, profile.floods.get(flood.name), figures.floods[flood.name])
    yield ["scan:", *_scan_lines(figures, profile)]
    yield ["packet filter:", *_check_lines(figures, profile)]
    if profile.non_ip:
        types = " ".join(f"0x{number:04x}" for number in profile.non_ip_types)
        dropped = "" if frames is None else f", packet dropped: {frames}"
        yield [f"non-ip-protocol      {profile.non_ip}: {types}{dropped}"]


def _scan_lines(figures: ZoneFigures, profile: ZoneProtection) -> Iterator[str]:
    for scan in SCANS:
        name = f"  {scan.text.removeprefix('SCAN: ')}({scan.id}):"
        limits = profile.scans.get(scan.name)
        if limits is None:
            yield f"{name:<38s} enabled: no"
            continue
        block = f", {limits.block_s} secs" if limits.action == "block-ip" else ""
        track = " track-by source-and-destination" if limits.by_pair else ""
        yield (
            f"{name:<38s} enabled: yes, interval: {limits.interval_s} secs,"
            f" threshold: {limits.threshold} events"
        )
        yield (
            f"{'':<38s} action: {limits.action}{track}{block},"
            f" packet dropped: {figures.scans[scan.name]}"
        )


def _check_lines(figures: ZoneFigures, profile: ZoneProtection) -> Iterator[str]:
    refuses_non_syn = "yes" if profile.tcp_reject_non_syn else "no"
    path = "bypass" if profile.tcp_asymmetric_bypass else "drop"
    yield f"  {'tcp-reject-non-syn:':<46s} enabled: {refuses_non_syn}"
    yield f"  {'asymmetric-path:':<46s} {path}"
    for check in PROTECTIONS:
        label = f"  {check.element + ':':<46s}"
        if check.name in profile.checks:
            done = "packet dropped" if check.counter in _DROPS else "applied"
            yield f"{label} enabled: yes, {done}: {figures.checks[check.name]}"
        else:
            yield f"{label} enabled: no"
