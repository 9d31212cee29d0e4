"""Ports as the engine knows them: by number, with all it needs of them for every packet."""

from collections.abc import Mapping

from dataplane import marks
from dataplane.addresses import V4_PREFIX, is_link_local, packed
from dataplane.names import Names
from dataplane.routing import Routing
from dataplane.snapshot import Port
from native import PortConfig

_NO_LIMIT = 0
USUAL_MTU = 1500  # of an interface that has none configured
_NO_ADDRESS = bytes(16)

# every port that multicast is routed to: which one it is, the kernel's multicast routes know
MULTICAST = Port("multicast", "", "multicast", (), ipv6=True, virtual_router="")
NOBODY = PortConfig(zone=0, ipv6=False)


def port_config(
    port: Port,
    zones: Names,
    routing: Routing,
    *,
    parents: Mapping[str, int],
    protections: Mapping[str, int],
    tunnel_mtu: int = 0,
) -> PortConfig:
    """`parents`: numbers of ports by their Linux interface; `protections`: places, by zone;
    `tunnel_mtu` is what fits into the tunnel behind it.
    """
    mtu = min(port.mtu or tunnel_mtu, tunnel_mtu) if tunnel_mtu else port.mtu
    largest_mss = (_NO_LIMIT, _NO_LIMIT)
    if port.mss_adjustment is not None:
        v4, v6 = port.mss_adjustment
        largest_mss = ((mtu or USUAL_MTU) - v4, (mtu or USUAL_MTU) - v6)
    return PortConfig(
        zone=zones.number(port.zone) if port.zone else 0,
        ipv6=port.ipv6,
        mark=marks.of_zone(port.zone) if port.zone else 0,
        mode=port.mode,
        multicast_firewalling=port.multicast_firewalling,
        mtu=mtu or _NO_LIMIT,
        largest_mss=largest_mss,
        virtual_router=routing.number(port.virtual_router),
        address=_addresses(port),
        protection=protections.get(port.zone, 0),
        parent=parents.get(port.parent, 0),
        tag=port.tag,
    )


def _addresses(port: Port) -> tuple[bytes, bytes]:
    """The first of each family, for ICMP errors."""
    found = [packed(address.partition("/")[0]) for address in port.addresses]
    v4 = [address for address in found if address.startswith(V4_PREFIX)]
    v6 = [a for a in found if not a.startswith(V4_PREFIX) and not is_link_local(a)]
    return next(iter(v4), _NO_ADDRESS), next(iter(v6), _NO_ADDRESS)
