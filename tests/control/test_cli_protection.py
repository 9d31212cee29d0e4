"""Protection against attacks at the command line: its profiles and rules, its log, its blocks."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.cli.operations import Operations
from dataplane.messages import (
    Block,
    ClearBlocks,
    Counter,
    DosFigures,
    FloodFigures,
    GetDosRule,
    GetZoneProtection,
    Match,
    ZoneFigures,
)
from dataplane.snapshot import (
    AddressRange,
    BufferProtection,
    DosLimits,
    DosRule,
    FloodLimits,
    ScanLimits,
    Schedule,
    ServiceMatch,
    Zone,
    ZoneProtection,
)
from native import FLOODS, PROTECTIONS, SCANS
from tests.control.cli_fake import SNAPSHOT, FakeManagement, refusal, run

NONE = FloodFigures(0, 0, 0)
FIGURES = ZoneFigures(
    "untrust",
    {flood.name: NONE for flood in FLOODS} | {"tcp_syn": FloodFigures(123, 45, 67)},
    {scan.name: 0 for scan in SCANS} | {"host_sweep": 8},
    {check.name: 0 for check in PROTECTIONS} | {"ip_spoof": 9, "strip_timestamp": 10},
)
PROFILE = ZoneProtection(
    "zp",
    checks=("ip_spoof", "strip_timestamp"),
    floods={
        "tcp_syn": FloodLimits(1, 0, 300_000, syn_cookies=True),
        "udp": FloodLimits(),
    },
    scans={
        "host_sweep": ScanLimits("block-ip", 10, 100, by_pair=True, block_s=300),
        "tcp_port": ScanLimits("alert", 2, 50),
    },
    tcp_asymmetric_bypass=True,
)
AGGREGATE = DosLimits("all", {"tcp_syn": FloodLimits(10, 20, 30), "udp": FloodLimits(7, 8, 9)})
EACH = DosLimits(
    "each",
    {"tcp_syn": FloodLimits(1, 0, 3, syn_cookies=True, block_s=60)},
    max_sessions=100,
)
RULES = (
    DosRule(
        "servers",
        "protect",
        from_ports=("ethernet1/2",),
        to_zones=("trust", "dmz"),
        destination=(AddressRange(ip_address("192.0.2.0").packed, ip_address("192.0.2.3").packed),),
        services=(ServiceMatch(6, (), ((80, 80),)),),
        aggregate=AGGREGATE,
        classified=EACH,
        classified_by="src-dest-ip-both",
        schedule=Schedule("office hours"),
    ),
    DosRule("rest", "deny", from_zones=("untrust",), to_ports=("ethernet1/1",)),
)


@pytest.fixture
def firewall(tmp_path: Path) -> FakeManagement:
    management = FakeManagement(tmp_path / "traffic.log")
    management.compiled = replace(
        SNAPSHOT,
        zones=(
            Zone("untrust", PROFILE, buffer_protection=True),
            Zone("trust", ZoneProtection("other")),
            Zone("dmz", buffer_protection=True),
        ),
        dos_rules=RULES,
        buffer_protection=BufferProtection(monitor_only=True),
    )
    management.zone_figures = (FIGURES, replace(FIGURES, zone="trust"))
    return management


# ---- show zone-protection ------------------------------------------------------------------------


def test_a_zone(firewall: FakeManagement) -> None:
    text = run(firewall, "show zone-protection zone untrust")
    assert firewall.asked == [GetZoneProtection("untrust")]
    line = "-" * 90
    head, filters = text.split("packet filter:\n")
    assert (
        head
        == f"""\
{line}
Number of zones with protection profile: 1
{line}
Zone untrust, vsys vsys1, profile zp
{line}
tcp-syn              SYN cookies enabled: yes
                     DP alarm rate:        1 cps, activate rate:        0 cps,\
 maximal rate:   300000 cps
                     current:               123 packets
                     dropped:                45 packets
                     cookies sent:           67 packets
{line}
udp                  RED enabled: yes
                     DP alarm rate:    10000 cps, activate rate:    10000 cps,\
 maximal rate:    40000 cps
                     current:                 0 packets
                     dropped:                 0 packets
{line}
icmp                 enabled: no
{line}
icmpv6               enabled: no
{line}
other-ip             enabled: no
{line}
scan:
  TCP Port Scan(8001):                 enabled: yes, interval: 2 secs, threshold: 50 events
                                       action: alert, packet dropped: 0
  Host Sweep(8002):                    enabled: yes, interval: 10 secs, threshold: 100 events
                                       action: block-ip track-by source-and-destination,\
 300 secs, packet dropped: 8
  UDP Port Scan(8003):                 enabled: no
  IP Protocol Scan(8006):              enabled: no
{line}
"""
    )
    lines = filters.splitlines()
    assert lines[:2] == [
        "  tcp-reject-non-syn:                            enabled: yes",
        "  asymmetric-path:                               bypass",
    ]
    assert [one for one in lines[2:-1] if "yes" in one] == [
        "  discard-ip-spoof:                              enabled: yes, packet dropped: 9",
        "  remove-tcp-timestamp:                          enabled: yes, applied: 10",
    ]
    assert [one.split(":")[0].strip() for one in lines[2:-1]] == [p.element for p in PROTECTIONS]
    assert lines[-1] == line


def test_every_zone(firewall: FakeManagement) -> None:
    text = run(firewall, "show zone-protection")
    assert "Number of zones with protection profile: 2\n" in text
    assert text.index("Zone untrust, vsys vsys1, profile zp") < text.index("profile other")


def test_frames_that_are_no_ip(firewall: FakeManagement) -> None:
    profile = replace(PROFILE, non_ip="include", non_ip_types=(0x88CC, 0x86))
    firewall.compiled = replace(SNAPSHOT, zones=(Zone("untrust", profile),))
    text = run(firewall, "show zone-protection")
    assert "non-ip-protocol      include: 0x88cc 0x0086\n" in text
    firewall.frames = {"untrust": 17}
    text = run(firewall, "show zone-protection")
    assert "non-ip-protocol      include: 0x88cc 0x0086, packet dropped: 17\n" in text


def test_no_zone_is_protected() -> None:
    text = run(FakeManagement(), "show zone-protection")
    assert text.splitlines()[1] == "Number of zones with protection profile: 0"


# ---- DoS protection ------------------------------------------------------------------------------


def test_settings_of_a_rule(firewall: FakeManagement) -> None:
    line = "-" * 90
    assert (
        run(firewall, "show dos-protection rule servers settings")
        == f"""\
