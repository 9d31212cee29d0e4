"""What only the whole policy shows: names used twice, groups in circles, rules without effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from control.config import paths
from control.config.applications import (
    APPLICATIONS,
    GROUPS,
    OVERRIDES,
    PREDEFINED,
    default_services,
)
from control.config.errors import Problem, shown, suggestion
from control.config.objects import Groups, Objects
from control.config.rules import Reader
from control.config.set_syntax import path_text
from control.config.shadows import dos_covers, nat_covers, pbf_covers, security_covers, shadows
from control.config.tree import Tree
from control.config.value_types import literal_addresses
from dataplane.snapshot import DosRule, NatRule, PbfRule, SecurityRule

R = TypeVar("R", SecurityRule, NatRule, PbfRule, DosRule)

_SHOWN_GROUPS = 8  # of a circle
_RULEBASES = (
    paths.SECURITY_RULES,
    paths.NAT_RULES,
    paths.PBF_RULES,
    paths.QOS_RULES,
    paths.DOS_RULES,
    paths.OVERRIDE_RULES,
)


def policy_problems(tree: Tree) -> Iterator[Problem]:
    yield from _shared_names(tree, "address", "address-group")
    yield from _shared_names(tree, "service", "service-group")
    yield from _shared_names(tree, *APPLICATIONS, *GROUPS)
    objects = Objects(tree)
    yield from _cycles(tree, "address-group", objects.address_groups)
    yield from _cycles(tree, "service-group", objects.service_groups)
    yield from _cycles(tree, *GROUPS, objects.application_groups)
    yield from _applications(tree)
    families = _Families(tree, objects.address_groups)
    for rules in _RULEBASES:
        for name, rule in tree.entries(*rules).items():
            path = (*rules, name)
            yield from _intrazone(path, rule)
            yield from _negated_any(path, rule)
            yield from _one_family(path, rule, families)
            if rules == paths.SECURITY_RULES:
                yield from _application_default(tree, path, rule, objects)
            else:
                yield from _wildcards(tree, path, rule, objects)


def unreachable_rules(tree: Tree) -> Iterator[Problem]:
    """Rules that an earlier one covers entirely.

    => the tree has no errors
    """
    rules = Reader(tree)
    yield from _unreachable(tree, paths.SECURITY_RULES, rules.security(), security_covers)
    yield from _unreachable(tree, paths.NAT_RULES, rules.nat(), nat_covers)
    yield from _unreachable(tree, paths.PBF_RULES, rules.pbf(), pbf_covers)
    yield from _unreachable(tree, paths.DOS_RULES, rules.dos(), dos_covers)


def _unreachable(
    tree: Tree,
    list_path: tuple[str, ...],
    rules: Sequence[R],
    covers_rest: Callable[[R, R], bool],
) -> Iterator[Problem]:
    lines = {name: node.line for name, node in tree.entries(*list_path).items()}
    for index, earlier in shadows(rules, covers_rest):
        name, other = rules[index].name, rules[earlier].name
        message = f"is never reached: rule {shown(other)} (line {lines[other]}) matches all of it"
        yield Problem(lines[name], path_text((*list_path, name)), message, "warning")


def _applications(tree: Tree) -> Iterator[Problem]:
    """Predefined applications are changed in one place, configured ones in another."""
    configured = tree.entries(*APPLICATIONS)
    for name, node in configured.items():
        if name in PREDEFINED:
            message = (
                f"{shown(name)} is a predefined application; set its timers in "
                f"{path_text((*OVERRIDES, name))}, or choose another name"
            )
            yield Problem(node.line, path_text((*APPLICATIONS, name)), message)
    for name, node in tree.entries(*OVERRIDES).items():
        where = path_text((*OVERRIDES, name))
        if name in PREDEFINED:
            continue
        if name in configured:
            own = path_text((*APPLICATIONS, name))
            message = f"{shown(name)} is no predefined application; set its timers in {own}"
            yield Problem(node.line, where, message)
        else:  # real devices know more
            message = f"not enforced: no predefined application is called {shown(name)}"
            message += suggestion(name, PREDEFINED)
            yield Problem(node.line, where, message, "warning")


def _shared_names(tree: Tree, objects: str, groups: str) -> Iterator[Problem]:
    """A rule names objects and groups alike."""
    for name, node in tree.entries(groups).items():
        other = tree.get(objects, name)
        if other:
            message = (
                f"{shown(name)} names something in {objects} already (line {other.line}); "
                "rename one of them"
            )
            yield Problem(node.line, path_text((groups, name)), message)


def _cycles(tree: Tree, list_name: str, groups: Groups) -> Iterator[Problem]:
    """A problem for each member that leads back to the group it is in, or to one around that."""
    edges = groups.edges()
    done: set[str] = set()
    for start in edges:
        path: dict[str, Iterator[str]] = {} if start in done else {start: iter(edges[start])}
        while path:
            group, members = next(reversed(path.items()))
            for member in members:
                if member in path:
                    line = tree.members(list_name, group, groups.member_list)[member]
                    message = f"{_circle(list(path), member)}; remove one of these members"
                    yield Problem(line, path_text((list_name, group)), message)
                elif member not in done:
                    path[member] = iter(edges[member])
                    break
            else:
                done.add(group)
                del path[group]


def _circle(path: list[str], member: str) -> str:
    circle = [path_text([name]) for name in path[path.index(member) :]]
    if len(circle) > _SHOWN_GROUPS:
        circle[_SHOWN_GROUPS - 1 : -1] = ["..."]
    return f"the group is in itself: {' > '.join([*circle, path_text([member])])}"


def _intrazone(path: tuple[str, ...], rule: Tree) -> Iterator[Problem]:
    if rule.value("rule-type") != "intrazone":
        return
    for zone, line in rule.members("to").items():
        if zone != "any":
            message = (
                f"{shown(zone)} stands in an intrazone rule, which is for traffic within "
                "the zones of from; delete to"
            )
            yield Problem(line, path_text((*path, "to")), message)


def _negated_any(path: tuple[str, ...], rule: Tree) -> Iterator[Problem]:
    for side in ("source", "destination"):
        negated = rule.members(f"negate-{side}").get("yes")
        if negated is not None and "any" in rule.members(side):
            message = f"with {side} any the rule never matches; list the addresses to leave out"
            yield Problem(negated, path_text((*path, f"negate-{side}")), message)


def _one_family(path: tuple[str, ...], rule: Tree, families: _Families) -> Iterator[Problem]:
    if rule.value("negate-source") == "yes" or rule.value("negate-destination") == "yes":
        return
    source = families.of(rule.members("source"))
    destination = families.of(rule.members("destination"))
    if source and destination and not source & destination:
        message = (
            f"never matches: the sources are IPv{min(source)}, "
            f"the destinations IPv{min(destination)}"
        )
        yield Problem(rule.line, path_text(path), message, "warning")


def _application_default(
    tree: Tree, path: tuple[str, ...], rule: Tree, objects: Objects
) -> Iterator[Problem]:
    """Applications are known by their default ports, as long as nothing looks into packets."""
    applications = rule.members("application")
    if not applications or "any" in applications:
        return
    service, line = next(iter(rule.members("service").items()), ("application-default", 0))
    if service != "application-default":
        message = (
            "applications are known by their default ports only: the rule would match more than "
            "it says; set service application-default, or application any"
        )
        yield Problem(line, path_text((*path, "service")), message)
        return
    configured = tree.entries(*APPLICATIONS)
    for name, line in applications.items():
        for leaf in objects.application_groups.leaves([name]):
            if leaf not in PREDEFINED and leaf not in configured:
                continue
            try:
                is_known = bool(default_services(tree, leaf))
            except ValueError:
                continue
            if not is_known:
                message = (
                    f"the default ports of {shown(leaf)} are not known: the rule matches every port"
                )
                yield Problem(line, path_text((*path, "application")), message, "warning")


def _wildcards(
    tree: Tree, path: tuple[str, ...], rule: Tree, objects: Objects
) -> Iterator[Problem]:
    for side in ("source", "destination"):
        for name, line in rule.members(side).items():
            for leaf in objects.address_groups.leaves([name]):
                if tree.get("address", leaf, "ip-wildcard"):
                    message = (
                        f"{shown(leaf)} is a wildcard mask, which only security rules may have; "
                        "use ip-netmask or ip-range"
                    )
                    yield Problem(line, path_text((*path, side)), message)


class _Families:
    """Address families behind names; nothing where a name cannot be resolved."""

    def __init__(self, tree: Tree, groups: Groups) -> None:
        self._tree = tree
        self._groups = groups
        self._known: dict[str, frozenset[int]] = {"any": frozenset((4, 6))}

    def of(self, names: Iterable[str]) -> frozenset[int]:
        found = [self._of_name(name) for name in names]
        return frozenset[int]().union(*found) if all(found) else frozenset()

    def _of_name(self, name: str) -> frozenset[int]:
        if name not in self._known:
            found = [self._of_object(leaf) for leaf in self._groups.leaves([name])]
            self._known[name] = frozenset(found) - {0} if all(found) else frozenset()
        return self._known[name]

    def _of_object(self, name: str) -> int:
        """0 where there is no telling."""
        node = self._tree.get("address", name)
        if node and node.get("ip-wildcard"):
            return 4
        text = name if node is None else node.value("ip-netmask") or node.value("ip-range") or ""
        try:
            return literal_addresses(text)[0].version
        except ValueError:
            return 0
