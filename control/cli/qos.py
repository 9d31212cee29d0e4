"""`show qos interface`: what is guaranteed to the classes of an interface, and what they sent."""

from __future__ import annotations

from control.cli.answers import RefusedError
from control.management import Management, QosClassStatus

_COLUMNS = (
    "class  priority     guaranteed          max                bytes       packets      drops"
)


async def interface(management: Management, name: str) -> str:
    port = next((one for one in management.snapshot().ports if one.name == name), None)
    if port is None:
        raise RefusedError(f"there is no interface {name}: show interface all lists them")
    if port.qos is None:
        raise RefusedError(f"interface {name} has no QoS: set network qos interface {name}")
    lines = [
        f"Interface: {name}, maximum: {_rate(port.qos.max_bps)}",
        "",
        _COLUMNS,
        "-" * len(_COLUMNS),
        *map(_row, await management.qos_classes(name)),
    ]
    return "\n".join(lines) + "\n"


def _row(one: QosClassStatus) -> str:
    guaranteed = _rate(one.guaranteed_bps) if one.guaranteed_bps else "-"
    return (
        f"{one.number:<6d} {one.priority:<9s} {guaranteed:>13s} {_rate(one.max_bps):>12s}"
        f" {one.bytes:>20d} {one.packets:>13d} {one.drops:>10d}"
    )


def _rate(bps: int) -> str:
    """In the unit of the configuration, or the next smaller ones where that would round."""
    if not bps:
        return "unlimited"
    if bps % 1000:
        return f"{bps} bps"
    return f"{bps // 10**6} Mbps" if bps % 10**6 == 0 else f"{bps // 1000} kbps"
