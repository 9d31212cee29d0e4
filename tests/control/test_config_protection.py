"""Protection against attacks, from what is written to what the dataplane runs on."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from control.config import schema
from control.config.compile import compile_snapshot
from control.config.elements import Container, Element, Leaf, NamedList
from control.config.errors import ConfigError, Problem
from control.config.load import load_config
from dataplane.engine import Engine
from dataplane.snapshot import (
    AddressRange,
    BufferProtection,
    DosLimits,
    DosRule,
    FloodLimits,
    ScanLimits,
    Schedule,
    ServiceMatch,
    Snapshot,
    Zone,
    ZoneProtection,
)
from native import (
    FLOODS,
    MAX_DOS_RULES,
    MAX_PROTECTIONS,
    PROTECTIONS,
    SCAN_ACTIONS,
    SCANS,
    ProtectionInfo,
    ThreatInfo,
)

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24
set network interface ethernet ethernet1/2 layer3 ip 10.0.0.1/24
set network interface ethernet ethernet1/3 tap
set network interface ethernet ethernet1/4 virtual-wire
set network interface ethernet ethernet1/5 virtual-wire
set network virtual-wire vw interface1 ethernet1/4 interface2 ethernet1/5
set network virtual-router vr interface [ ethernet1/1 ethernet1/2 ]
set zone outside network layer3 ethernet1/1
set zone inside network layer3 ethernet1/2
set zone heard network tap ethernet1/3
set zone wire network virtual-wire [ ethernet1/4 ethernet1/5 ]
set network profiles zone-protection-profile zp
set profiles dos-protection da type aggregate
set profiles dos-protection dc type classified
set schedule mornings schedule-type recurring daily 08:00-09:00
"""
LINE = BASE.count("\n") + 1
PROFILE = "network profiles zone-protection-profile zp"
BOUND = "set zone outside network zone-protection-profile zp\n"
DOS = "profiles dos-protection da"
RULE = "rulebase dos rules r"
SESSION = "deviceconfig setting session"


def problems_of(text: str) -> tuple[Problem, ...]:
    return load_config((BASE + text).encode(), "test").problems


def snapshot(text: str) -> Snapshot:
    config = load_config((BASE + text).encode(), "test")
    assert config.errors == ()
    return compile_snapshot(config.tree, {})


def profile(*lines: str) -> ZoneProtection:
    (zone,) = snapshot(BOUND + "".join(f"set {line}\n" for line in lines)).zones
    assert zone.name == "outside"
    assert zone.protection
    return zone.protection


def addresses(first: str, last: str) -> AddressRange:
    return AddressRange(bytes.fromhex(first), bytes.fromhex(last))


# ---- zone protection profiles --------------------------------------------------------------------

ON = {  # fact sheet 4.4
    "tcp_syn_data",
    "tcp_synack_data",
    "strip_mptcp",
    "ip6_routing_0",
    "ip6_routing_1",
    "ip6_routing_3",
    "ip6_routing_4_252",
    "ip6_routing_253",
    "ip6_routing_254",
    "ip6_routing_255",
    "ip6_multicast_source",
}
EMPTY = profile()


def test_an_empty_profile() -> None:
    assert set(EMPTY.checks) == ON
    assert replace(EMPTY, checks=()) == ZoneProtection("zp")


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda found: found.name)
def test_every_packet_based_protection(protection: ProtectionInfo) -> None:
    name, element, _ = protection
    assert set(profile(f"{PROFILE} {element} yes").checks) == ON | {name}
    assert set(profile(f"{PROFILE} {element} no").checks) == ON - {name}


GLOBALS = [
    ("", "", (True, False, True)),
    (f"{SESSION} tcp-reject-non-syn no", "", (False, False, True)),
    (f"{SESSION} tcp-reject-non-syn no", "tcp-reject-non-syn yes", (True, False, True)),
    ("", "tcp-reject-non-syn no", (False, False, True)),
    ("deviceconfig setting tcp asymmetric-path bypass", "", (True, True, True)),
    (
        "deviceconfig setting tcp asymmetric-path bypass",
        "asymmetric-path drop",
        (True, False, True),
    ),
    ("", "asymmetric-path bypass", (True, True, True)),
    ("deviceconfig setting tcp strip-mptcp-option no", "", (True, False, False)),
    (
        "deviceconfig setting tcp strip-mptcp-option no",
        "strip-mptcp-option yes",
        (True, False, True),
    ),
    ("", "strip-mptcp-option no", (True, False, False)),
]


