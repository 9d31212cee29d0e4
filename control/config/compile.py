"""From a tree to what the dataplane runs on: every name resolved, every default filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from control.config import paths, schema
from control.config.applications import application_timeouts
from control.config.errors import ConfigError, Problem, shown
from control.config.network import LogicalInterface, ecmp, interfaces, zone_interfaces
from control.config.objects import merged
from control.config.protection import buffer_protection, is_stripping_mptcp, protected_zones
from control.config.qos import shaping
from control.config.rules import Reader
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.tunnels import tunnels
from control.config.validate import errors
from control.config.value_types import prefix
from dataplane.management_services import SERVICES
from dataplane.snapshot import (
    AcceleratedAging,
    AddressRange,
    Ecmp,
    ManagementProfile,
    Port,
    Snapshot,
    VirtualRouter,
)
from dataplane.tunnels import mtus
from native import TIMERS

_TABLE_MAIN = 254
_FIRST_OWN_TABLE = 2000  # tables from 1001 to 1255 are those of paths
_LOOPBACK = "lo"

# What the kernel takes as an interface's name (dev_valid_name).
_LINUX_NAME = re.compile(r"(?!\.\.?$)[^/:\s\x00]{1,15}")


def compile_snapshot(tree: Tree, port_map: Mapping[str, str]) -> Snapshot:
    """What the tree means, with ports behind other Linux interfaces as the map says.

    Raises ConfigError for a tree or a map with errors; warnings do not matter here.
    """
    if problems := errors(tree):
        raise ConfigError(problems)
    known = interfaces(tree)
    linux_names = _linux_names(tree, known, port_map)
    links = _links(tree)
    behind = {tunnel.interface: tunnel.name for tunnel in tunnels(tree) if tunnel.is_enabled}
    rules = Reader(tree)
    zones = _owners((zone, zone_interfaces(node)) for zone, node in tree.entries("zone").items())
    routers = _owners(
        (router, node.members("interface"))
        for router, node in tree.entries(*paths.VIRTUAL_ROUTERS).items()
    )

    def setting(*path: str) -> str:
        return tree.value(*path) or schema.default(*path)

    def session(knob: str) -> str:
        return setting(*paths.SESSION_SETTINGS, knob)

    snapshot = Snapshot(
        ports=tuple(
            replace(
                _port(
                    tree, interface, linux_names, zones.get(name, ""), routers.get(name, ""), links
                ),
                tunnel=behind.get(name, ""),
            )
            for name, interface in known.items()
        ),
        rules=rules.security(),
        intrazone_default=rules.default(paths.INTRAZONE_DEFAULT, "allow", "intrazone"),
        interzone_default=rules.default(paths.INTERZONE_DEFAULT, "deny", "interzone"),
        timeouts_s={timer.knob: int(session(timer.knob) or 0) for timer in TIMERS},
        tcp_reject_non_syn=session("tcp-reject-non-syn") == "yes",
        ipv6_firewalling=session("ipv6-firewalling") == "yes",
        fail_open=session("resource-limit-behavior") == "bypass",
        discard_denied=session("discard-denied") == "yes",
        no_refresh_on_discard=session("no-refresh-on-discard") == "yes",
        tcp_asymmetric_bypass=setting(*paths.TCP_SETTINGS, "asymmetric-path") == "bypass",
        tcp_allow_challenge_ack=setting(*paths.TCP_SETTINGS, "allow-challenge-ack") == "yes",
        offload=session("offload") == "yes",
        accelerated_aging=AcceleratedAging(
            enabled=session("accelerated-aging-enable") == "yes",
            threshold_percent=int(session("accelerated-aging-threshold")),
            factor=int(session("accelerated-aging-scaling-factor")),
        ),
        max_sessions=int(setting(*paths.MAX_SESSIONS)),
        application_overrides=rules.overrides(),
        applications=application_timeouts(tree),
        scan_threshold_percent=int(session("scan-threshold")),
        scan_factor=int(session("scan-scaling-factor")),
        virtual_routers=tuple(_virtual_routers(tree)),
        nat_rules=rules.nat(),
        nat_oversubscription=int(setting(*paths.NAT_SETTINGS, "dipp-oversub").removesuffix("x")),
        nat_reserve_s=(
            int(setting(*paths.NAT_SETTINGS, "reserve-time"))
            if setting(*paths.NAT_SETTINGS, "reserve-ip") == "yes"
            else 0
        ),
        pbf_rules=rules.pbf(),
        qos_rules=rules.qos(),
        zones=tuple(protected_zones(tree)),
        dos_rules=rules.dos(),
        buffer_protection=buffer_protection(tree),
        strip_mptcp=is_stripping_mptcp(tree),
        tunnels=tuple(tunnel.compiled() for tunnel in tunnels(tree) if tunnel.is_enabled),
        rematch=setting(*paths.REMATCH) == "yes",
    )
    fits = mtus(snapshot)
    ports = (_fitting(port, fits.get(port.name)) for port in snapshot.ports)
    return replace(snapshot, ports=tuple(ports))


def _fitting(port: Port, mtu: int | None) -> Port:
    """With the MTU of the tunnel behind it, for what the machine itself sends: but the kernel has
    no IPv6 on interfaces with less than 1280 bytes (RFC 8200 5)."""
    return port if mtu is None or (port.ipv6 and mtu < 1280) else replace(port, mtu=mtu)


def _owners(members: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    return {name: owner for owner, names in members for name in names}


def _linux_names(
    tree: Tree, known: Mapping[str, LogicalInterface], port_map: Mapping[str, str]
) -> dict[str, str]:
    """The Linux interface behind each interface. Raises ConfigError."""
    configured = tree.entries(*paths.INTERFACES)
    problems = [
        Problem(
            0,
            shown(name),
            f"mapped to {shown(linux_name)}, but not configured; configured are "
            + (", ".join(configured) or "none"),
        )
        for name, linux_name in port_map.items()
        if name not in configured
    ]
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name, interface in known.items():
        if interface.parent and interface.parent not in names:
            continue  # its parent's problem
        linux_name = _linux_name(interface, names, port_map)
        slot = name.removeprefix("ethernet").partition("/")[0]
        if not linux_name:
            message = (
                f"no Linux interface is known for slot {slot}; name it with --port {name}=INTERFACE"
            )
        elif not _LINUX_NAME.fullmatch(linux_name):
            message = f"{shown(linux_name)} is not the name of a Linux interface, such as eth1"
            if interface.parent:
                message += f"; give {interface.parent} a shorter one"
        elif linux_name in owners and interface.mode != "loopback":
            message = (
                f"{shown(linux_name)} is behind {owners[linux_name]} already; "
                "each port needs an interface of its own"
            )
        else:
            names[name] = linux_name
            owners.setdefault(linux_name, name)
            continue
        problems.append(Problem(interface.line, path_text(interface.own_path), message))
    if problems:
        raise ConfigError(sorted(problems))
    return names


def _linux_name(
    interface: LogicalInterface, names: Mapping[str, str], port_map: Mapping[str, str]
) -> str:
    """ "" where none is known."""
    match interface.mode:
        case "loopback":
            return _LOOPBACK
        case "tunnel":
            return interface.name
    if interface.parent:
        return f"{names[interface.parent]}.{interface.name.rpartition('.')[2]}"
    slot, _, port = interface.name.removeprefix("ethernet").partition("/")
    return port_map.get(interface.name, f"eth{port}" if slot == "1" else "")


def _port(
    tree: Tree,
    interface: LogicalInterface,
    linux_names: Mapping[str, str],
    zone: str,
    router: str,
    links: Mapping[str, _Link],
) -> Port:
    link = links.get(interface.name, _Link())
    port = Port(
        name=interface.name,
        interface=linux_names[interface.name],
        zone="",
        addresses=(),
        ipv6=False,
        virtual_router="",
        mtu=interface.mtu,
        mode=interface.mode,
        parent=linux_names[interface.parent] if interface.parent else "",
        tag=interface.tag,
        bridge=link.bridge,
        peer=link.peer,
        multicast_firewalling=link.multicast_firewalling,
    )
    if interface.is_down:
        # In no zone its packets are dropped, in no router nothing is sent by it.
        return port
    return replace(
        port,
        zone=zone,
        addresses=tuple(str(address) for address, _ in interface.addresses),
        ipv6=interface.ipv6,
        virtual_router=router,
        management=_management(tree, interface.management_profile),
        mss_adjustment=interface.mss_adjustment,
        qos=shaping(tree, interface.name),
    )


def _management(tree: Tree, name: str | None) -> ManagementProfile | None:
    if name is None:
        return None
    profile = tree.get(*paths.MANAGEMENT_PROFILES, name) or Tree()
    return ManagementProfile(
        services=tuple(service for service in SERVICES if profile.value(service) == "yes"),
        permitted=merged(
            AddressRange(network[0].packed, network[-1].packed)
            for network in map(prefix, profile.members("permitted-ip"))
        ),
    )


class _Link(NamedTuple):
    """What a switched interface is an end of."""

    bridge: str = ""
    peer: str = ""
    multicast_firewalling: bool = False


def _links(tree: Tree) -> dict[str, _Link]:
    links = {
        name: _Link(vlan)
        for vlan, node in tree.entries(*paths.VLANS).items()
        for name in node.members("interface")
    }
    for wire, node in tree.entries(*paths.VIRTUAL_WIRES).items():
        first, second = node.value("interface1") or "", node.value("interface2") or ""
        firewalling = node.value("multicast-firewalling", "enable") == "yes"
        links[first] = _Link(wire, second, firewalling)
        links[second] = _Link(wire, first, firewalling)
    return links


def _virtual_routers(tree: Tree) -> Iterator[VirtualRouter]:
    for number, (name, node) in enumerate(tree.entries(*paths.VIRTUAL_ROUTERS).items()):
        settings = ecmp(node)
        yield VirtualRouter(
            name=name,
            table=_FIRST_OWN_TABLE + number if number else _TABLE_MAIN,
            ecmp=Ecmp(
                max_path=settings.max_path,
                algorithm=settings.algorithm,
                use_ports=settings.use_ports,
                symmetric_return=settings.symmetric_return,
            )
            if settings.is_enabled
            else None,
            multicast=node.value("multicast", "enable") == "yes",
        )
