"""`show pbf rule all`: policy-based forwarding rules and whether their monitored hosts answer."""

from __future__ import annotations

from control.management import Management
from dataplane.snapshot import PbfRule

_COLUMNS = (19, 5, 10, 8, 19, 39, 14)
_TITLES = ("Rule", "ID", "Rule State", "Action", "Egress IF/VSYS", "NextHop", "NextHop Status")


def rules(management: Management) -> str:
    unreachable = management.unreachable_pbf()
    lines = [_row(_TITLES), _row(tuple("=" * width for width in _COLUMNS))]
    for number, rule in enumerate(management.snapshot().pbf_rules, start=1):
        state, status = _states(rule, is_unreachable=rule.name in unreachable)
        egress, nexthop = rule.egress or "N/A", rule.nexthop or "N/A"
        lines.append(_row((rule.name, f"{number}", state, rule.action, egress, nexthop, status)))
    return "\n".join(lines) + "\n"


def _states(rule: PbfRule, *, is_unreachable: bool) -> tuple[str, str]:
    """Of the rule and of its next hop."""
    if rule.monitor is None:
        return "Active", "N/A"
    if not is_unreachable:
        return "Active", "UP"
    return "Disabled" if rule.monitor.disable_if_unreachable else "Active", "DOWN"


def _row(cells: tuple[str, ...]) -> str:
    shown = (f"{cell:<{width}s}" for cell, width in zip(cells, _COLUMNS, strict=True))
    return " ".join(shown).rstrip()
