"""What the modes of the ports need of the kernel beside their interfaces: bridges, VLANs, tunnels.

    layer2         the ports of a VLAN in one bridge            eth5 --[ bridge ]-- eth6, eth7
    virtual-wire   two ports in a bridge that learns nothing    eth5 --[ bridge ]-- eth6
    tap            one port in a bridge with a sink: there the  eth5 --[ bridge ]-- sink =veth= far
                   bridge sends what it hears, as far as the
                   dataplane lets it
    VLAN           a link on its parent, with a tag
    tunnel         a tun device nobody reads

A bridge has its bridged packets looked at by the hook from its first moment on; it runs no spanning
tree, has no address and takes part in nothing itself. The links that are made here are remembered,
so that they go when they are needed no more; what was there before is used and left.
"""

import errno
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple
from zlib import crc32

from control.system.netlink import Link, Netlink
from control.system.remembered import Remembered
from dataplane.snapshot import Port

BRIDGED = ("layer2", "virtual-wire", "tap")
ROUTED = ("layer3", "tunnel")

_NAME = re.compile(r"sx[vwtsf]-[0-9a-f]{8}")

# Every link-local group but those the kernel keeps to itself: a wire carries LLDP and the like.
_FORWARDED_GROUPS = 0xFFF8


class Bridge(NamedTuple):
    name: str
    members: tuple[str, ...]  # Linux interfaces, the sink included
    is_wire: bool  # learns nothing
    sink: str = ""
    far: str = ""  # the sink's other end

    @property
    def links(self) -> tuple[str, ...]:
        """What is made for it."""
        return tuple(filter(None, (self.name, self.sink, self.far)))


def bridges(ports: Iterable[Port]) -> list[Bridge]:
    """A port that is in no VLAN and at no wire is in none."""
    members: dict[tuple[str, str], list[str]] = {}
    for port in ports:
        name = port.name if port.mode == "tap" else port.bridge
        if port.mode in BRIDGED and name:
            members.setdefault((port.mode, name), []).append(port.interface)
    return [_bridge(mode, name, interfaces) for (mode, name), interfaces in members.items()]


def zones(ports: Iterable[Port]) -> dict[str, str]:
    """Zones by interface of what the kernel may route through; "" of what is closed to that: the
    parents of VLANs, and ports of a bridge, which may have lost theirs."""
    ports = tuple(ports)
    result = {port.parent: "" for port in ports if port.parent}
    for port in ports:
        if port.mode in ROUTED:
            result[port.interface] = port.zone
        elif port.mode in BRIDGED:
            result[port.interface] = ""
    return result


def bridged(ports: Iterable[Port]) -> dict[str, Bridge]:
    """The bridge of each interface that is in one, sinks included."""
    return {member: bridge for bridge in bridges(ports) for member in bridge.members}


def quiet(ports: Iterable[Port]) -> set[str]:
    """Interfaces by which the machine itself speaks with nobody."""
    ports = tuple(ports)
    routed = {port.interface for port in ports if port.mode in ROUTED}
    made = {name for bridge in bridges(ports) for name in (*bridge.links, *bridge.members)}
    return made | zones(ports).keys() - routed


def make(netlink: Netlink, ports: Collection[Port], made: Remembered[list[str]]) -> None:
    """Has exactly the links that the ports need; those it makes are down and alone at first.

    Raises OSError with a line that names the port.
    """
    present = {link.name: link for link in netlink.links()}
    wanted = {*_virtual_names(ports), *(name for one in bridges(ports) for name in one.links)}
    ours = _ours(present, made)
    made.set(sorted(ours | wanted.difference(present)))  # nothing is made that is not written
    for name in sorted(ours - wanted):
        _delete(netlink, name)
    made.set(sorted((ours & wanted) | wanted.difference(present)))
    for bridge in bridges(ports):
        if bridge.name not in present:
            netlink.add_link(
                bridge.name,
                "bridge",
                br_stp_state=0,
                br_mcast_snooping=0,
                br_nf_call_iptables=1,
                br_nf_call_ip6tables=1,
                br_group_fwd_mask=_FORWARDED_GROUPS if bridge.is_wire else 0,
            )
        if bridge.sink and bridge.sink not in present:
            netlink.add_link(bridge.sink, "veth", peer={"ifname": bridge.far})
    for port in ports:
        _make_virtual(netlink, port, present)


