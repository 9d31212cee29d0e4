"""control/config/compile.py and objects.py: from a tree to what the dataplane runs on."""

import ipaddress
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from control.config.compile import compile_snapshot
from control.config.errors import ConfigError
from control.config.load import load_config, static_routes
from control.config.objects import merged
from dataplane.snapshot import (
    AcceleratedAging,
    AddressRange,
    ApplicationOverride,
    Port,
    SecurityRule,
    ServiceMatch,
    Snapshot,
    Timeouts,
)
from native import TIMERS, TimerInfo
from tests.support.packets import TRUST, UNTRUST, Firewall, tcp

SAMPLE = (Path(__file__).parent / "data" / "campus.set").read_text()

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24
set network interface ethernet ethernet1/2 layer3 ip 10.0.0.1/24
set network virtual-router vr interface [ ethernet1/1 ethernet1/2 ]
set zone outside network layer3 ethernet1/1
set zone inside network layer3 ethernet1/2
set address host ip-netmask 10.0.0.5
set address net ip-netmask 10.1.0.0/16
set address range ip-range 10.0.0.4-10.0.0.6
set address host6 ip-netmask 2001:db8::5
set address-group inner static [ net range ]
set address-group outer static [ inner host6 host ]
set service web protocol tcp port 80,8000-8999 source-port 1024-65535
set service dns protocol udp port 53
set service-group some members [ dns web service-https ]
"""


def snapshot(text: str = "", port_map: dict[str, str] | None = None) -> Snapshot:
    config = load_config((BASE + text).encode(), "test")
    assert config.errors == ()
    return compile_snapshot(config.tree, port_map or {})


def rule(text: str) -> SecurityRule:
    (only,) = snapshot(f"set rulebase security rules r {text}").rules
    return only


def addresses(first: str, last: str | None = None) -> AddressRange:
    return AddressRange(
        ipaddress.ip_address(first).packed, ipaddress.ip_address(last or first).packed
    )


def test_ports() -> None:
    text = (
        "set network interface ethernet ethernet1/2 layer3 mtu 1400 ipv6 enabled yes address "
        "2001:db8::1/64\n"
        "set network interface ethernet ethernet1/3 layer3 ipv6 address 2001:db8:1::1/64\n"
        "set network interface ethernet ethernet1/4 tap\n"
    )
    assert snapshot(text).ports == (
        Port("ethernet1/1", "eth1", "outside", ("198.51.100.2/24",), False, "vr"),
        Port(
            "ethernet1/2",
            "eth2",
            "inside",
            ("10.0.0.1/24", "2001:db8::1/64"),
            True,
            "vr",
            mtu=1400,
        ),
        Port("ethernet1/3", "eth3", "", (), False, ""),
        Port("ethernet1/4", "eth4", "", (), False, "", mode="tap"),
    )


def test_a_port_that_is_down_is_in_no_zone_and_reaches_nothing() -> None:
    text = "set network interface ethernet ethernet1/1 link-state down layer3 mtu 1400"
    assert snapshot(text).ports[0] == Port("ethernet1/1", "eth1", "", (), False, "", mtu=1400)
    assert snapshot(text.replace("down", "up")).ports[0].zone == "outside"


def test_port_map() -> None:
    text = "set network interface ethernet ethernet2/3 layer3 ip 192.0.2.1/24"
    names = [
        port.interface
        for port in snapshot(text, {"ethernet2/3": "veth-x", "ethernet1/1": "wan0"}).ports
    ]
    assert names == ["wan0", "eth2", "veth-x"]


@pytest.mark.parametrize(
    ("text", "port_map", "fragment"),
    [
        (
            "",
            {"ethernet1/9": "eth9"},
            '"ethernet1/9": mapped to "eth9", but not configured; configured are ethernet1/1, '
            "ethernet1/2",
        ),
        (
            "set network interface ethernet ethernet2/3 layer3",
            {},
            "network interface ethernet ethernet2/3: no Linux interface is known for slot 2; "
            "name it with --port ethernet2/3=INTERFACE",
        ),
        ("", {"ethernet1/1": "eth2"}, '"eth2" is behind ethernet1/1 already'),
        ("", {"ethernet1/1": "a/b"}, '"a/b" is not the name of a Linux interface'),
        ("", {"ethernet1/1": ".."}, '".." is not the name of a Linux interface'),
        ("", {"ethernet1/1": "x" * 16}, "is not the name of a Linux interface"),
        ("", {"ethernet1/1": "a b"}, "is not the name of a Linux interface"),
        ("", {"ethernet1/1": ""}, "name it with --port ethernet1/1=INTERFACE"),
    ],
)
def test_a_wrong_port_map(text: str, port_map: dict[str, str], fragment: str) -> None:
    with pytest.raises(ConfigError) as raised:
        snapshot(text, port_map)
    assert len(raised.value.problems) == 1
    assert fragment in str(raised.value)


def test_every_wrong_port_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        snapshot("", {"x": "y", "ethernet1/1": "a/b", "ethernet1/2": "c/d"})
    assert len(raised.value.problems) == 3


def test_a_tree_with_errors_does_not_compile() -> None:
    tree = load_config(b"set zone a network layer3 nope", "test").tree
    with pytest.raises(ConfigError, match="does not exist"):
        compile_snapshot(tree, {})


TUPLE = "from inside to outside source any destination any action allow "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            TUPLE,
            SecurityRule("r", "allow", from_zones=("inside",), to_zones=("outside",)),
        ),
        (
            "from any to any source any destination any action reset-both log-start yes log-end no",
            SecurityRule("r", "reset-both", log_start=True, log_end=False),
        ),
        (
            "from [ inside outside ] source any destination any action drop rule-type intrazone",
            SecurityRule("r", "drop", from_zones=("inside", "outside"), rule_type="intrazone"),
        ),
        (
            "from any to any rule-type interzone source outer negate-source yes action deny "
            "destination [ 192.0.2.0/24 192.0.3.0/24 192.0.9.1 ] negate-destination yes",
            SecurityRule(
                "r",
                "deny",
                rule_type="interzone",
                negate_source=True,
                negate_destination=True,
                source=(
                    addresses("10.0.0.4", "10.0.0.6"),
                    addresses("10.1.0.0", "10.1.255.255"),
                    addresses("2001:db8::5"),
                ),
                destination=(addresses("192.0.2.0", "192.0.3.255"), addresses("192.0.9.1")),
            ),
        ),
        (
            TUPLE + "service [ some web service-http ]",
            SecurityRule(
                "r",
                "allow",
                from_zones=("inside",),
                to_zones=("outside",),
                services=(
                    ServiceMatch(17, (), ((53, 53),)),
                    ServiceMatch(6, ((1024, 65535),), ((80, 80), (8000, 8999))),
                    ServiceMatch(6, (), ((443, 443),)),
                    ServiceMatch(6, (), ((80, 80), (8080, 8080))),
                ),
            ),
        ),
        (
            TUPLE + "service any",
            SecurityRule("r", "allow", from_zones=("inside",), to_zones=("outside",)),
        ),
        (
            TUPLE + "service application-default application any",
            SecurityRule("r", "allow", from_zones=("inside",), to_zones=("outside",)),
        ),
    ],
)
def test_a_rule(text: str, expected: SecurityRule) -> None:
    assert rule(text) == expected


def test_rules_keep_their_order_and_disabled_ones_are_left_out() -> None:
    text = "".join(
        f"set rulebase security rules {name} {TUPLE} disabled {disabled}\n"
        for name, disabled in (("z", "no"), ("b", "yes"), ("a", "no"))
    )
    assert [rule.name for rule in snapshot(text).rules] == ["z", "a"]


def test_an_object_wins_over_the_address_it_is_named_after() -> None:
    config = load_config(
        f"{BASE}set address 10.9.9.9 ip-netmask 10.0.0.0/30\n"
        "set service service-https protocol tcp port 8443\n"
        "set rulebase security rules r from any to any source 10.9.9.9 destination any "
        "service service-https action allow".encode(),
        "test",
    )
    (found,) = compile_snapshot(config.tree, {}).rules
    assert found.source == (addresses("10.0.0.0", "10.0.0.3"),)
    assert found.services == (ServiceMatch(6, (), ((8443, 8443),)),)


def test_defaults() -> None:
    found = snapshot()
    assert found.timeouts_s == {timer.knob: timer.default_s for timer in TIMERS}
    assert found.tcp_reject_non_syn
    assert found.ipv6_firewalling
    assert found.discard_denied
    assert not found.no_refresh_on_discard
    assert not found.tcp_asymmetric_bypass
    assert not found.tcp_allow_challenge_ack
    assert found.offload
    assert found.accelerated_aging == AcceleratedAging(True, 80, 2)
    assert found.max_sessions == 0
    assert found.application_overrides == ()
    assert (found.scan_threshold_percent, found.scan_factor) == (80, 8)
    assert found.intrazone_default == SecurityRule(
        "intrazone-default", "allow", rule_type="intrazone", log_end=False
    )
    assert found.interzone_default == SecurityRule(
        "interzone-default", "deny", rule_type="interzone", log_end=False
    )


def test_settings() -> None:
    found = snapshot(
        "set deviceconfig setting session timeout-tcp 7 tcp-reject-non-syn no ipv6-firewalling no "
        "discard-denied no\n"
        "set rulebase default-security-rules rules intrazone-default action drop log-start yes\n"
        "set rulebase default-security-rules rules interzone-default log-end yes"
    )
    assert found.timeouts_s["timeout-tcp"] == 7
    assert not found.tcp_reject_non_syn
    assert not found.ipv6_firewalling
    assert not found.discard_denied
    assert found.intrazone_default == SecurityRule(
        "intrazone-default", "drop", rule_type="intrazone", log_start=True, log_end=False
    )
    assert found.interzone_default == SecurityRule(
        "interzone-default", "deny", rule_type="interzone", log_end=True
    )


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("session no-refresh-on-discard yes", "no_refresh_on_discard", True),
        ("session offload no", "offload", False),
        ("tcp asymmetric-path bypass", "tcp_asymmetric_bypass", True),
        ("tcp asymmetric-path drop", "tcp_asymmetric_bypass", False),
        ("tcp allow-challenge-ack yes", "tcp_allow_challenge_ack", True),
        (
            "session accelerated-aging-enable no accelerated-aging-threshold 50 "
            "accelerated-aging-scaling-factor 16",
            "accelerated_aging",
            AcceleratedAging(False, 50, 16),
        ),
        ("session scan-threshold 99", "scan_threshold_percent", 99),
        ("session scan-scaling-factor 3", "scan_factor", 3),
    ],
)
def test_a_setting(text: str, field: str, value: object) -> None:
    found = snapshot(f"set deviceconfig setting {text}")
    assert getattr(found, field) == value
    assert replace(found, **{field: getattr(snapshot(), field)}) == snapshot()


@pytest.mark.parametrize("timer", TIMERS, ids=lambda timer: timer.knob)
def test_a_timer(timer: TimerInfo) -> None:
    found = snapshot(f"set deviceconfig setting session {timer.knob} {timer.min_s}")
    assert found.timeouts_s == snapshot().timeouts_s | {timer.knob: timer.min_s}


def test_the_session_maximum() -> None:
    assert snapshot("set import resource max-sessions 5000").max_sessions == 5000


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("tcp port 1", None),
        ("tcp port 1 override no", None),
        ("tcp port 1 override yes", None),
        ("tcp port 1 override yes timeout 9", Timeouts(9)),
        ("tcp port 1 override yes halfclose-timeout 8 timewait-timeout 7", Timeouts(0, 8, 7)),
        ("udp port 1 override yes timeout 9", Timeouts(9)),
        ("udp port 1 override yes", Timeouts(30)),
        ("udp port 1 override no", None),
    ],
)
def test_timers_of_a_service(text: str, override: Timeouts | None) -> None:
    (found,) = snapshot(
        f"set service s protocol {text}\nset rulebase security rules r {TUPLE} service s"
    ).rules
    (service,) = found.services
    assert service.override == override


OVERRIDE = "set rulebase application-override rules o "
PLACES = "from any to any source any destination any "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            PLACES + "port 902 application ssl",
            ApplicationOverride("o", "ssl", 6, ((902, 902),)),
        ),
        (
            PLACES + "protocol udp port 1-9,80 application h.323",
            ApplicationOverride("o", "h.323", 17, ((1, 9), (80, 80))),
        ),
        (
            "from inside to [ outside inside ] source outer negate-source yes "
            "destination 192.0.2.0/31 negate-destination yes port 1 application my-app tag t",
            ApplicationOverride(
                "o",
                "my-app",
                6,
                ((1, 1),),
                from_zones=("inside",),
                to_zones=("outside", "inside"),
                source=(
                    addresses("10.0.0.4", "10.0.0.6"),
                    addresses("10.1.0.0", "10.1.255.255"),
                    addresses("2001:db8::5"),
                ),
                destination=(addresses("192.0.2.0", "192.0.2.1"),),
                negate_source=True,
                negate_destination=True,
            ),
        ),
    ],
)
def test_an_override_rule(text: str, expected: ApplicationOverride) -> None:
    found = snapshot(f"set application my-app\n{OVERRIDE}{text}")
    assert found.application_overrides == (expected,)


def test_override_rules_keep_their_order_and_disabled_ones_are_left_out() -> None:
    text = "".join(
        f"set rulebase application-override rules {name} {PLACES}port 1 application ssl "
        f"disabled {disabled}\n"
        for name, disabled in (("z", "no"), ("b", "yes"), ("a", "no"))
    )
    assert [rule.name for rule in snapshot(text).application_overrides] == ["z", "a"]


SSH_CHANGED = "shared override application ssh tcp-timeout 60"
SERVICE_TIMED = "service http protocol tcp override yes timeout 40"


@pytest.mark.parametrize(
    ("override", "text", "application", "timeout_s"),
    [
        ("", "", "undecided", 3600),
        ("", "deviceconfig setting session timeout-tcp 70", "undecided", 70),
        ("", SSH_CHANGED, "undecided", 3600),
        ("", SERVICE_TIMED, "undecided", 40),
        ("port 80 application ssl", "", "ssl", 1800),
        ("port 80 application ssh", "", "ssh", 3600),
        ("port 80 application ssh", SSH_CHANGED, "ssh", 60),
        ("port 80 application my-app", "", "my-app", 50),
        ("port 80 application my-app", SERVICE_TIMED, "my-app", 40),
        ("port 81 application my-app", "", "undecided", 3600),
        ("port 80 application my-app disabled yes", "", "undecided", 3600),
    ],
)
def test_from_commands_to_the_timer_of_a_session(
    override: str, text: str, application: str, timeout_s: int
) -> None:
    commands = [
        "application my-app timeout 30 tcp-timeout 50",
        "service http protocol tcp port 80",
        f"rulebase security rules r {PLACES} service http action allow",
        *([f"rulebase application-override rules o {PLACES} {override}"] if override else []),
        *([text] if text else []),
    ]
    firewall = Firewall(snapshot("".join(f"set {command}\n" for command in commands)))
    for segment, port in ((tcp("S"), TRUST), (tcp("SA", back=True), UNTRUST), (tcp("A"), TRUST)):
        assert firewall.send(segment, port).what == "forward"
    session = firewall.session()
    assert (session.application, session.timeout_s) == (application, timeout_s)


RANGES = st.lists(
    st.tuples(st.sampled_from([4, 16]), st.integers(0, 40), st.integers(0, 8)), max_size=12
)


@given(RANGES)
def test_merging_ranges_against_sets(ranges: list[tuple[int, int, int]]) -> None:
    def expand(items: list[AddressRange]) -> set[tuple[int, int]]:
        return {
            (len(item.first), value)
            for item in items
            for value in range(int.from_bytes(item.first), int.from_bytes(item.last) + 1)
        }

    given_ranges = [
        AddressRange(first.to_bytes(size), (first + length).to_bytes(size))
        for size, first, length in ranges
    ]
    found = list(merged(given_ranges))
    assert expand(found) == expand(given_ranges)
    for before, after in pairwise(found):
        assert len(before.last) < len(after.first) or (
            int.from_bytes(before.last) + 1 < int.from_bytes(after.first)
        )


def test_the_widest_ranges_merge() -> None:
    everything = AddressRange(bytes(16), b"\xff" * 16)
    assert merged([everything, addresses("::1"), everything]) == (everything,)


@given(st.randoms(use_true_random=False))
def test_whatever_is_valid_compiles(rng: random.Random) -> None:
    """Right files with a few words moved or left out: an answer, and a snapshot without errors."""
    lines = [line.split(" ") for line in SAMPLE.splitlines()]
    for _ in range(rng.randrange(1, 4)):
        words = rng.choice(lines)
        change = rng.randrange(4)
        if change == 0:
            lines.remove(words)
        elif change == 1 and words:
            words.pop(rng.randrange(len(words)))
        elif change == 2:
            words.insert(rng.randrange(len(words) + 1), rng.choice(rng.choice(lines) or [""]))
        else:
            lines.append([*words, *rng.choice(lines)[4:]])
    config = load_config("\n".join(" ".join(words) for words in lines).encode(), "test")
    if config.errors:
        with pytest.raises(ConfigError):
            compile_snapshot(config.tree, {"ethernet2/1": "eth9"})
    else:
        compiled = compile_snapshot(config.tree, {})
        static_routes(config.tree)
        assert set(compiled.timeouts_s) == {timer.knob for timer in TIMERS}
