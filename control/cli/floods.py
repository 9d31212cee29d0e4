"""What limits of floods, of a zone or of a DoS rule, print as."""

from __future__ import annotations

from dataplane.messages import FloodFigures
from dataplane.snapshot import FloodLimits

_INDENT = " " * 21


def flood_lines(element: str, limits: FloodLimits | None, figures: FloodFigures) -> list[str]:
    """The limits, and what they have done."""
    lines = limit_lines(element, limits)
    return lines if limits is None else [*lines, *figure_lines(figures, limits)]


def limit_lines(element: str, limits: FloodLimits | None) -> list[str]:
    if limits is None:
        return [f"{element:<20s} enabled: no"]
    way = "SYN cookies" if limits.syn_cookies else "RED"
    return [
        f"{element:<20s} {way} enabled: yes",
        f"{_INDENT}DP alarm rate: {limits.alarm:>8d} cps, activate rate: {limits.activate:>8d} cps,"
        f" maximal rate: {limits.maximal:>8d} cps",
    ]


def figure_lines(figures: FloodFigures, limits: FloodLimits) -> list[str]:
    return [
        _figure("current", figures.rate),
        _figure("dropped", figures.dropped),
        *([_figure("cookies sent", figures.cookies)] if limits.syn_cookies else []),
    ]


def _figure(label: str, packets: int) -> str:
    return f"{_INDENT}{label + ':':<14s} {packets:>11d} packets"
