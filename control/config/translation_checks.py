"""What only the whole tree shows of translation rules: pools, sizes, families.

A rule with a name that stands for nothing is left to the checks of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control.config import paths
from control.config.errors import Problem, shown
from control.config.network import LogicalInterface, interfaces
from control.config.objects import Objects
from control.config.rules import families, own_addresses, packet_families
from control.config.set_syntax import path_text
from control.config.tree import Tree
from dataplane.snapshot import AddressRange

_MAX_DYNAMIC_IP = 32_000  # consecutive addresses (fact sheet 4.7)
_POOLS = (
    ("source-translation", "dynamic-ip-and-port"),
    ("source-translation", "dynamic-ip", "fallback"),
)
_DYNAMIC_IP = ("source-translation", "dynamic-ip")
_STATIC_IP = ("source-translation", "static-ip")
_DESTINATION = ("destination-translation",)
_SERVERS = ("dynamic-destination-translation",)
_ADDRESS = "translated-address"

Ranges = tuple[AddressRange, ...]


def translation_problems(tree: Tree) -> Iterator[Problem]:
    objects, known = Objects(tree), interfaces(tree)
    for name, rule in tree.entries(*paths.NAT_RULES).items():
        for line, below, message in _Rule(rule, objects, known).problems():
            yield Problem(line, path_text((*paths.NAT_RULES, name, *below)), message)


class _Rule:
    def __init__(self, rule: Tree, objects: Objects, known: dict[str, LogicalInterface]) -> None:
        self._rule = rule
        self._objects = objects
        self._known = known

    def problems(self) -> Iterator[tuple[int, tuple[str, ...], str]]:
        """Line, path below the rule, message."""
        source, destination = self._addresses("source"), self._addresses("destination")
        for pool in _POOLS:
            if node := self._rule.get(*pool):
                yield from self._lists(pool, node)
                yield from self._interface_address(pool, node, source, destination)
        if node := self._rule.get(*_DYNAMIC_IP):
            yield from self._dynamic_ip(node)
        if node := self._rule.get(*_STATIC_IP):
            yield from self._equal(_STATIC_IP, node, source, "source")
            if node.value("bi-directional") == "yes" and (
                self._rule.get(*_DESTINATION) or self._rule.get(*_SERVERS)
            ):
                line = node.members("bi-directional")["yes"]
                message = "not together with a translation of the destination; make two rules"
                yield line, (*_STATIC_IP, "bi-directional"), message
        if node := self._rule.get(*_DESTINATION):
            yield from self._equal(_DESTINATION, node, destination, "destination", one=True)
        yield from self._families(source, destination)
        yield from self._nptv6()

    def _addresses(self, element: str) -> Ranges | None:
        """Of the rule itself; empty for any, None where it cannot be told."""
        return self._resolved(self._rule.members(element))

    def _resolved(self, names: Iterable[str]) -> Ranges | None:
        try:
            return self._objects.addresses(names)
        except ValueError:
            return None

    def _lists(
        self, below: tuple[str, ...], node: Tree
    ) -> Iterator[tuple[int, tuple[str, ...], str]]:
        found = node.get(_ADDRESS)
        if found and not found.values:
            yield found.line, (*below, _ADDRESS), "the pool is empty; list its addresses"

    def _interface_address(
        self,
        below: tuple[str, ...],
        node: Tree,
        source: Ranges | None,
        destination: Ranges | None,
    ) -> Iterator[tuple[int, tuple[str, ...], str]]:
        where = (*below, "interface-address")
        for name, line in node.members("interface-address", "interface").items():
            interface = self._known.get(name)
            if interface is None:
                continue
            text = node.value("interface-address", "ip")
            try:
                wanted = packet_families(source or (), destination or ())
                has_address = bool(own_addresses(interface, text, wanted))
            except ValueError as error:
                yield line, (*where, "ip"), str(error)
                continue
            if not has_address and text:
                message = f"{shown(text)} is no address of {name}"
                yield node.members("interface-address", "ip")[text], (*where, "ip"), message
            elif not has_address:
                family = " or ".join(f"IPv{version}" for version in sorted(wanted))
                message = f"{name} has no {family} address, as the packets of the rule need"
                yield line, (*where, "interface"), message

    def _dynamic_ip(self, node: Tree) -> Iterator[tuple[int, tuple[str, ...], str]]:
        pool = self._resolved(node.members(_ADDRESS))
        for found in pool or ():
            if (size := _size(found)) > _MAX_DYNAMIC_IP:
                message = (
                    f"{size} consecutive addresses; at most {_MAX_DYNAMIC_IP} are possible, "
                    "dynamic-ip-and-port needs fewer"
                )
                yield _line(node), (*_DYNAMIC_IP, _ADDRESS), message

    def _equal(
        self,
        below: tuple[str, ...],
        node: Tree,
        own: Ranges | None,
        element: str,
        *,
        one: bool = False,
    ) -> Iterator[tuple[int, tuple[str, ...], str]]:
        """Two ranges of one size; `one`: or a single address for all."""
        translated = self._resolved(node.members(_ADDRESS))
        if own is None or not translated:
            return
        where, line = (*below, _ADDRESS), _line(node)
        if len(translated) > 1:
            yield line, where, "more than one range; they are consecutive addresses"
        elif one and _size(translated[0]) == 1:
            return
        elif not own:
            message = f"{element} is any, which cannot go one to one; list its addresses"
            yield line, where, message
        elif len(own) > 1:
            message = f"{element} is more than one range; make a rule of each"
            yield line, where, message
        elif _size(own[0]) != _size(translated[0]):
            message = (
                f"{_size(translated[0])} addresses for the {_size(own[0])} of {element}; as many "
                "are needed"
            )
            yield line, where, message + (", or a single one" if one else "")

    def _families(
        self, source: Ranges | None, destination: Ranges | None
    ) -> Iterator[tuple[int, tuple[str, ...], str]]:
        own = families(source or ()) & families(destination or ())
        for below in (*_POOLS, _DYNAMIC_IP, _STATIC_IP, _DESTINATION, _SERVERS):
            node = self._rule.get(*below)
            translated = self._resolved(node.members(_ADDRESS)) if node else None
            if node is None or not translated or not own:
                continue
            if not families(translated) & own:
                (family,) = own if len(own) == 1 else (0,)
                message = f"no address is IPv{family}, as the packets of the rule are"
                yield _line(node), (*below, _ADDRESS), message

    def _nptv6(self) -> Iterator[tuple[int, tuple[str, ...], str]]:
        if self._rule.value("nat-type") != "nptv6":
            return
        line = self._rule.members("nat-type")["nptv6"]
        wrong = [
            " ".join(below)
            for below in (_POOLS[0], _DYNAMIC_IP, _SERVERS, (*_DESTINATION, "translated-port"))
            if self._rule.get(*below)
        ]
        if wrong:
            message = f"{wrong[0]} exchanges no prefix; static-ip and destination-translation do"
            yield line, ("nat-type",), message
        for below, element in ((_STATIC_IP, "source"), (_DESTINATION, "destination")):
            node = self._rule.get(*below)
            if node is None:
                continue
            ranges = (self._addresses(element), self._resolved(node.members(_ADDRESS)))
            if any(found and not _is_prefix(found[0]) for found in ranges):
                message = f"IPv6 prefixes are exchanged; {element} or {_ADDRESS} is something else"
                yield _line(node), (*below, _ADDRESS), message


def _line(node: Tree) -> int:
    return max(node.members(_ADDRESS).values(), default=node.line)


def _size(found: AddressRange) -> int:
    return int.from_bytes(found.last) - int.from_bytes(found.first) + 1


def _is_prefix(found: AddressRange) -> bool:
    size = _size(found)
    return (
        len(found.first) == 16
        and size & (size - 1) == 0
        and int.from_bytes(found.first) % size == 0
    )
