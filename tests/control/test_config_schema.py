"""control/config/schema.py, value_types.py and document.py: the schema explains itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control.config import schema, value_types
from control.config.document import document
from control.config.elements import Container, Element, Kept, Leaf, NamedList, Refused
from control.config.set_syntax import parse
from control.config.value_types import ValueType
from native import ACTIONS, TIMERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def elements(element: Element, path: str = "") -> Iterator[tuple[str, Element]]:
    yield path, element
    container = element.entry if isinstance(element, NamedList) else element
    if isinstance(container, Container):
        for name, child in container.children.items():
            assert name == child.name
            yield from elements(child, f"{path} {name}".strip())


ELEMENTS = dict(elements(schema.ROOT))


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == document(), (
        "write it again: python -m control.config.document > docs/configuration.md"
    )


@pytest.mark.parametrize("path", [path for path in ELEMENTS if path])
def test_an_element_explains_itself(path: str) -> None:
    element = ELEMENTS[path]
    match element:
        case Leaf(enforced=True):
            assert element.help.endswith(".")
            assert element.type.right
            assert not element.default or element.type.problem(element.default) == ""
        case NamedList():
            assert element.help
            assert element.noun
            assert element.key.right
        case Container():
            assert element.help
            for choice in element.choices:
                assert set(choice.names) <= set(element.children)
        case Refused():
            assert element.why
        case Leaf() | Kept():
            assert element.name in document()


def test_timers_are_those_of_the_engine() -> None:
    for timer in TIMERS:
        leaf = ELEMENTS[f"deviceconfig setting session {timer.knob}"]
        assert isinstance(leaf, Leaf)
        assert leaf.enforced
        assert leaf.default == (str(timer.default_s) if timer.default_s else "")
        check_range(leaf, timer.min_s, timer.max_s)


def check_range(leaf: Leaf, low: int, high: int) -> None:
    assert leaf.type.problem(str(low)) == leaf.type.problem(str(high)) == ""
    assert leaf.type.problem(str(low - 1))
    assert leaf.type.problem(str(high + 1))


SESSION = "deviceconfig setting session"
APPLICATION_RANGES = [
    ("timeout", 0, 604_800),
    ("tcp-timeout", 0, 604_800),
    ("udp-timeout", 0, 604_800),
    ("tcp-half-closed-timeout", 1, 604_800),
    ("tcp-time-wait-timeout", 1, 600),
]
RANGES = [
    (f"{SESSION} accelerated-aging-threshold", 50, 99, "80"),
    (f"{SESSION} accelerated-aging-scaling-factor", 2, 16, "2"),
    (f"{SESSION} scan-threshold", 50, 99, "80"),
    (f"{SESSION} scan-scaling-factor", 2, 16, "8"),
    ("import resource max-sessions", 0, 10_000_000, "0"),
    ("service protocol tcp override yes timeout", 1, 604_800, ""),
    ("service protocol tcp override yes halfclose-timeout", 1, 604_800, ""),
    ("service protocol tcp override yes timewait-timeout", 1, 600, ""),
    ("service protocol udp override yes timeout", 1, 604_800, "30"),
    *(
        (f"{where} {timer}", low, high, "")
        for where in ("application", "shared override application")
        for timer, low, high in APPLICATION_RANGES
    ),
    ("application default ident-by-ip-protocol", 0, 255, ""),
    ("application default ident-by-icmp-type type", 0, 255, ""),
    ("application default ident-by-icmp6-type code", 0, 255, ""),
    ("network interface ethernet layer3 adjust-tcp-mss ipv4-mss-adjustment", 40, 300, "40"),
    ("network interface ethernet layer3 adjust-tcp-mss ipv6-mss-adjustment", 60, 300, "60"),
    ("network interface ethernet layer3 units tag", 1, 4094, ""),
    ("network interface ethernet layer2 units tag", 1, 4094, ""),
    ("network interface tunnel units mtu", 576, 9216, ""),
    ("network virtual-router ecmp max-path", 2, 4, "2"),
    (
        "network virtual-router ecmp algorithm weighted-round-robin interface weight",
        1,
        255,
        "100",
    ),
    ("network profiles monitor-profile interval", 2, 100, "3"),
    ("network profiles monitor-profile threshold", 2, 10, "5"),
    ("rulebase nat rules destination-translation translated-port", 1, 65535, ""),
    ("rulebase qos rules action class", 1, 8, ""),
    ("deviceconfig setting nat reserve-time", 1, 604_800, "28800"),
]


@pytest.mark.parametrize(("path", "low", "high", "default"), RANGES)
def test_ranges(path: str, low: int, high: int, default: str) -> None:
    leaf = ELEMENTS[path]
    assert isinstance(leaf, Leaf)
    assert leaf.enforced
    assert leaf.default == default
    check_range(leaf, low, high)


WORDS = [
    (f"{SESSION} accelerated-aging-enable", "yes", "no"),
    (f"{SESSION} no-refresh-on-discard", "no", "yes"),
    (f"{SESSION} offload", "yes", "no"),
    ("deviceconfig setting tcp asymmetric-path", "drop", "bypass"),
    ("deviceconfig setting tcp allow-challenge-ack", "no", "yes"),
    ("rulebase application-override rules protocol", "tcp", "udp"),
    ("rulebase application-override rules disabled", "no", "yes"),
    ("rulebase application-override rules negate-source", "no", "yes"),
    ("rulebase application-override rules negate-destination", "no", "yes"),
    ("rulebase security rules icmp-unreachable", "no", "yes"),
    ("rulebase nat rules source-translation static-ip bi-directional", "no", "yes"),
    ("rulebase nat rules nat-type", "ipv4", "nptv6"),
    ("rulebase pbf rules enforce-symmetric-return enabled", "no", "yes"),
    ("rulebase pbf rules action forward monitor disable-if-unreachable", "no", "yes"),
    ("network virtual-router ecmp enable", "no", "yes"),
    ("network virtual-router ecmp symmetric-return", "no", "yes"),
    ("network virtual-router multicast enable", "no", "yes"),
    ("network virtual-wire multicast-firewalling enable", "no", "yes"),
    ("network qos interface enabled", "yes", "no"),
    ("deviceconfig setting config rematch", "yes", "no"),
    ("deviceconfig setting nat reserve-ip", "no", "yes"),
]


@pytest.mark.parametrize(("path", "default", "other"), WORDS)
def test_words(path: str, default: str, other: str) -> None:
    leaf = ELEMENTS[path]
    assert isinstance(leaf, Leaf)
    assert (leaf.enforced, leaf.default) == (True, default)
    assert set(leaf.type.words) == {default, other}
    assert leaf.type.problem("maybe")


@pytest.mark.parametrize(
    "knob", ["timeout-scan", "timeout-captive-portal", "scan-threshold", "scan-scaling-factor"]
)
def test_what_is_only_shown_says_so(knob: str) -> None:
    leaf = ELEMENTS[f"{SESSION} {knob}"]
    assert isinstance(leaf, Leaf)
    assert "without other effect" in leaf.help


def test_actions_are_those_of_the_engine() -> None:
    leaf = ELEMENTS["rulebase security rules action"]
    assert isinstance(leaf, Leaf)
    assert leaf.type.words == ACTIONS


@pytest.mark.parametrize(
    "line",
    [
        "rulebase nat rules n destination-translation dns-rewrite direction reverse",
        "network virtual-wire w tag-allowed 1-100",
        "network vlan v virtual-interface interface vlan.1",
        "network profiles monitor-profile m action fail-over",
        "rulebase decryption rules d action no-decrypt",
        "profiles virus v",
        "profile-group g virus default",
        "tag t color color1",
        "shared override application ssl risk 3",
        "shared alg-override application sip alg-disabled yes",
        "shared address web1 ip-netmask 192.0.2.80",
        "shared pre-rulebase security rules r action allow",
        "mgt-config users admin",
        "deviceconfig system dns-setting servers primary 192.0.2.53",
        "deviceconfig setting tcp urgent-data oobinline",
        "deviceconfig setting session packet-buffer-protection-latency-alert 50",
        "import resource max-security-rules 100",
        "network profiles zone-protection-profile zp1 flood sctp-init enable yes",
        "network qos profile q class class1 priority high",
        "network interface vlan units vlan.1 ip 192.0.2.1/24",
        "zone z network log-setting default",
        "log-settings profiles p",
        "application my-app category business-systems",
        "application my-app able-to-transfer-file yes",
        "application my-app signature s and-condition c or-condition o operator pattern-match",
    ],
)
def test_what_a_real_device_has_is_kept(line: str) -> None:
    tree, problems = parse(f"set {line}".encode())
    assert problems == []
    assert list(tree.lines()) == [f"set {line}"]


@pytest.mark.parametrize(
    ("value_type", "right", "wrong"),
    [
        (value_types.YES_NO, ["yes", "no"], ["", "Yes", "true", "y"]),
        (value_types.number(0, 255), ["0", "255", "007"], ["", "256", "-1", "1.0", "+1", "\u0661"]),
        (value_types.number(1, 9), ["1"], ["0", "9" * 5000]),
        (
            value_types.PREFIX,
            ["192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::1", "2001:db8::1/128"],
            [
                "",
                "192.0.2.1/24",
                "192.0.2.0/33",
                "192.0.2.0/255.255.255.0",
                "192.0.2.0/0.0.0.255",
                "192.0.2",
                "192.0.2.01",
                "192.0.2.0/",
                "3221225985",
                "fe80::1%eth0",
                "2001:db8::/129",
                "\u0661.1.1.1",
                "a.example",
            ],
        ),
        (
            value_types.RANGE,
            ["192.0.2.1-192.0.2.1", "::1-::2"],
            ["192.0.2.2-192.0.2.1", "192.0.2.1", "192.0.2.1-::1", "1-2", "-", "192.0.2.1-"],
        ),
        (
            value_types.PORTS,
            ["80", "0", "65535", "80,8080-8090", "1-65535", "80,80"],
            ["", "65536", "90-80", "80,", ",80", "80 81", "80-", "-80", "http", "1-2-3", "\u0661"],
        ),
        (
            value_types.APPLICATION_PORT,
            ["tcp/80", "udp/1-2,5", "tcp/dynamic", "udp/dynamic"],
            ["", "80", "tcp", "tcp/", "/80", "sctp/80", "tcp/dynamic,80", "tcp/70000", "TCP/80"],
        ),
        (
            value_types.IPV4_INTERFACE,
            ["192.0.2.1/24", "192.0.2.0/31", "192.0.2.0/32", "10.0.0.1/8"],
            [
                "192.0.2.1",
                "192.0.2.0/24",
                "192.0.2.255/24",
                "192.0.2.1/0",
                "224.0.0.1/24",
                "127.0.0.1/8",
                "0.0.0.0/8",
                "255.255.255.255/32",
                "2001:db8::1/64",
            ],
        ),
        (
            value_types.IPV6_INTERFACE,
            ["2001:db8::1/64", "fe80::1/64", "2001:db8::/127", "2001:db8::/128"],
            ["2001:db8::1", "2001:db8::/64", "::1/128", "::/64", "ff02::1/64", "192.0.2.1/24"],
        ),
        (
            value_types.ETHERNET,
            ["ethernet1/1", "ethernet12/256"],
            ["ethernet1", "ethernet0/1", "ethernet1/0", "ethernet01/1", "ethernet1/1.5", "eth1"],
        ),
        (
            value_types.name(),
            ["a", "_a", "9", "a b", "a.b-c_d", "x" * 31],
            ["", " a", "a ", "-a", ".a", "a/b", "x" * 32, "caf\u00e9", "a\nb"],
        ),
        (
            value_types.WILDCARD,
            ["10.0.0.1/0.255.0.0", "0.0.0.0/127.255.255.255", "10.0.0.1/0.0.0.0"],
            ["", "10.0.0.1", "10.0.0.1/255.0.0.0", "10.0.0.1/8", "::1/0.0.0.1", "1.2.3.4/0.0.0.1/"],
        ),
        (
            value_types.TIME_RANGE,
            ["00:00-23:59", "08:00-08:01"],
            ["", "8:00-9:00", "08:00", "09:00-08:00", "08:00-08:00", "08:00-24:00", "22:00-06:00"],
        ),
        (
            value_types.DATE_RANGE,
            ["2026/08/01@10:00-2026/08/01@10:01", "2024/02/29@00:00-2026/12/31@23:59"],
            [
                "",
                "2026/08/01-2026/08/02",
                "2026/02/29@00:00-2026/12/31@23:59",
                "2026/08/01@24:00-2026/08/03@00:00",
                "2026/08/02@00:00-2026/08/01@00:00",
                "2026/8/1@00:00-2026/8/2@00:00",
                "0000/01/01@00:00-2026/08/01@00:00",
            ],
        ),
        (
            value_types.DSCP,
            ["ef", "af11", "af43", "cs0", "cs7", "000000", "111111"],
            ["", "af14", "af51", "cs8", "EF", "46", "1111111", "11111"],
        ),
        (value_types.PRECEDENCE, ["cs0", "cs7", "000", "111"], ["", "cs8", "ef", "8", "1111"]),
        (
            value_types.MBPS,
            ["0", "60000", "0.001", "1.5"],
            ["", "60001", "60000.001", "-1", "1.", ".5", "1.0001", "1e3", "\u0661"],
        ),
        (value_types.PERCENT, ["0", "100", "12.5"], ["", "100.001", "101", "-1", "10%"]),
        (
            value_types.UNIT,
            ["ethernet1/1.1", "ethernet12/256.4094"],
            ["ethernet1/1", "ethernet1/1.0", "ethernet1/1.10000", "ae1.1"],
        ),
        (value_types.LOOPBACK_UNIT, ["loopback.1", "loopback.9999"], ["loopback", "loopback.0"]),
        (value_types.TUNNEL_UNIT, ["tunnel.1", "tunnel.9999"], ["tunnel", "tunnel.01", "tunnel.a"]),
        (value_types.text(3), ["", "a b", "\u00e9"], ["abcd", "a\n", "\x7f"]),
    ],
)
def test_values(value_type: ValueType, right: list[str], wrong: list[str]) -> None:
    assert {text: value_type.problem(text) for text in right} == dict.fromkeys(right, "")
    assert [text for text in wrong if not value_type.problem(text)] == []


READERS: list[Callable[[str], object]] = [
    value_types.prefix,
    value_types.address,
    value_types.address_range,
    value_types.ports,
    value_types.application_port,
    value_types.literal_addresses,
    value_types.wildcard,
    value_types.time_range,
    value_types.date_range,
    value_types.dscp,
    value_types.precedence,
    value_types.mbps,
    value_types.percent,
]


@example("\U0001f525" * 100)
@example("\x7f" * 100)
@given(st.text() | st.text(alphabet="0123456789abcdef:./-,"))
def test_reading_any_text(text: str) -> None:
    """A value or a ValueError with a sentence, whatever the text is."""
    for read in READERS:
        message = ""
        try:
            read(text)
        except ValueError as error:
            message = str(error)
        assert message.isprintable()
        assert len(message) < 400
