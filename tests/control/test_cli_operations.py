"""Whole answers, byte for byte, from a firewall that is a list."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from control.cli import sessions
from control.cli.answers import Refusal
from control.cli.operations import Operations
from control.cli.protocol import Choice
from control.cli.syntax import commands
from control.management import InterfaceStatus, Neighbor
from dataplane.messages import Counter, Done, Failed, Flow, GetSessions, Session
from dataplane.snapshot import (
    AcceleratedAging,
    AddressRange,
    ApplicationOverride,
    Hop,
    PbfRule,
    Route,
    SecurityRule,
    ServiceMatch,
    VirtualRouter,
)
from native import COUNTERS, TIMERS, CounterInfo
from tests.control.cli_fake import (
    PING,
    START_NS,
    FakeManagement,
    chunks,
    example,
    pings,
    refusal,
    run,
)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def firewall() -> FakeManagement:
    return FakeManagement()


# ---- show session all ----------------------------------------------------------------------------

SESSION_HEADER = """\
--------------------------------------------------------------------------------
ID          Application    State   Type Flag  Src[Sport]/Zone/Proto (translated IP[Port])
Vsys                                          Dst[Dport]/Zone (translated IP[Port])
--------------------------------------------------------------------------------
"""

NAT_PING = replace(PING, s2c=Flow("203.0.113.1", "198.51.100.150", 19, 7, "untrust"))


@pytest.mark.parametrize(
    ("session", "rows"),
    [
        pytest.param(
            NAT_PING,
            """\
42           ping           ACTIVE  FLOW  NS   192.0.2.20[7]/trust/1  (198.51.100.150[7])
vsys1                                          203.0.113.1[19]/untrust  (203.0.113.1[19])
""",
            id="the device's sample",
        ),
        pytest.param(
            PING,
            """\
42           ping           ACTIVE  FLOW       192.0.2.20[7]/trust/1  (192.0.2.20[7])
vsys1                                          203.0.113.1[19]/untrust  (203.0.113.1[19])
""",
            id="no translation",
        ),
        pytest.param(
            replace(PING, s2c=Flow("192.0.2.99", "192.0.2.20", 19, 7, "untrust"), state="DISCARD"),
            """\
42           ping           DISCARD FLOW  ND   192.0.2.20[7]/trust/1  (192.0.2.20[7])
vsys1                                          203.0.113.1[19]/untrust  (192.0.2.99[19])
""",
            id="destination translated",
        ),
        pytest.param(
            replace(PING, s2c=Flow("192.0.2.99", "192.0.2.98", 19, 7, "untrust")),
            """\
42           ping           ACTIVE  FLOW  NB   192.0.2.20[7]/trust/1  (192.0.2.98[7])
vsys1                                          203.0.113.1[19]/untrust  (192.0.2.99[19])
""",
            id="both translated",
        ),
        pytest.param(
            replace(
                PING,
                id=77,
                application="ftp-data",
                type="PRED",
                protocol=6,
                c2s=Flow("192.0.2.40", "198.51.100.7", 0, 50123, "dmz"),
                s2c=Flow("198.51.100.7", "192.0.2.40", 50123, 0, "inside"),
            ),
            """\
77           ftp-data       ACTIVE  PRED       192.0.2.40[0]/dmz/6  (192.0.2.40[0])
vsys1                                          198.51.100.7[50123]/inside  (198.51.100.7[50123])
""",
            id="predicted",
        ),
        pytest.param(
            replace(
                PING,
                c2s=Flow("2001:db8::1", "2001:db8:1::2", 40000, 443, "trust"),
                s2c=Flow("2001:db8:1::2", "2001:db8::1", 443, 40000, "untrust"),
                protocol=6,
            ),
            """\
42           ping           ACTIVE  FLOW       2001:db8::1[40000]/trust/6  (2001:db8::1[40000])
vsys1                                          2001:db8:1::2[443]/untrust  (2001:db8:1::2[443])
""",
            id="IPv6",
        ),
    ],
)
def test_show_session_all(firewall: FakeManagement, session: Session, rows: str) -> None:
    firewall.sessions = [session]
    assert run(firewall, "show session all") == SESSION_HEADER + rows


def test_no_session(firewall: FakeManagement) -> None:
    assert run(firewall, "show session all") == "No Active Sessions\n"


def test_sessions_are_printed_as_their_pages_come(firewall: FakeManagement) -> None:
    firewall.sessions = pings(5)
    texts = chunks(Operations(firewall), "show session all")
    assert [text.count("ping") for text in texts] == [2, 2, 1]
    assert "".join(texts).count("ID          Application") == 1


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("show session all filter state discard", [2]),
        ("show session all filter source 192.0.2.20 protocol icmp", [1, 2, 3]),
        ("show session all filter rule r-ping from trust to untrust type flow", [1, 2, 3]),
        ("show session all filter source-port 7 destination-port 19 application ping", [1, 2, 3]),
        ("show session all filter destination 203.0.113.9", []),
        ("show session all filter nat source", [3]),
        ("show session all filter nat none rule r-ping", [1, 2]),
        ("show session all filter nat-rule n-out", [3]),
        ("show session all filter pbf-rule isp2", [1]),
        ("show session all filter qos-rule voice", [2, 3]),
        ("show session all filter egress-interface ethernet1/9 qos-rule voice", [3]),
        ("show session all filter ingress-interface ethernet1/1", [1, 2, 3]),
    ],
)
def test_filters_reach_the_dataplane(firewall: FakeManagement, line: str, shown: list[int]) -> None:
    one, two, three = pings(3)
    firewall.sessions = [
        replace(one, pbf_rule="isp2"),
        replace(two, state="DISCARD", qos_rule="voice"),
        replace(
            three,
            s2c=NAT_PING.s2c,
            nat_rule="n-out",
            qos_rule="voice",
            egress="ethernet1/9",
        ),
    ]
    rows = [row for row in run(firewall, line).splitlines() if " FLOW " in row]
    assert [int(row.split()[0]) for row in rows] == shown


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("show session all filter count yes", 5),
        ("show session all filter count yes destination 203.0.113.9", 0),
        ("show session all filter count yes qos-rule voice", 0),
        ("show session all filter count yes ingress-interface ethernet1/1", 5),
    ],
)
def test_count(firewall: FakeManagement, line: str, count: int) -> None:
    firewall.sessions = pings(5)
    assert run(firewall, line) == f"Number of sessions that match filter: {count}\n"


def test_count_no_lists(firewall: FakeManagement) -> None:
    firewall.sessions = pings(1)
    assert run(firewall, "show session all filter count no").startswith(SESSION_HEADER)


def test_a_listing_has_an_end(firewall: FakeManagement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_LISTED", 3)
    firewall.sessions = pings(10)
    text = run(firewall, "show session all filter protocol 1")
    assert text.count(" FLOW ") == 3
    *_, last = text.splitlines()
    assert last == "Output stopped after 3 sessions, 7 left out; a filter chooses which to print"


def test_a_whole_table_is_not_read_to_count_what_is_left_out(
    firewall: FakeManagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_LISTED", 4)
    firewall.sessions = pings(1000)
    firewall.status = replace(firewall.status, allocated=1000)
    text = run(firewall, "show session all")
    assert "stopped after 4 sessions, 996 left out" in text
    assert sum(isinstance(request, GetSessions) for request in firewall.asked) == 2


# ---- show session id, clear ----------------------------------------------------------------------

DETAIL = """\
Session              42

        c2s flow:
                source:      192.0.2.20 [trust]
                dst:         203.0.113.1
                proto:       1
                sport:       7               dport:      19
                state:       INIT            type:       FLOW
                src user:    unknown
                dst user:    unknown

        s2c flow:
                source:      203.0.113.1 [untrust]
                dst:         198.51.100.150
                proto:       1
                sport:       19              dport:      7
                state:       INIT            type:       FLOW
                src user:    unknown
                dst user:    unknown

        start time                           : Thu Jan  1 10:00:00 2026
        timeout                              : 6 sec
        total byte count(c2s)                : 74
        total byte count(s2c)                : 0
        layer7 packet count(c2s)             : 1
        layer7 packet count(s2c)             : 0
        vsys                                 : vsys1
        application                          : ping
        rule                                 : r-ping
        service timeout override(index)      : False
        session to be logged at end          : True
        session in session ager              : False
        session updated by HA peer           : False
        address/port translation             : source
        nat-rule                             : n-out(vsys1)
        layer7 processing                    : completed
        longest gap between packets          : 0.000 sec
        longest time without refresh         : 0.000 sec
        URL filtering enabled                : False
        session via syn-cookies              : False
        session terminated on host           : False
        session traverses tunnel             : False
        session terminate tunnel             : False
        captive portal session               : False
        ingress interface                    : ethernet1/1
        egress interface                     : ethernet1/3
        session QoS rule                     : N/A (class 4)
        tracker stage firewall               : Aged out
        end-reason                           : aged-out