@pytest.mark.parametrize(("setting", "own", "expected"), GLOBALS)
def test_a_profile_goes_before_the_global_setting(
    setting: str, own: str, expected: tuple[bool, bool, bool]
) -> None:
    found = profile(
        *([setting] if setting else []), *([f"{PROFILE} {own}"] if own else []), "zone inside"
    )
    is_stripping = "strip_mptcp" in found.checks
    assert (found.tcp_reject_non_syn, found.tcp_asymmetric_bypass, is_stripping) == expected


@pytest.mark.parametrize(
    ("text", "floods"),
    [
        ("tcp-syn red alarm-rate 5", {}),
        ("tcp-syn enable no", {}),
        ("tcp-syn enable yes", {"tcp_syn": FloodLimits()}),
        ("tcp-syn enable yes red", {"tcp_syn": FloodLimits()}),
        (
            "tcp-syn enable yes red alarm-rate 11 activate-rate 22 maximal-rate 33",
            {"tcp_syn": FloodLimits(11, 22, 33)},
        ),
        (
            "tcp-syn enable yes syn-cookies",
            {"tcp_syn": FloodLimits(10_000, 0, 1_000_000, syn_cookies=True)},
        ),
        (
            "tcp-syn enable yes syn-cookies activate-rate 7",
            {"tcp_syn": FloodLimits(10_000, 7, 1_000_000, syn_cookies=True)},
        ),
        (
            "other-ip enable yes red maximal-rate 2000000",
            {"other_ip": FloodLimits(maximal=2_000_000)},
        ),
    ],
)
def test_floods(text: str, floods: dict[str, FloodLimits]) -> None:
    assert profile(f"{PROFILE} flood {text}").floods == floods


@pytest.mark.parametrize("flood", FLOODS, ids=lambda found: found.name)
def test_every_flood(flood: ThreatInfo) -> None:
    name, element, *_ = flood
    assert profile(f"{PROFILE} flood {element} enable yes").floods == {name: FloodLimits()}


@pytest.mark.parametrize(
    ("text", "scans"),
    [
        ("8001", {"tcp_port": ScanLimits("alert", 2, 100)}),
        ("8002", {"host_sweep": ScanLimits("alert", 10, 100)}),
        ("8003 interval 7 threshold 8", {"udp_port": ScanLimits("alert", 7, 8)}),
        ("8006 action block", {"ip_protocol": ScanLimits("block", 2, 100)}),
        ("8001 action allow", {"tcp_port": ScanLimits("allow", 2, 100)}),
        (
            "8001 action block-ip duration 300",
            {"tcp_port": ScanLimits("block-ip", 2, 100, by_pair=False, block_s=300)},
        ),
        (
            "8001 action block-ip track-by source-and-destination duration 1",
            {"tcp_port": ScanLimits("block-ip", 2, 100, by_pair=True, block_s=1)},
        ),
        ("8009 action block", {}),
    ],
)
def test_scans(text: str, scans: dict[str, ScanLimits]) -> None:
    assert profile(f"{PROFILE} scan {text}").scans == scans


def test_who_may_scan() -> None:
    white_list = f"{PROFILE} scan-white-list"
    found = profile(
        f"{white_list} a ipv4 10.1.0.0/31",
        f"{white_list} b ipv6 2001:db8::7",
        f"{white_list} c ipv4 10.1.0.2",
    )
    v6 = "20010db8000000000000000000000007"
    assert found.scan_exempt == (addresses("0a010000", "0a010002"), addresses(v6, v6))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", ())),
        (" list-type include", ("include", ())),
        (" protocol lldp ether-type 0x88CC", ("exclude", (0x88CC,))),
        (" protocol lldp ether-type 0x88cc enable no", ("exclude", ())),
    ],
)
def test_other_protocols(text: str, expected: tuple[str, tuple[int, ...]]) -> None:
    found = profile(f"{PROFILE} non-ip-protocol{text}" if text else PROFILE)
    assert (found.non_ip, found.non_ip_types) == expected


def test_zones_with_a_protection() -> None:
    buffer = "enable-packet-buffer-protection"
    text = f"{BOUND}set zone inside network {buffer} yes\nset zone heard network {buffer} no"
    assert snapshot(text).zones == (Zone("outside", EMPTY), Zone("inside", None, True))


