"""`show qos interface`: what is guaranteed to the classes of an interface, and what they sent."""

from __future__ import annotations

from control.cli.answers import RefusedError
from control.management import Management, QosClassStatus

_WIDTHS = (5, 9, 13, 13, 20, 14, 10)
_TITLES = ("class", "priority", "guaranteed", "max", "bytes", "packets", "drops")


async def interface(management: Management, name: str) -> str:
    port = next((one for one in management.snapshot().ports if one.name == name), None)
    if port is None:
        raise RefusedError(f"there is no interface {name}: show interface all lists them")
    if port.qos is None:
        raise RefusedError(f"interface {name} has no QoS: set network qos interface {name}")
    lines = [
        f"Interface: {name}, maximum: {_rate(port.qos.max_bps)}",
        "",
        _row(*_TITLES),
        "-" * (sum(_WIDTHS) + len(_WIDTHS) - 1),
        *map(_class, await management.qos_classes(name)),
    ]
    return "\n".join(lines) + "\n"


def _class(one: QosClassStatus) -> str:
    guaranteed = _rate(one.guaranteed_bps) if one.guaranteed_bps else "-"
    counted = (f"{one.bytes}", f"{one.packets}", f"{one.drops}")
    return _row(f"{one.number}", one.priority, guaranteed, _rate(one.max_bps), *counted)


def _row(*cells: str) -> str:
    return " ".join(
        f"{cell:<{width}s}" if place < 2 else f"{cell:>{width}s}"
        for place, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )


def _rate(bps: int) -> str:
    """In the unit of the configuration, or the next smaller ones where that would round."""
    if not bps:
        return "unlimited"
    if bps % 1000:
        return f"{bps} bps"
    return f"{bps // 10**6} Mbps" if bps % 10**6 == 0 else f"{bps // 1000} kbps"