"""


def test_a_session_that_is_over(firewall: FakeManagement) -> None:
    firewall.sessions = [
        replace(
            NAT_PING,
            state="INIT",
            in_ager=False,
            tracker="Aged out",
            end_reason="aged-out",
            nat_rule="n-out",
        )
    ]
    assert run(firewall, "show session id 42") == DETAIL


@pytest.mark.parametrize("state", ["OPENING", "ACTIVE", "DISCARD", "CLOSING", "CLOSED", "FREE"])
def test_a_live_session_has_no_end_reason_yet(firewall: FakeManagement, state: str) -> None:
    """Whatever has been noted so far, as after a first FIN."""
    firewall.sessions = [replace(PING, state=state, end_reason="tcp-fin")]
    lines = run(firewall, "show session id 42").splitlines()
    assert lines[-1] == "        end-reason                           : unknown"


@pytest.mark.parametrize(
    ("now_ns", "left"),
    [
        (START_NS, "6 sec"),
        (START_NS + 1, "6 sec"),
        (START_NS + 3 * 10**9, "3 sec"),
        (START_NS + 9 * 10**9, "0 sec"),
    ],
)
def test_a_live_session_has_time_to_live(firewall: FakeManagement, now_ns: int, left: str) -> None:
    firewall.sessions = [replace(PING, now_ns=now_ns)]
    lines = run(firewall, "show session id 42").splitlines()
    timeout = lines.index("        timeout                              : 6 sec")
    assert lines[timeout + 1] == f"        time to live                         : {left}"
    assert lines[-1] == "        end-reason                           : unknown"
    assert not any("tracker" in line for line in lines)


def detail(firewall: FakeManagement, session: Session) -> list[str]:
    """What `show session id` says behind the two flows."""
    firewall.sessions = [session]
    rows = run(firewall, f"show session id {session.id}").splitlines()
    return [row.strip() for row in rows[rows.index("", rows.index("        s2c flow:")) + 1 :]]


@pytest.mark.parametrize(
    ("changed", "rows"),
    [
        pytest.param(
            {
                "offloaded": True,
                "unreported_c2s": 5,
                "unreported_s2c": 15,
                "report_packets": 16,
                "longest_gap_ms": 74_020,
                "longest_wait_ms": 1_110_300,
            },
            [
                "offload                              : Yes",
                "packets since last report(c2s)       : 5 of 16",
                "packets since last report(s2c)       : 15 of 16",
                "longest gap between packets          : 74.020 sec",
                "longest time without refresh         : 1110.300 sec",
            ],
            id="offloaded",
        ),
        pytest.param(
            {"longest_gap_ms": 9, "longest_wait_ms": 9},
            [
                "longest gap between packets          : 0.009 sec",
                "longest time without refresh         : 0.009 sec",
            ],
            id="in software",
        ),
    ],
)
def test_why_a_session_ages_although_packets_flow(
    firewall: FakeManagement, changed: dict[str, object], rows: list[str]
) -> None:
    shown = detail(firewall, replace(PING, **changed))
    first = shown.index("layer7 processing                    : completed") + 1
    assert shown[first : first + len(rows)] == rows
    assert shown[first + len(rows)].startswith("URL filtering enabled")


@pytest.mark.parametrize(
    ("changed", "rows"),
    [
        ({}, ["layer7 processing                    : completed"]),
        (
            {"s2c": Flow("192.0.2.99", "192.0.2.20", 19, 7, "untrust"), "nat_rule": "in"},
            [
                "address/port translation             : destination",
                "nat-rule                             : in(vsys1)",
            ],
        ),
        (
            {"s2c": Flow("192.0.2.99", "192.0.2.98", 19, 7, "untrust"), "nat_rule": "two words"},
            [
                "address/port translation             : source + destination",
                "nat-rule                             : two words(vsys1)",
            ],
        ),
        ({"nat_rule": "exempt"}, ["nat-rule                             : exempt(vsys1)"]),
    ],
    ids=["none", "destination", "both", "exempt"],
)
def test_what_is_translated(
    firewall: FakeManagement, changed: dict[str, object], rows: list[str]
) -> None:
    shown = detail(firewall, replace(PING, **changed))
    first = shown.index("session updated by HA peer           : False") + 1
    assert shown[first : first + len(rows)] == rows


@pytest.mark.parametrize(
    ("changed", "row"),
    [
        ({}, "session QoS rule                     : N/A (class 4)"),
        (
            {"qos_rule": "voice", "qos_class": 1},
            "session QoS rule                     : voice (class 1)",
        ),
        ({}, "session terminated on host           : False"),
        ({"is_host": True}, "session terminated on host           : True"),
        ({"syn_cookie": True}, "session via syn-cookies              : True"),
    ],
)
def test_what_else_was_decided(
    firewall: FakeManagement, changed: dict[str, object], row: str
) -> None:
    assert row in detail(firewall, replace(PING, **changed))


@pytest.mark.parametrize(
    ("rule", "row"),
    [("two", "pbf rule:    two 2"), ("given up", "pbf rule:    given up")],
)
def test_the_rule_that_forwarded_a_session_stands_in_its_first_flow(
    firewall: FakeManagement, rule: str, row: str
) -> None:
    rules = (PbfRule("one", "discard"), PbfRule("two", "forward"))
    firewall.compiled = replace(firewall.compiled, pbf_rules=rules)
    firewall.sessions = [replace(PING, pbf_rule=rule)]
    c2s, _ = run(firewall, "show session id 42").split("        s2c flow:")
    assert c2s.rstrip().endswith(f"\n                dst user:    unknown\n                {row}")


def test_timers_of_a_service_are_named_so(firewall: FakeManagement) -> None:
    label = "service timeout override(index)      :"
    assert f"{label} False" in detail(firewall, PING)
    assert f"{label} True" in detail(firewall, replace(PING, service_timeout=True))


def test_a_discarded_session_shows_it_in_both_flows(firewall: FakeManagement) -> None:
    firewall.sessions = [replace(PING, state="DISCARD")]
    text = run(firewall, "show session id 42")
    assert text.count("state:       DISCARD         type:       FLOW\n") == 2


def test_unknown_sessions(firewall: FakeManagement) -> None:
    assert refusal(firewall, "show session id 7") == "session 7 not found\n"
    assert refusal(firewall, "clear session id 7") == "session 7 not found\n"


def test_clear(firewall: FakeManagement) -> None:
    firewall.sessions = pings(9)
    assert run(firewall, "clear session id 3") == "session 3 cleared\n"
    assert [session.id for session in firewall.sessions] == [1, 2, 4, 5, 6, 7, 8, 9]
    firewall.sessions.append(replace(PING, id=99, protocol=6))
    assert run(firewall, "clear session all filter protocol 1") == "Sessions cleared\n"
    assert [session.id for session in firewall.sessions] == [99]
    assert run(firewall, "clear session all") == "Sessions cleared\n"
    assert not firewall.sessions


# ---- show session info ---------------------------------------------------------------------------

INFO = """\
target-dp: *.dp0
--------------------------------------------------------------------------------
Number of sessions supported:                    65536
Number of allocated sessions:                    16384
Number of active TCP sessions:                   10000
Number of active UDP sessions:                   5000
Number of active ICMP sessions:                  1384
Number of active GTPc sessions:                  0
Number of active GTPu sessions:                  0
Number of pending GTPu sessions:                 0
Number of active BCAST sessions:                 0
Number of active MCAST sessions:                 0
Number of active predict sessions:               0
Number of active SCTP sessions:                  0
Number of active SCTP associations:              0
Session table utilization:                       25%
Number of sessions created since bootup:         1234
Packet rate:                                     17/s
Throughput:                                      18 kbps
New connection establish rate:                   19 cps
Number of IP fragments held:                     20 (2100 bytes)
--------------------------------------------------------------------------------
Session timeout
  TCP default timeout:                           3600 secs
  TCP session timeout before SYN-ACK received:      5 secs
  TCP session timeout before 3-way handshaking:    10 secs
  TCP half-closed session timeout:                120 secs
  TCP session timeout in TIME_WAIT:                15 secs
  TCP session delayed ack timeout:                250 millisecs
  TCP session timeout for unverified RST:          30 secs
  UDP default timeout:                             30 secs
  ICMP default timeout:                             6 secs
  SCTP default timeout:                          3600 secs
  SCTP timeout before INIT-ACK received:            5 secs
  SCTP timeout before COOKIE received:             60 secs
  SCTP timeout before SHUTDOWN received:           30 secs
  other IP default timeout:                        30 secs
  Captive Portal session timeout:                  30 secs
  Session timeout in discard state:
    TCP: 90 secs, UDP: 60 secs, SCTP: 60 secs, other IP protocols: 60 secs