def test_packet_buffer_protection() -> None:
    assert snapshot("").buffer_protection == BufferProtection()
    values = {
        "enable": "no",
        "monitor-only": "yes",
        "alert": "11",
        "activate": "22",
        "block-hold-time": "33",
        "block-duration-time": "44",
    }
    text = "".join(f"set {SESSION} packet-buffer-protection-{k} {v}\n" for k, v in values.items())
    assert snapshot(text).buffer_protection == BufferProtection(False, True, 11, 22, 33, 44)


# ---- DoS rules -----------------------------------------------------------------------------------

ANY = "from zone any to zone any source any destination any"


def dos(text: str, *lines: str) -> DosRule:
    more = "".join(f"set {line}\n" for line in lines)
    (rule,) = snapshot(f"set {RULE} {text}\n{more}").dos_rules
    return rule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ANY} action deny", DosRule("r", "deny")),
        (f"{ANY} action allow", DosRule("r", "allow")),
        (f"{ANY} action protect", DosRule("r", "protect")),
        (
            "from zone outside to zone [ inside heard ] source 10.0.0.0/31 negate-source yes "
            "destination 10.0.0.9 service service-https schedule mornings action deny",
            DosRule(
                "r",
                "deny",
                from_zones=("outside",),
                to_zones=("inside", "heard"),
                source=(addresses("0a000000", "0a000001"),),
                negate_source=True,
                destination=(addresses("0a000009", "0a000009"),),
                services=(ServiceMatch(6, (), ((443, 443),)),),
                schedule=Schedule(
                    "mornings", tuple((day * 1440 + 480, day * 1440 + 540) for day in range(7))
                ),
            ),
        ),
        (
            "from interface ethernet1/1 to interface ethernet1/2 source any destination 10.0.0.9 "
            "negate-destination yes action deny",
            DosRule(
                "r",
                "deny",
                from_ports=("ethernet1/1",),
                to_ports=("ethernet1/2",),
                destination=(addresses("0a000009", "0a000009"),),
                negate_destination=True,
            ),
        ),
        (
            f"{ANY} action protect protection aggregate profile da",
            DosRule("r", "protect", aggregate=DosLimits("da")),
        ),
        (
            f"{ANY} action protect protection classified profile dc "
            "classification-criteria address src-dest-ip-both",
            DosRule("r", "protect", classified=DosLimits("dc"), classified_by="src-dest-ip-both"),
        ),
        (f"{ANY} action allow protection aggregate profile da", DosRule("r", "allow")),
    ],
)
def test_dos_rules(text: str, expected: DosRule) -> None:
    assert dos(text) == expected


def test_a_disabled_dos_rule_is_skipped() -> None:
    assert snapshot(f"set {RULE} {ANY} action deny disabled yes").dos_rules == ()


@pytest.mark.parametrize(
    ("text", "aggregate", "classified"),
    [
        ("flood udp enable yes", FloodLimits(), FloodLimits(block_s=300)),
        (
            "flood udp enable yes red alarm-rate 1 activate-rate 2 maximal-rate 3 block duration 4",
            FloodLimits(1, 2, 3),
            FloodLimits(1, 2, 3, block_s=4),
        ),
    ],
)
def test_dos_profiles(text: str, aggregate: FloodLimits, classified: FloodLimits) -> None:
    """Who is over an aggregate limit is not to blame for it: nobody is blocked."""
    uses = "protection aggregate profile da classified profile dc"
    protection = uses.split(" classified ")
    rule = dos(
        f"{ANY} action protect {protection[0]}",
        f"{RULE} protection classified {protection[1]}",
        f"profiles dos-protection da {text}",
        f"profiles dos-protection dc {text}",
    )
    assert rule.aggregate == DosLimits("da", {"udp": aggregate})
    assert rule.classified == DosLimits("dc", {"udp": classified})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enabled yes", 32_768),
        ("enabled yes max-concurrent-limit 7", 7),
        ("max-concurrent-limit 7", 0),
    ],
)
def test_session_limits(text: str, expected: int) -> None:
    rule = dos(
        f"{ANY} action protect protection aggregate profile da", f"{DOS} resource sessions {text}"
    )
    assert rule.aggregate == DosLimits("da", max_sessions=expected)


