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
_SCOPE_LINK, _SCOPE_ANY = 253, 255
_RTNH_F_DEAD = 0x1
_RTM_F_CLONED = 0x200
_ACTION_LOOKUP = 1  # linux/fib_rules.h
# linux/if.h
_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING = 0x1, 0x8, 0x40
# linux/if_addr.h
_IFA_F_NODAD, _IFA_F_NOPREFIXROUTE = 0x02, 0x200
# linux/neighbour.h
_NTF_USE, _NTF_PROXY = 0x01, 0x08
# linux/pkt_sched.h
ROOT = 0xFFFFFFFF

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_QUANTUM_BYTES = 1514  # what a class may send before its turn is over, in borrowing
_DUMP_ATTEMPTS = 10  # a dump during which the table changed is read again


class Link(NamedTuple):
    ifindex: int
    name: str
    mac: str
    is_enabled: bool  # administratively
    is_running: bool  # enabled and with a carrier
    mtu: int
    is_loopback: bool = False
    kind: str = ""  # bridge, vlan, tun, veth, ...; "" of a device
    master: int = 0  # the link index of the bridge it is a port of
    parent: int = 0  # of a VLAN: the link index it is on
    tag: int = 0


class Address(NamedTuple):
    ifindex: int  # of the link
    interface: Interface
    is_routed: bool = True  # the kernel made a route to its network

    @property
    def is_link_local(self) -> bool:
        return self.interface.version == 6 and self.interface.is_link_local


class KernelHop(NamedTuple):
    ifindex: int
    gateway: str
    weight: int = 1


class KernelRoute(NamedTuple):
    prefix: str  # canonical: "192.0.2.0/24"
    table: int
    type: int
    protocol: int  # who put it there
    metric: int
    ifindex: int  # of the egress link, 0 where there is none
    gateway: str  # "" on a connected route
    hops: tuple[KernelHop, ...] = ()  # those alive, of a multipath route; else none


class KernelRule(NamedTuple):
    """Which packets look their routes up in which table; an empty field matches all of them."""

    family: int
    priority: int
    table: int
    protocol: int  # who put it there
    mark: int = 0
    mask: int = 0
    iif: str = ""
    oif: str = ""
    source: str = ""  # host address


