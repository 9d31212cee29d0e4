"""`show interface all` and `show interface NAME`.

What the kernel says of an interface is in its status, what it is for in the running configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control.cli.answers import RefusedError
from control.cli.policy import shown_range
from control.management import InterfaceStatus
from dataplane.snapshot import Port, Snapshot, Tunnel

_RULE = "-" * 80
_SERVICES = (  # in the device's order and lines
    ("ping", "telnet", "ssh", "http", "https"),
    ("snmp", "response-pages", "userid-service"),
    ("http-ocsp", "userid-syslog-listener-ssl", "userid-syslog-listener-udp"),
)


# ---- all -----------------------------------------------------------------------------------------


def render(interfaces: Sequence[InterfaceStatus]) -> str:
    hardware = [interface for interface in interfaces if "." not in interface.name]
    lines = [
        f"total configured hardware interfaces: {len(hardware)}",
        "",
        "name                    id    speed/duplex/state        mac address",
        _RULE,
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
    mac = interface.mac or "00:00:00:00:00:00"
    return f"{interface.name:<23s} {interface.index:<5d} {_state(interface):<25s} {mac}"


def _state(interface: InterfaceStatus) -> str:
    speed = "ukn" if interface.speed_mbps is None else f"{interface.speed_mbps}"
    duplex = "full" if interface.is_full_duplex else "half"
    if interface.speed_mbps is None or not interface.is_up:
        speed = duplex = "ukn"
    # a port whose Linux interface is not there must not look like an unplugged cable
    down = "down(autoneg)" if interface.index else "down(missing)"
    return f"{speed}/{duplex}/{'up' if interface.is_up else down}"


def _logical(interface: InterfaceStatus) -> list[str]:
    first, *more = interface.addresses or ("N/A",)
    row = (
        f"{interface.name:<19s} {interface.index:<5d} {interface.vsys:<4d} {interface.zone:<16s}"
        f" {_forwarding(interface):<24s} {interface.tag:<6d} {first}"
    )
    return [row, *(" " * 80 + address for address in more)]


def _forwarding(interface: InterfaceStatus) -> str:
    """Who decides where its packets go."""
    match interface.mode:
        case "virtual-wire" if interface.bridge:
            return f"vwire:{interface.bridge}"
        case "layer2" if interface.bridge:
            return f"vlan:{interface.bridge}"
        case "tap":
            return "tap"
    return f"vr:{interface.virtual_router}" if interface.virtual_router else "N/A"


# ---- one -----------------------------------------------------------------------------------------


def detail(interfaces: Sequence[InterfaceStatus], snapshot: Snapshot, name: str) -> str:
    ports: Mapping[str, Port] = {port.name: port for port in snapshot.ports}
    for interface in interfaces:
        if interface.name == name and name in ports:
            lines = [*_link(interface), *_purpose(interface, ports[name])]
            behind = [_tunnel(tunnel) for tunnel in snapshot.tunnels if tunnel.port == name]
            return "\n".join([*lines, *behind, _RULE]) + "\n"
    raise RefusedError(f"there is no interface {name}: show interface all lists them")


def _link(interface: InterfaceStatus) -> list[str]:
    return [
        _RULE,
        f"Name: {interface.name}, ID: {interface.index}",
        "Link status:",
        f"  Runtime link speed/duplex/state: {_state(interface)}",
        "MAC address:",
        f"  Port MAC address {interface.mac or '00:00:00:00:00:00'}",
        f"Linux interface: {interface.interface}",
    ]


def _purpose(interface: InterfaceStatus, port: Port) -> list[str]:
    mss = "no"
    if port.mss_adjustment:
        mss = "yes, {} bytes for IPv4, {} for IPv6".format(*port.mss_adjustment)
    return [
        _RULE,
        f"Name: {interface.name}, ID: {interface.index}"
        + (f", 802.1q tag: {port.tag}" if port.tag else ""),
        f"Operation mode: {port.mode}",
        *([f"Virtual router {port.virtual_router}"] if port.virtual_router else []),
        *([f"Virtual wire {port.bridge}, peer {port.peer}"] if port.mode == "virtual-wire" else []),
        *([f"VLAN {port.bridge or 'N/A'}"] if port.mode == "layer2" else []),
        f"Interface MTU {interface.mtu}",
        *(f"Interface IP address: {address}" for address in interface.addresses),
        *_management(port),
        f"Zone: {port.zone or 'N/A'}, virtual system: vsys{interface.vsys}",
        f"Adjust TCP MSS: {mss}",
        f"QoS: {'yes' if port.qos else 'no'}",
    ]


def _tunnel(tunnel: Tunnel) -> str:
    network = f", VNI {tunnel.vni}, UDP port {tunnel.udp_port}" if tunnel.type == "vxlan" else ""
    return (
        f"Tunnel: {tunnel.name}, {tunnel.type}{network}, from {tunnel.local} "
        f"({tunnel.outer_port}) to {tunnel.peer}, TTL {tunnel.ttl}"
    )


def _management(port: Port) -> list[str]:
    profile = port.management
    if profile is None:
        return ["Interface management profile: N/A"]
    return [
        "Interface management profile:",
        *(
            "  " + "  ".join(f"{one}: {'yes' if one in profile.services else 'no'}" for one in row)
            for row in _SERVICES
        ),
        *(f"  permitted-ip: {shown_range(one)}" for one in profile.permitted),
    ]
