"""What a snapshot says of protection, as the engine has it."""

import pytest
from msgspec.structs import replace

import native
from dataplane.checks import check
from dataplane.names import Names
from dataplane.protection import CHECKS, protection
from dataplane.snapshot import (
    AddressRange,
    BufferProtection,
    DosLimits,
    DosRule,
    FloodLimits,
    ScanLimits,
    ServiceMatch,
    Snapshot,
    Zone,
    ZoneProtection,
)
from native import FLOODS, MAX_DOS_RULES, MAX_PROTECTIONS, PROTECTIONS, SCANS
from tests.support.packets import DMZ, TRUST, UNTRUST, snapshot

PORTS = {TRUST: 4, UNTRUST: 9, DMZ: 2}
V4, V6 = bytes((192, 0, 2, 1)), bytes(range(16))
WIDE = bytes(10) + b"\xff\xff" + V4


def names(*known: str) -> Names:
    found = Names()
    for name in known:
        found.number(name)
    return found


def zone(found: Snapshot) -> native.ZoneProtection:
    (only,) = protection(found, names("dmz", "trust"), PORTS, Names()).zones
    return only


def of(profile: ZoneProtection | None, **fields: bool) -> Snapshot:
    return replace(snapshot(), zones=(Zone("trust", profile, **fields),))


PLAIN = native.ZoneProtection(zone=2)
RATES = FloodLimits(alarm=3, activate=5, maximal=7, syn_cookies=True, block_s=11)
RANGES = (AddressRange(V4, V4), AddressRange(V6, V6))
NATIVE_RANGES = ((WIDE, WIDE), (V6, V6))


def flood_places(name: str, limits: native.FloodLimits) -> tuple[native.FloodLimits, ...]:
    off = native.FloodLimits()
    return tuple(limits if flood.name == name else off for flood in FLOODS)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"tcp_reject_non_syn": False}, {"tcp_reject_non_syn": False}),
        ({"tcp_asymmetric_bypass": True}, {"tcp_asymmetric_bypass": True}),
        (
            {"checks": ("ip_spoof", "ip6_redirect", "ip_spoof")},
            {"checks": 1 | 1 << len(PROTECTIONS) - 1},
        ),
        ({"scan_exempt": RANGES}, {"scan_exempt": NATIVE_RANGES}),
        *(
            (
                {"floods": {flood.name: RATES}},
                {"floods": flood_places(flood.name, native.FloodLimits(True, True, 3, 5, 7))},
            )
            for flood in FLOODS
        ),
        (
            {"scans": {SCANS[1].name: ScanLimits("block-ip", 3, 5, by_pair=True, block_s=7)}},
            {
                "scans": (
                    native.ScanLimits(),
                    native.ScanLimits(True, True, "block-ip", 3, 5, 7),
                    *(native.ScanLimits(),) * (len(SCANS) - 2),
                )
            },
        ),
    ],
)
def test_profiles(fields: dict[str, object], expected: dict[str, object]) -> None:
    profile = replace(ZoneProtection("p"), **fields)
    assert zone(of(profile)) == PLAIN._replace(**expected)
    assert zone(of(profile, buffer_protection=True)) == PLAIN._replace(
        **expected, buffer_protection=True
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"checks": CHECKS["strip_mptcp"]}),
        ({"strip_mptcp": False}, {"checks": 0}),
        (
            {"tcp_reject_non_syn": False, "strip_mptcp": False},
            {"tcp_reject_non_syn": False, "checks": 0},
        ),
        (
            {"tcp_asymmetric_bypass": True, "strip_mptcp": False},
            {"tcp_asymmetric_bypass": True, "checks": 0},
        ),
    ],
)
def test_a_zone_without_a_profile_goes_by_the_global_settings(
    fields: dict[str, object], expected: dict[str, object]
) -> None:
    found = zone(replace(of(None, buffer_protection=True), **fields))
    assert found == PLAIN._replace(buffer_protection=True, **expected)


def test_places() -> None:
    found = replace(snapshot(), zones=(Zone("dmz"), Zone("trust")))
    assert protection(found, Names(), PORTS, Names()).places == {"dmz": 1, "trust": 2}