# ---- the whole, in the engine --------------------------------------------------------------------


def test_everything_set_is_taken_by_the_engine() -> None:
    lines = [f"{PROFILE} {protection.element} yes" for protection in PROTECTIONS]
    lines += [f"{PROFILE} flood {flood.element} enable yes" for flood in FLOODS]
    for scan, action in zip(SCANS, SCAN_ACTIONS, strict=True):
        more = " duration 9" if action == "block-ip" else ""
        lines.append(f"{PROFILE} scan {scan.id} action {action}{more}")
    lines += [f"{PROFILE} scan-white-list e{n} ipv4 10.0.{2 * n}.0/24" for n in range(20)]
    lines += [f"{DOS} flood {flood.element} enable yes" for flood in FLOODS]
    lines += [f"profiles dos-protection dc flood {f.element} enable yes" for f in FLOODS]
    lines.append(f"{RULE} {ANY} action protect protection aggregate profile da")
    lines.append(f"{RULE} protection classified profile dc")
    lines.append(f"{RULE} schedule mornings")
    found = snapshot(BOUND + "".join(f"set {line}\n" for line in lines))
    engine = Engine(hash_key=bytes(16), now_ns=1)
    engine.configure(found)
    assert engine.snapshot == found


# ---- what is wrong -------------------------------------------------------------------------------

ERRORS = [
    (
        f"set {PROFILE} flood udp enable yes red activate-rate 50000",
        f"{PROFILE} flood udp red",
        "activate-rate 50000 is above maximal-rate 40000",
    ),
    (
        f"set {PROFILE} flood tcp-syn enable yes syn-cookies activate-rate 9 maximal-rate 8",
        f"{PROFILE} flood tcp-syn syn-cookies",
        "activate-rate 9 is above maximal-rate 8",
    ),
    (
        f"set {DOS} flood icmp enable yes red maximal-rate 9",
        f"{DOS} flood icmp red",
        "activate-rate 10000 is above maximal-rate 9",
    ),
    (
        f"set {PROFILE} flood udp enable yes red activate-rate 0",
        f"{PROFILE} flood udp red activate-rate",
        '"0" is not a number from 1 to 2000000',
    ),
    (
        f"set {PROFILE} flood tcp-syn enable yes syn-cookies\nset {PROFILE} flood tcp-syn red",
        f"{PROFILE} flood tcp-syn",
        "red excludes syn-cookies",
    ),
    (
        f"set {PROFILE} scan 8001 action block-ip track-by source",
        f"{PROFILE} scan 8001 action block-ip",
        "missing: duration",
    ),
    (f"set {PROFILE} scan port action alert", f"{PROFILE} scan", "a scan such as 8001"),
    (
        f"set {PROFILE} scan-white-list w ipv4 10.0.0.1/8",
        f"{PROFILE} scan-white-list w ipv4",
        "has host bits set",
    ),
    (
        f"set {PROFILE} scan-white-list w",
        f"{PROFILE} scan-white-list w",
        "missing: one of ipv4, ipv6",
    ),
    (
        f"set {PROFILE} non-ip-protocol protocol p ether-type 0x0800",
        f"{PROFILE} non-ip-protocol protocol p ether-type",
        "is IPv4, ARP, 802.1Q or IPv6",
    ),
    (
        f"set {PROFILE} non-ip-protocol protocol p ether-type 88cc",
        f"{PROFILE} non-ip-protocol protocol p ether-type",
        "not an Ethernet type from 0x0600 to 0xffff, such as 0x88cc",
    ),
    (
        "set zone outside network zone-protection-profile zq",
        "zone outside network zone-protection-profile",
        'zone protection profile "zq" does not exist',
    ),
    (f"set {RULE} {ANY}", RULE, "missing: action"),
    (
        f"set {RULE} from zone [ ] to zone any source any destination any action deny",
        f"{RULE} from",
        "missing: zone",
    ),
    (
        f"set {RULE} {ANY} action protect protection aggregate profile dc",
        f"{RULE} protection aggregate profile",
        '"dc" is of type classified; name one of type aggregate, or set the profile\'s type '
        "aggregate",
    ),
    (
        f"set {RULE} {ANY} action protect protection classified profile da",
        f"{RULE} protection classified profile",
        '"da" is of type aggregate; name one of type classified',
    ),
    (
        f"set {RULE} {ANY} action protect protection aggregate profile dz",
        f"{RULE} protection aggregate profile",
        'DoS protection profile "dz" does not exist',
    ),
    (
        f"set {RULE} {ANY} action deny source-user eva",
        f"{RULE} source-user",
        "the rule would match more than it says",
    ),
    (
        f"set {RULE} {ANY} action deny negate-source yes",
        f"{RULE} negate-source",
        "with source any the rule never matches",
    ),
]


