"""The traffic log: entries from sessions, with the field names of the XML log. Times are UTC."""

from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct, field

_PROTOCOL_NAMES = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah"} | {
    58: "ipv6-icmp",
    89: "ospf",
    132: "sctp",
}


def protocol_name(protocol: int) -> str:
    return _PROTOCOL_NAMES.get(protocol, str(protocol))


def time_text(at_ns: int) -> str:
    """Wall clock nanoseconds as the log writes times."""
    return _second_text(at_ns // 1_000_000_000)


@lru_cache(maxsize=256)  # sessions that end together started close together
def _second_text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y/%m/%d %H:%M:%S")


class Entry(Struct, frozen=True, gc=False):
    """One line of the log (fact sheet 8)."""

    subtype: str  # start, end, drop, deny
    time_generated: str
    start: str
    elapsed: int  # s
    sessionid: int  # 0 where a denied packet made no session
    src: str
    dst: str
    natsrc: str
    natdst: str
    sport: int
    dport: int
    natsport: int
    natdport: int
    proto: str
    from_: str = field(name="from")
    to: str
    inbound_if: str
    outbound_if: str
    app: str
    rule: str
    action: str
    bytes: int
    bytes_sent: int
    bytes_received: int
    packets: int
    pkts_sent: int
    pkts_received: int
    session_end_reason: str
    tracker_stage: str
    offloaded: int = 0
    srcuser: str = ""
    category: str = "any"
    parent_session_id: int = 0
    record: str = "traffic"
