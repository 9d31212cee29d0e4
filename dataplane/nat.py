"""NAT rules, compiled: which one a session has, and what becomes of its addresses and ports.

A rule is matched on the original packet. The destination is translated before the security policy
is asked, because its zone decides; the source after it, so that nobody who is denied takes a port
or an address of a pool.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import NamedTuple, Protocol

from dataplane.address_pool import AddressPool, by_family
from dataplane.addresses import widened
from dataplane.keyed_hash import KeyedHash
from dataplane.names import Names
from dataplane.nptv6 import Nptv6
from dataplane.policy import EVERY_RULE, Policy, bits, by_name
from dataplane.snapshot import (
    AddressRange,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    StaticIp,
)
from native import MAX_NAT_TARGETS, FlowKey

_WITH_PORTS = frozenset({1, 6, 17, 58})  # ICMP: its identifier
_TCP_UDP = (6, 17)
_FAMILIES = (4, 6)
_REMEMBERED_SOURCES = 4096  # a source opens many sessions one after the other

Lease = Callable[[int, int, bytes], int | None]  # native.Engine.nat_lease
TargetSessions = Callable[[int], int]  # native.Engine.nat_target


class Source(NamedTuple):
    """What the server sees as the client's end."""

    address: bytes  # 16 bytes
    port: int  # 0: the engine chooses it
    oversubscription: int = 0
    lease_pool: int = 0


class Destination(NamedTuple):
    """The server that is meant."""

    address: bytes  # 16 bytes
    port: int
    target: int = 0  # its number, where sessions with it are counted


class SourceTranslator(Protocol):
    families: frozenset[int]

    def translate(self, key: FlowKey) -> Source | None:
        """None where no address is left."""


class DestinationTranslator(Protocol):
    families: frozenset[int]

    def translate(self, key: FlowKey) -> Destination | None:
        """None where the address has no translation."""


class Dipp:
    """Dynamic IP and port: a source keeps its address as long as the pool stays what it is."""

    def __init__(
        self, configured: DynamicIpAndPort, oversubscription: int, secret_hash: KeyedHash
    ) -> None:
        self.pools = by_family(configured.addresses)
        self.families = frozenset(self.pools)
        self._oversubscription = oversubscription
        self._hash = secret_hash
        self._address_of = lru_cache(_REMEMBERED_SOURCES)(self._pick)

    def _pick(self, source: bytes, family: int) -> bytes | None:
        pool = self.pools.get(family)
        return None if pool is None else pool.at(self._hash(source) % pool.size)

    def translate(self, key: FlowKey) -> Source | None:
        address = self._address_of(key.src, key.family)
        if address is None:
            return None
        if key.proto in _WITH_PORTS:
            return Source(address, 0, self._oversubscription)
        return Source(address, key.sport)


class DynamicAddress:
    """Dynamic IP: the address a source has on lease; another translation once there is none."""

    def __init__(
        self, configured: DynamicIp, pool_numbers: Names, lease: Lease, fallback: Dipp | None
    ) -> None:
        self.pools = by_family(configured.addresses)
        self.families = frozenset(self.pools)
        # a pool is its addresses: rules with the same share their leases, also over commits
        self.numbers = {f: pool_numbers.number(str(pool)) for f, pool in self.pools.items()}
        self._lease = lease
        self.fallback = fallback

    def translate(self, key: FlowKey) -> Source | None:
        pool, number = self.pools[key.family], self.numbers[key.family]
        place = self._lease(number, pool.size, key.src)
        if place is not None:
            return Source(pool.at(place), key.sport, 0, number)
        return None if self.fallback is None else self.fallback.translate(key)


class StaticSource:
    """Static IP: one to one, by the place in the range."""

    def __init__(self, configured: StaticIp) -> None:
        self.families = _family(configured.original)
        self._shift = _Shift(configured.original, AddressPool((configured.translated,)))

    def translate(self, key: FlowKey) -> Source | None:
        address = self._shift.translate(key.src)
        return None if address is None else Source(address, key.sport)


class StaticDestination:
    def __init__(self, configured: DestinationTranslation) -> None:
        self._port = configured.port
        self._pools = by_family(configured.translated)
        self.families = frozenset(self._pools)
        self._shift = None
        if configured.original is not None:
            self.families &= _family(configured.original)
            (family,) = _family(configured.original)
            if family in self._pools:
                self._shift = _Shift(configured.original, self._pools[family])

    def translate(self, key: FlowKey) -> Destination | None:
        if self._shift is None:
            address: bytes | None = self._pools[key.family].at(0)
        else:
            address = self._shift.translate(key.dst)
        return None if address is None else Destination(address, _port(key, self._port))


class DistributedDestination:
    """One server a session."""

    def __init__(
        self,
        configured: DestinationTranslation,
        targets: Names,
        sessions: TargetSessions,
        secret_hash: KeyedHash,
    ) -> None:
        self._port = configured.port
        self._pools = by_family(configured.translated)
        self.families = frozenset(self._pools)
        self._hash = secret_hash
        self._sessions = sessions
        self._turns = count()
        self._choose: Callable[[FlowKey, int], int] = {
            "source-ip-hash": self._by_source,
            "ip-modulo": self._by_modulo,
            "ip-hash": self._by_hash,
            "least-sessions": self._by_sessions,
        }.get(configured.distribution, self._in_turn)
        self._targets: dict[int, list[int]] = {}
        if configured.distribution == "least-sessions":
            for family, pool in self._pools.items():
                servers = (pool.at(place) for place in range(pool.size))
                self._targets[family] = [targets.number(server.hex()) for server in servers]

    def translate(self, key: FlowKey) -> Destination | None:
        pool = self._pools[key.family]
        place = self._choose(key, pool.size) % pool.size
        target = self._targets[key.family][place] if self._targets else 0
        return Destination(pool.at(place), _port(key, self._port), target)

    def _in_turn(self, key: FlowKey, size: int) -> int:
        return next(self._turns)

    def _by_source(self, key: FlowKey, size: int) -> int:
        return self._hash(key.src)

    def _by_modulo(self, key: FlowKey, size: int) -> int:
        return int.from_bytes(key.src, "big") ^ int.from_bytes(key.dst, "big")

    def _by_hash(self, key: FlowKey, size: int) -> int:
        return self._hash(key.src + key.dst)

    def _by_sessions(self, key: FlowKey, size: int) -> int:
        sessions = [self._sessions(target) for target in self._targets[key.family]]
        return sessions.index(min(sessions))