class KernelClass(NamedTuple):
    """A class of a queueing discipline, of its figures those we set and those it counts."""

    handle: int
    rate: int  # bytes a second
    ceil: int
    priority: int
    sent_bytes: int
    sent_packets: int
    dropped: int


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
                *_kind(message),
            )
            for message in self._dump(partial(self._ip.link, "dump"))
        ]

    def addresses(self) -> list[Address]:
        result = []
        for message in self._dump(partial(self._ip.addr, "dump")):
            # On a point-to-point link IFA_ADDRESS is the peer's.
            address = message.get("local") or message.get("address")
            interface = ipaddress.ip_interface(f"{address}/{message['prefixlen']}")
            is_routed = not (message.get("flags") or 0) & _IFA_F_NOPREFIXROUTE
            result.append(Address(message["index"], interface, is_routed))
        return result

    def routes(self) -> list[KernelRoute]:
        """The routes of every table."""
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

    def rules(self) -> list[KernelRule]:
        """The rules that choose a table."""
        return [
            KernelRule(
                family,
                message.get("priority") or 0,
                message.get("table"),
                message.get("protocol") or 0,
                message.get("fwmark") or 0,
                message.get("fwmask") or 0,
                message.get("iifname") or "",
                message.get("oifname") or "",
                message.get("src") or "",
            )
            for family in _FAMILIES
            for message in self._dump(partial(self._ip.rule, "dump", family=family))
            if message["action"] == _ACTION_LOOKUP
        ]

    def proxies(self) -> set[tuple[int, str]]:
        """Link indices and the addresses that are answered for on them."""
        # Named so, the filter is none, and the flags are the question's.
        ask = partial(self._ip.neigh, "dump", dump_filter={}, flags=_NTF_PROXY)
        return {
            (message["ifindex"], message.get("dst"))
            for family in _FAMILIES
            for message in self._dump(partial(ask, family=family))
            if message["flags"] & _NTF_PROXY
        }

    def root_handle(self, ifindex: int) -> tuple[str, int]:
        """Kind and handle of the queueing discipline a link has at its root."""
        for message in self._dump(partial(self._ip.get_qdiscs, index=ifindex)):
            if message["parent"] == ROOT and message["index"] == ifindex:
                return message.get("kind"), message["handle"]
        return "", 0

    def classes(self, ifindex: int) -> list[KernelClass]:
        """Of HTB; none where there is none."""
        return [
            _class(message)
            for message in self._dump(partial(self._ip.get_classes, index=ifindex))
            if message.get("kind") == "htb"
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

    def add_link(self, name: str, kind: str, **settings: object) -> None:
        with _kernel():
            self._ip.link("add", ifname=name, kind=kind, **settings)

    def set_link(self, ifindex: int, **settings: object) -> None:
        with _kernel():
            self._ip.link("set", index=ifindex, **settings)

    def set_bridge_port(self, ifindex: int, *, learning: bool) -> None:
        with _kernel():
            self._ip.brport("set", index=ifindex, learning=int(learning))

    def delete_link(self, ifindex: int) -> None:
        with _kernel():
            self._ip.link("del", index=ifindex)

    def add_rule(self, rule: KernelRule) -> None:
        self._change_rule("add", rule)

    def delete_rule(self, rule: KernelRule) -> None:
        self._change_rule("del", rule)

    def _change_rule(self, command: str, rule: KernelRule) -> None:
        match: dict[str, str | int] = {}
        if rule.mask:
            match |= {"fwmark": rule.mark, "fwmask": rule.mask}
        if rule.iif:
            match["iifname"] = rule.iif
        if rule.oif:
            match["oifname"] = rule.oif
        if rule.source:
            match |= {"src": rule.source, "src_len": 32 if rule.family == socket.AF_INET else 128}
        with _kernel():
            self._ip.rule(
                command,
                family=rule.family,
                priority=rule.priority,
                table=rule.table,
                protocol=rule.protocol,
                **match,
            )

    def add_proxy(self, ifindex: int, address: str) -> None:
        self._change_neighbor("add", ifindex, address, _NTF_PROXY)

    def delete_proxy(self, ifindex: int, address: str) -> None:
        self._change_neighbor("del", ifindex, address, _NTF_PROXY)

    def resolve(self, ifindex: int, address: str) -> None:
        """Has the kernel ask for the link-layer address of a neighbour."""
        self._change_neighbor("replace", ifindex, address, _NTF_USE)

    def _change_neighbor(self, command: str, ifindex: int, address: str, flags: int) -> None:
        family = _family(ipaddress.ip_address(address))
        with _kernel():
            self._ip.neigh(command, ifindex=ifindex, dst=address, family=family, flags=flags)

    def add_htb(self, ifindex: int, handle: int, default: int) -> None:
        with _kernel():
            self._ip.tc("add", "htb", ifindex, handle, default=default)

    def set_class(
        self, ifindex: int, handle: int, parent: int, *, rate: int, ceil: int, priority: int
    ) -> None:
        """Adds an HTB class or changes it; rates in bytes a second."""
        with _kernel():
            self._ip.tc(
                "replace-class",
                "htb",
                ifindex,
                handle,
                parent=parent,
                rate=rate,
                ceil=ceil,
                prio=priority,
                quantum=_QUANTUM_BYTES,
            )

    def delete_queueing(self, ifindex: int) -> None:
        """Gives a link the kernel's own queueing back."""
        with _kernel():
            self._ip.tc("del", index=ifindex, handle=0, parent=ROOT)

    def add_address(self, address: Address) -> None:
        """An IPv6 address is usable at once: nobody waits for duplicate address detection."""
        interface = address.interface
        flags = _IFA_F_NODAD if interface.version == 6 else 0
        if not address.is_routed:
            flags |= _IFA_F_NOPREFIXROUTE
        with _kernel():
            self._ip.addr(
                "add",
                index=address.ifindex,
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                family=_family(interface),
                flags=flags,
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
        hop: dict[str, object] = {}
        if route.hops:
            hop["multipath"] = [_multipath(one) for one in route.hops]
        else:
            if route.gateway:
                hop["gateway"] = route.gateway
            if route.ifindex:
                hop["oif"] = route.ifindex
            if route.ifindex and not route.gateway:
                hop["scope"] = _SCOPE_LINK  # so that other routes may have their gateway there
        self._change_route("add", route, **hop)

    def delete_route(self, route: KernelRoute) -> None:
        """With all its hops, dead or alive; of one with its prefix, metric and protocol."""
        self._change_route("del", route, scope=_SCOPE_ANY)

    def _change_route(self, command: str, route: KernelRoute, **hop: object) -> None:
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


def _family(
    value: Interface
    | ipaddress.IPv4Network
    | ipaddress.IPv6Network
    | ipaddress.IPv4Address
    | ipaddress.IPv6Address,
) -> int:
    return socket.AF_INET if value.version == 4 else socket.AF_INET6


def _kind(message: nlmsg) -> tuple[str, int, int, int]:
    """Kind, master, parent and tag."""
    master, info = message.get("master") or 0, message.get("linkinfo")
    kind = (info.get("kind") if info else None) or ""
    data = info.get("data") if kind == "vlan" else None
    if not data:
        return kind, master, 0, 0
    return kind, master, message.get("link") or 0, data.get("vlan_id") or 0


def _class(message: nlmsg) -> KernelClass:
    options, counted = message.get_attr("TCA_OPTIONS"), message.get_attr("TCA_STATS2")
    parameters = options.get_attr("TCA_HTB_PARMS")
    sent = counted.get_attr("TCA_STATS_BASIC")
    return KernelClass(
        message["handle"],
        options.get_attr("TCA_HTB_RATE64") or parameters["rate"],
        options.get_attr("TCA_HTB_CEIL64") or parameters["ceil"],
        parameters["prio"],
        sent["bytes"],
        sent["packets"],
        counted.get_attr("TCA_STATS_QUEUE")["drops"],
    )


def _multipath(hop: KernelHop) -> dict[str, str | int]:
    result: dict[str, str | int] = {"hops": hop.weight - 1}
    if hop.gateway:
        result["gateway"] = hop.gateway
    if hop.ifindex:
        result["oif"] = hop.ifindex
    return result


def _route(message: nlmsg) -> Iterator[KernelRoute]:
    if message["flags"] & _RTM_F_CLONED:
        return
    any_address = "0.0.0.0" if message["family"] == socket.AF_INET else "::"
    hops: tuple[KernelHop, ...] = ()
    if several := message.get("multipath"):
        hops = tuple(
            KernelHop(hop["oif"] or 0, _gateway(hop), hop["hops"] + 1)
            for hop in several
            if not hop["flags"] & _RTNH_F_DEAD
        )
        if not hops:
            return
        ifindex, gateway, _ = hops[0]
    elif message["flags"] & _RTNH_F_DEAD:
        return
    else:
        ifindex, gateway = message.get("oif") or 0, _gateway(message)
    yield KernelRoute(
        f"{message.get('dst') or any_address}/{message['dst_len']}",
        message.get("table"),
        message["type"],
        message["proto"],
        message.get("priority") or 0,
        ifindex,
        gateway,
        hops,
    )


def _gateway(hop: nlmsg) -> str:
    via = hop.get("via")
    return hop.get("gateway") or (via["addr"] if via else "")
