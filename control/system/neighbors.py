"""The kernel's ARP and neighbour tables on the ports."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from control.management import Neighbor
from control.system.netlink import KernelNeighbor

# linux/neighbour.h; NOARP entries are no neighbours but mappings (multicast)
_STATES = {
    0x01: "incomplete",
    0x02: "reachable",
    0x04: "stale",
    0x08: "stale",  # delay: about to be probed
    0x10: "stale",  # probe
    0x20: "failed",
    0x80: "permanent",
}


def mirror(entries: Iterable[KernelNeighbor], ports: Mapping[int, str]) -> list[Neighbor]:
    """The neighbours by port and address; `ports` names the dataplane ports by link index."""
    neighbors = [
        Neighbor(entry.address, entry.mac, ports[entry.ifindex], _STATES[entry.state])
        for entry in entries
        if entry.ifindex in ports and entry.state in _STATES
    ]
    return sorted(neighbors, key=_order)


def _order(neighbor: Neighbor) -> tuple[str, int, int]:
    address = ip_address(neighbor.address)
    return neighbor.port, address.version, int(address)
