"""The Linux interfaces behind the ports: found, given their addresses and MTU, set up, described.

A port's interface belongs to the firewall: it has the configured addresses and no others. Only the
link-local IPv6 addresses the kernel makes are left alone. The loopback link is the machine's, and
keeps what else it has.
"""

import array
import errno
import fcntl
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Collection, Iterable, Mapping

from control.management import InterfaceStatus
from control.system import modes
from control.system.netlink import Address, Link, Netlink
from control.system.remembered import Remembered
from dataplane.snapshot import Port

# What the kernel takes for a name and iptables takes for nothing but that name (a final + would be
# a wildcard).
_INTERFACE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}")

# What arrives as one packet must fit a netlink attribute, 65,531 bytes. What leaves may be as
# large, and its link-layer header on top: a port that sends less would have the kernel cut every
# packet up.
_RECEIVED_BYTES = 65_500
_SENT_BYTES = 65_536

# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL = 0x8946
_ETHTOOL_GSET = 0x1
_ETHTOOL_CMD = struct.Struct("=IIIHBBBBBBIIHBBIII")  # struct ethtool_cmd
_IFREQ = struct.Struct("@16sP16x")  # name and pointer of struct ifreq
_SPEED_UNKNOWN = 0xFFFFFFFF
_DUPLEX_FULL = 1


def problems(ports: Iterable[Port], links: Iterable[Link]) -> list[str]:
    """What keeps the ports from having an interface each, a line per port."""
    existing = {link.name: link for link in links}
    lines = []
    for port in ports:
        behind = port.parent or port.interface
        hint = f"name the one behind it with --port {port.name.split('.')[0]}=IFNAME"
        if not _INTERFACE_NAME.fullmatch(port.interface):
            lines.append(f"{port.name}: {port.interface!r} is no name iptables takes; {hint}")
        elif port.mode in ("loopback", "tunnel"):
            pass  # the machine has the one, the other is made
        elif behind not in existing:
            lines.append(f"{port.name}: there is no interface {behind}; {hint}")
        elif existing[behind].is_loopback:
            # The machine itself needs its addresses.
            lines.append(f"{port.name}: {behind} is a loopback interface; {hint}")
    return lines


def indices(ports: Iterable[Port], links: Iterable[Link]) -> dict[int, str]:
    """Port names by the index of the link behind them; of loopback ports that is nobody's own."""
    names = {port.interface: port.name for port in ports if port.mode != "loopback"}
    return {link.ifindex: names[link.name] for link in links if link.name in names}


def configure(netlink: Netlink, ports: Collection[Port], unrouted: Collection[str]) -> None:
    """Brings the interfaces of the ports into the configured state; OSError names the port.

    An interface that is missing is left out. The networks of the ports named `unrouted` are not
    for the kernel's main table.
    """
    links = {link.name: link for link in netlink.links()}
    modes.join(netlink, ports, links)
    for name in sorted({port.parent for port in ports}):
        if (parent := links.get(name)) and not parent.is_enabled:
            netlink.enable(parent.ifindex)
    for port in ports:
        if (link := links.get(port.interface)) and port.mode != "loopback":
            try:
                _configure_port(netlink, port, link, is_routed=port.name not in unrouted)
            except OSError as error:
                raise OSError(error.errno, f"{port.name} ({link.name}): {error.strerror}") from None


def configure_loopback(
    netlink: Netlink, ports: Iterable[Port], ours: Remembered[list[str]]
) -> None:
    """Gives the machine's loopback link the addresses of loopback ports, host addresses all."""
    wanted = [
        str(ipaddress.ip_interface(text).ip)
        for port in ports
        if port.mode == "loopback"
        for text in port.addresses
    ]
    before = ours.get()
    present = {str(one.interface.ip): one for one in _loopback_addresses(netlink)}
    mine = [host for host in wanted if host in before or host not in present]
    if mine != before:
        ours.set(list(dict.fromkeys((*before, *mine))))  # nothing is added that is not written
        _delete_all(netlink, [present[host] for host in before if host in present.keys() - wanted])
        ours.set(mine)
    for link in netlink.links():
        if link.is_loopback:
            for host in wanted:
                if host not in present:
                    netlink.add_address(Address(link.ifindex, ipaddress.ip_interface(host)))


