"""The traffic log's texts and fields."""

import json

import msgspec
import pytest

from dataplane.traffic_log import Entry, protocol_name, time_text
from tests.support.packets import Firewall, udp

NS = 1_000_000_000

FIELDS = """
    record subtype sessionid start time_generated elapsed src dst natsrc natdst sport dport
    natsport natdport proto from to inbound_if outbound_if app rule action bytes bytes_sent
    bytes_received packets pkts_sent pkts_received session_end_reason tracker_stage offloaded
    srcuser category parent_session_id
"""


def entry(number: int = 1) -> Entry:
    firewall = Firewall()
    firewall.send(udp(sport=number))
    firewall.tick(100)
    (made,) = firewall.entries()
    return made


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970/01/01 00:00:00"),
        (NS - 1, "1970/01/01 00:00:00"),
        (1_700_000_000 * NS, "2023/11/14 22:13:20"),
        (2**63 - 1, "2262/04/11 23:47:16"),
    ],
)
def test_times(at_ns: int, text: str) -> None:
    assert time_text(at_ns) == text


def test_protocol_names() -> None:
    names = [protocol_name(number) for number in (1, 6, 17, 47, 50, 51, 58, 132, 0, 255)]
    expected = ["icmp", "tcp", "udp", "gre", "esp", "ah", "ipv6-icmp", "sctp", "0", "255"]
    assert names == expected


def test_fields_have_the_names_of_the_log() -> None:
    fields = json.loads(msgspec.json.encode(entry()))
    assert set(fields) == set(FIELDS.split())
    assert fields["record"] == "traffic"
