"""Shaping: what a port's QoS profile says in bits a second, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator

from control.config import paths, schema
from control.config.errors import Problem, shown
from control.config.network import ports
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.value_types import mbps, percent
from dataplane.snapshot import Qos, QosClass

_PROFILE = ("regular-traffic", "default-group", "qos-profile")
_MAX = ("interface-bandwidth", "egress-max")


def shaping(tree: Tree, port: str) -> Qos | None:
    """What leaves by the port, None where that is not shaped.

    => the tree has no errors
    """
    node = tree.get(*paths.QOS_INTERFACES, port)
    return _shaping(tree, node) if node else None


def _shaping(tree: Tree, node: Tree) -> Qos | None:
    if node.value("enabled") == "no":
        return None
    profile = tree.get(*paths.QOS_PROFILES, node.value(*_PROFILE) or "") or Tree()
    limits = [mbps(node.value(*_MAX) or "0"), mbps(profile.value(*_AGGREGATE) or "0")]
    most = min((limit for limit in limits if limit), default=0)
    return Qos(most, tuple(_classes(profile, most)))


_AGGREGATE = ("aggregate-bandwidth", "egress-max")


def _classes(profile: Tree, most_bps: int) -> Iterator[QosClass]:
    for unit, node in profile.entries("class-bandwidth-type").items():
        for name, entry in node.entries("class").items():

            def rate(element: str, unit: str = unit, entry: Tree = entry) -> int:
                text = entry.value("class-bandwidth", element) or "0"
                return mbps(text) if unit == "mbps" else int(percent(text) * most_bps / 100)

            path = (*paths.QOS_PROFILES, "", "class-bandwidth-type", unit, "class", name)
            yield QosClass(
                number=int(name.removeprefix("class")),
                priority=entry.value("priority") or schema.default(*path, "priority"),
                max_bps=rate("egress-max"),
                guaranteed_bps=rate("egress-guaranteed"),
            )


def qos_problems(tree: Tree) -> Iterator[Problem]:
    for name, node in tree.entries(*paths.QOS_INTERFACES).items():
        path = path_text((*paths.QOS_INTERFACES, name))
        if name not in ports(tree):
            message = f"{shown(name)} is not a port that is configured; only ports shape"
            yield Problem(node.line, path, message)
        try:
            wanted = _shaping(tree, node)
        except ValueError:  # said where it stands
            continue
        if wanted and not wanted.max_bps:
            message = (
                "how much the port may send is not known; set interface-bandwidth egress-max, "
                "or aggregate-bandwidth egress-max of its profile"
            )
            yield Problem(node.line, path, message)
        elif wanted:
            for message in _too_much(wanted):
                yield Problem(node.line, path, message)


def _too_much(wanted: Qos) -> Iterator[str]:
    guaranteed = sum(found.guaranteed_bps for found in wanted.classes)
    if guaranteed > wanted.max_bps:
        yield (
            f"the classes are guaranteed {_shown(guaranteed)}, the port may send "
            f"{_shown(wanted.max_bps)}; guarantee less"
        )
    for found in wanted.classes:
        if found.max_bps and found.guaranteed_bps > found.max_bps:
            yield (
                f"class{found.number} is guaranteed {_shown(found.guaranteed_bps)} and may have "
                f"{_shown(found.max_bps)}; a guarantee is within the maximum"
            )
        if found.max_bps > wanted.max_bps:
            yield (
                f"class{found.number} may have {_shown(found.max_bps)}, more than the "
                f"{_shown(wanted.max_bps)} of the port; give it less"
            )


def _shown(bps: int) -> str:
    return f"{bps / 1_000_000:g} Mbit/s"
