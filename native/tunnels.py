"""Tunnels that end at the firewall, as the engine takes them: see engine.h."""

from __future__ import annotations

from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.structs import fill

MAX_TUNNELS: int = lib.MAX_TUNNELS
MAX_TUNNEL_DEPTH: int = lib.MAX_TUNNEL_DEPTH
TUNNEL_TYPES = {"gre": lib.TUNNEL_GRE, "ipip": lib.TUNNEL_IPIP, "vxlan": lib.TUNNEL_VXLAN}


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


def fill_tunnel(raw: Any, tunnel: TunnelConfig) -> None:
    names = ("port", "outer_port", "ttl", "copy_tos", "udp_port", "vni", "mac", "peer_mac")
    fill(raw, tunnel, names)
    raw.type = TUNNEL_TYPES[tunnel.type]
    ffi.memmove(raw.local, tunnel.local, 16)
    ffi.memmove(raw.peer, tunnel.peer, 16)