--------------------------------------------------------------------------------
Session accelerated aging:                       True
  Accelerated aging threshold:                   80% of utilization
  Scaling factor:                                2 X
  Accelerated aging in progress:                 False
--------------------------------------------------------------------------------
Session setup
  TCP - reject non-SYN first packet:             True
  Hardware session offloading:                   True
  Hardware UDP session offloading:               True
  IPv6 firewalling:                              True
  Strict TCP/IP checksum:                        True
  Strict TCP RST sequence:                       True
  Reject TCP small initial window:               False
  Do not refresh discard sessions:               False
  ICMP Unreachable Packet Rate:                  200 pps
--------------------------------------------------------------------------------
Offload engine
  Platform:                                      pa-5000
  Sessions offloaded:                            12
  Packets of a flow until it reports:            16
  Packets of a UDP flow until it reports:        8
  Time until a flow reports:                     unlimited
--------------------------------------------------------------------------------
Application trickling scan parameters:
  Timeout to determine application trickling:    10 secs
  Resource utilization threshold to start scan:  80%
  Scan scaling factor over regular aging:        8
--------------------------------------------------------------------------------
Session behavior when resource limit is reached: drop
--------------------------------------------------------------------------------
Pcap token bucket rate                         : 10485760
--------------------------------------------------------------------------------
Max pending queued mcast packets per session   : 0
--------------------------------------------------------------------------------
"""


def test_show_session_info(firewall: FakeManagement) -> None:
    firewall.status = replace(
        firewall.status,
        allocated=16384,
        tcp=10000,
        udp=5000,
        icmp=1384,
        packets_per_s=17,
        kbps=18,
        sessions_per_s=19,
        offloaded=12,
        fragments=20,
        fragment_bytes=2100,
    )
    assert run(firewall, "show session info") == INFO


def settings(firewall: FakeManagement) -> dict[str, str]:
    """What `show session info` says, by label."""
    rows = run(firewall, "show session info").splitlines()
    return {
        label.strip(): value.strip() for label, _, value in (row.partition(":") for row in rows)
    }


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"tcp_reject_non_syn": False}, {"TCP - reject non-SYN first packet": "False"}),
        ({"ipv6_firewalling": False}, {"IPv6 firewalling": "False"}),
        ({"strict_tcp_sequence": False}, {"Strict TCP RST sequence": "False"}),
        ({"no_refresh_on_discard": True}, {"Do not refresh discard sessions": "True"}),
        ({"fail_open": True}, {"Session behavior when resource limit is reached": "bypass"}),
        (
            {"offload": False},
            {"Hardware session offloading": "False", "Hardware UDP session offloading": "False"},
        ),
        (
            {"accelerated_aging": AcceleratedAging(False, 51, 10), "aging_accelerated": True},
            {
                "Session accelerated aging": "False",
                "Accelerated aging threshold": "51% of utilization",
                "Scaling factor": "10 X",
                "Accelerated aging in progress": "True",
            },
        ),
        (
            {"scan_threshold_percent": 52, "scan_factor": 16},
            {
                "Resource utilization threshold to start scan": "52%",
                "Scan scaling factor over regular aging": "16",
            },
        ),
        (
            {"platform": "pa-7000"},
            {
                "Platform": "pa-7000",
                "Packets of a flow until it reports": "64",
                "Packets of a UDP flow until it reports": "64",
                "Time until a flow reports": "8 secs",
            },
        ),
    ],
    ids=str,
)
def test_settings_are_shown(
    firewall: FakeManagement, changed: dict[str, object], shown: dict[str, str]
) -> None:
    before = settings(firewall)
    firewall.status = replace(firewall.status, **changed)
    assert settings(firewall) == before | shown
    assert before.items() & shown.items() == set()


def test_a_platform_without_offload_engine(firewall: FakeManagement) -> None:
    firewall.status = replace(firewall.status, platform="software", offload=False)
    text = run(firewall, "show session info")
    rule = "-" * 80
    assert f"{rule}\nOffload engine\n  Platform:{'':<37} software\n{rule}\n" in text


TIMEOUTS = {
    "timeout-tcp": "TCP default timeout",
    "timeout-tcpinit": "TCP session timeout before SYN-ACK received",
    "timeout-tcphandshake": "TCP session timeout before 3-way handshaking",
    "timeout-tcp-half-closed": "TCP half-closed session timeout",
    "timeout-tcp-time-wait": "TCP session timeout in TIME_WAIT",
    "timeout-tcpwait": "TCP session timeout after FIN/RST",
    "timeout-tcp-unverified-rst": "TCP session timeout for unverified RST",
    "timeout-udp": "UDP default timeout",
    "timeout-icmp": "ICMP default timeout",
    "timeout-default": "other IP default timeout",
    "timeout-captive-portal": "Captive Portal session timeout",
    "timeout-scan": "Timeout to determine application trickling",
    "timeout-discard-tcp": "TCP",
    "timeout-discard-udp": "UDP",
    "timeout-discard-default": "other IP protocols",
}


@pytest.mark.parametrize("knob", [timer.knob for timer in TIMERS])
def test_every_timer_is_shown(firewall: FakeManagement, knob: str) -> None:
    timeouts_s = firewall.status.timeouts_s
    firewall.status = replace(firewall.status, timeouts_s=timeouts_s | {knob: 15_999_999})
    assert re.findall(r"(\w[^:,\n]*): +15999999 secs", run(firewall, "show session info")) == [
        TIMEOUTS[knob]
    ]


def test_the_legacy_timer_stands_for_the_two_it_replaces(firewall: FakeManagement) -> None:
    timeouts_s = firewall.status.timeouts_s
    before = run(firewall, "show session info")
    firewall.status = replace(firewall.status, timeouts_s=timeouts_s | {"timeout-tcpwait": 30})
    assert run(firewall, "show session info") == before.replace(
        """\
  TCP half-closed session timeout:                120 secs
  TCP session timeout in TIME_WAIT:                15 secs
