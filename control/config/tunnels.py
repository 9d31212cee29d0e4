"""Tunnels: read from a tree, checked, and compiled.

Reading is lenient, as in network.py; what is left out here is refused by the checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from msgspec.structs import replace

from control.config import paths, schema
from control.config.errors import Problem, shown
from control.config.network import LogicalInterface, interfaces
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.value_types import Address, address
from dataplane.snapshot import Tunnel
from native import MAX_TUNNEL_DEPTH, MAX_TUNNELS

_LISTS = {"gre": paths.GRE_TUNNELS, "ipip": paths.IPIP_TUNNELS, "vxlan": paths.VXLAN_TUNNELS}


@dataclass(frozen=True, slots=True)
class TunnelEntry:
    """A tunnel as it is written, and where."""

    name: str
    type: str
    path: tuple[str, ...]
    node: Tree
    interface: str  # "tunnel.1"
    outer: str  # the interface with the local address
    local: Address | None
    peer: Address | None

    @property
    def is_enabled(self) -> bool:
        return self.node.value("disabled") != "yes"

    def setting(self, element: str) -> str:
        return self.node.value(element) or schema.default(*self.path, element)

    def compiled(self) -> Tunnel:
        tunnel = Tunnel(
            name=self.name,
            type=self.type,
            port=self.interface,
            outer_port=self.outer,
            local=str(self.local),
            peer=str(self.peer),
            ttl=int(self.setting("ttl")),
            copy_tos=self.setting("copy-tos") == "yes",
        )
        if self.type != "vxlan":
            return tunnel
        return replace(
            tunnel,
            udp_port=int(self.setting("udp-port")),
            vni=int(self.setting("vni")),
            mac=_mac(f"{self.local} {self.peer} {self.setting('vni')}"),
            peer_mac=self.node.value("peer-mac") or "",
        )

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells its packets from those of other tunnels."""
        of_vxlan = (self.setting("vni"), self.setting("udp-port")) if self.type == "vxlan" else ()
        return self.type, self.local, self.peer, *of_vxlan


def tunnels(tree: Tree) -> list[TunnelEntry]:
    known = interfaces(tree)
    return [
        _entry(name, kind, (*path, name), node, known)
        for kind, path in _LISTS.items()
        for name, node in tree.entries(*path).items()
    ]


def _entry(
    name: str, kind: str, path: tuple[str, ...], node: Tree, known: dict[str, LogicalInterface]
) -> TunnelEntry:
    outer = node.value("local-address", "interface") or ""
    peer = _address(node.value("peer-address", "ip"))
    local = _address(node.value("local-address", "ip"))
    if node.value("local-address", "ip") is None and outer in known and peer:
        addresses = (found.ip for found, _ in known[outer].addresses)
        local = next((ip for ip in addresses if ip.version == peer.version), None)
    interface = node.value("tunnel-interface") or ""
    return TunnelEntry(name, kind, path, node, interface, outer, local, peer)


def _address(text: str | None) -> Address | None:
    try:
        return address((text or "").partition("/")[0])
    except ValueError:
        return None


def _mac(of: str) -> str:
    """A locally administered one, the same as long as the tunnel is."""
    return ":".join(f"{byte:02x}" for byte in (0x02, *sha256(of.encode()).digest()[:5]))


def tunnel_problems(tree: Tree) -> Iterator[Problem]:
    known = interfaces(tree)
    entries = [entry for entry in tunnels(tree) if entry.is_enabled]
    routers = {
        name: router
        for router, node in tree.entries(*paths.VIRTUAL_ROUTERS).items()
        for name in node.members("interface")
    }
    own = {found.ip for interface in known.values() for found, _ in interface.addresses}
    users = Counter(entry.interface for entry in entries)
    identities = Counter(entry.identity for entry in entries)
    outers = {entry.interface: entry.outer for entry in entries}
    for entry in entries:
        yield from _address_problems(entry, known, own)
        if users[entry.interface] > 1:
            message = f"{shown(entry.interface)} has several tunnels; each needs one of its own"
            yield _problem(entry, message, "tunnel-interface")
        if entry.local and entry.peer and identities[entry.identity] > 1:
            message = f"another {entry.type} tunnel goes from {entry.local} to {entry.peer}, too"
            hint = "; give one of them another vni" if entry.type == "vxlan" else ""
            yield _problem(entry, message + hint, "peer-address")
        if routers.get(entry.interface, "") != routers.get(entry.outer, ""):
            message = (
                f"{shown(entry.interface)} and {shown(entry.outer)} are not in the same virtual "
                "router; put both into one"
            )
            yield _problem(entry, message, "tunnel-interface")
        if _depth(entry.interface, outers) > MAX_TUNNEL_DEPTH:
            message = (
                f"{shown(entry.outer)} leads through more than {MAX_TUNNEL_DEPTH} tunnels, or "
                "back into this one; name an interface on a link"
            )
            yield _problem(entry, message, "local-address")
    for entry in entries[MAX_TUNNELS:]:
        yield _problem(entry, f"at most {MAX_TUNNELS} tunnels can be configured; delete one")


def _address_problems(
    entry: TunnelEntry, known: dict[str, LogicalInterface], own: set[Address]
) -> Iterator[Problem]:
    outer, peer = known.get(entry.outer), entry.peer
    if outer is None or peer is None:
        return
    if outer.mode not in ("layer3", "tunnel"):
        message = f"{shown(outer.name)} is a {outer.mode} interface; layer3 or tunnel is right"
        yield _problem(entry, message, "local-address")
    elif entry.local is None:
        message = f"{shown(outer.name)} has no IPv{peer.version} address to reach {peer} from"
        yield _problem(entry, message, "local-address")
    elif entry.local not in (found.ip for found, _ in outer.addresses):
        right = ", ".join(str(found.ip) for found, _ in outer.addresses) or "none"
        message = f"{entry.local} is no address of {shown(outer.name)}; its addresses are {right}"
        yield _problem(entry, message, "local-address")
    elif entry.local.version != peer.version:
        message = f"{peer} is IPv{peer.version}; IPv{entry.local.version} as {entry.local} is right"
        yield _problem(entry, message, "peer-address")
    if peer in own:
        yield _problem(entry, f"{peer} is the firewall's own address", "peer-address")
    elif peer.is_multicast or peer.is_unspecified or peer.is_loopback or peer.is_link_local:
        message = f"{peer} is not one host's address that routes lead to"
        yield _problem(entry, message, "peer-address")


def _depth(interface: str, outers: dict[str, str]) -> int:
    """Tunnels within each other by which its packets leave; too many where they form a ring."""
    depth = 0
    while interface in outers and depth <= MAX_TUNNEL_DEPTH:
        depth += 1
        interface = outers[interface]
    return depth


def _problem(entry: TunnelEntry, message: str, *element: str) -> Problem:
    node = entry.node.get(*element) if element else None
    values = entry.node.members(*element) if element else {}
    line = max(values.values(), default=node.line if node else entry.node.line)
    return Problem(line, path_text((*entry.path, *element)), message)