class PrefixSource:
    def __init__(self, configured: StaticIp) -> None:
        self.families = frozenset({6})
        self._prefix = Nptv6(configured.original, configured.translated)

    def translate(self, key: FlowKey) -> Source | None:
        address = self._prefix.translate(key.src)
        return None if address is None else Source(address, key.sport)


class PrefixDestination:
    def __init__(self, original: AddressRange, translated: AddressRange) -> None:
        self.families = frozenset({6})
        self._prefix = Nptv6(original, translated)

    def translate(self, key: FlowKey) -> Destination | None:
        address = self._prefix.translate(key.dst)
        return None if address is None else Destination(address, key.dport)


class _Shift:
    """From the place in one range to the same in a pool; a smaller pool begins again."""

    def __init__(self, original: AddressRange, pool: AddressPool) -> None:
        self._first = int.from_bytes(widened(original.first), "big")
        self._last = int.from_bytes(widened(original.last), "big")
        self._pool = pool

    def translate(self, address: bytes) -> bytes | None:
        number = int.from_bytes(address, "big")
        if not self._first <= number <= self._last:
            return None
        return self._pool.at((number - self._first) % self._pool.size)


def _family(addresses: AddressRange) -> frozenset[int]:
    return frozenset({4 if len(addresses.first) == 4 else 6})


def _port(key: FlowKey, port: int) -> int:
    return port if port and key.proto in _TCP_UDP else key.dport


class Nat(NamedTuple):
    """One rule, compiled."""

    rule: NatRule
    source: SourceTranslator | None
    destination: DestinationTranslator | None


class NatTables(NamedTuple):
    """What compiled rules need of the engine: its numbers live on over commits."""

    pools: Names
    targets: Names
    lease: Lease
    target_sessions: TargetSessions
    secret_hash: KeyedHash


class NatPolicy:
    def __init__(self, rules: Sequence[NatRule], oversubscription: int, tables: NatTables) -> None:
        """Raises ValueError, which names the rule, for what cannot be translated."""
        self.nats = [_compiled(rule, oversubscription, tables) for rule in rules]
        if len(tables.targets) > MAX_NAT_TARGETS:
            raise ValueError(
                f"least-sessions has been asked for over {MAX_NAT_TARGETS - 1} servers;"
                " restart the dataplane to forget those of the past"
            )
        self._policy: Policy[NatRule, None] = Policy(rules, None, None)
        self._by_egress: Mapping[str, int] = {}
        self._other_egress = EVERY_RULE
        if any(rule.to_interface for rule in rules):
            names = [(rule.to_interface,) if rule.to_interface else () for rule in rules]
            self._by_egress, self._other_egress = by_name(names)
        # a rule is not for packets of a family it has no addresses of
        self._by_family = {
            family: bits(
                all(t is None or family in t.families for t in (nat.source, nat.destination))
                for nat in self.nats
            )
            for family in _FAMILIES
        }

    def match(self, from_zone: str, to_zone: str, egress: str, key: FlowKey) -> Nat | None:
        """By the original packet and where it would leave."""
        among = self._by_family[key.family] & self._by_egress.get(egress, self._other_egress)
        index = self._policy.find(from_zone, to_zone, key, among)
        return None if index is None else self.nats[index]

    def match_all(self, from_zone: str, to_zone: str, egress: str, key: FlowKey) -> Iterator[Nat]:
        """Every rule that matches, in order; a zone or egress "" and a port 0 may be any."""
        among = self._by_family[key.family]
        if egress:
            among &= self._by_egress.get(egress, self._other_egress)
        for index in self._policy.find_all(from_zone, to_zone, key, among):
            yield self.nats[index]


def _compiled(rule: NatRule, oversubscription: int, tables: NatTables) -> Nat:
    try:
        return Nat(rule, _source(rule, oversubscription, tables), _destination(rule, tables))
    except ValueError as error:
        raise ValueError(f"NAT rule {rule.name}: {error}") from None


def _source(rule: NatRule, oversubscription: int, tables: NatTables) -> SourceTranslator | None:
    match rule.source_translation:
        case None:
            return None
        case DynamicIpAndPort() as configured:
            return Dipp(configured, oversubscription, tables.secret_hash)
        case DynamicIp() as configured:
            fallback = None
            if configured.fallback is not None:
                fallback = Dipp(configured.fallback, oversubscription, tables.secret_hash)
            return DynamicAddress(configured, tables.pools, tables.lease, fallback)
        case StaticIp() as configured:
            is_prefix = rule.nat_type == "nptv6"
            return PrefixSource(configured) if is_prefix else StaticSource(configured)


def _destination(rule: NatRule, tables: NatTables) -> DestinationTranslator | None:
    configured = rule.destination_translation
    if configured is None:
        return None
    if configured.distribution:
        return DistributedDestination(
            configured, tables.targets, tables.target_sessions, tables.secret_hash
        )
    if rule.nat_type == "nptv6" and configured.original is not None:
        return PrefixDestination(configured.original, configured.translated[0])
    return StaticDestination(configured)
