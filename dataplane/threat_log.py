"""The threat log: entries from what the engine's protection has seen, with the field names of the
XML log (fact sheet 8.2). Times are UTC.

Floods are critical, scans medium, single packets low; that and the numbers of threats beside
floods and scans are this project's choice where the fact sheet is silent.
"""

from msgspec import Struct, field

from dataplane.addresses import text
from dataplane.traffic_log import protocol_name
from native import COUNTERS, FLOODS, PROTECTIONS, SCANS, Threat, ThreatType

_SUBTYPES = {
    ThreatType.FLOOD: "flood",
    ThreatType.SCAN: "scan",
    ThreatType.PACKET: "packet",
    ThreatType.SESSION_LIMIT: "flood",
    ThreatType.BUFFER: "flood",
}
_SEVERITIES = {"flood": "critical", "scan": "medium", "packet": "low"}
_COUNTERS = {info.number: info.name for info in COUNTERS}

# the vendor's words, by the counter; what is not here was dropped, too
_ACTIONS = {
    "": "alert",
    "flow_dos_red_tcp": "random-drop",
    "flow_dos_red_udp": "random-drop",
    "flow_dos_red_icmp": "random-drop",
    "flow_dos_red_icmp6": "random-drop",
    "flow_dos_red_ip": "random-drop",
    "flow_dos_rule_drop_aggr": "random-drop",
    "flow_dos_rule_drop_classified": "random-drop",
    "pkt_buf_protect_red": "random-drop",
    "flow_dos_syncookie_sent": "syncookie-sent",
}
_BUFFER_THREATS = {
    "alert": "PBP Alert",
    "random-drop": "PBP Packet Drop(8507)",
    "block-ip": "PBP IP Blocked(8509)",
}


class ThreatEntry(Struct, frozen=True, gc=False):
    """One line of the log."""

    subtype: str  # flood, scan, packet
    time_generated: str
    src: str
    dst: str
    sport: int
    dport: int
    proto: str
    from_: str = field(name="from")
    inbound_if: str
    rule: str  # of DoS protection; "" where it was the zone's profile
    action: str
    threatid: str  # "TCP Flood(8501)"
    severity: str
    repeatcnt: int
    reason: str  # the counter of what became of the packets, "" where they went on
    app: str = "not-applicable"
    category: str = "any"
    direction: str = "client-to-server"
    type: str = "THREAT"
    record: str = "threat"


def threat_entry(
    threat: Threat, *, time_generated: str, zone: str, port: str, rule: str
) -> ThreatEntry:
    """A threat with names instead of numbers."""
    key, subtype = threat.key, _SUBTYPES[ThreatType(threat.type)]
    reason = _COUNTERS[threat.reason] if threat.reason else ""
    action = "block-ip" if threat.action == "block-ip" else _ACTIONS.get(reason, "drop")
    return ThreatEntry(
        subtype=subtype,
        time_generated=time_generated,
        src=text(key.src),
        dst=text(key.dst),
        sport=key.sport,
        dport=key.dport,
        proto=protocol_name(key.proto),
        from_=zone,
        inbound_if=port,
        rule=rule,
        action=action,
        threatid=_threat_id(threat, action),
        severity=_SEVERITIES[subtype],
        repeatcnt=threat.repeat,
        reason=reason,
    )


def _threat_id(threat: Threat, action: str) -> str:
    match ThreatType(threat.type):
        case ThreatType.FLOOD:
            flood = FLOODS[threat.what]
            return f"{flood.text}({flood.id})"
        case ThreatType.SCAN:
            scan = SCANS[threat.what]
            return f"{scan.text}({scan.id})"
        case ThreatType.PACKET:
            return PROTECTIONS[threat.what].element
        case ThreatType.SESSION_LIMIT:
            return "Session Limit Event(8801)"
        case ThreatType.BUFFER:
            return _BUFFER_THREATS[action]
