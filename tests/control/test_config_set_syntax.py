"""control/config/set_syntax.py: what a line does to the tree, and every way it can be wrong."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config.set_syntax import MAX_FILE_BYTES, MAX_LINE_BYTES, parse, remove
from control.config.tree import Tree
from tests.control.config_strategies import TEXT, trees

SAMPLE = (Path(__file__).parent / "data" / "campus.set").read_bytes()


def lines_of(text: str) -> list[str]:
    tree, problems = parse(text.encode())
    assert problems == []
    return list(tree.lines())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("\n  \n# set zone x\n\t# more\n", [], id="comments and blank lines"),
        pytest.param("set zone trust\r\n", ["set zone trust"], id="carriage return"),
        pytest.param("\ufeffset zone trust", ["set zone trust"], id="byte order mark"),
        pytest.param(
            "set zone t network layer3 [ ethernet1/1 ]\nset zone t network layer3 ethernet1/2",
            ["set zone t network layer3 [ ethernet1/1 ethernet1/2 ]"],
            id="members add up",
        ),
        pytest.param(
            "set network interface ethernet ethernet1/1 layer3 mtu 1400\n"
            "set network interface ethernet ethernet1/1 layer3 mtu 1300",
            ["set network interface ethernet ethernet1/1 layer3 mtu 1300"],
            id="a value is replaced",
        ),
        pytest.param(
            "set rulebase security rules r from trust to [ a b ] source any action allow",
            [
                "set rulebase security rules r from trust",
                "set rulebase security rules r to [ a b ]",
                "set rulebase security rules r source any",
                "set rulebase security rules r action allow",
            ],
            id="several leaves of a rule",
        ),
        pytest.param(
            "set network virtual-router v routing-table ip static-route r nexthop ip-address "
            "192.0.2.1 metric 5 destination 0.0.0.0/0",
            [
                "set network virtual-router v routing-table ip static-route r nexthop ip-address "
                "192.0.2.1",
                "set network virtual-router v routing-table ip static-route r metric 5",
                "set network virtual-router v routing-table ip static-route r destination "
                "0.0.0.0/0",
            ],
            id="back out of a container",
        ),
        pytest.param(
            "set network virtual-router v routing-table ip static-route r nexthop discard metric 5",
            [
                "set network virtual-router v routing-table ip static-route r nexthop discard",
                "set network virtual-router v routing-table ip static-route r metric 5",
            ],
            id="back out of an empty container",
        ),
        pytest.param(
            "set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24 comment x",
            [
                "set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24",
                "set network interface ethernet ethernet1/1 comment x",
            ],
            id="back to the port",
        ),
        pytest.param(
            "set deviceconfig setting session timeout-udp 9 tcp-reject-non-syn no",
            [
                "set deviceconfig setting session timeout-udp 9",
                "set deviceconfig setting session tcp-reject-non-syn no",
            ],
            id="settings have no entry",
        ),
        pytest.param(
            'set rulebase decryption rules "n 1" source [ a "b c" ] service any',
            ['set rulebase decryption rules "n 1" source [ a "b c" ] service any'],
            id="kept as written",
        ),
        pytest.param("set zone t network layer3", ["set zone t network layer3"], id="no members"),
        pytest.param(
            "set zone t network layer3 [ ]", ["set zone t network layer3"], id="empty list"
        ),
        pytest.param(
            "set rulebase security rules from to action",
            ["set rulebase security rules from to action"],
            id="names and values that are elements elsewhere",
        ),
    ],
)
def test_what_a_file_means(text: str, lines: list[str]) -> None:
    assert lines_of(text) == lines


RULE = "set rulebase security rules r "


@pytest.mark.parametrize(
    ("line", "path", "fragment"),
    [
        ("set", "", "set what? possible are network, zone"),
        ("set frobnicate x", "", 'unknown element "frobnicate"; possible are network, zone'),
        ("set zones trust", "", 'unknown element "zones"; did you mean zone?'),
        ("set [ zone ] trust", "", "a list stands here; possible are network, zone"),
        ("sett zone trust", "", 'unknown command "sett"; did you mean set?'),
        ("delete zone trust", "", 'unknown command "delete"; each line is a set command'),
        ("<config/>", "", "this is XML; a file of set commands is expected"),
        ('set zone "trust', "", "the quote opened in column 10 is not closed"),
        ("set zone t network layer3 [ a", "", "the list opened in column 27 is not closed"),
        ("set zone", "zone", "the name of a zone is missing: a name of up to 31"),
        ("set zone [ a b ]", "zone", "a list stands here; one name is expected"),
        ("set zone " + "z" * 32, "zone", "has 32 characters; at most 31 are possible"),
        ("set zone -x", "zone", '"-x" is not a name of up to 31 letters'),
        ("set zone any", "zone", '"any" has a meaning of its own'),
        ("set zone t u", "zone t", 'unknown element "u"; possible are network'),
        ("set zone t network layer4 e", "zone t network", "did you mean layer3?"),
        (
            "set rulebase security rules " + "r" * 64,
            "rulebase security rules",
            "has 64 characters; at most 63 are possible",
        ),
        (
            "set rulebase security rules intrazone-default",
            "rulebase security rules",
            "has a meaning of its own",
        ),
        (RULE + "action", "rulebase security rules r action", "a value is missing: allow, deny"),
        (RULE + "action alow", "rulebase security rules r action", "did you mean allow?"),
        (
            RULE + "action [ allow ]",
            "rulebase security rules r action",
            "takes one value, not a list: allow",
        ),
        (
            "set rulebase pbf rules r application ssl",
            "rulebase pbf rules r application",
            "only any is",
        ),
        (RULE + "source-user bob", "rulebase security rules r source-user", "only any is"),
        (RULE + "category games", "rulebase security rules r category", "only any is"),
        (RULE + "source-hip x", "rulebase security rules r source-hip", "only any is"),
        (
            "set rulebase qos rules r schedule x",
            "rulebase qos rules r schedule",
            "schedules are for security rules only",
        ),
        (RULE + "disabled true", "rulebase security rules r disabled", '"true" is not yes or no'),
        (RULE + "rule-type all", "rulebase security rules r rule-type", "universal, intrazone"),
        (RULE + "source [ any x ]", "rulebase security rules r source", "any stands alone"),
        (
            RULE + "service [ a application-default ]",
            "rulebase security rules r service",
            "application-default stands alone",
        ),
        (
            "set rulebase default-security-rules rules default action deny",
            "rulebase default-security-rules rules",
            '"default" is not intrazone-default or interzone-default',
        ),
        (
            "set network interface ethernet eth1 layer3",
            "network interface ethernet",
            '"eth1" is not a port name such as ethernet1/1',
        ),
        (
            "set network interface ethernet ethernet1/1 layer3 mtu 9217",
            "network interface ethernet ethernet1/1 layer3 mtu",
            '"9217" is not a number from 576 to 9216',
        ),
        (
            "set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1",
            "network interface ethernet ethernet1/1 layer3 ip",
            "has no prefix length; write it as in 192.0.2.1/24",
        ),
        (
            "set network interface ethernet ethernet1/1 layer3 ip 2001:db8::1/64",
            "network interface ethernet ethernet1/1 layer3 ip",
            "is IPv6; IPv4 such as 192.0.2.1/24 goes here",
        ),
        (
            "set network interface ethernet ethernet1/1 layer3 ipv6 address 192.0.2.1/24",
            "network interface ethernet ethernet1/1 layer3 ipv6 address",
            "is IPv4; IPv6 such as 2001:db8::1/64 goes here",
        ),
        (
            "set network interface ethernet ethernet1/1 link-state on",
            "network interface ethernet ethernet1/1 link-state",
            '"on" is not up, down or auto',
        ),
        ("set address a fqdn www.example.com", "address a fqdn", "host names are not supported"),
        ("set address a ip-wildcard 1.0.0.1", "address a ip-wildcard", "and a wildcard mask"),
        ("set address a ip-netmask 192.0.2.1/24", "address a ip-netmask", "has host bits set"),
        ("set address a ip-range 192.0.2.9", "address a ip-range", "is not a range such as"),
        ("set address-group g dynamic filter x", "address-group g dynamic", "use static"),
        ("set service s protocol sctp port 1", "service s protocol sctp", "use tcp or udp"),
        ("set service s protocol tcp port 80-", "service s protocol tcp port", '"80-" is not'),
        (
            "set service s protocol udp port " + ",".join(["1"] * 1001),
            "service s protocol udp port",
            "1001 ports and ranges; at most 1000",
        ),
        (
            "set network virtual-router v routing-table ip static-route r destination ::/0",
            "network virtual-router v routing-table ip static-route r destination",
            "is IPv6; IPv4 goes here",
        ),
        (
            "set network virtual-router v routing-table ip static-route r destination 192.0.2.9/24",
            "network virtual-router v routing-table ip static-route r destination",
            "has host bits set; the network is 192.0.2.0/24",
        ),
        (
            "set network virtual-router v routing-table ip static-route r nexthop next-vr w",
            "network virtual-router v routing-table ip static-route r nexthop next-vr",
            "not supported; use ip-address or discard",
        ),
        (
            "set network virtual-router v routing-table ip static-route r nexthop ipv6-address ::1",
            "network virtual-router v routing-table ip static-route r nexthop ipv6-address",
            "use ip-address",
        ),
        (
            "set network virtual-router v routing-table ip static-route r route-table no-install",
            "network virtual-router v routing-table ip static-route r route-table no-install",
            "the route would be installed",
        ),
        (
            "set network virtual-router v routing-table ip static-route r metric 0",
            "network virtual-router v routing-table ip static-route r metric",
            "is not a number from 1 to 65535",
        ),
        (
            "set deviceconfig setting session timeout-tcp 16000000",
            "deviceconfig setting session timeout-tcp",
            "is not a number from 1 to 15999999",
        ),
        (
            "set deviceconfig setting session timeout-tpc 1",
            "deviceconfig setting session",
            'unknown element "timeout-tpc"; did you mean timeout-tcp?',
        ),
        ("set deviceconfig system hostname a_b", "deviceconfig system hostname", "is not a host"),
    ],
)
def test_one_wrong_line(line: str, path: str, fragment: str) -> None:
    _, problems = parse(f"# first\n\n{line}\n".encode() if line[0] != "<" else line.encode())
    found = [problem for problem in problems if fragment in problem.message]
    assert found, problems
    assert found[0].path == path
    assert found[0].line == (1 if line[0] == "<" else 3)
    assert found[0].severity == "error"
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        (b"set zone tr\xffust", "byte 0xff in column 12 is not UTF-8 text"),
        (b"set zone tr\x00ust", "control character '\\x00' in column 12"),
        (b"set zone " + b"z" * MAX_LINE_BYTES, f"at most {MAX_LINE_BYTES} are possible"),
        (b"z" * (MAX_LINE_BYTES - 1), 'unknown command "zzz'),
        (b"set " + b"z" * (MAX_LINE_BYTES - 9), 'unknown element "zzz'),
        (b"set zone " + b"z" * (MAX_LINE_BYTES - 9), "characters; at most 31 are possible"),
        (b"set zone t " + b"z " * (MAX_LINE_BYTES // 2 - 9), 'unknown element "z"'),
        (b"set " + b"[" * (MAX_LINE_BYTES - 9), "a list inside a list in column 6"),
    ],
)
def test_bytes_that_are_no_command(line: bytes, fragment: str) -> None:
    tree, problems = parse(b"set zone good\n" + line + b"\nset zone better\n")
    assert [problem.line for problem in problems] == [2]
    assert fragment in problems[0].message
    assert len(problems[0].text("f")) < 600
    assert {"good", "better"} <= set(tree.entries("zone"))


def test_a_file_that_is_too_long() -> None:
    _, problems = parse(bytes(MAX_FILE_BYTES + 1))
    assert [problem.line for problem in problems] == [0]
    assert "longer than 64 MiB" in problems[0].message


def test_every_mistake_of_a_line_is_found() -> None:
    line = "set rulebase security rules r from t form u to [ x ] action alow log-end maybe disabled"
    _, problems = parse(line.encode())
    assert [problem.path.rsplit(" ", 1)[-1] for problem in problems] == [
        "r",
        "action",
        "log-end",
        "disabled",
    ]


def test_what_could_be_read_of_a_wrong_line_is_in_the_tree() -> None:
    tree, _ = parse(b"set rulebase security rules r form x to y action alow\nset zone y bad")
    assert tree.members("rulebase", "security", "rules", "r", "to") == {"y": 1}
    assert tree.get("rulebase", "security", "rules", "r", "action") is not None
    assert tree.get("zone", "y") is not None


def test_members_remember_their_own_lines() -> None:
    tree, _ = parse(b"set zone t network layer3 a\n\nset zone t network layer3 [ b a ]")
    assert tree.members("zone", "t", "network", "layer3") == {"a": 1, "b": 3}


def test_removing_the_last_entry_removes_the_list() -> None:
    tree, _ = parse(b"set zone a\nset zone b\nset tag x")
    assert remove(tree, ("zone", "a"))
    assert list(tree.lines()) == ["set zone b", "set tag x"]
    assert remove(tree, ("zone", "b"))
    assert list(tree.lines()) == ["set tag x"]
    assert not remove(tree, ("zone", "b"))


@given(trees(), st.data())
def test_removing_leaves_what_can_be_read_again(tree: Tree, data: st.DataObject) -> None:
    path: tuple[str, ...] = ()
    node = tree
    while node.children and (not path or data.draw(st.booleans())):
        name = data.draw(st.sampled_from(sorted(node.children)))
        path, node = (*path, name), node.children[name]
    assert remove(tree, path) is bool(path)
    again, _ = parse("\n".join(tree.lines()).encode())
    assert again == tree


@given(st.binary(max_size=300))
def test_any_bytes(text: bytes) -> None:
    parse(text)


WORDS = [*sorted(set(SAMPLE.decode().split())), "[", "]", '"', "\\", "#", "\n", "\nset"]


@given(st.lists(st.sampled_from(WORDS) | TEXT, max_size=60))
def test_any_words(words: list[str]) -> None:
    tree, _ = parse(" ".join(words).encode())
    again, _ = parse("\n".join(tree.lines()).encode())
    assert again == tree


@given(st.randoms(use_true_random=False))
def test_a_damaged_file(rng: random.Random) -> None:
    damaged = bytearray(SAMPLE)
    for _ in range(rng.randrange(1, 20)):
        at = rng.randrange(len(damaged))
        damaged[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    parse(bytes(damaged))
