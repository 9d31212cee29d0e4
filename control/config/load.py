"""A configuration file as the daemon and the tools want it.

The tree, what is wrong with it, and the parts that are for the kernel and for people instead of the
dataplane.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from control.config import paths, schema
from control.config.errors import Problem
from control.config.network import (
    Networks,
    RouteEntry,
    ecmp,
    first_router,
    interfaces,
    route_entries,
)
from control.config.set_syntax import MAX_FILE_BYTES, parse
from control.config.tree import Tree
from control.config.validate import validate
from control.config.value_types import Network


class UnreadableError(Exception):
    """The file cannot be read; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    name: str  # of the file, for messages
    tree: Tree  # everything that could be understood
    problems: tuple[Problem, ...]  # in the order of their lines

    @property
    def errors(self) -> tuple[Problem, ...]:
        """With any, the tree cannot be compiled."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")


class StaticRoute(Struct, frozen=True):
    """A route for the kernel's tables; several of one prefix and metric are of equal cost."""

    prefix: str  # "192.0.2.0/24"
    nexthop: str | None
    interface: str | None  # port name
    metric: int
    discard: bool
    virtual_router: str = ""  # "" the first
    weight: int = 1  # among routes of equal cost


def shown_name(path: str | os.PathLike[str]) -> str:
    """Of a file, harmless to any terminal."""
    return os.fsdecode(path).encode("unicode_escape").decode()


def read_file(path: str | os.PathLike[str]) -> bytes:
    """What load_config takes, or so much of it that it is refused. Raises UnreadableError."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableError(f"{shown_name(path)}: cannot be read: {reason}") from None


def load_config(text: bytes, name: str) -> LoadedConfig:
    """Whatever the bytes are, there is an answer."""
    tree, problems = parse(text)
    return LoadedConfig(name, tree, tuple(sorted({*problems, *validate(tree)})))


def static_routes(tree: Tree) -> tuple[StaticRoute, ...]:
    """The routes in force: those by a port that is down by configuration are not.

    => the tree has no errors
    """
    known = interfaces(tree)
    routers = tree.entries(*paths.VIRTUAL_ROUTERS)
    first = first_router(tree)
    placed = {
        router: [
            (address.network, name)
            for name in node.members("interface")
            if name in known and not known[name].is_down and known[name].mode != "loopback"
            for address, _ in known[name].addresses
        ]
        for router, node in routers.items()
    }
    reachable = {router: Networks(network for network, _ in own) for router, own in placed.items()}
    settings = {router: ecmp(node) for router, node in routers.items()}

    def is_in_force(route: RouteEntry) -> bool:
        if route.discard:
            return True
        if route.interface:
            return route.interface not in known or not known[route.interface].is_down
        return route.nexthop is not None and route.nexthop in reachable[route.router]

    return tuple(
        StaticRoute(
            prefix=str(route.destination),
            nexthop=str(route.nexthop) if route.nexthop else None,
            interface=route.interface,
            metric=route.metric,
            discard=route.discard,
            virtual_router="" if route.router == first else route.router,
            weight=settings[route.router].weight(route.interface or _egress(route, placed)),
        )
        for route in route_entries(tree)
        if is_in_force(route)
    )


def _egress(route: RouteEntry, placed: Mapping[str, Iterable[tuple[Network, str]]]) -> str | None:
    """The interface a next hop is on."""
    around = [
        (network.prefixlen, name)
        for network, name in placed[route.router]
        if route.nexthop is not None and route.nexthop in network
    ]
    return max(around)[1] if around else None


def hostname(tree: Tree) -> str:
    return tree.value(*paths.HOSTNAME) or schema.default(*paths.HOSTNAME)
