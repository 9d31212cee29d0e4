"""`show running ippool` and `show running nat-rule-ippool`: how far pools are used."""

from __future__ import annotations

from control.cli.answers import RefusedError, ask
from control.management import Management
from dataplane.messages import GetNatPools, NatPool, NatPools

_TYPES = {"dynamic-ip-and-port": "Dynamic IP/Port", "dynamic-ip": "Dynamic IP"}
_COLUMNS = (40, 15, 10, 10, 5)


async def show(management: Management) -> str:
    pools = (await ask(management, GetNatPools(), NatPools)).pools
    lines = [
        f"VSYS 1 has {len({pool.rule for pool in pools})} NAT rules, DIP and DIPP rules:",
        _row("Rule", "Type", "Used", "Available", "Ratio"),
        " ".join("-" * width for width in _COLUMNS),
        *(
            _row(pool.rule, _TYPES[pool.type], f"{pool.used}", f"{pool.available}", f"{pool.ratio}")
            for pool in pools
        ),
    ]
    return "\n".join(lines) + "\n"


async def of_rule(management: Management, rule: str) -> str:
    pools = (await ask(management, GetNatPools(), NatPools)).pools
    found = [(index, pool) for index, pool in enumerate(pools, start=1) if pool.rule == rule]
    if not found:
        raise RefusedError(f'NAT rule "{rule}" has no address pool: show running ippool lists them')
    return "\n".join(_pool(index, pool) for index, pool in found)


def _pool(index: int, pool: NatPool) -> str:
    unit = "addresses" if pool.type == "dynamic-ip" else "ports"
    lines = [
        f"VSYS 1 Rule {pool.rule}:",
        f"Rule: {pool.rule}, Pool index: {index}, type: {_TYPES[pool.type]}",
        "-" * 41,
        f"{'Addresses:':<39s} {pool.addresses}",
        f"{'Oversubscription Ratio:':<39s} {pool.ratio}",
        f"{f'Number of {unit} in use:':<39s} {pool.used}",
        f"{f'Number of {unit} available:':<39s} {pool.available}",
    ]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return " ".join(
        f"{cell:<{width}s}" if place < 2 else f"{cell:>{width}s}"
        for place, (cell, width) in enumerate(zip(cells, _COLUMNS, strict=True))
    )
