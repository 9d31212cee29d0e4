"""Monitors of policy-based forwarding: a host is asked for echoes through the rule's own path.

The question leaves by the rule's egress interface and towards its next hop, whatever the routes
say: its socket is bound to the interface and marks it with the path's number. A host that has not
answered so many in a row counts as unreachable until it answers again.

This file is an edge: it owns sockets and waits.
"""

import asyncio
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from dataplane.snapshot import Path, PbfRule, Port

_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_TYPES = {4: (8, 0), 6: (128, 129)}  # question, answer
_PROTOCOLS = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_ANSWER_BYTES = 2048

LOG = logging.getLogger(__name__)


class Target(NamedTuple):
    rule: str
    address: str
    interface: str
    path: int  # 0: by the routes
    interval_s: float
    threshold: int
    disables: bool  # whether the rule is left out without answers


def targets(rules: Iterable[PbfRule], ports: Iterable[Port], paths: Iterable[Path]) -> list[Target]:
    interfaces = {port.name: port.interface for port in ports}
    numbers = {(path.port, path.nexthop): path.number for path in paths}
    return [
        Target(
            rule.name,
            rule.monitor.address,
            interfaces[rule.egress],
            numbers.get((rule.egress, rule.nexthop), 0),
            rule.monitor.interval_s,
            rule.monitor.threshold,
            rule.monitor.disable_if_unreachable,
        )
        for rule in rules
        if rule.monitor and rule.egress in interfaces
    ]


class Monitors:
    """`changed` is called when another rule is unreachable, or one is not any more."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._watches: dict[Target, asyncio.Task[None]] = {}
        self._silent: set[str] = set()

    def watch(self, wanted: Iterable[Target]) -> None:
        """These and no others; those that stay go on as they are."""
        wanted = set(wanted)
        for target in self._watches.keys() - wanted:
            self._watches.pop(target).cancel()
        for target in wanted - self._watches.keys():
            self._watches[target] = asyncio.create_task(self._watch(target))
        gone = self._silent - {target.rule for target in wanted}
        if gone:
            self._silent -= gone
            self._changed()

    def unreachable(self) -> tuple[str, ...]:
        """The rules whose host does not answer."""
        return tuple(sorted(self._silent))

    def disabled(self) -> tuple[str, ...]:
        """Those of them that are left out because of it."""
        disabling = {target.rule for target in self._watches if target.disables}
        return tuple(sorted(self._silent & disabling))

    async def stop(self) -> None:
        watches = list(self._watches.values())
        self._watches.clear()
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        missed = sequence = 0
        while True:
            started_s = loop.time()
            is_answered = await _is_answered(target, sequence)
            sequence = (sequence + 1) & 0xFFFF
            missed = 0 if is_answered else missed + 1
            self._note(target, missed)
            await asyncio.sleep(max(0.0, started_s + target.interval_s - loop.time()))

    def _note(self, target: Target, missed: int) -> None:
        before = target.rule in self._silent
        if missed >= target.threshold and not before:
            self._silent.add(target.rule)
            LOG.warning("rule %s: monitored host %s does not answer", target.rule, target.address)
            self._changed()
        elif not missed and before:
            self._silent.remove(target.rule)
            LOG.warning("rule %s: monitored host %s answers again", target.rule, target.address)
            self._changed()


async def _is_answered(target: Target, sequence: int) -> bool:
    """Asks once, and waits for the answer for as long as the interval."""
    version = ipaddress.ip_address(target.address).version
    identifier = os.getpid() & 0xFFFF
    try:
        with _socket(target, version) as sock:
            await asyncio.get_running_loop().sock_sendto(
                sock, _question(version, identifier, sequence), (target.address, 0)
            )
            async with asyncio.timeout(target.interval_s):
                while True:
                    data = await asyncio.get_running_loop().sock_recv(sock, _ANSWER_BYTES)
                    if _is_answer(version, data, identifier, sequence):
                        return True
    except (OSError, TimeoutError):  # no way there is no answer either
        return False


def _socket(target: Target, version: int) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _PROTOCOLS[version])
    try:
        name = os.fsencode(target.interface)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, target.path)
    except OSError:
        sock.close()
        raise
    return sock


def _question(version: int, identifier: int, sequence: int) -> bytes:
    kind, _ = _TYPES[version]
    echo = _ECHO.pack(kind, 0, 0, identifier, sequence)
    if version == 6:
        return echo  # the kernel computes the checksum
    return _ECHO.pack(kind, 0, _checksum(echo), identifier, sequence)


def _is_answer(version: int, data: bytes, identifier: int, sequence: int) -> bool:
    if version == 4:  # a raw socket gives the IPv4 header too
        data = data[(data[0] & 0xF) * 4 :] if data else data
    if len(data) < _ECHO.size:
        return False
    kind, _, _, *rest = _ECHO.unpack_from(data)
    return kind == _TYPES[version][1] and rest == [identifier, sequence]


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
