"""`show interface all`."""

from __future__ import annotations

from collections.abc import Sequence

from control.management import InterfaceStatus


def render(interfaces: Sequence[InterfaceStatus]) -> str:
    hardware = [interface for interface in interfaces if "." not in interface.name]
    lines = [
        f"total configured hardware interfaces: {len(hardware)}",
        "",
        "name                    id    speed/duplex/state        mac address",
        "-" * 80,
        *map(_hardware, hardware),
        "",
        "aggregation groups: 0",
        "",
        "",
        f"total configured logical interfaces: {len(interfaces)}",
        "",
        "name                id    vsys zone             forwarding               tag    address",
        " ".join("-" * width for width in (19, 5, 4, 16, 24, 6, 18)),
    ]
    for interface in interfaces:
        lines += _logical(interface)
    return "\n".join(lines) + "\n"


def _hardware(interface: InterfaceStatus) -> str:
    speed = "ukn" if interface.speed_mbps is None else f"{interface.speed_mbps}"
    duplex = "full" if interface.is_full_duplex else "half"
    if interface.speed_mbps is None or not interface.is_up:
        speed = duplex = "ukn"
    # a port whose Linux interface is not there must not look like an unplugged cable
    down = "down(autoneg)" if interface.index else "down(missing)"
    state = f"{speed}/{duplex}/{'up' if interface.is_up else down}"
    mac = interface.mac or "00:00:00:00:00:00"
    return f"{interface.name:<23s} {interface.index:<5d} {state:<25s} {mac}"


def _logical(interface: InterfaceStatus) -> list[str]:
    forwarding = f"vr:{interface.virtual_router}" if interface.virtual_router else "N/A"
    tag = interface.name.partition(".")[2] or "0"
    first, *more = interface.addresses or ("N/A",)
    row = (
        f"{interface.name:<19s} {interface.index:<5d} {interface.vsys:<4d} {interface.zone:<16s}"
        f" {forwarding:<24s} {tag:<6s} {first}"
    )
    return [row, *(" " * 80 + address for address in more)]