""",
        """\
  TCP session timeout after FIN/RST:               30 secs
""",
    )


# ---- show session meter, set session offload -----------------------------------------------------


def test_show_session_meter(firewall: FakeManagement) -> None:
    firewall.status = replace(
        firewall.status, vsys_max_sessions=10_000_000, allocated=1234567, vsys_throttled=89
    )
    assert run(firewall, "show session meter") == (
        """\
VSYS    Maximum    Current    Throttled
1      10000000    1234567           89
"""
    )


@pytest.mark.parametrize(("word", "shown"), [("no", "False"), ("yes", "True")])
def test_offload_is_switched(firewall: FakeManagement, word: str, shown: str) -> None:
    firewall.status = replace(firewall.status, offload=word == "no")
    said = run(firewall, f"set session offload {word}")
    label, _, rest = said.partition(":")
    assert label == "Hardware session offloading"
    until = "until a commit changes the setting or the dataplane restarts"
    assert rest.strip() == f"{shown} ({until})"
    assert settings(firewall)[label] == shown


def test_what_is_not_there_cannot_be_switched_on(firewall: FakeManagement) -> None:
    message = "platform software has no offload engine; pa-5000, pa-7000 have one"
    firewall.answer = lambda request: Failed(message)
    assert refusal(firewall, "set session offload yes") == f"{message}\n"


# ---- show counter global -------------------------------------------------------------------------


def test_show_counter_global(firewall: FakeManagement) -> None:
    firewall.counters_now_ns = 112_345_000_000
    firewall.status = replace(firewall.status, uptime_s=12.345)
    assert run(firewall, "show counter global") == (
        """\
Global counters:
Elapsed time since last sampling: 12.345 seconds

