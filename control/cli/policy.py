"""`show running security-policy` and `application-override-policy`: the rules that run.

Of the security rules the two default rules come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, summarize_address_range
from itertools import product

from dataplane.snapshot import AddressRange, ApplicationOverride, SecurityRule, Snapshot

_PROTOCOLS = {6: "tcp", 17: "udp"}


def security(snapshot: Snapshot) -> str:
    rules = (*snapshot.rules, snapshot.intrazone_default, snapshot.interzone_default)
    return _rules((rule.name, _security_lines(rule)) for rule in rules)


def application_override(snapshot: Snapshot) -> str:
    rules = snapshot.application_overrides
    return _rules((rule.name, _override_lines(rule)) for rule in rules) or "No rules\n"


def _rules(rules: Iterable[tuple[str, list[str]]]) -> str:
    return "\n".join(
        f'"{name}; index: {index}" {{\n' + "".join(f"        {line}\n" for line in lines) + "}\n"
        for index, (name, lines) in enumerate(rules, start=1)
    )


def _override_lines(rule: ApplicationOverride) -> list[str]:
    ports = ",".join(_ports(rule.ports))
    return [
        f"from {_list(rule.from_zones)};",
        f"source {_list([_range(one) for one in rule.source])};",
        *(["negate-source yes;"] if rule.negate_source else []),
        f"to {_list(rule.to_zones)};",
        f"destination {_list([_range(one) for one in rule.destination])};",
        *(["negate-destination yes;"] if rule.negate_destination else []),
        f"protocol {_PROTOCOLS[rule.protocol]};",
        f"port {ports};",
        f"application {_list([rule.application])};",
    ]


def _security_lines(rule: SecurityRule) -> list[str]:
    return [
        f"from {_list(rule.from_zones)};",
        f"source {_list([_range(one) for one in rule.source])};",
        *(["negate-source yes;"] if rule.negate_source else []),
        "source-region none;",
        f"to {_list(rule.to_zones)};",
        f"destination {_list([_range(one) for one in rule.destination])};",
        *(["negate-destination yes;"] if rule.negate_destination else []),
        "destination-region none;",
        "user any;",
        "source-device any;",
        "destinataion-device any;",  # the device's own spelling
        "category any;",
        f"application/service {_list(_services(rule))};",
        f"action {rule.action};",
        "icmp-unreachable: no",
        "terminal yes;",
        *([f"type {rule.rule_type};"] if rule.rule_type != "universal" else []),
    ]


def _list(values: Sequence[str]) -> str:
    quoted = [f'"{value}"' if " " in value else value for value in values]
    if not quoted:
        return "any"
    return quoted[0] if len(quoted) == 1 else f"[ {' '.join(quoted)} ]"


def _range(addresses: AddressRange) -> str:
    first, last = ip_address(addresses.first), ip_address(addresses.last)
    if first == last:
        return f"{first}"
    network, *more = summarize_address_range(first, last)
    return f"{first}-{last}" if more else f"{network}"


def _services(rule: SecurityRule) -> list[str]:
    pairs = [
        f"any/{_PROTOCOLS.get(service.protocol, service.protocol)}/{source}/{destination}"
        for service in rule.services
        for source, destination in product(
            _ports(service.source_ports), _ports(service.destination_ports)
        )
    ]
    return [f"{number}:{pair}" for number, pair in enumerate(pairs or ["any/any/any/any"])]


def _ports(ranges: tuple[tuple[int, int], ...]) -> list[str]:
    shown = [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges]
    return shown or ["any"]