Rule servers, action protect
{line}
aggregate profile all
tcp-syn              RED enabled: yes
                     DP alarm rate:       10 cps, activate rate:       20 cps,\
 maximal rate:       30 cps
udp                  RED enabled: yes
                     DP alarm rate:        7 cps, activate rate:        8 cps,\
 maximal rate:        9 cps
icmp                 enabled: no
icmpv6               enabled: no
other-ip             enabled: no
sessions             enabled: no
{line}
classified by src-dest-ip-both, profile each
tcp-syn              SYN cookies enabled: yes
                     DP alarm rate:        1 cps, activate rate:        0 cps,\
 maximal rate:        3 cps
                     block duration: 60 secs
udp                  enabled: no
icmp                 enabled: no
icmpv6               enabled: no
other-ip             enabled: no
sessions             maximum: 100
{line}
"""
    )


def test_statistics_of_a_rule(firewall: FakeManagement) -> None:
    floods = {flood.name: NONE for flood in FLOODS} | {"tcp_syn": FloodFigures(1, 2, 3)}
    firewall.dos_figures = DosFigures(floods, 4, 5, 6, 7, 8)
    line = "-" * 90
    assert (
        run(firewall, "show dos-protection rule servers statistics")
        == f"""\
Rule servers, action protect
tcp-syn
                     current:                 1 packets
                     dropped:                 2 packets
                     cookies sent:            3 packets
udp
                     current:                 0 packets
                     dropped:                 0 packets
{line}
current sessions:                            4
tracked hosts:                               5
packets denied:                              6
packets allowed:                             7
packets dropped by session limit:            8
{line}
"""
    )
    assert firewall.asked == [GetDosRule("servers")]


@pytest.mark.parametrize("what", ["settings", "statistics"])
def test_a_rule_that_is_not_there(firewall: FakeManagement, what: str) -> None:
    line = f"show dos-protection rule nobody {what}"
    assert refusal(firewall, line) == "no DoS protection rule nobody; there are servers, rest\n"
    assert refusal(FakeManagement(), line) == "no DoS protection rule nobody\n"


def test_the_running_policy(firewall: FakeManagement) -> None:
    assert (
        run(firewall, "show running dos-policy")
        == """\
