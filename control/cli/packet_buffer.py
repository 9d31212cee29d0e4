"""`show session packet-buffer-protection`: what one source may fill of the packets that wait."""

from __future__ import annotations

from control.cli.answers import ask
from control.management import Management
from dataplane.messages import Counters, GetCounters, GetStatus, Status

_COUNTED = {
    "pkt_buf_protect_red": "Packets dropped at random",
    "pkt_buf_protect_discard": "Packets of discarded sources",
    "pkt_buf_protect_block_ip": "Sources blocked",
}


async def show(management: Management) -> str:
    status = await ask(management, GetStatus(), Status)
    counters = (await ask(management, GetCounters(), Counters)).counters
    snapshot = management.snapshot()
    settings = snapshot.buffer_protection
    zones = [zone.name for zone in snapshot.zones if zone.buffer_protection]
    values = {counter.name: counter.value for counter in counters}
    facts = {
        "Packet buffer protection": "enabled" if settings.enabled else "disabled",
        "Monitor only": "yes" if settings.monitor_only else "no",
        "Zones": ", ".join(zones) or "none",
        "Alert": f"{settings.alert_percent}%",
        "Activate": f"{settings.activate_percent}%",
        "Block hold time": f"{settings.block_hold_s} secs",
        "Block duration": f"{settings.block_duration_s} secs",
        "Packets waiting": f"{status.held} of {status.max_held}",
        "Utilization": f"{status.held * 100 // max(status.max_held, 1)}%",
    } | {label: f"{values.get(name, 0)}" for name, label in _COUNTED.items()}
    return "".join(f"{label + ':':<34s} {value}\n" for label, value in facts.items())
