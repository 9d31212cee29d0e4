"""How `show log threat` prints the threat log."""

from __future__ import annotations

from msgspec import Struct

from control.cli.logs import Layout, columns, header


class _Entry(Struct, rename={"from_zone": "from"}):
    time_generated: str = ""
    subtype: str = ""
    from_zone: str = ""
    inbound_if: str = ""
    src: str = ""
    dst: str = ""
    sport: int | str = ""
    dport: int | str = ""
    proto: str = ""
    rule: str = ""
    action: str = ""
    severity: str = ""
    repeatcnt: int | str = ""
    threatid: str = ""


def _rows(entry: _Entry) -> str:
    return columns(
        (entry.time_generated, entry.subtype, entry.from_zone, f"{entry.sport}", entry.src),
        (entry.rule, entry.action, entry.inbound_if, f"{entry.dport}", entry.dst),
        ("", entry.severity, entry.proto, f"{entry.repeatcnt}", entry.threatid),
    )


LAYOUT = Layout(
    _Entry,
    header(
        ("Time", "Type", "From", "Src Port", "Source"),
        ("Rule", "Action", "Inbound IF", "Dst Port", "Destination"),
        ("", "Severity", "Protocol", "Repeat Count", "Threat"),
    ),
    _rows,
)
