"""From a tree to what the dataplane runs on: every name resolved, every default filled in."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping

from control.config import schema
from control.config.applications import application_timeouts
from control.config.errors import ConfigError, Problem, shown
from control.config.network import Layer3, layer3_interfaces, zone_interfaces
from control.config.objects import Objects
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.validate import validate
from control.config.value_types import ports
from dataplane.snapshot import (
    AcceleratedAging,
    ApplicationOverride,
    Port,
    SecurityRule,
    Snapshot,
)
from native import TIMERS

# What the kernel takes as an interface's name (dev_valid_name).
_LINUX_NAME = re.compile(r"(?!\.\.?$)[^/:\s\x00]{1,15}")


def compile_snapshot(tree: Tree, port_map: Mapping[str, str]) -> Snapshot:
    """What the tree means, with ports behind other Linux interfaces as the map says.

    Raises ConfigError for a tree or a map with errors; warnings do not matter here.
    """
    problems = [problem for problem in validate(tree) if problem.severity == "error"]
    if problems:
        raise ConfigError(problems)
    interfaces = layer3_interfaces(tree)
    linux_names = _linux_names(tree, interfaces, port_map)
    zones = _owners((zone, zone_interfaces(node)) for zone, node in tree.entries("zone").items())
    routers = _owners(
        (router, node.members("interface"))
        for router, node in tree.entries(*schema.VIRTUAL_ROUTERS).items()
    )
    objects = Objects(tree)

    def setting(*path: str) -> str:
        return tree.value(*path) or schema.default(*path)

    def session(knob: str) -> str:
        return setting(*schema.SESSION_SETTINGS, knob)

    return Snapshot(
        ports=tuple(
            _port(interface, linux_names[name], zones.get(name, ""), routers.get(name, ""))
            for name, interface in interfaces.items()
        ),
        rules=tuple(
            _rule(name, rule, objects)
            for name, rule in tree.entries(*schema.SECURITY_RULES).items()
            if not _yes(rule, schema.SECURITY_RULES, name, "disabled")
        ),
        intrazone_default=_default_rule(tree, schema.INTRAZONE_DEFAULT, "allow", "intrazone"),
        interzone_default=_default_rule(tree, schema.INTERZONE_DEFAULT, "deny", "interzone"),
        timeouts_s={timer.knob: int(session(timer.knob) or 0) for timer in TIMERS},
        tcp_reject_non_syn=session("tcp-reject-non-syn") == "yes",
        ipv6_firewalling=session("ipv6-firewalling") == "yes",
        fail_open=session("resource-limit-behavior") == "bypass",
        discard_denied=session("discard-denied") == "yes",
        no_refresh_on_discard=session("no-refresh-on-discard") == "yes",
        tcp_asymmetric_bypass=setting(*schema.TCP_SETTINGS, "asymmetric-path") == "bypass",
        tcp_allow_challenge_ack=setting(*schema.TCP_SETTINGS, "allow-challenge-ack") == "yes",
        offload=session("offload") == "yes",
        accelerated_aging=AcceleratedAging(
            enabled=session("accelerated-aging-enable") == "yes",
            threshold_percent=int(session("accelerated-aging-threshold")),
            factor=int(session("accelerated-aging-scaling-factor")),
        ),
        max_sessions=int(setting(*schema.MAX_SESSIONS)),
        application_overrides=tuple(
            _override(name, rule, objects)
            for name, rule in tree.entries(*schema.OVERRIDE_RULES).items()
            if not _yes(rule, schema.OVERRIDE_RULES, name, "disabled")
        ),
        applications=application_timeouts(tree),
        scan_threshold_percent=int(session("scan-threshold")),
        scan_factor=int(session("scan-scaling-factor")),
    )


def _yes(node: Tree, list_path: tuple[str, ...], name: str, leaf: str) -> bool:
    return (node.value(leaf) or schema.default(*list_path, name, leaf)) == "yes"


def _owners(members: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    return {name: owner for owner, names in members for name in names}


def _linux_names(
    tree: Tree, interfaces: Mapping[str, Layer3], port_map: Mapping[str, str]
) -> dict[str, str]:
    """The Linux interface behind each port. Raises ConfigError."""
    configured = tree.entries(*schema.INTERFACES)
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
    for name, interface in interfaces.items():
        where = path_text((*schema.INTERFACES, name))
        slot, _, port = name.removeprefix("ethernet").partition("/")
        linux_name = port_map.get(name, f"eth{port}" if slot == "1" else "")
        if not linux_name:
            message = (
                f"no Linux interface is known for slot {slot}; name it with --port {name}=INTERFACE"
            )
        elif not _LINUX_NAME.fullmatch(linux_name):
            message = f"{shown(linux_name)} is not the name of a Linux interface, such as eth1"
        elif linux_name in owners:
            message = (
                f"{shown(linux_name)} is behind {owners[linux_name]} already; "
                "each port needs an interface of its own"
            )
        else:
            names[name] = linux_name
            owners[linux_name] = name
            continue
        problems.append(Problem(interface.line, where, message))
    if problems:
        raise ConfigError(sorted(problems))
    return names


def _port(interface: Layer3, linux_name: str, zone: str, router: str) -> Port:
    if interface.is_down:
        # In no zone its packets are dropped, in no router nothing is sent by it.
        return Port(interface.name, linux_name, "", (), False, "", interface.mtu)
    return Port(
        name=interface.name,
        interface=linux_name,
        zone=zone,
        addresses=tuple(str(address) for address, _ in interface.addresses),
        ipv6=interface.ipv6,
        virtual_router=router,
        mtu=interface.mtu,
    )


def _rule(name: str, rule: Tree, objects: Objects) -> SecurityRule:
    def leaf(element: str) -> str:
        return rule.value(element) or schema.default(*schema.SECURITY_RULES, name, element)

    return SecurityRule(
        name=name,
        action=leaf("action"),
        from_zones=_zones(rule, "from"),
        to_zones=_zones(rule, "to"),
        rule_type=leaf("rule-type"),
        source=objects.addresses(rule.members("source")),
        destination=objects.addresses(rule.members("destination")),
        negate_source=leaf("negate-source") == "yes",
        negate_destination=leaf("negate-destination") == "yes",
        services=objects.services(rule.members("service") or [leaf("service")]),
        log_start=leaf("log-start") == "yes",
        log_end=leaf("log-end") == "yes",
    )


def _override(name: str, rule: Tree, objects: Objects) -> ApplicationOverride:
    def leaf(element: str) -> str:
        return rule.value(element) or schema.default(*schema.OVERRIDE_RULES, name, element)

    return ApplicationOverride(
        name=name,
        application=leaf("application"),
        protocol=socket.IPPROTO_TCP if leaf("protocol") == "tcp" else socket.IPPROTO_UDP,
        ports=ports(leaf("port")),
        from_zones=_zones(rule, "from"),
        to_zones=_zones(rule, "to"),
        source=objects.addresses(rule.members("source")),
        destination=objects.addresses(rule.members("destination")),
        negate_source=leaf("negate-source") == "yes",
        negate_destination=leaf("negate-destination") == "yes",
    )


def _zones(rule: Tree, element: str) -> tuple[str, ...]:
    zones = tuple(rule.members(element))
    return () if "any" in zones else zones


def _default_rule(tree: Tree, name: str, action: str, rule_type: str) -> SecurityRule:
    rule = tree.get(*schema.DEFAULT_RULES, name) or Tree()
    return SecurityRule(
        name=name,
        action=rule.value("action") or action,
        rule_type=rule_type,
        log_start=_yes(rule, schema.DEFAULT_RULES, name, "log-start"),
        log_end=_yes(rule, schema.DEFAULT_RULES, name, "log-end"),
    )