name                                   value     rate severity  category  aspect    description
--------------------------------------------------------------------------------
pkt_recv                                 120        9 info      packet    pktproc   Packets received
flow_rcv_dot1q_tag_err                     3        0 drop      flow      parse     \
Packets dropped: 802.1q tag not configured
--------------------------------------------------------------------------------
Total counters shown: 2
--------------------------------------------------------------------------------
"""
    )


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", ["pkt_recv", "flow_rcv_dot1q_tag_err"]),
        ("filter severity drop", ["flow_rcv_dot1q_tag_err"]),
        ("filter severity drop aspect pktproc", []),
        ("filter category packet", ["pkt_recv"]),
        ("filter category packet value all", ["pkt_recv", "pkt_sent"]),
        ("filter value non-zero", ["pkt_recv", "flow_rcv_dot1q_tag_err"]),
        ("name pkt_sent", ["pkt_sent"]),
    ],
)
def test_counter_filters(firewall: FakeManagement, line: str, names: list[str]) -> None:
    shown = _counters(run(firewall, f"show counter global {line}"))
    assert list(shown) == names


@pytest.mark.parametrize("counter", COUNTERS, ids=[counter.name for counter in COUNTERS])
def test_every_counter_keeps_the_columns(firewall: FakeManagement, counter: CounterInfo) -> None:
    c = counter
    firewall.counters = (Counter(c.name, 123456789, c.severity, c.category, c.aspect, c.text),)
    row = run(firewall, "show counter global").splitlines()[5]
    cells = [row[:34], row[34:44], row[54:64], row[64:74], row[74:84], row[84:]]
    assert [cell.rstrip() for cell in cells] == [
        c.name,
        " 123456789",
        c.severity,
        c.category,
        c.aspect,
        c.text,
    ]
    assert row[53] == row[63] == row[73] == row[83] == " "


def test_an_unknown_counter(firewall: FakeManagement) -> None:
    assert refusal(firewall, "show counter global name nix") == (
        'there is no global counter "nix"\n'
    )


def test_rates_and_deltas_each_have_their_own_time(firewall: FakeManagement) -> None:
    operations = Operations(firewall)

    def look(line: str) -> tuple[str, dict[str, tuple[int, int]]]:
        text = "".join(chunks(operations, line))
        return text.splitlines()[1], _counters(text)

    def at(seconds: int, received: int) -> None:
        firewall.counters_now_ns = (1000 + seconds) * 10**9
        firewall.status = replace(firewall.status, uptime_s=float(seconds))
        firewall.counters = (Counter("pkt_recv", received, "info", "packet", "pktproc", "x"),)

    plain, delta = "show counter global", "show counter global filter delta yes"
    since = "Elapsed time since last sampling: {}.000 seconds".format
    at(10, 100)
    assert look(plain) == (since(10), {"pkt_recv": (100, 10)})
    assert look(delta) == (since(10), {"pkt_recv": (100, 10)})
    at(12, 150)
    assert look(plain) == (since(2), {"pkt_recv": (150, 25)})
    at(20, 200)
    assert look(delta) == (since(10), {"pkt_recv": (100, 10)})
    assert look(delta) == (since(0), {})
    assert look(plain) == (since(8), {"pkt_recv": (200, 6)})
    assert look("show counter global filter delta no") == (since(0), {"pkt_recv": (200, 0)})
    # a dataplane that was restarted counts from zero
    at(5, 50)
    firewall.status = replace(firewall.status, pid=101)
    assert look(plain) == (since(5), {"pkt_recv": (50, 10)})
    assert look(delta) == (since(5), {"pkt_recv": (50, 10)})


def _counters(text: str) -> dict[str, tuple[int, int]]:
    rows = text.split("-" * 80 + "\n")[1].splitlines()
    assert f"Total counters shown: {len(rows)}\n" in text
    return {name: (int(value), int(rate)) for name, value, rate, *_ in map(str.split, rows)}


# ---- interfaces, routes, neighbours --------------------------------------------------------------


def port(name: str, index: int, addresses: tuple[str, ...], **changes: object) -> InterfaceStatus:
    base = InterfaceStatus(
        name=name,
        interface=f"eth{index}",
        index=index,
        mac=f"02:00:00:00:00:{index:02x}",
        is_up=True,
        speed_mbps=1000,
        is_full_duplex=True,
        mtu=1500,
        vsys=1,
        zone="trust",
        virtual_router="default",
        addresses=addresses,
    )
    return replace(base, **changes)


def test_show_interface_all(firewall: FakeManagement) -> None:
    firewall.ports = [
        port("ethernet1/1", 16, ("192.0.2.1/24",)),
        port("ethernet1/2", 17, (), is_up=False, zone="", virtual_router=""),
        port(
            "ethernet1/2.100",
            256,
            ("198.51.100.2/30", "2001:db8::1/64"),
            zone="untrust",
            tag=100,
        ),
        port("ethernet1/3", 18, (), speed_mbps=None),
        port("ethernet1/4", 0, (), mac="", is_up=False),
        port("ethernet1/5", 19, (), speed_mbps=10, is_full_duplex=False),
    ]
    assert run(firewall, "show interface all") == (
        """\
total configured hardware interfaces: 5

name                    id    speed/duplex/state        mac address
--------------------------------------------------------------------------------
ethernet1/1             16    1000/full/up              02:00:00:00:00:10
ethernet1/2             17    ukn/ukn/down(autoneg)     02:00:00:00:00:11
ethernet1/3             18    ukn/ukn/up                02:00:00:00:00:12
ethernet1/4             0     ukn/ukn/down(missing)     00:00:00:00:00:00
ethernet1/5             19    10/half/up                02:00:00:00:00:13

aggregation groups: 0


total configured logical interfaces: 6

name                id    vsys zone             forwarding               tag    address
------------------- ----- ---- ---------------- ------------------------ ------ ------------------
ethernet1/1         16    1    trust            vr:default               0      192.0.2.1/24
ethernet1/2         17    1                     N/A                      0      N/A
ethernet1/2.100     256   1    untrust          vr:default               100    198.51.100.2/30
                                                                                2001:db8::1/64
ethernet1/3         18    1    trust            vr:default               0      N/A
ethernet1/4         0     1    trust            vr:default               0      N/A
ethernet1/5         19    1    trust            vr:default               0      N/A
"""
    )


ROUTE_FLAGS = """\
flags: A:active, ?:loose, C:connect, H:host, S:static, ~:internal, R:rip, O:ospf, B:bgp,
       Oi:ospf intra-area, Oo:ospf inter-area, O1:ospf ext-type-1, O2:ospf ext-type-2, \
E:ecmp, M:multicast


