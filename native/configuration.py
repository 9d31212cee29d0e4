"""What a commit gives the engine, ports and tables included, as struct engine_config."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.lists import TIMERS
from native.protection import BufferProtection, DosRule, ZoneProtection, fill_protection
from native.structs import fill, table
from native.tunnels import TunnelConfig, fill_tunnel

PORT_MODES = {
    "layer3": lib.PORT_LAYER3,
    "layer2": lib.PORT_LAYER2,
    "virtual-wire": lib.PORT_VIRTUAL_WIRE,
    "tap": lib.PORT_TAP,
    "loopback": lib.PORT_LOOPBACK,
    "tunnel": lib.PORT_TUNNEL,
}
MAX_VIRTUAL_ROUTERS: int = lib.MAX_VIRTUAL_ROUTERS


class PortConfig(NamedTuple):
    zone: int
    ipv6: bool
    mark: int = 0  # of packets that may leave by it
    mode: str = "layer3"  # of PORT_MODES
    multicast_firewalling: bool = False
    mtu: int = 0  # bytes; 0: no limit
    largest_mss: tuple[int, int] = (0, 0)  # of IPv4 and IPv6 SYN segments; 0: any
    virtual_router: int = 0  # index of its forwarding table
    address: tuple[bytes, bytes] = (bytes(16), bytes(16))  # it sends ICMP errors from, by family
    protection: int = 0  # place in EngineConfig.protections, plus 1; 0: none
    parent: int = 0  # of a sub-interface: the port whose frames with `tag` are its own
    tag: int = 0


class OffloadProfile(NamedTuple):
    """What the emulated hardware does; see struct offload_profile."""

    packets: int  # of a flow that make it report; 0: there is no offload engine
    udp_packets: int
    scan_ms: int  # a packet is reported after so long at the latest; 0: never by time
    max_sessions: int


class EngineConfig(NamedTuple):
    timeouts_s: dict[str, int]  # by knob
    tcp_reject_non_syn: bool
    ipv6_firewalling: bool
    ports: Sequence[PortConfig]  # index is the port number; port 0 is nobody's
    local: Iterable[bytes]  # the firewall's own addresses, 16 bytes each
    host_mark: int = 0  # of packets for the machine itself
    tcp_asymmetric_bypass: bool = False
    tcp_allow_challenge_ack: bool = False
    no_refresh_on_discard: bool = False
    offload: OffloadProfile | None = None  # None: switched off
    aging_threshold_percent: int = 100
    aging_factor: int = 1  # 1: no accelerated aging
    vsys_max_sessions: int = 0  # 0: no limit but the table's
    icmp_unreachable_per_s: int = 200
    nat_reserve_s: int = 0  # how long a lease outlives its last session
    strip_mptcp: bool = False  # of zones without a profile
    log_packet_threats: bool = False
    buffer_protection: BufferProtection = BufferProtection()
    protections: Sequence[ZoneProtection] = ()
    dos_rules: Sequence[DosRule] = ()
    tunnels: Sequence[TunnelConfig] = ()


def engine_config(config: EngineConfig) -> tuple[Any, list[Any]]:
    """A struct engine_config, and the tables that must live as long as it is used."""
    raw = ffi.new("struct engine_config *")
    for number, timer in enumerate(TIMERS):
        raw.timeout_s[number] = config.timeouts_s.get(timer.knob, timer.default_s)
    names = (
        "tcp_reject_non_syn",
        "tcp_asymmetric_bypass",
        "tcp_allow_challenge_ack",
        "no_refresh_on_discard",
        "ipv6_firewalling",
        "vsys_max_sessions",
        "icmp_unreachable_per_s",
        "nat_reserve_s",
        "host_mark",
        "strip_mptcp",
        "log_packet_threats",
    )
    fill(raw, config, names)
    raw.offload = config.offload is not None
    if config.offload:
        fill(raw.offload_profile, config.offload, config.offload._fields)
    raw.accelerated_aging.threshold_percent = config.aging_threshold_percent
    raw.accelerated_aging.factor = config.aging_factor
    fill(raw.buffer_protection, config.buffer_protection, config.buffer_protection._fields)
    addresses = sorted(set(config.local))
    local = ffi.from_buffer("uint8_t[]", b"".join(addresses))
    raw.local_count, raw.local = len(addresses), local
    ports = table("port_config", config.ports, _fill_port)
    raw.port_count, raw.ports = len(config.ports), ports
    tunnels = table("tunnel_config", config.tunnels, fill_tunnel)
    raw.tunnel_count, raw.tunnels = len(config.tunnels), tunnels
    return raw, [local, ports, tunnels, *fill_protection(raw, config.protections, config.dos_rules)]


def _fill_port(raw: Any, port: PortConfig) -> None:
    names = (
        "zone",
        "ipv6",
        "mark",
        "multicast_firewalling",
        "mtu",
        "virtual_router",
        "protection",
        "parent",
        "tag",
    )
    fill(raw, port, names)
    raw.mode = PORT_MODES[port.mode]
    for family in range(2):
        raw.largest_mss[family] = port.largest_mss[family]
        ffi.memmove(raw.address[family], port.address[family], 16)
