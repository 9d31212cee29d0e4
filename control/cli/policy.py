"""`show running ...-policy`: the rules that run, and which of them `test` finds.

Of the security rules the two default rules come last. What a bi-directional NAT rule does the other
way round is a rule of the same name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address, summarize_address_range
from itertools import product
from typing import Protocol

import msgspec

from control.cli.answers import ask
from control.management import Management
from dataplane.messages import Match, Matched
from dataplane.snapshot import (
    AddressRange,
    ApplicationOverride,
    DestinationTranslation,
    DosRule,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    PbfRule,
    QosRule,
    SecurityRule,
    ServiceMatch,
    Snapshot,
    SourceTranslation,
    Wildcard,
)

_PROTOCOLS = {6: "tcp", 17: "udp"}
_NUMBERS = frozenset({"source_port", "destination_port", "protocol"})


_Rule = SecurityRule | NatRule | PbfRule | QosRule | DosRule | ApplicationOverride


class _Matching(Protocol):
    """What rules have in common that match addresses."""

    @property
    def from_zones(self) -> tuple[str, ...]: ...
    @property
    def to_zones(self) -> tuple[str, ...]: ...
    @property
    def source(self) -> tuple[AddressRange, ...]: ...
    @property
    def destination(self) -> tuple[AddressRange, ...]: ...
    @property
    def negate_source(self) -> bool: ...
    @property
    def negate_destination(self) -> bool: ...


def names(snapshot: Snapshot, rulebase: str) -> list[str]:
    """Of the rules of security, nat, pbf, qos, dos or application-override, in their order."""
    return list(dict.fromkeys(rule.name for rule in _rules(snapshot, rulebase)))


def show(snapshot: Snapshot, rulebase: str) -> str:
    rules = _rules(snapshot, rulebase)
    return _blocks(rules, {rule.name for rule in rules}) or "No rules\n"


async def test(management: Management, rulebase: str, arguments: Mapping[str, str]) -> str:
    """The rules a first packet like this would meet, as `show` has them."""
    told = {name: int(text) if name in _NUMBERS else text for name, text in arguments.items()}
    told["every"] = arguments.get("every") == "yes"
    request = msgspec.convert({"type": "Match", "rulebase": rulebase, **told}, Match)
    matched = await ask(management, request, Matched)
    rules = _rules(management.snapshot(), rulebase)
    return _blocks(rules, matched.rules) or "No rule matched\n"


def _rules(snapshot: Snapshot, rulebase: str) -> Sequence[_Rule]:
    match rulebase:
        case "security":
            return (*snapshot.rules, snapshot.intrazone_default, snapshot.interzone_default)
        case "nat":
            return snapshot.nat_rules
        case "pbf":
            return snapshot.pbf_rules
        case "qos":
            return snapshot.qos_rules
        case "dos":
            return snapshot.dos_rules
    return snapshot.application_overrides


def _blocks(rules: Sequence[_Rule], wanted: Collection[str]) -> str:
    blocks = []
    pool = 1  # they are numbered in the order of their rules, as in show running nat-rule-ippool
    for number, rule in enumerate(rules, start=1):
        if rule.name in wanted:
            lines = "".join(f"        {line}\n" for line in _lines(rule, number, pool))
            blocks.append(f'"{rule.name}; index: {number}" {{\n{lines}}}\n')
        if isinstance(rule, NatRule):
            pool += _pool_count(rule.source_translation)
    return "\n".join(blocks)


def _lines(rule: _Rule, number: int, pool: int) -> list[str]:
    match rule:
        case SecurityRule():
            return _security_lines(rule)
        case NatRule():
            return _nat_lines(rule, pool)
        case PbfRule():
            return _pbf_lines(rule, number)
        case QosRule():
            return _qos_lines(rule)
        case DosRule():
            return _dos_lines(rule)
        case ApplicationOverride():
            return _override_lines(rule)


# ---- each rulebase -------------------------------------------------------------------------------


def _override_lines(rule: ApplicationOverride) -> list[str]:
    ports = ",".join(_ports(rule.ports))
    return [
        *_from(rule),
        *_to(rule),
        f"protocol {_PROTOCOLS[rule.protocol]};",
        f"port {ports};",
        f"application {_list([rule.application])};",
    ]


def _security_lines(rule: SecurityRule) -> list[str]:
    return [
        *_from(rule, rule.source_wildcards),
        "source-region none;",
        *_to(rule, rule.destination_wildcards),
        "destination-region none;",
        "user any;",
        "source-device any;",
        "destinataion-device any;",  # the device's own spelling
        "category any;",
        f"application/service {_services(rule.services)};",
        f"action {rule.action};",
        f"icmp-unreachable: {'yes' if rule.icmp_unreachable else 'no'}",
        *([f"schedule {_list([rule.schedule.name])};"] if rule.schedule else []),
        *(["qos-marking follow-c2s-flow;"] if rule.dscp_follows else []),
        *([f"qos-marking ip-dscp {rule.dscp};"] if rule.dscp is not None else []),
        "terminal yes;",
        *([f"type {rule.rule_type};"] if rule.rule_type != "universal" else []),
    ]


def _nat_lines(rule: NatRule, pool: int) -> list[str]:
    source, destination = rule.source_translation, rule.destination_translation
    translations = [
        *([f"src: {_source_translation(source, pool)}"] if source else []),
        *([f"dst: {_destination_translation(destination)}"] if destination else []),
    ]
    shown = f'"{"; ".join(translations)}"' if translations else "none"
    return [
        f"nat-type {rule.nat_type};",
        *_from(rule),
        f"to {_list(rule.to_zones)};",
        f"to-interface {rule.to_interface} ;",
        f"destination {_list(_ranges(rule.destination))};",
        f"service {_services(rule.services, application='')};",
        f"translate-to {shown};",
        "terminal no;",
    ]


def _pool_count(source: SourceTranslation | None) -> int:
    """One for each family of its addresses, and those of its fallback."""
    if not isinstance(source, DynamicIpAndPort | DynamicIp):
        return 0
    fallback = source.fallback if isinstance(source, DynamicIp) else None
    return len({len(one.first) for one in source.addresses}) + _pool_count(fallback)


def _source_translation(source: SourceTranslation, pool: int) -> str:
    if isinstance(source, DynamicIpAndPort):
        return f"{_pool(source)} (dynamic-ip-and-port) (pool idx: {pool})"
    if isinstance(source, DynamicIp):
        shown = f"{', '.join(_ranges(source.addresses))} (dynamic-ip) (pool idx: {pool})"
        return shown + (f" fallback {_pool(source.fallback)}" if source.fallback else "")
    return f"{shown_range(source.translated)} (static-ip)"


def _pool(source: DynamicIpAndPort) -> str:
    addresses = ", ".join(_ranges(source.addresses))
    return f"{source.interface} {addresses}" if source.interface else addresses


def _destination_translation(destination: DestinationTranslation) -> str:
    shown = ", ".join(_ranges(destination.translated))
    shown += f" port {destination.port}" if destination.port else ""
    return shown + (f" ({destination.distribution})" if destination.distribution else "")


def _pbf_lines(rule: PbfRule, number: int) -> list[str]:
    forwarding = []
    if rule.action == "forward":
        forwarding = [
            f"forwarding-egress-IF/VSYS {rule.egress};",
            f"next-hop {rule.nexthop or 'none'};",
        ]
    return [
        f"id {number};",
        *_from(rule, ports=rule.from_ports),
        f"destination {_list(_ranges(rule.destination))};",
        *(["negate-destination yes;"] if rule.negate_destination else []),
        "user any;",
        f"application/service {_services(rule.services)};",
        f"action {rule.action};",
        *forwarding,
        f"symmetric-return {'yes' if rule.symmetric_return else 'no'};",
        *([f"monitor {rule.monitor.address};"] if rule.monitor else []),
        "terminal yes;",
    ]


def _qos_lines(rule: QosRule) -> list[str]:
    return [
        *_from(rule),
        *_to(rule),
        "user any;",
        "category any;",
        f"application/service {_services(rule.services)};",
        *([f"dscp {_list([str(one) for one in rule.dscps])};"] if rule.dscps else []),
        f"class {rule.qos_class};",
        "terminal yes;",
    ]


def _dos_lines(rule: DosRule) -> list[str]:
    aggregate, classified = rule.aggregate, rule.classified
    criteria = f" classification-criteria address {rule.classified_by}"
    return [
        *_from(rule, ports=rule.from_ports),
        *_to(rule, ports=rule.to_ports),
        "user any;",
        f"application/service {_services(rule.services)};",
        f"action {rule.action};",
        *([f"aggregate profile {_list([aggregate.name])};"] if aggregate else []),
        *([f"classified profile {_list([classified.name])}{criteria};"] if classified else []),
        *([f"schedule {_list([rule.schedule.name])};"] if rule.schedule else []),
        "terminal yes;",
    ]


# ---- what they are made of -----------------------------------------------------------------------


def _from(
    rule: _Matching, wildcards: Sequence[Wildcard] = (), ports: Sequence[str] = ()
) -> list[str]:
    return [
        f"from {_list(rule.from_zones or ports)};",
        f"source {_list([*_ranges(rule.source), *map(_wildcard, wildcards)])};",
        *(["negate-source yes;"] if rule.negate_source else []),
    ]


def _to(
    rule: _Matching, wildcards: Sequence[Wildcard] = (), ports: Sequence[str] = ()
) -> list[str]:
    return [
        f"to {_list(rule.to_zones or ports)};",
        f"destination {_list([*_ranges(rule.destination), *map(_wildcard, wildcards)])};",
        *(["negate-destination yes;"] if rule.negate_destination else []),
    ]


def _list(values: Sequence[str]) -> str:
    quoted = [f'"{value}"' if " " in value else value for value in values]
    if not quoted:
        return "any"
    return quoted[0] if len(quoted) == 1 else f"[ {' '.join(quoted)} ]"


def _ranges(ranges: Iterable[AddressRange]) -> list[str]:
    return [shown_range(one) for one in ranges]


def shown_range(addresses: AddressRange) -> str:
    first, last = ip_address(addresses.first), ip_address(addresses.last)
    if first == last:
        return f"{first}"
    network, *more = summarize_address_range(first, last)
    return f"{first}-{last}" if more else f"{network}"


def _wildcard(wildcard: Wildcard) -> str:
    return f"{ip_address(wildcard.address)}/{ip_address(wildcard.mask)}"


def _services(services: Iterable[ServiceMatch], application: str = "any/") -> str:
    pairs = [
        f"{_PROTOCOLS.get(service.protocol, service.protocol)}/{source}/{destination}"
        for service in services
        for source, destination in product(
            _ports(service.source_ports), _ports(service.destination_ports)
        )
    ]
    pairs = pairs or ["any/any/any"]
    return _list([f"{number}:{application}{pair}" for number, pair in enumerate(pairs)])


def _ports(ranges: tuple[tuple[int, int], ...]) -> list[str]:
    shown = [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges]
    return shown or ["any"]
