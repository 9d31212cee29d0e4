"""Rules of a tree as the dataplane's: every name resolved, every default filled in.

=> the tree has no errors
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from control.config import paths, schema
from control.config.network import LogicalInterface, interfaces
from control.config.objects import Objects
from control.config.protection import dos_limits
from control.config.tree import Tree
from control.config.value_types import CLASS_SELECTORS, address, dscp, ports, precedence
from dataplane.snapshot import (
    AddressRange,
    ApplicationOverride,
    DestinationTranslation,
    DosRule,
    DynamicIp,
    DynamicIpAndPort,
    Monitor,
    NatRule,
    PbfRule,
    QosRule,
    SecurityRule,
    ServiceMatch,
    SourceTranslation,
    StaticIp,
)

_TOS_MASK = 0b111000


class Reader:
    """Reads the rulebases of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._objects = Objects(tree)
        self._interfaces = interfaces(tree)

    def security(self) -> tuple[SecurityRule, ...]:
        return tuple(self._security(rule) for rule in self._rules(paths.SECURITY_RULES))

    def overrides(self) -> tuple[ApplicationOverride, ...]:
        return tuple(self._override(rule) for rule in self._rules(paths.OVERRIDE_RULES))

    def nat(self) -> tuple[NatRule, ...]:
        """The other direction of a bi-directional rule is behind the rule."""
        return tuple(nat for rule in self._rules(paths.NAT_RULES) for nat in self._nat(rule))

    def pbf(self) -> tuple[PbfRule, ...]:
        return tuple(self._pbf(rule) for rule in self._rules(paths.PBF_RULES))

    def qos(self) -> tuple[QosRule, ...]:
        return tuple(self._qos(rule) for rule in self._rules(paths.QOS_RULES))

    def dos(self) -> tuple[DosRule, ...]:
        return tuple(self._dos(rule) for rule in self._rules(paths.DOS_RULES))

    def default(self, name: str, action: str, rule_type: str) -> SecurityRule:
        node = self._tree.get(*paths.DEFAULT_RULES, name) or Tree()
        rule = _Rule(name, node, paths.DEFAULT_RULES)
        return SecurityRule(
            name=name,
            action=node.value("action") or action,
            rule_type=rule_type,
            log_start=rule.yes("log-start"),
            log_end=rule.yes("log-end"),
            icmp_unreachable=rule.yes("icmp-unreachable"),
        )

    def _rules(self, list_path: tuple[str, ...]) -> Iterator[_Rule]:
        for name, node in self._tree.entries(*list_path).items():
            rule = _Rule(name, node, list_path)
            if not rule.yes("disabled"):
                yield rule

    def _security(self, rule: _Rule) -> SecurityRule:
        objects, node = self._objects, rule.node
        marking = node.get("qos", "marking") or Tree()
        schedule = node.value("schedule")
        sources, destinations = node.members("source"), node.members("destination")
        return SecurityRule(
            name=rule.name,
            action=rule.leaf("action"),
            from_zones=_zones(node, "from"),
            to_zones=_zones(node, "to"),
            rule_type=rule.leaf("rule-type"),
            source=objects.addresses(sources),
            destination=objects.addresses(destinations),
            negate_source=rule.yes("negate-source"),
            negate_destination=rule.yes("negate-destination"),
            services=self._services(rule),
            log_start=rule.yes("log-start"),
            log_end=rule.yes("log-end"),
            source_wildcards=objects.wildcards(sources),
            destination_wildcards=objects.wildcards(destinations),
            schedule=objects.schedule(schedule) if schedule else None,
            icmp_unreachable=rule.yes("icmp-unreachable"),
            dscp=_dscp(marking),
            dscp_follows=marking.get("follow-c2s-flow") is not None,
        )

    def _services(self, rule: _Rule) -> tuple[ServiceMatch, ...]:
        names = rule.node.members("service") or {rule.leaf("service"): 0}
        if "application-default" not in names:
            return self._objects.services(names)
        applications = rule.node.members("application") or {"any": 0}
        return () if "any" in applications else self._objects.default_services(applications)

    def _override(self, rule: _Rule) -> ApplicationOverride:
        objects, node = self._objects, rule.node
        return ApplicationOverride(
            name=rule.name,
            application=rule.leaf("application"),
            protocol=socket.IPPROTO_TCP if rule.leaf("protocol") == "tcp" else socket.IPPROTO_UDP,
            ports=ports(rule.leaf("port")),
            from_zones=_zones(node, "from"),
            to_zones=_zones(node, "to"),
            source=objects.addresses(node.members("source")),
            destination=objects.addresses(node.members("destination")),
            negate_source=rule.yes("negate-source"),
            negate_destination=rule.yes("negate-destination"),
        )

    def _nat(self, rule: _Rule) -> Iterator[NatRule]:
        objects, node = self._objects, rule.node
        to_interface = rule.leaf("to-interface")
        source = objects.addresses(node.members("source"))
        destination = objects.addresses(node.members("destination"))
        translation = self._source_translation(rule, source, destination)
        nat = NatRule(
            name=rule.name,
            from_zones=_zones(node, "from"),
            to_zones=_zones(node, "to"),
            to_interface="" if to_interface == "any" else to_interface,
            source=source,
            destination=destination,
            services=objects.services([rule.leaf("service")]),
            source_translation=translation,
            destination_translation=self._destination_translation(rule, destination),
            nat_type=rule.leaf("nat-type"),
        )
        yield nat
        if isinstance(translation, StaticIp) and rule.yes(
            "source-translation", "static-ip", "bi-directional"
        ):
            yield NatRule(
                name=nat.name,
                to_zones=nat.to_zones,
                to_interface=nat.to_interface,
                source=nat.destination,
                destination=(translation.translated,),
                services=nat.services,
                destination_translation=DestinationTranslation(
                    (translation.original,), translation.translated
                ),
                nat_type=nat.nat_type,
                mirrors=True,
            )

    def _source_translation(
        self,
        rule: _Rule,
        source: tuple[AddressRange, ...],
        destination: tuple[AddressRange, ...],
    ) -> SourceTranslation | None:
        families = packet_families(source, destination)
        for kind, node in rule.node.entries("source-translation").items():
            match kind:
                case "dynamic-ip-and-port":
                    return self._pool(node, families)
                case "dynamic-ip":
                    fallback = node.get("fallback")
                    return DynamicIp(
                        self._objects.addresses(node.members("translated-address")),
                        self._pool(fallback, families) if fallback else None,
                    )
                case "static-ip":
                    (translated,) = self._objects.addresses(node.members("translated-address"))
                    (original,) = source
                    return StaticIp(original, translated)
        return None

    def _pool(self, node: Tree, families: set[int]) -> DynamicIpAndPort:
        by_interface = node.get("interface-address")
        if by_interface is None:
            return DynamicIpAndPort(self._objects.addresses(node.members("translated-address")))
        name = by_interface.value("interface") or ""
        own = own_addresses(self._interfaces[name], by_interface.value("ip"), families)
        return DynamicIpAndPort(tuple(AddressRange(found, found) for found in own), name)

    def _destination_translation(
        self, rule: _Rule, destination: tuple[AddressRange, ...]
    ) -> DestinationTranslation | None:
        if node := rule.node.get("destination-translation"):
            (translated,) = self._objects.addresses(node.members("translated-address"))
            is_one = translated.first == translated.last
            return DestinationTranslation(
                (translated,),
                original=None if is_one else destination[0],
                port=int(node.value("translated-port") or 0),
            )
        if node := rule.node.get("dynamic-destination-translation"):
            return DestinationTranslation(
                self._objects.addresses(node.members("translated-address")),
                port=int(node.value("translated-port") or 0),
                distribution=rule.leaf("dynamic-destination-translation", "distribution"),
            )
        return None

    def _pbf(self, rule: _Rule) -> PbfRule:
        objects, node = self._objects, rule.node
        forward = node.get("action", "forward") or Tree()
        nexthop = forward.value("nexthop", "ip-address")
        symmetric = rule.yes("enforce-symmetric-return", "enabled")
        returns = node.members("enforce-symmetric-return", "nexthop-address-list")
        return PbfRule(
            name=rule.name,
            action=next(iter(node.entries("action"))),
            from_zones=tuple(node.members("from", "zone")),
            from_ports=tuple(node.members("from", "interface")),
            source=objects.addresses(node.members("source")),
            destination=objects.addresses(node.members("destination")),
            negate_source=rule.yes("negate-source"),
            negate_destination=rule.yes("negate-destination"),
            services=objects.services(node.members("service") or ["any"]),
            egress=forward.value("egress-interface") or "",
            nexthop=str(address(nexthop)) if nexthop else "",
            symmetric_return=symmetric,
            return_nexthops=tuple(str(address(text)) for text in returns) if symmetric else (),
            monitor=self._monitor(rule, forward, nexthop),
        )

    def _monitor(self, rule: _Rule, forward: Tree, nexthop: str | None) -> Monitor | None:
        node = forward.get("monitor")
        host = (node.value("ip-address") if node else None) or nexthop
        if node is None or host is None:
            return None
        name = rule.leaf("action", "forward", "monitor", "profile")
        profile = _Rule(
            name, self._tree.get(*paths.MONITOR_PROFILES, name) or Tree(), paths.MONITOR_PROFILES
        )
        return Monitor(
            address=str(address(host)),
            interval_s=int(profile.leaf("interval")),
            threshold=int(profile.leaf("threshold")),
            disable_if_unreachable=rule.yes(
                "action", "forward", "monitor", "disable-if-unreachable"
            ),
        )

    def _qos(self, rule: _Rule) -> QosRule:
        objects, node = self._objects, rule.node
        codepoints = node.entries("dscp-tos", "codepoints").values()
        return QosRule(
            name=rule.name,
            qos_class=int(rule.leaf("action", "class")),
            from_zones=_zones(node, "from"),
            to_zones=_zones(node, "to"),
            source=objects.addresses(node.members("source")),
            destination=objects.addresses(node.members("destination")),
            negate_source=rule.yes("negate-source"),
            negate_destination=rule.yes("negate-destination"),
            services=objects.services(node.members("service") or ["any"]),
            dscps=tuple(sorted({found for node in codepoints for found in _codepoints(node)})),
        )

    def _dos(self, rule: _Rule) -> DosRule:
        objects, node = self._objects, rule.node
        schedule = node.value("schedule")
        action = next(iter(node.entries("action")))
        used = node.entries("protection") if action == "protect" else {}
        limits = {
            use: dos_limits(self._tree, below.value("profile") or "") for use, below in used.items()
        }
        return DosRule(
            name=rule.name,
            action=action,
            from_zones=_zones(node, "from", "zone"),
            from_ports=tuple(node.members("from", "interface")),
            to_zones=_zones(node, "to", "zone"),
            to_ports=tuple(node.members("to", "interface")),
            source=objects.addresses(node.members("source")),
            destination=objects.addresses(node.members("destination")),
            negate_source=rule.yes("negate-source"),
            negate_destination=rule.yes("negate-destination"),
            services=objects.services(node.members("service") or ["any"]),
            schedule=objects.schedule(schedule) if schedule else None,
            aggregate=limits.get("aggregate"),
            classified=limits.get("classified"),
            classified_by=rule.leaf(
                "protection", "classified", "classification-criteria", "address"
            ),
        )