"servers; index: 1" {
        from ethernet1/2;
        source any;
        to [ trust dmz ];
        destination 192.0.2.0/30;
        user any;
        application/service 0:any/tcp/any/80;
        action protect;
        aggregate profile all;
        classified profile each classification-criteria address src-dest-ip-both;
        schedule "office hours";
        terminal yes;
}

"rest; index: 2" {
        from untrust;
        source any;
        to ethernet1/1;
        destination any;
        user any;
        application/service 0:any/any/any/any;
        action deny;
        terminal yes;
}
"""
    )
    assert run(FakeManagement(), "show running dos-policy") == "No rules\n"


def test_which_rule(firewall: FakeManagement) -> None:
    firewall.matched = ("rest",)
    line = "test dos-policy-match source 192.0.2.1 destination 192.0.2.2 protocol tcp"
    text = run(firewall, f"{line} to trust to-interface ethernet1/1 destination-port 80")
    assert text.startswith('"rest; index: 2" {\n')
    assert firewall.asked == [
        Match(
            "dos",
            "192.0.2.1",
            "192.0.2.2",
            6,
            destination_port=80,
            to_zone="trust",
            to_interface="ethernet1/1",
        )
    ]


# ---- the block table -----------------------------------------------------------------------------


def blocks(count: int) -> list[Block]:
    return [
        Block(f"203.0.113.{number}", "", ("untrust", "dmz")[number % 2], "scan", "", 60, number)
        for number in range(count)
    ]


def test_the_block_table(firewall: FakeManagement) -> None:
    firewall.blocks = [
        Block("203.0.113.7", "", "untrust", "scan", "", 299, 12),
        Block("2001:db8::7", "2001:db8::1", "dmz", "flood", "servers", 1, 3),
        Block("203.0.113.8", "", "dmz", "buffer", "", 5, 0),
    ]
    rows = run(firewall, "show dos-block-table all").splitlines()
    titles = rows[0].split()
    assert titles == ["source", "destination", "zone", "why", "rule", "left", "dropped"]
    assert set(rows[1]) == {"-"}
    assert [row.split() for row in rows[2:]] == [
        ["203.0.113.7", "any", "untrust", "scan", "299", "s", "12"],
        ["2001:db8::7", "2001:db8::1", "dmz", "flood", "servers", "1", "s", "3"],
        ["203.0.113.8", "any", "dmz", "buffer", "5", "s", "0"],
        [],
        ["Total", "blocked:", "3"],
    ]
    text = run(firewall, "show dos-protection zone dmz blocked source")
    assert "203.0.113.7" not in text
    assert text.endswith("\nTotal blocked: 2\n")


def test_a_long_block_table_is_cut(
    firewall: FakeManagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.cli.dos_protection.MAX_BLOCKS", 5)
    firewall.blocks = blocks(6)
    text = run(firewall, "show dos-block-table all")
    assert text.count("203.0.113.") == 5
    assert text.endswith("\nOnly the first 5 entries are listed\n")
    firewall.blocks = blocks(5)
    assert run(firewall, "show dos-block-table all").endswith("\nTotal blocked: 5\n")


@pytest.mark.parametrize(
    ("line", "zone", "source", "count"),
    [
        ("clear dos-block-table all", "", "", 5),
        ("clear dos-protection zone untrust blocked all", "untrust", "", 3),
        (
            "clear dos-protection zone dmz blocked source 203.0.113.1",
            "dmz",
            "203.0.113.1",
            1,
        ),
        ("clear dos-protection zone dmz blocked source 203.0.113.2", "dmz", "203.0.113.2", 0),
    ],
)
def test_blocks_are_cleared(
    firewall: FakeManagement, line: str, zone: str, source: str, count: int
) -> None:
    firewall.blocks = blocks(5)
    noun = "entry" if count == 1 else "entries"
    assert run(firewall, line) == f"{count} block table {noun} cleared\n"
    assert len(firewall.blocks) == 5 - count
    first = firewall.asked[0]
    assert first == ClearBlocks(0, zone, source)


# ---- settings ------------------------------------------------------------------------------------


def test_the_additional_threat_log_is_switched(firewall: FakeManagement) -> None:
    show = "show system setting additional-threat-log"
    assert run(firewall, show) == "Additional threat log: off\n"
    for word in ("on", "off"):
        said = run(firewall, f"set system setting additional-threat-log {word}")
        assert said == f"Additional threat log: {word} (until the dataplane restarts)\n"
        assert run(firewall, show) == f"Additional threat log: {word}\n"


def test_packet_buffer_protection(firewall: FakeManagement) -> None:
    firewall.status = replace(firewall.status, held=512, max_held=2048)
    firewall.counters = (
        Counter("pkt_buf_protect_red", 3, "drop", "packet", "resource", ""),
        Counter("pkt_buf_protect_discard", 4, "drop", "packet", "resource", ""),
        Counter("pkt_buf_protect_block_ip", 5, "info", "packet", "resource", ""),
    )
    assert (
        run(firewall, "show session packet-buffer-protection")
        == """\