"""
ROUTE_COLUMNS = (
    "destination                                 nexthop                                 "
    "metric flags      age   interface          next-AS\n"
)


def test_show_routing_route(firewall: FakeManagement) -> None:
    firewall.ports = [
        port("ethernet1/1", 1, ("192.0.2.1/24", "2001:db8::1/64")),
        port("ethernet1/2", 2, ("198.51.100.2/30",)),
        port("ethernet1/3", 3, ("203.0.113.1/24",), virtual_router="other"),
        port("ethernet1/4", 4, (), virtual_router=""),
    ]
    firewall.fib = (
        Route("192.0.2.0/24", "unicast", "ethernet1/1"),
        Route("192.0.2.1/32", "local"),
        Route("0.0.0.0/0", "unicast", "ethernet1/2", "198.51.100.1", 10),
        Route("0.0.0.0/0", "unicast", "ethernet1/1", "192.0.2.9", 20),
        Route("10.0.0.0/8", "discard", metric=10),
        Route("192.0.2.255/32", "broadcast"),
        Route("127.0.0.1/32", "local"),
        Route("172.16.0.0/12", "unicast", "", "10.9.9.9"),
        Route("2001:db8::/64", "unicast", "ethernet1/1", metric=256),
        Route("2001:db8:ffff::/48", "unicast", "ethernet1/1", "fe80::1", 1024),
        Route("fe80::/64", "unicast", "ethernet1/1", metric=256),
        Route("ff00::/8", "multicast"),
        Route("203.0.113.0/24", "unicast", "ethernet1/3", virtual_router="other"),
        Route(
            "10.1.0.0/16",
            "unicast",
            "ethernet1/1",
            "192.0.2.7",
            10,
            hops=(Hop("ethernet1/1", "192.0.2.7"), Hop("ethernet1/2", "198.51.100.1", 3)),
        ),
        Route("10.1.0.0/16", "discard", metric=10, virtual_router="other"),
    )
    firewall.compiled = replace(
        firewall.compiled,
        virtual_routers=(VirtualRouter("default", 254), VirtualRouter("other", 100)),
    )
    firewall.ages_s = {"2001:db8:ffff::/48": 1234, "192.0.2.0/24": 99}
    assert run(firewall, "show routing route") == (
        f"""\
{ROUTE_FLAGS}VIRTUAL ROUTER: default (id 1)
  ==========
{ROUTE_COLUMNS}\
0.0.0.0/0                                   198.51.100.1                            10     \
A S              ethernet1/2
0.0.0.0/0                                   192.0.2.9                               20     \
  S              ethernet1/1
10.0.0.0/8                                  discard                                 10     A S
10.1.0.0/16                                 192.0.2.7                               10     \
A S E            ethernet1/1
10.1.0.0/16                                 198.51.100.1                            10     \
A S E            ethernet1/2
192.0.2.0/24                                192.0.2.1                               0      \
A C              ethernet1/1
192.0.2.1/32                                0.0.0.0                                 0      A H
2001:db8::/64                               2001:db8::1                             0      \
A C              ethernet1/1
2001:db8:ffff::/48                          fe80::1                                 1024   \
A S        1234  ethernet1/1
total routes shown: 9

VIRTUAL ROUTER: other (id 2)
  ==========
{ROUTE_COLUMNS}\
10.1.0.0/16                                 discard                                 10     A S
203.0.113.0/24                              203.0.113.1                             0      \
A C              ethernet1/3
total routes shown: 2
"""
    )
    whole = run(firewall, "show routing route")
    only = run(firewall, "show routing route virtual-router other")
    assert only == ROUTE_FLAGS + whole[whole.index("VIRTUAL ROUTER: other") :]
    assert refusal(firewall, "show routing route virtual-router x") == (
        'there is no virtual router "x"; configured are: default, other\n'
    )


NEIGHBORS = [
    Neighbor("192.0.2.10", "02:00:00:00:01:0a", "ethernet1/1", "reachable"),
    Neighbor("192.0.2.11", "02:00:00:00:01:0b", "ethernet1/1", "stale"),
    Neighbor("192.0.2.12", "", "ethernet1/1", "incomplete"),
    Neighbor("192.0.2.13", "", "ethernet1/1", "failed"),
    Neighbor("192.0.2.14", "02:00:00:00:01:0e", "ethernet1/1", "permanent"),
    Neighbor("2001:db8::10", "02:00:00:00:01:10", "ethernet1/2", "reachable"),
]


def test_show_arp_all(firewall: FakeManagement) -> None:
    firewall.table = NEIGHBORS
    assert run(firewall, "show arp all") == (
        """\
total ARP entries in table :        5
total ARP entries shown :           5
status: s - static, c - complete, e - expiring, i - incomplete

interface         ip address      hw address        port              status   ttl
--------------------------------------------------------------------------------
ethernet1/1       192.0.2.10      02:00:00:00:01:0a ethernet1/1         c      0
ethernet1/1       192.0.2.11      02:00:00:00:01:0b ethernet1/1         e      0
ethernet1/1       192.0.2.12      (incomplete)      ethernet1/1         i      0
ethernet1/1       192.0.2.13      (incomplete)      ethernet1/1         i      0
ethernet1/1       192.0.2.14      02:00:00:00:01:0e ethernet1/1         s      0
"""
    )


def test_show_neighbor_interface_all(firewall: FakeManagement) -> None:
    firewall.table = NEIGHBORS
    *_, row = run(firewall, "show neighbor interface all").splitlines()
    assert row.split() == [
        "ethernet1/2",
        "2001:db8::10",
        "02:00:00:00:01:10",
        "ethernet1/2",
        "c",
    ]


# ---- policy, configuration, system ---------------------------------------------------------------


def _addresses(first: tuple[int, ...], last: tuple[int, ...]) -> AddressRange:
    return AddressRange(bytes(first), bytes(last))


def test_show_running_security_policy(firewall: FakeManagement) -> None:
    firewall.compiled = replace(
        firewall.compiled,
        rules=(
            SecurityRule(
                "r-dns",
                "allow",
                from_zones=("trust",),
                to_zones=("untrust",),
                source=(_addresses((192, 0, 2, 0), (192, 0, 2, 255)),),
                destination=(
                    _addresses((198, 51, 100, 8), (198, 51, 100, 8)),
                    _addresses((198, 51, 100, 9), (198, 51, 100, 9)),
                ),
                services=(ServiceMatch(17, (), ((53, 53),)),),
            ),
            SecurityRule(
                "r ranges",
                "reset-both",
                from_zones=("trust", "two words"),
                source=(_addresses((10, 0, 0, 1), (10, 0, 0, 5)),),
                negate_source=True,
                negate_destination=True,
                services=(
                    ServiceMatch(6, (), ((8000, 8000), (80, 90))),
                    ServiceMatch(17, ((53, 53),), ()),
                ),
            ),
        ),
    )
    assert run(firewall, "show running security-policy") == (
        """\
"r-dns; index: 1" {
        from trust;
        source 192.0.2.0/24;
        source-region none;
        to untrust;
        destination [ 198.51.100.8 198.51.100.9 ];
        destination-region none;
        user any;
        source-device any;
        destinataion-device any;
        category any;
        application/service 0:any/udp/any/53;
        action allow;
        icmp-unreachable: no
        terminal yes;
}

