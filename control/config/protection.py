"""Protection against attacks, read from a tree: profiles of zones and of DoS rules, the settings.

=> the tree has no errors
"""

from __future__ import annotations

from collections.abc import Iterator

from control.config import paths, schema
from control.config.objects import merged
from control.config.tree import Tree
from control.config.value_types import ether_type, prefix
from dataplane.snapshot import (
    AddressRange,
    BufferProtection,
    DosLimits,
    FloodLimits,
    ScanLimits,
    Zone,
    ZoneProtection,
)
from native import FLOODS, PROTECTIONS, SCANS

# Seconds, fact sheet 4.4; the schema has one default for every entry of a list.
_SCAN_INTERVAL_S, _HOST_SWEEP_INTERVAL_S = 2, 10
_HOST_SWEEP = "host_sweep"
_WAYS = ("red", "syn-cookies")


def protected_zones(tree: Tree) -> Iterator[Zone]:
    """Those with a protection."""
    profiles: dict[str, ZoneProtection] = {}
    for name, node in tree.entries("zone").items():
        profile = node.value("network", "zone-protection-profile")
        if profile and profile not in profiles:
            profiles[profile] = _zone_protection(tree, profile)
        has_buffer_protection = node.value("network", "enable-packet-buffer-protection") == "yes"
        if profile or has_buffer_protection:
            yield Zone(name, profiles[profile] if profile else None, has_buffer_protection)


def buffer_protection(tree: Tree) -> BufferProtection:
    def setting(knob: str) -> str:
        path = (*paths.SESSION_SETTINGS, f"packet-buffer-protection-{knob}")
        return tree.value(*path) or schema.default(*path)

    return BufferProtection(
        enabled=setting("enable") == "yes",
        monitor_only=setting("monitor-only") == "yes",
        alert_percent=int(setting("alert")),
        activate_percent=int(setting("activate")),
        block_hold_s=int(setting("block-hold-time")),
        block_duration_s=int(setting("block-duration-time")),
    )


def is_stripping_mptcp(tree: Tree) -> bool:
    """Of zones whose profile does not say."""
    path = (*paths.TCP_SETTINGS, "strip-mptcp-option")
    return (tree.value(*path) or schema.default(*path)) == "yes"


def rejects_non_syn(tree: Tree, profile: str) -> bool:
    """Whether zones with this profile drop TCP packets that begin no session."""
    word = _leaf(_profile(tree, profile), "tcp-reject-non-syn")
    path = (*paths.SESSION_SETTINGS, "tcp-reject-non-syn")
    return (tree.value(*path) or schema.default(*path) if word == "global" else word) == "yes"


def dos_limits(tree: Tree, name: str) -> DosLimits:
    path = (*paths.DOS_PROFILES, name)
    profile = tree.get(*path) or Tree()
    is_classified = (profile.value("type") or schema.default(*path, "type")) == "classified"
    sessions = profile.get("resource", "sessions") or Tree()
    limit = sessions.value("max-concurrent-limit") or schema.default(
        *path, "resource", "sessions", "max-concurrent-limit"
    )
    return DosLimits(
        name=name,
        floods=dict(_floods(profile, path, has_blocks=is_classified)),
        max_sessions=int(limit) if sessions.value("enabled") == "yes" else 0,
    )


class FloodRates:
    """The numbers that hold for a flood of a profile. The tree may have errors."""

    def __init__(self, profile: Tree, path: tuple[str, ...], element: str) -> None:
        flood = profile.get("flood", element) or Tree()
        self.way = next((name for name in flood.children if name in _WAYS), _WAYS[0])
        self.path = (*path, "flood", element, self.way)
        self._node = flood.get(self.way) or Tree()

    def number(self, *leaf: str) -> int:
        """Raises ValueError for what is no number."""
        return int(self._node.value(*leaf) or schema.default(*self.path, *leaf))


def _profile(tree: Tree, name: str) -> Tree:
    return tree.get(*paths.ZONE_PROTECTION_PROFILES, name) or Tree()


def _leaf(profile: Tree, *path: str) -> str:
    return profile.value(*path) or schema.default(*paths.ZONE_PROTECTION_PROFILES, "", *path)


def _zone_protection(tree: Tree, name: str) -> ZoneProtection:
    profile = _profile(tree, name)
    asymmetric = _leaf(profile, "asymmetric-path")
    if asymmetric == "global":
        path = (*paths.TCP_SETTINGS, "asymmetric-path")
        asymmetric = tree.value(*path) or schema.default(*path)
    protocols = [
        ether_type(node.value("ether-type") or "")
        for node in profile.entries("non-ip-protocol", "protocol").values()
        if node.value("enable") != "no"
    ]
    has_list = profile.get("non-ip-protocol") is not None
    return ZoneProtection(
        name=name,
        checks=tuple(_checks(tree, profile)),
        floods=dict(_floods(profile, (*paths.ZONE_PROTECTION_PROFILES, name))),
        scans=dict(_scans(profile)),
        scan_exempt=merged(
            AddressRange(network[0].packed, network[-1].packed)
            for entry in profile.entries("scan-white-list").values()
            for network in [prefix(entry.value("ipv4") or entry.value("ipv6") or "")]
        ),
        tcp_reject_non_syn=rejects_non_syn(tree, name),
        tcp_asymmetric_bypass=asymmetric == "bypass",
        non_ip=_leaf(profile, "non-ip-protocol", "list-type") if has_list else "",
        non_ip_types=tuple(sorted(set(protocols))),
    )


def _checks(tree: Tree, profile: Tree) -> Iterator[str]:
    for protection in PROTECTIONS:
        word = _leaf(profile, *protection.element.split())
        if word == "yes" or (word == "global" and is_stripping_mptcp(tree)):
            yield protection.name


def _floods(
    profile: Tree, path: tuple[str, ...], *, has_blocks: bool = False
) -> Iterator[tuple[str, FloodLimits]]:
    for flood in FLOODS:
        node = profile.get("flood", flood.element)
        if node is None or node.value("enable") != "yes":
            continue
        rates = FloodRates(profile, path, flood.element)
        yield (
            flood.name,
            FloodLimits(
                alarm=rates.number("alarm-rate"),
                activate=rates.number("activate-rate"),
                maximal=rates.number("maximal-rate"),
                syn_cookies=rates.way == "syn-cookies",
                block_s=rates.number("block", "duration") if has_blocks else 0,
            ),
        )


def _scans(profile: Tree) -> Iterator[tuple[str, ScanLimits]]:
    for scan in SCANS:
        node = profile.get("scan", str(scan.id))
        if node is None:
            continue
        action, below = next(iter(node.entries("action").items()), ("alert", Tree()))
        path = ("scan", str(scan.id))
        usual_s = _HOST_SWEEP_INTERVAL_S if scan.name == _HOST_SWEEP else _SCAN_INTERVAL_S
        yield (
            scan.name,
            ScanLimits(
                action=action,
                interval_s=int(node.value("interval") or usual_s),
                threshold=int(_leaf(profile, *path, "threshold")),
                by_pair=below.value("track-by") == "source-and-destination",
                block_s=int(below.value("duration") or 0),
            ),
        )