@pytest.mark.parametrize(("text", "path", "fragment"), ERRORS)
def test_one_error(text: str, path: str, fragment: str) -> None:
    found = [problem for problem in problems_of(text) if problem.severity == "error"]
    assert [problem.path for problem in found] == [path]
    assert fragment in found[0].message


WARNINGS = [
    (
        f"set {PROFILE} strip-tcp-fast-open-and-data yes",
        f"{PROFILE} strip-tcp-fast-open-and-data",
        "dropped before; set discard-tcp-syn-with-data no",
    ),
    (f"set {PROFILE} flood udp red maximal-rate 20000", f"{PROFILE} flood udp", "set enable yes"),
    (
        f"set {PROFILE} flood udp enable yes red alarm-rate 0",
        f"{PROFILE} flood udp red",
        "with alarm-rate 0 every packet is a flood",
    ),
    (
        f"set {PROFILE} scan 8010 action block",
        f"{PROFILE} scan 8010",
        "not enforced: the scans there are are 8001, 8002, 8003, 8006",
    ),
    (
        f"set {PROFILE} flood tcp-syn enable yes syn-cookies\nset {PROFILE} tcp-reject-non-syn no",
        f"{PROFILE} flood tcp-syn syn-cookies",
        "set tcp-reject-non-syn yes in this profile",
    ),
    (
        f"set {PROFILE} flood tcp-syn enable yes syn-cookies\nset {SESSION} tcp-reject-non-syn no",
        f"{PROFILE} flood tcp-syn syn-cookies",
        "set tcp-reject-non-syn yes in this profile",
    ),
    (
        f"set {PROFILE} flood tcp-syn enable yes syn-cookies\n"
        "set zone heard network zone-protection-profile zp",
        "zone heard network zone-protection-profile",
        "a tap answers nobody; use red",
    ),
    (
        f"set {PROFILE} suppress-icmp-needfrag yes\n"
        "set zone wire network zone-protection-profile zp",
        "zone wire network zone-protection-profile",
        "its suppress-icmp-needfrag has no effect: only layer3 zones",
    ),
    (
        f"{BOUND}set {PROFILE} non-ip-protocol protocol p ether-type 0x88cc",
        "zone outside network zone-protection-profile",
        "only layer2 and virtual-wire zones carry others",
    ),
    (
        f"set {PROFILE} non-ip-protocol list-type include",
        f"{PROFILE} non-ip-protocol",
        "with include nothing but IP passes",
    ),
    (
        f"set {SESSION} packet-buffer-protection-alert 90",
        f"{SESSION} packet-buffer-protection-alert",
        "alert 90 is above activate 80",
    ),
    (
        f"set {SESSION} packet-buffer-protection-activate 10",
        f"{SESSION} packet-buffer-protection-alert",
        "alert 50 is above activate 10",
    ),
    (f"set {RULE} {ANY} action protect", f"{RULE} action", "protects from nothing"),
    (
        f"set {RULE} {ANY} action deny protection aggregate profile da",
        f"{RULE} protection",
        "has no effect with action deny; set action protect",
    ),
    (
        f"set {PROFILE} flood sctp-init enable yes",
        f"{PROFILE} flood sctp-init enable",
        "not enforced",
    ),
    (
        f"set {SESSION} packet-buffer-protection-use-latency yes",
        f"{SESSION} packet-buffer-protection-use-latency",
        "not enforced",
    ),
    (
        f"set {RULE} {ANY} action deny\nset rulebase dos rules s from zone outside to interface "
        "ethernet1/2 source 10.0.0.1 destination any action allow",
        "rulebase dos rules s",
        f'is never reached: rule "r" (line {LINE}) matches all of it',
    ),
]


@pytest.mark.parametrize(("text", "path", "fragment"), WARNINGS)
def test_one_warning(text: str, path: str, fragment: str) -> None:
    found = problems_of(text)
    assert [(problem.path, problem.severity) for problem in found] == [(path, "warning")]
    assert fragment in found[0].message