"r ranges; index: 2" {
        from [ trust "two words" ];
        source 10.0.0.1-10.0.0.5;
        negate-source yes;
        source-region none;
        to any;
        destination any;
        negate-destination yes;
        destination-region none;
        user any;
        source-device any;
        destinataion-device any;
        category any;
        application/service [ 0:any/tcp/any/8000 1:any/tcp/any/80-90 2:any/udp/53/any ];
        action reset-both;
        icmp-unreachable: no
        terminal yes;
}

"intrazone-default; index: 3" {
        from any;
        source any;
        source-region none;
        to any;
        destination any;
        destination-region none;
        user any;
        source-device any;
        destinataion-device any;
        category any;
        application/service 0:any/any/any/any;
        action allow;
        icmp-unreachable: no
        terminal yes;
        type intrazone;
}

"interzone-default; index: 4" {
        from any;
        source any;
        source-region none;
        to any;
        destination any;
        destination-region none;
        user any;
        source-device any;
        destinataion-device any;
        category any;
        application/service 0:any/any/any/any;
        action deny;
        icmp-unreachable: no
        terminal yes;
        type interzone;
}
"""
    )


def test_show_running_application_override_policy(firewall: FakeManagement) -> None:
    assert run(firewall, "show running application-override-policy") == "No rules\n"
    firewall.compiled = replace(
        firewall.compiled,
        application_overrides=(
            ApplicationOverride(
                name="esx",
                application="ssl",
                protocol=6,
                ports=((443, 443), (900, 910)),
                from_zones=("inside",),
                destination=(_addresses((198, 51, 100, 0), (198, 51, 100, 255)),),
                negate_destination=True,
            ),
            ApplicationOverride(name="any", application="own app", protocol=17, ports=((5, 5),)),
        ),
    )
    assert run(firewall, "show running application-override-policy") == (
        """\
"esx; index: 1" {
        from inside;
        source any;
        to any;
        destination 198.51.100.0/24;
        negate-destination yes;
        protocol tcp;
        port 443,900-910;
        application ssl;
}

