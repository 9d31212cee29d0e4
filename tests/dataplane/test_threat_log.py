"""The threat log: what the engine tells, in the vendor's words."""

import json
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from dataplane.threat_log import threat_entry
from native import (
    COUNTERS,
    FLOODS,
    PROTECTIONS,
    SCANS,
    FlowKey,
    Threat,
    ThreatType,
)

NUMBERS = {info.name: info.number for info in COUNTERS}
KEYS = {
    4: FlowKey(
        ip_address("::ffff:192.0.2.9").packed,
        ip_address("::ffff:198.51.100.7").packed,
        40001,
        80,
        1,
        6,
        4,
    ),
    6: FlowKey(
        ip_address("2001:db8::9").packed, ip_address("2001:db8::7").packed, 40001, 53, 1, 17, 6
    ),
}


def fields(
    kind: ThreatType, what: int, reason: str, action: str = "alert", family: int = 4, rule: str = ""
) -> dict[str, Any]:
    """Of the line in the log."""
    number = NUMBERS[reason] if reason else 0
    threat = Threat(5, KEYS[family], len(rule), 12, 3, number, kind, what, action)
    entry = threat_entry(
        threat, time_generated="2026/01/01 10:00:00", zone="untrust", port="ethernet1/2", rule=rule
    )
    found: dict[str, Any] = json.loads(msgspec.json.encode(entry))
    return found


def test_every_field() -> None:
    assert fields(ThreatType.FLOOD, 0, "flow_dos_red_tcp") == {
        "record": "threat",
        "type": "THREAT",
        "subtype": "flood",
        "time_generated": "2026/01/01 10:00:00",
        "src": "192.0.2.9",
        "dst": "198.51.100.7",
        "sport": 40001,
        "dport": 80,
        "proto": "tcp",
        "from": "untrust",
        "inbound_if": "ethernet1/2",
        "rule": "",
        "action": "random-drop",
        "threatid": "TCP Flood(8501)",
        "severity": "critical",
        "repeatcnt": 12,
        "reason": "flow_dos_red_tcp",
        "app": "not-applicable",
        "category": "any",
        "direction": "client-to-server",
    }


def test_the_other_family_and_a_rule() -> None:
    found = fields(ThreatType.FLOOD, 1, "flow_dos_rule_drop_classified", family=6, rule="servers")
    assert (found["src"], found["dst"], found["proto"]) == ("2001:db8::9", "2001:db8::7", "udp")
    assert (found["rule"], found["dport"]) == ("servers", 53)


SCAN_TEXTS = [
    "SCAN: TCP Port Scan(8001)",
    "SCAN: Host Sweep(8002)",
    "SCAN: UDP Port Scan(8003)",
    "SCAN: IP Protocol Scan(8006)",
]
FLOOD_TEXTS = [
    "TCP Flood(8501)",
    "UDP Flood(8502)",
    "ICMP Flood(8503)",
    "ICMPv6 Flood(8504)",
    "Other IP Flood(8505)",
]


@pytest.mark.parametrize(
    ("kind", "names", "subtype", "severity"),
    [
        (ThreatType.FLOOD, FLOOD_TEXTS, "flood", "critical"),
        (ThreatType.SCAN, SCAN_TEXTS, "scan", "medium"),
        (ThreatType.PACKET, [check.element for check in PROTECTIONS], "packet", "low"),
        (ThreatType.SESSION_LIMIT, ["Session Limit Event(8801)"], "flood", "critical"),
        (ThreatType.BUFFER, ["PBP Alert"], "flood", "critical"),
    ],
)
def test_names_and_severities(
    kind: ThreatType, names: list[str], subtype: str, severity: str
) -> None:
    counts = {ThreatType.FLOOD: FLOODS, ThreatType.SCAN: SCANS, ThreatType.PACKET: PROTECTIONS}
    assert len(names) == len(counts.get(kind, names))
    for what, name in enumerate(names):
        found = fields(kind, what, "")
        assert (found["threatid"], found["subtype"], found["severity"]) == (name, subtype, severity)


@pytest.mark.parametrize(
    ("kind", "reason", "configured", "action"),
    [
        (ThreatType.FLOOD, "", "alert", "alert"),
        (ThreatType.FLOOD, "flow_dos_red_tcp", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_red_udp", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_red_icmp", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_red_icmp6", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_red_ip", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_syncookie_sent", "alert", "syncookie-sent"),
        (ThreatType.FLOOD, "flow_dos_rule_drop_aggr", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_rule_drop_classified", "alert", "random-drop"),
        (ThreatType.FLOOD, "flow_dos_rule_deny", "alert", "drop"),
        (ThreatType.SCAN, "", "alert", "alert"),
        (ThreatType.SCAN, "flow_scan_drop", "block", "drop"),
        (ThreatType.SCAN, "flow_scan_drop", "block-ip", "block-ip"),
        (ThreatType.PACKET, "flow_dos_pf_ipspoof", "alert", "drop"),
        (ThreatType.SESSION_LIMIT, "flow_dos_ag_max_sess_limit", "alert", "drop"),
        (ThreatType.BUFFER, "", "alert", "alert"),
        (ThreatType.BUFFER, "pkt_buf_protect_red", "alert", "random-drop"),
        (ThreatType.BUFFER, "pkt_buf_protect_discard", "block-ip", "block-ip"),
    ],
)
def test_actions(kind: ThreatType, reason: str, configured: str, action: str) -> None:
    found = fields(kind, 0, reason, configured)
    assert (found["action"], found["reason"]) == (action, reason)


@pytest.mark.parametrize(
    ("reason", "configured", "name"),
    [
        ("", "alert", "PBP Alert"),
        ("pkt_buf_protect_red", "block", "PBP Packet Drop(8507)"),
        ("pkt_buf_protect_discard", "block-ip", "PBP IP Blocked(8509)"),
    ],
)
def test_names_of_packet_buffer_protection(reason: str, configured: str, name: str) -> None:
    assert fields(ThreatType.BUFFER, 0, reason, configured)["threatid"] == name
