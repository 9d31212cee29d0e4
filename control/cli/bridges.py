"""`show virtual-wire all` and `show vlan all`: the ports that are bridged instead of routed."""

from __future__ import annotations

from dataplane.snapshot import Port, Snapshot


def virtual_wires(snapshot: Snapshot) -> str:
    wires = _by_bridge(snapshot, "virtual-wire")
    lines = [
        f"total virtual-wire shown : {len(wires):>10d}",
        "flags : m - multicast firewalling",
        "",
        "name                interface1          interface2          flags",
        "-" * 80,
        *(_wire(name, ports) for name, ports in wires.items()),
    ]
    return "\n".join(lines) + "\n"


def _wire(name: str, ports: list[Port]) -> str:
    first, second = (*(port.name for port in ports), "N/A")[:2]
    flags = "m" if any(port.multicast_firewalling for port in ports) else ""
    return f"{name:<19s} {first:<19s} {second:<19s} {flags}".rstrip()


def vlans(snapshot: Snapshot) -> str:
    bridges = _by_bridge(snapshot, "layer2")
    lines = [
        f"total vlan shown : {len(bridges):>10d}",
        "",
        "name                interface           tag    zone",
        "-" * 80,
    ]
    for name, ports in bridges.items():
        for place, port in enumerate(ports):
            shown = "" if place else name
            lines.append(f"{shown:<19s} {port.name:<19s} {port.tag:<6d} {port.zone}".rstrip())
    return "\n".join(lines) + "\n"


def _by_bridge(snapshot: Snapshot, mode: str) -> dict[str, list[Port]]:
    bridges: dict[str, list[Port]] = {}
    for port in snapshot.ports:
        if port.mode == mode and port.bridge:
            bridges.setdefault(port.bridge, []).append(port)
    return bridges