def release_loopback(netlink: Netlink, ours: Remembered[list[str]]) -> None:
    present = _loopback_addresses(netlink)
    _delete_all(netlink, [one for one in present if str(one.interface.ip) in ours.get()])
    ours.forget()


def _loopback_addresses(netlink: Netlink) -> list[Address]:
    loopback = {link.ifindex for link in netlink.links() if link.is_loopback}
    return [address for address in netlink.addresses() if address.ifindex in loopback]


def _delete_all(netlink: Netlink, addresses: Iterable[Address]) -> None:
    for address in addresses:
        _delete(netlink, address)


def release(netlink: Netlink, interfaces: Collection[str]) -> None:
    """Takes the addresses off interfaces that are behind a port no more."""
    released = {link.ifindex for link in netlink.links() if link.name in interfaces}
    for address in netlink.addresses():
        if address.ifindex in released and not address.is_link_local:
            _delete(netlink, address)


def take_back(netlink: Netlink, configured: Mapping[int, Port]) -> None:
    """Takes our addresses, and no others, off links that were configured, by index."""
    ours = {
        (ifindex, ipaddress.ip_interface(text))
        for ifindex, port in configured.items()
        for text in port.addresses
    }
    for address in netlink.addresses():
        if address[:2] in ours:
            _delete(netlink, address)


def _configure_port(netlink: Netlink, port: Port, link: Link, *, is_routed: bool) -> None:
    if port.mtu is not None and port.mtu != link.mtu:
        netlink.set_mtu(link.ifindex, port.mtu)
    netlink.limit_aggregation(link.ifindex, received=_RECEIVED_BYTES, sent=_SENT_BYTES)
    wanted = [
        Address(link.ifindex, ipaddress.ip_interface(text), is_routed)
        for text in (port.addresses if port.mode in modes.ROUTED else ())
    ]
    # First away with the old: an IPv6 address cannot be there with two prefix lengths.
    for address in _addresses(netlink, link):
        if address not in wanted and not address.is_link_local:
            _delete(netlink, address)
    if not link.is_enabled:
        netlink.enable(link.ifindex)
    found = _addresses(netlink, link)  # again: one that goes may take others of its network along
    for address in wanted:
        if address not in found:
            netlink.add_address(address)


def _addresses(netlink: Netlink, link: Link) -> list[Address]:
    return [address for address in netlink.addresses() if address.ifindex == link.ifindex]


def _delete(netlink: Netlink, address: Address) -> None:
    try:
        netlink.delete_address(address)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:  # went with another address or with the link
            raise


def status(ports: Iterable[Port], links: Iterable[Link]) -> list[InterfaceStatus]:
    by_name = {link.name: link for link in links}
    return [_status(port, by_name.get(port.interface)) for port in ports]


def _status(port: Port, link: Link | None) -> InterfaceStatus:
    speed_mbps, is_full_duplex = _speed(link.name) if link else (None, False)
    return InterfaceStatus(
        name=port.name,
        interface=port.interface,
        index=link.ifindex if link else 0,
        mac=link.mac if link else "",
        is_up=_is_up(port, link) if link else False,
        speed_mbps=speed_mbps,
        is_full_duplex=is_full_duplex,
        mtu=link.mtu if link else port.mtu or 0,
        vsys=1,
        zone=port.zone,
        virtual_router=port.virtual_router,
        addresses=port.addresses,
        mode=port.mode,
        tag=port.tag,
        bridge=port.bridge,
    )


def _is_up(port: Port, link: Link) -> bool:
    # Nothing is plugged into the others.
    return link.is_enabled if port.mode in ("loopback", "tunnel") else link.is_running


def _speed(interface: str) -> tuple[int | None, bool]:
    """Speed in Mbit/s (None where unknown) and whether full duplex.

    Asked by ioctl: /sys shows the interfaces of the namespace it was mounted in, maybe not of ours.
    """
    command = array.array("B", bytes(_ETHTOOL_CMD.size))
    struct.pack_into("=I", command, 0, _ETHTOOL_GSET)
    request = _IFREQ.pack(os.fsencode(interface), command.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        except OSError:
            return None, False  # gone, or a kind of link that has no speed
    fields = _ETHTOOL_CMD.unpack(command)
    speed_mbps = fields[3] | fields[12] << 16
    known = speed_mbps not in (0, 0xFFFF, _SPEED_UNKNOWN)
    return (speed_mbps if known else None), fields[4] == _DUPLEX_FULL
