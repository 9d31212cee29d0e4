"""What is asked of the protection against attacks, by the messages that ask it, and its log."""

from typing import Any

import pytest
from msgspec.structs import replace

from dataplane.messages import (
    Block,
    BlockPage,
    ClearBlocks,
    Done,
    DosFigures,
    Failed,
    FloodFigures,
    GetBlocks,
    GetDosRule,
    GetStatus,
    GetZoneProtection,
    Reply,
    Request,
    SetPacketThreats,
    Status,
    ZoneProtections,
)
from dataplane.requests import Process, answer
from dataplane.snapshot import (
    DosLimits,
    DosRule,
    FloodLimits,
    ScanLimits,
    Zone,
    ZoneProtection,
)
from native import FLOODS, PROTECTIONS, SCANS
from tests.support.packets import ALLOW, NS, Firewall, echo, snapshot, tcp, udp

NOW_S = 5
FLOOD = {"udp": FloodLimits(3, 3, 5)}  # alarm, activate, maximal
SCAN = {"tcp_port": ScanLimits("block-ip", 2, 3, block_s=60)}


def protected(profile: ZoneProtection, *rules: DosRule) -> Firewall:
    configuration = replace(
        snapshot(ALLOW),
        zones=(Zone("trust", profile), Zone("dmz", buffer_protection=True)),
        dos_rules=rules,
    )
    return Firewall(configuration, start_s=NOW_S)


def ask(firewall: Firewall, request: Request) -> Any:
    reply: Reply = answer(firewall.engine, request, Process(1, "pcap", 0, 0), NOW_S * NS)
    return reply


def blocked() -> Firewall:
    """A firewall that has blocked who scanned it, from two addresses."""
    firewall = protected(ZoneProtection("zp", scans=SCAN))
    for src in ("192.0.2.66", "192.0.2.67"):
        for dport in range(80, 90):
            firewall.send(tcp("S", src=src, dport=dport))
    return firewall


# ---- zones ---------------------------------------------------------------------------------------


def test_figures_of_a_zone() -> None:
    firewall = protected(ZoneProtection("zp", floods=FLOOD, scans=SCAN))
    answers = [firewall.send(udp(sport=1000 + number)) for number in range(20)]
    dropped = sum(one.what == "flow_dos_red_udp" for one in answers)
    assert dropped >= 20 - 5
    (figures,) = ask(firewall, GetZoneProtection("trust")).zones
    assert figures.zone == "trust"
    assert [*figures.floods] == [flood.name for flood in FLOODS]
    assert figures.floods["udp"] == FloodFigures(20, dropped, 0)
    assert figures.floods["tcp_syn"] == FloodFigures(0, 0, 0)
    assert figures.scans == {scan.name: 0 for scan in SCANS}
    assert figures.checks == {check.name: 0 for check in PROTECTIONS}


def test_every_zone_with_a_profile() -> None:
    firewall = protected(ZoneProtection("zp"))
    reply = ask(firewall, GetZoneProtection())
    assert isinstance(reply, ZoneProtections)
    assert [one.zone for one in reply.zones] == ["trust"]
    assert ask(Firewall(), GetZoneProtection()) == ZoneProtections(())


def test_a_zone_without_a_profile() -> None:
    wrong = "zone dmz has no zone protection profile"
    firewall = protected(ZoneProtection("zp"))
    assert ask(firewall, GetZoneProtection("dmz")) == Failed(f"{wrong}; zones with one: trust")
    assert ask(Firewall(), GetZoneProtection("dmz")) == Failed(wrong)


# ---- DoS rules -----------------------------------------------------------------------------------

RULE = DosRule(
    "each",
    "protect",
    from_zones=("trust",),
    classified=DosLimits("limits", FLOOD, max_sessions=2),
)


def test_figures_of_a_rule() -> None:
    firewall = protected(ZoneProtection("zp"), RULE)
    for number in range(4):
        firewall.send(tcp("S", sport=1000 + number))
    figures = ask(firewall, GetDosRule("each"))
    assert isinstance(figures, DosFigures)
    assert (figures.sessions, figures.tracked, figures.limited) == (2, 1, 2)
    assert [*figures.floods] == [flood.name for flood in FLOODS]
    (threat,) = firewall.threats()
    assert (threat.threatid, threat.rule, threat.action, threat.reason) == (
        "Session Limit Event(8801)",
        "each",
        "drop",
        "flow_dos_cl_max_sess_limit",
    )


@pytest.mark.parametrize("rule", ["nobody", ""])
def test_a_rule_that_is_not_there(rule: str) -> None:
    firewall = protected(ZoneProtection("zp"), RULE)
    assert ask(firewall, GetDosRule(rule)) == Failed(f"no DoS protection rule {rule} is in force")


def test_a_rule_that_has_gone() -> None:
    firewall = protected(ZoneProtection("zp"), RULE)
    firewall.engine.configure(snapshot(ALLOW))
    assert ask(firewall, GetDosRule("each")) == Failed("no DoS protection rule each is in force")


# ---- the block table -----------------------------------------------------------------------------


def test_blocked_sources() -> None:
    firewall = blocked()
    page = ask(firewall, GetBlocks())
    assert isinstance(page, BlockPage)
    assert page.cursor == 0
    assert {one.source for one in page.blocks} == {"192.0.2.66", "192.0.2.67"}
    for one in page.blocks:
        assert one == Block(one.source, "", "trust", "scan", "", 60, 7)
    assert ask(firewall, GetBlocks(zone="trust")) == page
    assert ask(firewall, GetBlocks(zone="untrust")) == BlockPage((), 0)