"any; index: 2" {
        from any;
        source any;
        to any;
        destination any;
        protocol udp;
        port 5;
        application "own app";
}
"""
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "show config running",
            "set deviceconfig system hostname fw1\nset zone trust\n",
        ),
        ("show clock", "Thu Jan 01 10:00:00 UTC 2026\n"),
        (
            "show system info",
            "hostname: fw1\ntime: Thu Jan  1 10:00:00 2026\nuptime: 1 days, 2:03:04\nfamily: vm\n"
            "model: Sixtuple\nserial: unknown\nsw-version: 0.1.0\nplatform-family: pa-5000\n"
            "multi-vsys: off\noperational-mode: normal\n",
        ),
        ("exit", ""),
        ("set cli pager on", ""),
        ("", ""),
    ],
)
def test_short_answers(firewall: FakeManagement, line: str, text: str) -> None:
    assert run(firewall, line) == text


def test_the_system_is_known_without_a_dataplane(firewall: FakeManagement) -> None:
    firewall.is_down = True
    assert "\nplatform-family: unknown\n" in run(firewall, "show system info")


def test_help_lists_every_command(firewall: FakeManagement) -> None:
    text = run(firewall, "help")
    assert all(syntax.name in text for syntax in commands())


# ---- show log traffic ----------------------------------------------------------------------------

LOG_HEADER = f"""\
Time                App               From            Src Port          Source
Rule                Action            To              Dst Port          Destination
                    Src User          Dst User        End Reason
{"=" * 100}
"""


def entry(second: int) -> bytes:
    return json.dumps(
        {
            "record": "traffic",
            "subtype": "end",
            "time_generated": f"2026/01/01 10:00:{second:02d}",
            "app": "web-browsing",
            "from": "trust",
            "to": "untrust",
            "src": "192.0.2.20",
            "dst": "203.0.113.1",
            "sport": 40000 + second,
            "dport": 80,
            "rule": "r-web",
            "action": "allow",
            "session_end_reason": "tcp-fin",
            "elapsed": 3,
        }
    ).encode()


def shown(second: int) -> str:
    time = f"2026/01/01 10:00:{second:02d}"
    return f"""\
{time} web-browsing      trust           400{second:02d}             192.0.2.20
r-web               allow             untrust         80                203.0.113.1
                                                      tcp-fin
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Entries 0 to 9, the oldest in the oldest of three files, one line not whole."""
    path = tmp_path / "traffic.log"
    for name, seconds in (("traffic.log.2", (0, 1)), ("traffic.log.1", range(2, 6))):
        (tmp_path / name).write_bytes(b"".join(entry(one) + b"\n" for one in seconds))
    newest = b"".join(entry(one) + b"\n" for one in range(6, 10))
    path.write_bytes(newest + entry(10)[:40])
    return path


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("show log traffic", range(10)),
        ("show log traffic direction equal forward", range(10)),
        ("show log traffic direction equal backward", range(9, -1, -1)),
        ("show log traffic count equal 5", range(5, 10)),
        ("show log traffic direction equal backward count equal 5", range(9, 4, -1)),
    ],
)
def test_show_log_traffic(log: Path, line: str, seconds: range) -> None:
    assert run(FakeManagement(log), line) == LOG_HEADER + "".join(map(shown, seconds))


def test_every_application_name_keeps_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    path.write_bytes(entry(1).replace(b"web-browsing", b"insufficient-data") + b"\n")
    row = run(FakeManagement(path), "show log traffic").splitlines()[4]
    assert row.index("trust") == LOG_HEADER.index("From")


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert run(FakeManagement(tmp_path / "none"), "show log traffic") == LOG_HEADER


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(FakeManagement(tmp_path), "show log traffic") == f"{tmp_path}: Is a directory\n"


def test_a_long_log_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    path.write_bytes(b"".join(entry(number % 60) + b"\n" for number in range(1500)))
    *lines, last = run(FakeManagement(path), "show log traffic").splitlines()
    assert len(lines) == 4 + 3 * 1000
    assert last.startswith("Older entries left out; count equal N prints")
    text = run(FakeManagement(path), "show log traffic count equal 1400")
    assert len(text.splitlines()) == 4 + 3 * 1400


@given(st.lists(st.binary(max_size=300).filter(lambda line: b"\n" not in line), max_size=20))
def test_a_file_is_read_backward_whatever_the_block(lines: list[bytes]) -> None:
    import io

    from control.cli import logs

    file = io.BytesIO(b"\n".join(lines))
    size, logs._BLOCK_BYTES = logs._BLOCK_BYTES, 7
    try:
        found = list(logs._lines_backward(file))
    finally:
        logs._BLOCK_BYTES = size
    assert found == (lines or [b""])[::-1]


# ---- refusals ------------------------------------------------------------------------------------


def test_a_wrong_command_is_one_line(firewall: FakeManagement) -> None:
    assert refusal(firewall, "show session") == (
        'Invalid syntax. "show session" is incomplete: '
        "expected all, id, info, meter or packet-buffer-protection\n"
    )


def test_pipes_do_not_run_here(firewall: FakeManagement) -> None:
    assert refusal(firewall, "show clock | match (a+)+$").startswith("Invalid syntax. ")


def test_configure(firewall: FakeManagement) -> None:
    text = refusal(firewall, "configure")
    assert "not available in this version" in text
    assert "load config from FILE" in text


@pytest.mark.parametrize(
    "line",
    [
        "show session all",
        "show session all filter count yes",
        "show session id 1",
        "show session info",
        "show session meter",
        "set session offload no",
        "show counter global",
        "clear session all",
        "clear session id 1",
    ],
)
def test_the_dataplane_may_be_down(firewall: FakeManagement, line: str) -> None:
    firewall.is_down = True
    assert refusal(firewall, line) == "the dataplane is not running; it is being restarted\n"


def test_the_dataplane_may_go_down_in_between(firewall: FakeManagement) -> None:
    firewall.sessions = pings(5)

    def stop(request: object) -> None:
        firewall.is_down = True  # for the next question

    firewall.answer = stop
    first, last = chunks(Operations(firewall), "show session all")
    assert first.count("ping") == 2
    assert isinstance(last, Refusal)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Failed("no such zone: x"), "no such zone: x\n"),
        (Done(), "the dataplane answered GetSessions with Done instead of SessionPage\n"),
    ],
)
def test_the_dataplane_may_refuse(
    firewall: FakeManagement, answer: Failed | Done, message: str
) -> None:
    firewall.answer = lambda request: answer
    assert refusal(firewall, "show session all filter from x") == message


def test_every_command_has_an_answer(firewall: FakeManagement) -> None:
    firewall.sessions = pings(1)
    for syntax in commands():
        chunks(Operations(firewall), example(syntax.name))


@given(st.text())
def test_any_line_is_answered(line: str) -> None:
    for chunk in chunks(Operations(FakeManagement()), line):
        assert chunk.endswith("\n")


# ---- completion ----------------------------------------------------------------------------------


def offered(firewall: FakeManagement, text: str) -> tuple[int, list[Choice]]:
    answer = asyncio.run(Operations(firewall).complete(text))
    return answer.start, list(answer.choices)


@pytest.mark.parametrize(
    ("text", "start", "written"),
    [
        ("sh", 0, ["show"]),
        ("show session ", 13, ["all", "id", "info", "meter", "packet-buffer-protection"]),
        ("set s", 4, ["session", "system"]),
        ("set session offload ", 20, ["yes", "no"]),
        ("show session i", 13, ["id", "info"]),
        ("show session all", 13, ["all"]),
        ("show session all ", 17, ["filter", "|"]),
        ("show session all |", 18, ["count", "except", "match"]),
        ("show session all filter state c", 30, ["closing", "closed"]),
        ("show session all filter from t", 29, ["trust"]),
        (
            "show session all filter rule ",
            29,
            ["r-ping", '"two words"', *(["intrazone-default", "interzone-default"])],
        ),
        ('show session all filter rule "two', 29, ['"two words"']),
        ("show session all filter application ", 36, ["ping"]),
        ("show session all filter protocol ", 33, ["tcp", "udp", "icmp", "ipv6-icmp"]),
        ("show counter global filter category ", 36, ["flow", "packet"]),
        ("show counter global filter aspect p", 34, ["parse", "pktproc"]),
        ("show counter global name flow", 25, ["flow_rcv_dot1q_tag_err"]),
        ("show interface e", 15, ["ethernet1/1", "ethernet1/2"]),
        ("show interface a", 15, ["all"]),
        ("show qos interface ", 19, ["ethernet1/1", "ethernet1/2"]),
        ("show routing fib virtual-router ", 32, ["default"]),
        ("load config from ", 17, ["running-config", "new.set", "bad.set"]),
        ("load config from n", 17, ["new.set"]),
        ("sh rule vsys vsys ", 18, ["vsys1"]),
        (
            "sh rule vsys vsys vsys1 rule ",
            29,
            ["application-override", "nat", "pbf", "qos", "security"],
        ),
        (
            "sh rule vsys vsys vsys1 rule sec rules list [ r-ping ",
            53,
            ["r-ping", '"two words"', "intrazone-default", "interzone-default", "]"],
        ),
        ("sh rule vsys vsys vsys1 rule nat rules list ", 44, ["n-out"]),
        ("show session all filter nat-rule ", 33, ["n-out"]),
        ("show running nat-rule-ippool rule ", 34, ["n-out"]),
        ("test routing fib-lookup ip 192.0.2.1 ", 37, ["virtual-router"]),
        ("show clock ", 11, ["|"]),
        ("show nothing ", 13, []),
    ],
)
def test_completion(firewall: FakeManagement, text: str, start: int, written: list[str]) -> None:
    firewall.sessions = pings(1)
    found, choices = offered(firewall, text)
    assert found == start
    assert [choice.text for choice in choices if choice.text] == written


def test_help_marks_what_goes_on(firewall: FakeManagement) -> None:
    _, choices = offered(firewall, "show session ")
    assert [(choice.mark, choice.label) for choice in choices] == [
        (">", "all"),
        (">", "id"),
        ("", "info"),
        ("", "meter"),
        ("", "packet-buffer-protection"),
    ]
    _, choices = offered(firewall, "show session all ")
    assert [(choice.mark, choice.label) for choice in choices] == [
        ("+", "filter"),
        ("", "|"),
        ("", "<Enter>"),
    ]
    _, choices = offered(firewall, "show session id ")
    assert choices == [Choice("<1-4294967295>", "Session number", "")]


def test_completion_without_a_dataplane(firewall: FakeManagement) -> None:
    firewall.is_down = True
    _, choices = offered(firewall, "show counter global name ")
    assert [choice.label for choice in choices] == ["<counter>"]


@given(st.text())
def test_anything_can_be_completed(text: str) -> None:
    asyncio.run(Operations(FakeManagement()).complete(text))
