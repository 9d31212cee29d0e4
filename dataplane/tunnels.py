"""Tunnels as the engine takes them, and what fits into them."""

from collections.abc import Mapping

from dataplane.addresses import V4_PREFIX, packed
from dataplane.port_configs import USUAL_MTU
from dataplane.snapshot import Snapshot, Tunnel
from native import TunnelConfig

_IP_HEADER = {True: 20, False: 40}  # of IPv4, of IPv6
_OVERHEAD = {"gre": 4, "ipip": 0, "vxlan": 8 + 8 + 14}  # UDP, VXLAN, Ethernet
_LEAST_MTU = 256


def overhead(tunnel: Tunnel) -> int:
    """Bytes before the packet within."""
    return _IP_HEADER[packed(tunnel.local).startswith(V4_PREFIX)] + _OVERHEAD[tunnel.type]


def mtus(snapshot: Snapshot) -> dict[str, int]:
    """The longest packet that fits into the tunnel behind each tunnel interface."""
    tunnels = {tunnel.port: tunnel for tunnel in snapshot.tunnels}
    configured = {port.name: port.mtu for port in snapshot.ports}

    def mtu_of(port: str, seen: tuple[str, ...] = ()) -> int:
        own = configured.get(port)
        tunnel = tunnels.get(port)
        if tunnel is None or port in seen:
            return own or USUAL_MTU
        fits = max(mtu_of(tunnel.outer_port, (*seen, port)) - overhead(tunnel), _LEAST_MTU)
        return min(own or fits, fits)

    return {port: mtu_of(port) for port in tunnels}


def native(tunnel: Tunnel, port_numbers: Mapping[str, int]) -> TunnelConfig:
    return TunnelConfig(
        port=port_numbers[tunnel.port],
        outer_port=port_numbers[tunnel.outer_port],
        type=tunnel.type,
        local=packed(tunnel.local),
        peer=packed(tunnel.peer),
        ttl=tunnel.ttl,
        copy_tos=tunnel.copy_tos,
        udp_port=tunnel.udp_port,
        vni=tunnel.vni,
        mac=_mac(tunnel.mac),
        peer_mac=_mac(tunnel.peer_mac),
    )


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", "")) if text else bytes(6)