def test_the_other_half_of_a_pair_is_named() -> None:
    scans = {"tcp_port": ScanLimits("block-ip", 2, 3, by_pair=True, block_s=60)}
    firewall = protected(ZoneProtection("zp", scans=scans))
    for dport in range(80, 90):
        firewall.send(tcp("S", 6, dport=dport, src="2001:db8:1::66", dst="2001:db8:2::2"))
    (block,) = ask(firewall, GetBlocks()).blocks
    assert (block.source, block.destination) == ("2001:db8:1::66", "2001:db8:2::2")


@pytest.mark.parametrize(
    ("request_", "left"),
    [
        (ClearBlocks(), set()),
        (ClearBlocks(zone="trust"), set()),
        (ClearBlocks(zone="untrust"), {"192.0.2.66", "192.0.2.67"}),
        (ClearBlocks(source="192.0.2.66"), {"192.0.2.67"}),
        (ClearBlocks(zone="trust", source="192.0.2.67"), {"192.0.2.66"}),
        (ClearBlocks(zone="trust", source="192.0.2.68"), {"192.0.2.66", "192.0.2.67"}),
    ],
)
def test_sources_are_let_in_again(request_: ClearBlocks, left: set[str]) -> None:
    firewall = blocked()
    assert firewall.send(udp(src="192.0.2.66")).what == "flow_dos_drop_ip_blocked"
    assert ask(firewall, request_) == Done(count=2 - len(left), cursor=0)
    assert {one.source for one in ask(firewall, GetBlocks()).blocks} == left
    expected = "flow_dos_drop_ip_blocked" if "192.0.2.66" in left else "forward"
    assert firewall.send(udp(src="192.0.2.66")).what == expected


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GetBlocks(zone="nowhere"), "no port is in zone nowhere"),
        (ClearBlocks(zone="nowhere"), "no port is in zone nowhere"),
        (GetBlocks(cursor=-1), "cursor -1 is none that a page gave"),
        (ClearBlocks(cursor=1 << 32), f"cursor {1 << 32} is none that a page gave"),
        (ClearBlocks(source="nobody"), "'nobody' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_what_makes_no_sense(request_: Request, message: str) -> None:
    assert ask(blocked(), request_) == Failed(message)


# ---- the log -------------------------------------------------------------------------------------


def test_a_scan_is_logged() -> None:
    first, second = blocked().threats()
    assert (first.src, second.src) == ("192.0.2.66", "192.0.2.67")
    assert (first.threatid, first.action, first.severity, first.reason) == (
        "SCAN: TCP Port Scan(8001)",
        "block-ip",
        "medium",
        "flow_scan_drop",
    )
    assert (first.from_, first.inbound_if, first.time_generated) == (
        "trust",
        "ethernet1/1",
        "1970/01/01 00:00:05",
    )


def test_a_flood_is_logged_once_a_second() -> None:
    firewall = protected(ZoneProtection("zp", floods=FLOOD))
    for second in range(NOW_S, NOW_S + 3):
        for number in range(50):
            firewall.send(udp(sport=1000 + number), at_s=second + number / 100)
    threats = firewall.threats()
    assert {one.threatid for one in threats} == {"UDP Flood(8502)"}
    assert len({one.time_generated for one in threats}) == len(threats) == 3
    assert {one.action for one in threats[1:]} == {"random-drop"}
    assert firewall.threats() == []


def test_an_alarm_is_an_alert() -> None:
    firewall = protected(ZoneProtection("zp", floods={"udp": FloodLimits(2, 100, 200)}))
    for number in range(5):
        assert firewall.send(udp(sport=1000 + number)).what == "forward"
    (threat,) = firewall.threats()
    assert (threat.action, threat.reason) == ("alert", "")


def test_single_packets_are_logged_when_they_are_asked_for() -> None:
    firewall = protected(ZoneProtection("zp", checks=("icmp_large",)))
    large = echo(payload=bytes(1100))
    for is_asked_for in (False, True):
        firewall.engine.set_packet_threats(is_asked_for)
        assert firewall.send(large).what == "flow_dos_pf_icmplpkt"
        threats = firewall.threats()
        assert len(threats) == is_asked_for
    (figures,) = ask(firewall, GetZoneProtection()).zones
    assert figures.checks["icmp_large"] == 2
    assert (threats[0].threatid, threats[0].subtype, threats[0].action, threats[0].reason) == (
        "discard-icmp-large-packet",
        "packet",
        "drop",
        "flow_dos_pf_icmplpkt",
    )


def test_a_cookie_is_what_became_of_a_segment() -> None:
    cookies = {"tcp_syn": FloodLimits(1, 0, 100, syn_cookies=True)}
    firewall = protected(ZoneProtection("zp", floods=cookies))
    assert firewall.send(tcp("S")).what == "consumed"
    (threat,) = firewall.threats()
    assert (threat.threatid, threat.action) == ("TCP Flood(8501)", "syncookie-sent")
    (figures,) = ask(firewall, GetZoneProtection()).zones
    assert figures.floods["tcp_syn"] == FloodFigures(1, 0, 1)


def test_the_additional_log_is_switched_and_outlives_a_commit() -> None:
    firewall = Firewall()

    def is_on() -> bool:
        status: Status = ask(firewall, GetStatus())
        return status.packet_threats

    assert not is_on()
    assert ask(firewall, SetPacketThreats(True)) == Done()
    firewall.engine.configure(snapshot())
    assert is_on()
    assert ask(firewall, SetPacketThreats(False)) == Done()
    assert not is_on()