def remove(netlink: Netlink, made: Remembered[list[str]]) -> None:
    for name in sorted(_ours({link.name for link in netlink.links()}, made)):
        _delete(netlink, name)
    made.forget()


def join(netlink: Netlink, ports: Collection[Port], links: Mapping[str, Link]) -> None:
    """Puts every interface into its bridge, or takes it out of any; sets the bridges up.

    => the links were made, and the hook and the switches of all of them are set
    """
    inside = bridged(ports)
    own = {port.interface for port in ports if port.mode != "loopback"}
    ours = {links[bridge.name].ifindex for bridge in bridges(ports)}
    left = {link.name for link in links.values() if link.master in ours}
    for name in sorted(own | inside.keys() | left):
        if link := links.get(name):
            bridge = inside.get(name)
            master = links[bridge.name].ifindex if bridge else 0
            if link.master != master:
                netlink.set_link(link.ifindex, master=master)
            if bridge:
                netlink.set_bridge_port(link.ifindex, learning=not bridge.is_wire)
    for bridge in bridges(ports):
        for name in bridge.links:
            if not links[name].is_enabled:
                netlink.enable(links[name].ifindex)


def are_in_place(ports: Collection[Port], links: Mapping[str, Link]) -> bool:
    """Whether what `make` and `join` do is done, as far as the interfaces are there."""
    inside = bridged(ports)
    return all(name in links for bridge in bridges(ports) for name in bridge.links) and all(
        links[name].master == links[bridge.name].ifindex
        for name, bridge in inside.items()
        if name in links
    )


def _ours(present: Iterable[str], made: Remembered[list[str]]) -> set[str]:
    """What was made here; bridges and sinks are known by their names too, as none of them may stay
    when the hook goes."""
    return {*made.get(), *filter(_NAME.fullmatch, present)}


def _bridge(mode: str, name: str, interfaces: list[str]) -> Bridge:
    # A name of a link has 15 characters.
    number = f"{crc32(name.encode()):08x}"
    if mode == "tap":
        sink, far = f"sxs-{number}", f"sxf-{number}"
        return Bridge(f"sxt-{number}", (*interfaces, sink), True, sink, far)
    is_wire = mode == "virtual-wire"
    return Bridge(f"sx{'w' if is_wire else 'v'}-{number}", tuple(interfaces), is_wire)


def _virtual_names(ports: Iterable[Port]) -> Iterator[str]:
    for port in ports:
        if port.parent or port.mode == "tunnel":
            yield port.interface


def _make_virtual(netlink: Netlink, port: Port, present: Mapping[str, Link]) -> None:
    link, parent = present.get(port.interface), present.get(port.parent)
    if port.mode == "tunnel":
        if link is None:
            _make_tun(netlink, port)
        elif link.kind != "tun":
            raise OSError(0, f"{port.name}: {port.interface} is there and is no tun device")
    elif parent:
        if link is None:
            _make_vlan(netlink, port, parent)
        elif (link.kind, link.parent, link.tag) != ("vlan", parent.ifindex, port.tag):
            wanted = f"VLAN {port.tag} of {port.parent}"
            raise OSError(0, f"{port.name}: {port.interface} is there and is not {wanted}")


def _make_tun(netlink: Netlink, port: Port) -> None:
    try:
        netlink.add_link(port.interface, "tuntap", mode="tun")
    except OSError as error:
        reason = f"cannot use /dev/net/tun: {error.strerror}"
        if isinstance(error, PermissionError):
            reason += "; let this user read and write it (Debian's udev lets everybody)"
        elif error.errno in (errno.ENOENT, errno.ENODEV):
            reason += "; load it with 'modprobe tun'"
        raise OSError(error.errno, f"{port.name}: {reason}") from None


def _make_vlan(netlink: Netlink, port: Port, parent: Link) -> None:
    try:
        netlink.add_link(port.interface, "vlan", link=parent.ifindex, vlan_id=port.tag)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise OSError(
                error.errno, f"{port.name} ({port.interface}): {error.strerror}"
            ) from None
        reason = "the kernel has no VLANs: load them with 'modprobe 8021q'"
        raise OSError(error.errno, f"{port.name}: {reason}") from None


def _delete(netlink: Netlink, name: str) -> None:
    for link in netlink.links():  # anew: one end of a pair takes the other along
        if link.name == name:
            netlink.delete_link(link.ifindex)
