"""control/config/load.py: a whole file."""

from pathlib import Path

import pytest
from hypothesis import given

from control.config.compile import compile_snapshot
from control.config.load import StaticRoute, hostname, load_config, static_routes
from control.config.set_syntax import parse
from control.config.tree import Tree
from control.config.validate import validate
from dataplane.snapshot import AddressRange, DynamicIpAndPort
from tests.control.config_strategies import trees

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "docs" / "examples" / "branch-office.set"
PROTECTION = EXAMPLE.with_name("protection.set")
CAMPUS = HERE / "data" / "campus.set"


def test_the_example_is_right() -> None:
    config = load_config(EXAMPLE.read_bytes(), EXAMPLE.name)
    assert config.problems == ()
    assert hostname(config.tree) == "branch-office"
    compiled = compile_snapshot(config.tree, {})
    assert len(compiled.rules) == 6
    assert {port.zone for port in compiled.ports} == {"untrust", "trust", "servers"}


def test_the_example_of_protection_is_right() -> None:
    config = load_config(EXAMPLE.read_bytes() + PROTECTION.read_bytes(), PROTECTION.name)
    assert config.problems == ()
    compiled = compile_snapshot(config.tree, {})
    assert {zone.name for zone in compiled.zones} == {"untrust", "trust"}
    assert len(compiled.dos_rules) == 2


def test_a_real_configuration() -> None:
    config = load_config(CAMPUS.read_bytes(), CAMPUS.name)
    assert config.name == "campus.set"
    assert config.errors == ()
    not_enforced = {problem.path for problem in config.warnings}
    assert {
        "mgt-config",
        "tag",
        "shared alg-override",
    } <= not_enforced
    others = [problem for problem in config.warnings if "not enforced" not in problem.message]
    assert [(problem.path, problem.message.partition(":")[0]) for problem in others] == [
        ("network interface ethernet ethernet1/5", "is in no zone")
    ]
    assert hostname(config.tree) == "campus-edge"
    compiled = compile_snapshot(config.tree, {})
    assert [port.name for port in compiled.ports] == [
        *(f"ethernet1/{n}" for n in range(1, 6)),
        "tunnel.1",
    ]
    assert [port.zone for port in compiled.ports] == ["outside", "campus", "dmz", "", "", "labs"]
    (nat,) = compiled.nat_rules
    assert nat.source_translation == DynamicIpAndPort(
        (AddressRange(b"\xcb\x00\x71\x02", b"\xcb\x00\x71\x02"),), "ethernet1/1"
    )
    assert len(compiled.rules) == 11
    (override,) = compiled.application_overrides
    assert (override.application, override.ports) == ("backup", ((8400, 8403),))
    assert compiled.applications["backup"].tcp.established == 86400
    assert compiled.applications["ssl"].tcp.established == 9600
    assert static_routes(config.tree) == (
        StaticRoute("0.0.0.0/0", "203.0.113.1", "ethernet1/1", 10, False),
        StaticRoute("10.0.0.0/8", None, None, 10, True),
        StaticRoute("::/0", "2001:db8:ffff::1", None, 10, False),
    )


@pytest.mark.parametrize("path", [EXAMPLE, CAMPUS], ids=lambda path: path.name)
def test_writing_and_reading_again(path: Path) -> None:
    config = load_config(path.read_bytes(), path.name)
    again = load_config("\n".join(config.tree.lines()).encode(), "again")
    assert again.tree == config.tree
    assert compile_snapshot(again.tree, {}) == compile_snapshot(config.tree, {})
    assert {p.path for p in again.warnings} == {p.path for p in config.warnings}


def test_problems_come_in_the_order_of_lines_and_once() -> None:
    config = load_config(b"set zone any\nset zone b network layer3 x\nset zone -c bad\n", "f")
    assert [problem.text("f") for problem in config.problems] == [
        'f:1: error: zone: "any" has a meaning of its own and cannot be a name',
        'f:2: error: zone b network layer3: interface "x" does not exist; right is a configured '
        "interface",
        'f:3: error: zone: "-c" is not a name of up to 31 letters, digits, blanks and _ . - that '
        "starts with a letter, a digit or _",
        'f:3: error: zone -c: unknown element "bad"; possible are network',
    ]


def test_nothing_configured() -> None:
    config = load_config(b"", "empty")
    assert config.problems == ()
    assert hostname(config.tree) == "sixtuple"
    assert static_routes(config.tree) == ()
    assert compile_snapshot(config.tree, {}).ports == ()


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("nexthop ip-address 10.0.0.2", StaticRoute("192.0.2.0/24", "10.0.0.2", None, 10, False)),
        ("interface ethernet1/2", StaticRoute("192.0.2.0/24", None, "ethernet1/2", 10, False)),
        (
            "nexthop ip-address 172.16.0.1 interface ethernet1/2 metric 7",
            StaticRoute("192.0.2.0/24", "172.16.0.1", "ethernet1/2", 7, False),
        ),
        ("nexthop discard", StaticRoute("192.0.2.0/24", None, None, 10, True)),
        ("nexthop ip-address 198.51.100.1", None),
        ("interface ethernet1/1", None),
        ("nexthop ip-address 198.51.100.1 interface ethernet1/1", None),
    ],
)
def test_a_static_route(route: str, expected: StaticRoute | None) -> None:
    """ethernet1/1 is down."""
    text = (
        "set network interface ethernet ethernet1/1 link-state down layer3 ip 198.51.100.2/24\n"
        "set network interface ethernet ethernet1/2 layer3 ip 10.0.0.1/24\n"
        "set network virtual-router v interface [ ethernet1/1 ethernet1/2 ]\n"
        "set network virtual-router v routing-table ip static-route r destination 192.0.2.0/24 "
    )
    config = load_config((text + route).encode(), "test")
    assert config.errors == ()
    assert static_routes(config.tree) == ((expected,) if expected else ())


@given(trees())
def test_checking_a_tree_finds_what_reading_it_found(tree: Tree) -> None:
    """So a tree that did not come from a file is checked as well as one that did."""
    _, problems = parse("\n".join(tree.lines()).encode())
    assert {(p.path, p.message) for p in problems} <= {(p.path, p.message) for p in validate(tree)}
