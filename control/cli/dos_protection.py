"""`show dos-protection`, the block table, and what clears it.

The block table is what hardware would ask before anything else; each of its entries is a source
that a scan, a classified DoS rule or packet buffer protection keeps out for a while.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from control.cli.answers import RefusedError, ask
from control.cli.floods import figure_lines, limit_lines
from control.management import Management
from dataplane.messages import (
    Block,
    BlockPage,
    ClearBlocks,
    Done,
    DosFigures,
    FloodFigures,
    GetBlocks,
    GetDosRule,
)
from dataplane.snapshot import DosLimits, DosRule
from native import FLOODS

_RULE = "-" * 90
_BLOCKS = "{:<40s}{:<40s}{:<16s}{:<14s}{:<20s}{:>8s}{:>12s}"
_TITLES = _BLOCKS.format("source", "destination", "zone", "why", "rule", "left", "dropped")
MAX_BLOCKS = 10_000  # listed at once


# ---- rules ---------------------------------------------------------------------------------------


def settings(management: Management, name: str) -> str:
    rule = _rule(management, name)
    lines = [f"Rule {rule.name}, action {rule.action}"]
    for kind, limits in _profiles(rule):
        lines += [_RULE, f"{kind} profile {limits.name}"]
        for flood in FLOODS:
            found = limits.floods.get(flood.name)
            lines += limit_lines(flood.element, found)
            if found is not None and found.block_s:
                lines.append(f"{'':<21s}block duration: {found.block_s} secs")
        most = limits.max_sessions
        lines.append(f"{'sessions':<20s} {f'maximum: {most}' if most else 'enabled: no'}")
    return _text([*lines, _RULE])


async def statistics(management: Management, name: str) -> str:
    rule = _rule(management, name)
    figures = await ask(management, GetDosRule(name), DosFigures)
    lines = [f"Rule {rule.name}, action {rule.action}"]
    limits = [one for _, one in _profiles(rule)]
    for flood in FLOODS:
        found = [one.floods[flood.name] for one in limits if flood.name in one.floods]
        if found:
            cookies = next((one for one in found if one.syn_cookies), found[0])
            none = FloodFigures(0, 0, 0)
            lines.append(flood.element)
            lines += figure_lines(figures.floods.get(flood.name, none), cookies)
    facts = {
        "current sessions": figures.sessions,
        "tracked hosts": figures.tracked,
        "packets denied": figures.denied,
        "packets allowed": figures.allowed,
        "packets dropped by session limit": figures.limited,
    }
    lines += [_RULE, *(f"{label + ':':<34s} {value:>11d}" for label, value in facts.items())]
    return _text([*lines, _RULE])


def _rule(management: Management, name: str) -> DosRule:
    rules = management.snapshot().dos_rules
    for rule in rules:
        if rule.name == name:
            return rule
    there_are = ", ".join(rule.name for rule in rules)
    raise RefusedError(
        f"no DoS protection rule {name}" + (f"; there are {there_are}" if there_are else "")
    )


def _profiles(rule: DosRule) -> Iterator[tuple[str, DosLimits]]:
    if rule.aggregate is not None:
        yield "aggregate", rule.aggregate
    if rule.classified is not None:
        yield f"classified by {rule.classified_by},", rule.classified


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# ---- the block table -----------------------------------------------------------------------------


async def blocks(management: Management, zone: str = "") -> AsyncIterator[str]:
    """Entries of a zone, or all, a page at a time."""
    yield f"{_TITLES}\n{'-' * len(_TITLES)}\n"
    cursor = listed = 0
    while True:
        page = await ask(management, GetBlocks(cursor, zone), BlockPage)
        shown = page.blocks[: MAX_BLOCKS - listed]
        listed += len(shown)
        yield "".join(map(_block, shown))
        cursor = page.cursor
        if len(shown) < len(page.blocks) or (cursor and listed == MAX_BLOCKS):
            yield f"Only the first {MAX_BLOCKS} entries are listed\n"
            return
        if not cursor:
            yield f"\nTotal blocked: {listed}\n"
            return


def _block(block: Block) -> str:
    return (
        _BLOCKS.format(
            block.source,
            block.destination or "any",
            block.zone,
            block.why,
            block.rule,
            f"{block.left_s} s",
            f"{block.dropped}",
        )
        + "\n"
    )


async def clear(management: Management, zone: str = "", source: str = "") -> str:
    """Clears the entries of a zone, of a source in it, or all."""
    cursor = count = 0
    while True:
        done = await ask(management, ClearBlocks(cursor, zone, source), Done)
        count += done.count
        cursor = done.cursor
        if not cursor:
            return f"{count} block table {'entry' if count == 1 else 'entries'} cleared\n"
