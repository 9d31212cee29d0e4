"""What only the whole tree shows of policy-based forwarding."""

from __future__ import annotations

from collections.abc import Iterator

from control.config import paths
from control.config.errors import Problem, shown
from control.config.network import LogicalInterface, Networks, interfaces
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.value_types import Address, address

_MAX_RETURN_NEXTHOPS = 8
_RETURNS = ("enforce-symmetric-return", "nexthop-address-list")


def forwarding_problems(tree: Tree) -> Iterator[Problem]:
    known = interfaces(tree)
    own = {
        found.ip: interface.name for interface in known.values() for found, _ in interface.addresses
    }
    for name, rule in tree.entries(*paths.PBF_RULES).items():
        path = (*paths.PBF_RULES, name)
        yield from _from(path, rule, known)
        forward = rule.get("action", "forward")
        if forward:
            yield from _forward((*path, "action", "forward"), forward, known, own)
        returns = rule.members(*_RETURNS)
        if len(returns) > _MAX_RETURN_NEXTHOPS:
            message = f"{len(returns)} routers are listed; at most {_MAX_RETURN_NEXTHOPS} can be"
            yield Problem(max(returns.values()), path_text((*path, *_RETURNS)), message)


def _from(
    path: tuple[str, ...], rule: Tree, known: dict[str, LogicalInterface]
) -> Iterator[Problem]:
    for element in ("zone", "interface"):
        node = rule.get("from", element)
        if node and not node.values:
            yield Problem(node.line, path_text((*path, "from")), f"missing: {element}")
    for name, line in rule.members("from", "interface").items():
        if name in known and not known[name].is_routed:
            message = f"{shown(name)} is a {known[name].mode} interface; only routed ones forward"
            yield Problem(line, path_text((*path, "from", "interface")), message)


def _forward(
    path: tuple[str, ...],
    forward: Tree,
    known: dict[str, LogicalInterface],
    own: dict[Address, str],
) -> Iterator[Problem]:
    egress = known.get(forward.value("egress-interface") or "")
    if egress and egress.mode not in ("layer3", "tunnel"):
        message = f"{shown(egress.name)} is a {egress.mode} interface; layer3 or tunnel is right"
        line = forward.members("egress-interface")[egress.name]
        yield Problem(line, path_text((*path, "egress-interface")), message)
    for text, line in forward.members("nexthop", "ip-address").items():
        try:
            nexthop = address(text)
        except ValueError:
            continue
        where = path_text((*path, "nexthop", "ip-address"))
        if nexthop in own:
            message = f"{nexthop} is the firewall's own address on {own[nexthop]}"
            yield Problem(line, where, message)
        elif egress and not _is_on(egress, nexthop):
            message = f"{nexthop} is on no network of {egress.name}; correct one of them"
            yield Problem(line, where, message)
    monitor = forward.get("monitor")
    if monitor and not (forward.get("nexthop") or monitor.get("ip-address")):
        message = "there is no next hop to watch; set ip-address"
        yield Problem(monitor.line, path_text((*path, "monitor")), message)


def _is_on(egress: LogicalInterface, nexthop: Address) -> bool:
    if nexthop.is_link_local:
        return egress.ipv6
    return nexthop in Networks(found.network for found, _ in egress.addresses)
