"""The typed face of pyroute2: what the other files of this room ask the kernel and tell it.

Everything here blocks, and pyroute2 runs an event loop of its own inside, so callers that have a
loop running use a thread. A refusal of the kernel is an OSError with its errno.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# linux/rtnetlink.h
TABLE_MAIN, TABLE_LOCAL = 254, 255
PROTOCOL_KERNEL = 2
UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST = 1, 2, 3, 4, 5
BLACKHOLE, UNREACHABLE, PROHIBIT = 6, 7, 8
_SCOPE_LINK = 253
_RTNH_F_DEAD = 0x1
_RTM_F_CLONED = 0x200
# linux/if.h
_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING = 0x1, 0x8, 0x40
# linux/if_addr.h
_IFA_F_NODAD = 0x02

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_DUMP_ATTEMPTS = 10  # a dump during which the table changed is read again


class Link(NamedTuple):
    ifindex: int
    name: str
    mac: str
    is_enabled: bool  # administratively
    is_running: bool  # enabled and with a carrier
    mtu: int
    is_loopback: bool = False


class Address(NamedTuple):
    ifindex: int  # of the link
    interface: Interface

    @property
    def is_link_local(self) -> bool:
        return self.interface.version == 6 and self.interface.is_link_local


class KernelRoute(NamedTuple):
    prefix: str  # canonical: "192.0.2.0/24"
    table: int
    type: int
    protocol: int  # who put it there
    metric: int
    ifindex: int  # of the egress link, 0 where there is none
    gateway: str  # "" on a connected route


class KernelNeighbor(NamedTuple):
    ifindex: int  # of the link
    address: str
    mac: str
    state: int


class Netlink:
    """A conversation with the kernel about links, addresses, routes and neighbours."""

    def __init__(self) -> None:
        self._ip = IPRoute()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._ip.close()

    # ---- reading ---------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        return [
            Link(
                message["index"],
                message.get("ifname"),
                message.get("address") or "",
                bool(message["flags"] & _IFF_UP),
                bool(message["flags"] & _IFF_UP and message["flags"] & _IFF_RUNNING),
                message.get("mtu"),
                bool(message["flags"] & _IFF_LOOPBACK),
            )
            for message in self._dump(partial(self._ip.link, "dump"))
        ]

    def addresses(self) -> list[Address]:
        result = []
        for message in self._dump(partial(self._ip.addr, "dump")):
            # On a point-to-point link IFA_ADDRESS is the peer's.
            address = message.get("local") or message.get("address")
            interface = ipaddress.ip_interface(f"{address}/{message['prefixlen']}")
            result.append(Address(message["index"], interface))
        return result

    def routes(self) -> list[KernelRoute]:
        """The routes of every table, the hop of a multipath route that is first and alive."""
        return [
            route
            for family in _FAMILIES
            for message in self._dump(partial(self._ip.route, "dump", family=family))
            for route in _route(message)
        ]

    def neighbors(self) -> list[KernelNeighbor]:
        return [
            KernelNeighbor(
                message["ifindex"],
                message.get("dst"),
                message.get("lladdr") or "",
                message["state"],
            )
            for message in self._dump(partial(self._ip.neigh, "dump"))
            if message["family"] in _FAMILIES
        ]

    # ---- changing --------------------------------------------------------------------------------

    def enable(self, ifindex: int) -> None:
        with _kernel():
            self._ip.link("set", index=ifindex, state="up")

    def set_mtu(self, ifindex: int, mtu: int) -> None:
        with _kernel():
            self._ip.link("set", index=ifindex, mtu=mtu)

    def limit_aggregation(self, ifindex: int, *, received: int, sent: int) -> None:
        """Keeps what the link makes of several packets below these sizes, in bytes."""
        highest = {"gro_max_size": received, "gso_max_size": sent}
        with _kernel():
            (link,) = self._ip.link("get", index=ifindex)
            larger = {name: size for name, size in highest.items() if (link.get(name) or 0) > size}
            if larger:
                self._ip.link("set", index=ifindex, **larger)

    def add_address(self, address: Address) -> None:
        """An IPv6 address is usable at once: nobody waits for duplicate address detection."""
        interface = address.interface
        with _kernel():
            self._ip.addr(
                "add",
                index=address.ifindex,
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                family=_family(interface),
                flags=_IFA_F_NODAD if interface.version == 6 else 0,
            )

    def delete_address(self, address: Address) -> None:
        interface = address.interface
        with _kernel():
            self._ip.addr(
                "del",
                index=address.ifindex,
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                family=_family(interface),
            )

    def add_route(self, route: KernelRoute) -> None:
        self._change_route("add", route)

    def delete_route(self, route: KernelRoute) -> None:
        self._change_route("del", route)

    def _change_route(self, command: str, route: KernelRoute) -> None:
        hop: dict[str, str | int] = {}
        if route.gateway:
            hop["gateway"] = route.gateway
        if route.ifindex:
            hop["oif"] = route.ifindex
        if route.ifindex and not route.gateway:
            hop["scope"] = _SCOPE_LINK  # so that other routes may have their gateway there
        with _kernel():
            self._ip.route(
                command,
                dst=route.prefix,
                family=_family(ipaddress.ip_network(route.prefix)),
                table=route.table,
                type=route.type,
                proto=route.protocol,
                priority=route.metric,
                **hop,
            )

    def _dump(self, ask: Callable[[], tuple[nlmsg, ...]]) -> tuple[nlmsg, ...]:
        for _ in range(_DUMP_ATTEMPTS):
            try:
                with _kernel():
                    return ask()
            except NetlinkDumpInterrupted:
                continue
        raise OSError(errno.EAGAIN, "the table kept changing while it was read")


@contextmanager
def _kernel() -> Iterator[None]:
    try:
        yield
    except NetlinkDumpInterrupted:
        raise
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _family(value: Interface | ipaddress.IPv4Network | ipaddress.IPv6Network) -> int:
    return socket.AF_INET if value.version == 4 else socket.AF_INET6


def _route(message: nlmsg) -> Iterator[KernelRoute]:
    if message["flags"] & _RTM_F_CLONED:
        return
    hop = message
    if hops := message.get("multipath"):
        alive = [item for item in hops if not item["flags"] & _RTNH_F_DEAD]
        hop = (alive or hops)[0]
    if hop["flags"] & _RTNH_F_DEAD:
        return
    any_address = "0.0.0.0" if message["family"] == socket.AF_INET else "::"
    via = hop.get("via")
    yield KernelRoute(
        f"{message.get('dst') or any_address}/{message['dst_len']}",
        message.get("table"),
        message["type"],
        message["proto"],
        message.get("priority") or 0,
        (hop.get("oif") if hop is message else hop["oif"]) or 0,
        hop.get("gateway") or (via["addr"] if via else ""),
    )
