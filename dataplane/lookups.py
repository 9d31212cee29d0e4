"""What an administrator asks the running tables: which rule, which route, how much of a pool."""

from collections.abc import Iterable, Iterator

from dataplane.addresses import packed
from dataplane.messages import Match, NatPool
from dataplane.nat import Dipp, DynamicAddress, Nat
from dataplane.schedules import rules_in_force
from dataplane.slowpath.context import Tables
from dataplane.snapshot import Route
from native import Engine, FlowKey

_PORTS_PER_ADDRESS = 65_536 - 1024  # fact sheet 4.7: about 64,000
_COUNTED_ADDRESSES = 4096  # of a pool, so that the question stays bounded work


def matching_rules(tables: Tables, asked: Match, now_ns: int) -> tuple[str, ...]:
    """Names of the rules a first packet like this would match, the first alone unless every one is
    asked for. Raises ValueError for what is no packet."""
    found = _matching(tables, asked, _key(asked), now_ns)
    if asked.every:
        return tuple(found)
    first = next(found, None)
    return () if first is None else (first,)


def _key(asked: Match) -> FlowKey:
    src, dst = packed(asked.source), packed(asked.destination)
    families = [6 if ":" in address else 4 for address in (asked.source, asked.destination)]
    if families[0] != families[1]:
        raise ValueError(f"{asked.source} and {asked.destination} are not of one family")
    for what, value, highest in (
        ("protocol", asked.protocol, 255),
        ("source-port", asked.source_port, 65535),
        ("destination-port", asked.destination_port, 65535),
    ):
        if not 0 <= value <= highest:
            raise ValueError(f"{what} {value} is not within 0..{highest}")
    return FlowKey(
        src, dst, asked.source_port, asked.destination_port, 0, asked.protocol, families[0]
    )


def _matching(tables: Tables, asked: Match, key: FlowKey, now_ns: int) -> Iterator[str]:
    from_zone = _zone(tables, asked.from_zone, asked.from_interface)
    to_zone = _zone(tables, asked.to_zone, asked.to_interface)
    match asked.rulebase:
        case "security":
            policy = tables.policy
            in_force = rules_in_force(tables.in_force, now_ns + tables.wall_offset_ns)
            yield from (rule.name for rule in policy.match_all(from_zone, to_zone, key, in_force))
            if from_zone and to_zone:
                yield policy.default(from_zone, to_zone).name
        case "nat" if tables.nat is not None:
            nats = tables.nat.match_all(from_zone, to_zone, asked.to_interface, key)
            yield from dict.fromkeys(nat.rule.name for nat in nats)
        case "pbf" if tables.pbf is not None:
            yield from (r.name for r in tables.pbf.match_all(asked.from_interface, from_zone, key))
        case "qos" if tables.qos is not None:
            yield from (rule.name for rule in tables.qos.match_all(from_zone, to_zone, key))
        case "dos" if tables.dos is not None:
            ports, zones = (asked.from_interface, asked.to_interface), (from_zone, to_zone)
            wall_ns = now_ns + tables.wall_offset_ns
            yield from (r.name for r in tables.dos.match_all(ports, zones, key, wall_ns))
        case "application-override" if tables.application_overrides is not None:
            overrides = tables.application_overrides.match_all(from_zone, to_zone, key)
            yield from (rule.name for rule in overrides)
        case "nat" | "pbf" | "qos" | "dos" | "application-override":
            return
        case other:
            raise ValueError(f"{other} is no rulebase")


def _zone(tables: Tables, zone: str, port: str) -> str:
    zones = {port.zone for port in tables.ports.values() if port.zone}
    if zone and zone not in zones:
        raise ValueError(f"no port is in zone {zone}; there are {', '.join(sorted(zones))}")
    if zone or not port:
        return zone
    if port not in tables.ports_by_name:
        raise ValueError(f"interface {port} is not configured")
    return tables.ports_by_name[port].zone


def find_route(tables: Tables, address: str, virtual_router: str) -> Route | None:
    """Raises ValueError for what is no address, or a virtual router nobody configured."""
    return tables.routing.named(virtual_router).fib.lookup(packed(address))


def nat_pools(tables: Tables, native: Engine, oversubscription: int) -> Iterator[NatPool]:
    """The pools of all rules, by rule and family."""
    for nat in tables.nat.nats if tables.nat is not None else ():
        match nat.source:
            case Dipp() as dipp:
                yield from _dipp_pools(nat, dipp, native, oversubscription)
            case DynamicAddress() as dynamic:
                for family, pool in dynamic.pools.items():
                    used = native.nat_leases(dynamic.numbers[family])
                    left = pool.size - used
                    yield NatPool(nat.rule.name, "dynamic-ip", str(pool), used, left, 1)
                if dynamic.fallback is not None:
                    yield from _dipp_pools(nat, dynamic.fallback, native, oversubscription)


def _dipp_pools(nat: Nat, dipp: Dipp, native: Engine, oversubscription: int) -> Iterable[NatPool]:
    for pool in dipp.pools.values():
        counted = min(pool.size, _COUNTED_ADDRESSES)
        used = sum(native.nat_ports(pool.at(place)) for place in range(counted))
        left = pool.size * _PORTS_PER_ADDRESS * oversubscription - used
        yield NatPool(nat.rule.name, "dynamic-ip-and-port", str(pool), used, left, oversubscription)
