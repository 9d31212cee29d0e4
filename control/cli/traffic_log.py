"""How `show log traffic` prints the traffic log."""

from __future__ import annotations

from msgspec import Struct

from control.cli.logs import Layout, columns, header


class _Entry(Struct, rename={"from_zone": "from", "to_zone": "to"}):
    time_generated: str = ""
    app: str = ""
    from_zone: str = ""
    to_zone: str = ""
    src: str = ""
    dst: str = ""
    sport: int | str = ""
    dport: int | str = ""
    rule: str = ""
    action: str = ""
    srcuser: str = ""
    dstuser: str = ""
    session_end_reason: str = ""


def _rows(entry: _Entry) -> str:
    return columns(
        (entry.time_generated, entry.app, entry.from_zone, f"{entry.sport}", entry.src),
        (entry.rule, entry.action, entry.to_zone, f"{entry.dport}", entry.dst),
        ("", entry.srcuser, entry.dstuser, entry.session_end_reason, ""),
    )


LAYOUT = Layout(
    _Entry,
    header(
        ("Time", "App", "From", "Src Port", "Source"),
        ("Rule", "Action", "To", "Dst Port", "Destination"),
        ("", "Src User", "Dst User", "End Reason", ""),
    ),
    _rows,
)
