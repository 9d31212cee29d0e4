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
        assert leaf.default == str(timer.default_s)
        assert leaf.type.problem(str(timer.min_s)) == leaf.type.problem(str(timer.max_s)) == ""
        assert leaf.type.problem(str(timer.min_s - 1))
        assert leaf.type.problem(str(timer.max_s + 1))


def test_actions_are_those_of_the_engine() -> None:
    leaf = ELEMENTS["rulebase security rules action"]
    assert isinstance(leaf, Leaf)
    assert leaf.type.words == ACTIONS


@pytest.mark.parametrize(
    "line",
    [
        "rulebase nat rules n from any to any",
        "rulebase pbf rules p action no-pbf",
        "rulebase qos rules q action class 1",
        "rulebase dos rules d action protect",
        "rulebase decryption rules d action no-decrypt",
        "rulebase application-override rules a port 902",
        "profiles virus v",
        "profile-group g virus default",
        "tag t color color1",
        "schedule s schedule-type recurring daily 08:00-17:00",
        "shared override application ssl tcp-timeout 9600",
        "mgt-config users admin",
        "deviceconfig system dns-setting servers primary 192.0.2.53",
        "deviceconfig setting tcp asymmetric-path bypass",
        "deviceconfig setting config rematch yes",
        "deviceconfig setting session offload no",
        "network profiles zone-protection-profile zp1 discard-ip-spoof yes",
        "network qos profile q",
        "network virtual-wire vw1 interface1 ethernet1/5 interface2 ethernet1/6",
        "network interface ethernet ethernet1/3 tap",
        "network interface ethernet ethernet1/2 layer3 units ethernet1/2.100 tag 100",
        "zone z network zone-protection-profile zp1",
        "log-settings profiles p",
        "application my-app default port tcp/8443",
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
    value_types.literal_addresses,
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