RIGHT = [
    f"set {PROFILE} strip-tcp-fast-open-and-data yes\nset {PROFILE} discard-tcp-syn-with-data no",
    f"set {PROFILE} flood udp enable no red maximal-rate 20000",
    f"set {PROFILE} flood udp enable yes red activate-rate 5 maximal-rate 5",
    f"set {PROFILE} flood tcp-syn enable yes syn-cookies",
    f"set {PROFILE} flood tcp-syn enable yes syn-cookies\nset {SESSION} tcp-reject-non-syn no\n"
    f"set {PROFILE} tcp-reject-non-syn yes",
    f"{BOUND}set {PROFILE} suppress-icmp-needfrag yes",
    f"set {PROFILE} non-ip-protocol protocol p ether-type 0x88cc\n"
    "set zone wire network zone-protection-profile zp",
    f"set {PROFILE} flood tcp-syn enable yes\nset zone heard network zone-protection-profile zp",
    f"set {RULE} from interface ethernet1/1 to zone any source any destination any action deny\n"
    "set rulebase dos rules s from zone outside to zone any source any destination any action deny",
    f"set {RULE} {ANY} action deny schedule mornings\nset rulebase dos rules s {ANY} action allow",
]


@pytest.mark.parametrize("text", RIGHT)
def test_nothing_is_wrong(text: str) -> None:
    assert problems_of(text) == ()


def many(count: int, line: str) -> str:
    return "".join(f"set {line.format(n)}\n" for n in range(count))


LIMITS = [
    (20, PROFILE + " scan-white-list w{0} ipv4 10.0.{0}.1", f"{PROFILE} scan-white-list"),
    (
        MAX_DOS_RULES,
        "rulebase dos rules q{0} from zone any to zone any source 10.0.0.1 "
        "destination any action deny schedule mornings",
        "rulebase dos rules",
    ),
    (MAX_PROTECTIONS, "zone z{0} network enable-packet-buffer-protection yes", "zone z256"),
]


@pytest.mark.parametrize(("limit", "line", "path"), LIMITS)
def test_too_many(limit: int, line: str, path: str) -> None:
    def found(count: int) -> list[Problem]:
        return [p for p in problems_of(many(count, line)) if p.severity == "error"]

    assert found(limit) == []
    (problem,) = found(limit + 1)
    assert (problem.line, problem.path) == (LINE + limit, path)
    assert f"at most {limit}" in problem.message


def leaves(element: Element, path: str) -> Iterator[tuple[str, Leaf]]:
    match element:
        case Leaf():
            yield path, element
        case Container(children=children):
            for name, child in children.items():
                yield from leaves(child, f"{path} {name}")
        case NamedList(entry=entry):
            key = "8001" if element.name == "scan" else "e"
            yield from leaves(entry, f"{path} {key}")


LEAVES = [
    *leaves(schema.element(*PROFILE.split()), PROFILE),
    *leaves(schema.element(*DOS.split()), DOS),
    *leaves(schema.element(*RULE.split()), RULE),
]
NUMBERS = st.sampled_from(["0", "1", "2", "99", "100", "2000000", "2000001", "-1", "9" * 30])
NAMES = st.sampled_from(["any", "outside", "ethernet1/1", "10.0.0.1", "2001:db8::/32", "da", "x"])


@st.composite
def settings(draw: st.DrawFn) -> str:
    path, leaf = draw(st.sampled_from(LEAVES))
    values = st.sampled_from(leaf.type.words) if leaf.type.words else NUMBERS
    return f"set {path} {draw(values | NUMBERS | NAMES)}\n"


@given(st.lists(settings(), max_size=8))
def test_whatever_is_written_is_refused_or_runs(lines: list[str]) -> None:
    rule = f"set {RULE} {ANY} action protect protection aggregate profile da\n"
    config = load_config((BASE + BOUND + rule + "".join(lines)).encode(), "test")
    try:
        found = compile_snapshot(config.tree, {})
    except ConfigError:
        assert all(problem.message for problem in config.errors)
        assert config.errors
    else:  # a mistake on a line that a later one replaced is not in the tree
        Engine(hash_key=bytes(16), now_ns=1, max_sessions=64).configure(found)