Packet buffer protection:          enabled
Monitor only:                      yes
Zones:                             untrust, dmz
Alert:                             50%
Activate:                          80%
Block hold time:                   60 secs
Block duration:                    3600 secs
Packets waiting:                   512 of 2048
Utilization:                       25%
Packets dropped at random:         3
Packets of discarded sources:      4
Sources blocked:                   5
"""
    )


@pytest.mark.parametrize(
    "line",
    [
        "show zone-protection",
        "show dos-protection rule servers statistics",
        "show dos-block-table all",
        "clear dos-block-table all",
        "set system setting additional-threat-log on",
        "show system setting additional-threat-log",
        "show session packet-buffer-protection",
    ],
)
def test_the_dataplane_may_be_down(firewall: FakeManagement, line: str) -> None:
    firewall.is_down = True
    assert run(firewall, line).endswith("the dataplane is not running; it is being restarted\n")


# ---- show log threat -----------------------------------------------------------------------------

HEADER = f"""\
Time                Type              From            Src Port          Source
Rule                Action            Inbound IF      Dst Port          Destination
                    Severity          Protocol        Repeat Count      Threat
{"=" * 100}
"""


def entry(second: int) -> bytes:
    return json.dumps(
        {
            "record": "threat",
            "subtype": "flood",
            "time_generated": f"2026/01/01 10:00:{second:02d}",
            "from": "untrust",
            "src": "203.0.113.9",
            "dst": "192.0.2.20",
            "sport": 40000 + second,
            "dport": 80,
            "proto": "tcp",
            "inbound_if": "ethernet1/2",
            "rule": "servers",
            "action": "syncookie-sent",
            "severity": "critical",
            "repeatcnt": 77,
            "threatid": "TCP Flood(8501)",
        }
    ).encode()


def shown(second: int) -> str:
    time = f"2026/01/01 10:00:{second:02d}"
    return f"""\
{time} flood             untrust         400{second:02d}             203.0.113.9
servers             syncookie-sent    ethernet1/2     80                192.0.2.20
                    critical          tcp             77                TCP Flood(8501)
"""


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("show log threat", range(6)),
        ("show log threat direction equal backward", range(5, -1, -1)),
        ("show log threat count equal 2", range(4, 6)),
        ("show log threat direction equal backward count equal 3", range(5, 2, -1)),
    ],
)
def test_show_log_threat(tmp_path: Path, line: str, seconds: range) -> None:
    path = tmp_path / "threat.log"
    for name, written in (("threat.log.1", range(2)), ("threat.log", range(2, 6))):
        (tmp_path / name).write_bytes(b"".join(entry(one) + b"\n" for one in written))
    assert run(FakeManagement(path), line) == HEADER + "".join(map(shown, seconds))


def test_a_threat_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert run(FakeManagement(tmp_path / "none"), "show log threat") == HEADER


# ---- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("show dos-protection rule ", ["servers", "rest"]),
        ("show dos-protection zone t", ["trust"]),
        ("show dos-protection rule servers ", ["settings", "statistics"]),
        ("clear dos-protection zone trust blocked ", ["all", "source"]),
        ("show zone-protection zone u", ["untrust"]),
        ("set system setting additional-threat-log ", ["on", "off"]),
    ],
)
def test_completion(firewall: FakeManagement, text: str, written: list[str]) -> None:
    choices = asyncio.run(Operations(firewall).complete(text)).choices
    assert [choice.text for choice in choices if choice.text] == written