class _Rule(NamedTuple):
    """A rule as it is written, with the defaults of its list."""

    name: str
    node: Tree
    list_path: tuple[str, ...]

    def leaf(self, *path: str) -> str:
        return self.node.value(*path) or schema.default(*self.list_path, self.name, *path)

    def yes(self, *path: str) -> bool:
        return self.leaf(*path) == "yes"


def _zones(rule: Tree, *path: str) -> tuple[str, ...]:
    zones = tuple(rule.members(*path))
    return () if "any" in zones else zones


def _dscp(marking: Tree) -> int | None:
    if text := marking.value("ip-dscp"):
        return dscp(text)
    if text := marking.value("ip-precedence"):
        return precedence(text)
    return None


def _codepoints(node: Tree) -> Iterator[int]:
    """The DSCPs an entry of `codepoints` stands for."""
    for kind, below in node.children.items():
        if kind == "custom":
            yield int(below.value("codepoint", "value") or "", 2)
            continue
        name = below.value("codepoint") or ""
        if kind == "tos":
            first = CLASS_SELECTORS[name] & _TOS_MASK
            yield from range(first, first + 8)
        else:
            yield dscp(name)


def packet_families(
    source: tuple[AddressRange, ...], destination: tuple[AddressRange, ...]
) -> set[int]:
    """What a rule that shares an interface's address is for: IPv4, unless it lists IPv6."""
    if not source and not destination:
        return {4}
    return families(source) & families(destination)


def families(ranges: Iterable[AddressRange]) -> set[int]:
    """Both for any."""
    return {4 if len(found.first) == 4 else 6 for found in ranges} or {4, 6}


def own_addresses(interface: LogicalInterface, text: str | None, families: set[int]) -> list[bytes]:
    """The address of an interface that is meant by a text, or without one the first of each family.

    Empty where the interface has none such. Raises ValueError for a text that is no address.
    """
    own = [found.ip for found, _ in interface.addresses if not found.ip.is_link_local]
    if text is not None:
        wanted = address(text.partition("/")[0])
        return [found.packed for found in own if found == wanted]
    first = {found.version: found for found in reversed(own)}
    return [first[version].packed for version in sorted(first) if version in families]