LIMITS = DosLimits("l", {"udp": RATES}, 13)
NATIVE_LIMITS = native.DosLimits(
    flood_places("udp", native.FloodLimits(True, True, 3, 5, 7)),
    tuple(11 if flood.name == "udp" else 0 for flood in FLOODS),
    13,
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"action": "allow"}, {"action": "allow"}),
        (
            {"from_zones": ("dmz",), "to_zones": ("trust", "dmz")},
            {"from_zones": (1,), "to_zones": (2, 1)},
        ),
        (
            {"from_ports": (TRUST, DMZ), "to_ports": (UNTRUST,)},
            {"from_ports": (4, 2), "to_ports": (9,)},
        ),
        (
            {"source": RANGES, "negate_source": True},
            {"source": NATIVE_RANGES, "negate_source": True},
        ),
        (
            {"destination": RANGES, "negate_destination": True},
            {"destination": NATIVE_RANGES, "negate_destination": True},
        ),
        (
            {"services": (ServiceMatch(17, (), ((5, 6), (8, 9))), ServiceMatch(6, ((1, 2),)))},
            {
                "services": (
                    native.ServiceRange(17, 0, 65535, 5, 6),
                    native.ServiceRange(17, 0, 65535, 8, 9),
                    native.ServiceRange(6, 1, 2, 0, 65535),
                )
            },
        ),
        ({"aggregate": LIMITS}, {"aggregate": NATIVE_LIMITS}),
        (
            {"classified": LIMITS, "classified_by": "src-dest-ip-both"},
            {"classified": NATIVE_LIMITS, "classified_by": "src-dest-ip-both"},
        ),
    ],
)
def test_rules(fields: dict[str, object], expected: dict[str, object]) -> None:
    plain = DosRule("second", "deny")
    found = replace(snapshot(), dos_rules=(DosRule("first", "deny"), replace(plain, **fields)))
    made = protection(found, names("dmz", "trust"), PORTS, names("gone", "second", "first"))
    assert made.dos_rules[0].number == 3
    assert made.dos_rules[1] == native.DosRule(2, "deny")._replace(**expected)


def test_packet_buffer_protection() -> None:
    found = replace(snapshot(), buffer_protection=BufferProtection(False, True, 3, 5, 7, 11))
    made = protection(found, Names(), PORTS, Names())
    assert made.buffer == native.BufferProtection(False, True, 3, 5, 7, 11)


def profile(**fields: object) -> dict[str, object]:
    return {"zones": (Zone("trust", replace(ZoneProtection("p"), **fields)),)}


def rule(**fields: object) -> dict[str, object]:
    return {"dos_rules": (replace(DosRule("r", "deny"), **fields),)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (profile(checks=("spoof",)), "profile p: spoof is no check"),
        (profile(floods={"tcp": FloodLimits()}), "profile p: tcp is no flood; tcp_syn, udp"),
        (
            profile(floods={"udp": FloodLimits(activate=9, maximal=8)}),
            "profile p: activation 9 is above the maximum 8",
        ),
        (profile(scans={"8001": ScanLimits("alert", 2, 3)}), "profile p: 8001 is no scan"),
        (profile(scans={"tcp_port": ScanLimits("drop", 2, 3)}), "p: drop is no scan action"),
        ({"zones": tuple(Zone(str(n)) for n in range(MAX_PROTECTIONS + 1))}, "protected zones"),
        ({"dos_rules": (DosRule("r", "deny"),) * (MAX_DOS_RULES + 1)}, "number of DoS rules"),
        (rule(action="drop"), "DoS rule r: drop is no action; deny, allow, protect are"),
        (rule(classified_by="host"), "DoS rule r: host is no classification"),
        (rule(to_ports=("eth0",)), f"DoS rule r: eth0 is no port; {TRUST}"),
        (rule(aggregate=DosLimits("d", {"x": FloodLimits()})), "DoS profile d: x is no flood"),
        ({"buffer_protection": BufferProtection(alert_percent=101)}, "packet buffer alert 101"),
    ],
)
def test_what_the_engine_could_not_run_on(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(replace(snapshot(), **fields))
