"""The table of commands: abbreviation, arguments, what can come next, what is wrong with a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.cli.arguments import listed
from control.cli.grammar import GrammarError, Pipe, parse, possible
from control.cli.syntax import commands
from tests.control.cli_fake import example

SESSION_WORDS = ["all", "id", "info", "meter", "packet-buffer-protection"]


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        ("show session all", "show session all", {}),
        ("sh ses all", "show session all", {}),
        ("  show\tclock  ", "show clock", {}),
        ("show session id 7", "show session id", {"id": "7"}),
        ("show session id 007", "show session id", {"id": "7"}),
        ("sho ses inf", "show session info", {}),
        ('"show" "clock"', "show clock", {}),
        ("cl ses al fi source 2001:DB8::1", "clear session all", {"source": "2001:db8::1"}),
        (
            "show session all filter source 192.0.2.1 destination-port 80 from trust state act",
            "show session all",
            {
                "source": "192.0.2.1",
                "destination_port": "80",
                "from_zone": "trust",
                "state": "active",
            },
        ),
        ("show session all filter count yes", "show session all", {"count": "yes"}),
        ("sh ses all fil protocol tcp", "show session all", {"protocol": "6"}),
        ("sh ses all fil protocol ipv6-icmp", "show session all", {"protocol": "58"}),
        ("sh ses all fil protocol 89", "show session all", {"protocol": "89"}),
        ('sh ses all fil rule "two words"', "show session all", {"rule": "two words"}),
        ("sh ses all fil type pred", "show session all", {"type": "predict"}),
        (
            "show counter global filter delta yes severity drop value non",
            "show counter global",
            {"delta": "yes", "severity": "drop", "value": "non-zero"},
        ),
        ("show counter global name pkt_recv", "show counter global", {"name": "pkt_recv"}),
        ("show log traffic", "show log traffic", {}),
        (
            "show log traffic direction equal backward count equal 5",
            "show log traffic",
            {"direction": "backward", "count": "5"},
        ),
        ("sh log thr", "show log threat", {}),
        ("show log threat count equal 7", "show log threat", {"count": "7"}),
        ("show zone-protection", "show zone-protection", {}),
        ("sh zone zone dmz", "show zone-protection", {"zone": "dmz"}),
        (
            "show dos-protection rule r1 settings",
            "show dos-protection rule settings",
            {"rule": "r1"},
        ),
        (
            "show dos-protection zone dmz blocked source",
            "show dos-protection zone blocked source",
            {"zone": "dmz"},
        ),
        (
            "clear dos-protection zone dmz blocked source 2001:DB8::1",
            "clear dos-protection zone blocked source",
            {"zone": "dmz", "source": "2001:db8::1"},
        ),
        (
            "set sys set add on",
            "set system setting additional-threat-log",
            {"threats": "on"},
        ),
        (
            "test dos protocol 6 source 192.0.2.1 destination 192.0.2.2 from-interface e1 to dmz",
            "test dos-policy-match",
            {
                "protocol": "6",
                "source": "192.0.2.1",
                "destination": "192.0.2.2",
                "from_interface": "e1",
                "to_zone": "dmz",
            },
        ),
        ("set cli pager on", "set cli pager", {"pager": "on"}),
        ("set session offload no", "set session offload", {"offload": "no"}),
        ("set ses off y", "set session offload", {"offload": "yes"}),
        ("sh ses met", "show session meter", {}),
        ("show neighbor interface all", "show neighbor interface all", {}),
        ("show interface all", "show interface", {"interface": "all"}),
        ("sh int al", "show interface", {"interface": "all"}),
        ("show interface ethernet1/1.7", "show interface", {"interface": "ethernet1/1.7"}),
        ("show routing route", "show routing route", {}),
        ("sh rout fib virt blue", "show routing fib", {"virtual_router": "blue"}),
        (
            "test routing fib-lookup ip 2001:DB8::1 virtual-router blue",
            "test routing fib-lookup",
            {"ip": "2001:db8::1", "virtual_router": "blue"},
        ),
        (
            "test sec protocol tcp source 192.0.2.1 destination 192.0.2.2 show-all yes",
            "test security-policy-match",
            {"protocol": "6", "source": "192.0.2.1", "destination": "192.0.2.2", "every": "yes"},
        ),
        ("load config from running-config", "load config from", {"file": "running-config"}),
        ('lo co fr "/etc/my fire.set"', "load config from", {"file": "/etc/my fire.set"}),
        ("save config to new.set", "save config to", {"file": "new.set"}),
        (
            "clear rule-hit-count vsys vsys-name vsys1 rule-base nat rules all",
            "clear rule-hit-count vsys vsys-name rule-base rules all",
            {"vsys": "vsys1", "rulebase": "nat"},
        ),
        (
            "sh ses all fil nat b nat-rule out",
            "show session all",
            {"nat": "both", "nat_rule": "out"},
        ),
    ],
)
def test_a_line_is_read(line: str, name: str, arguments: dict[str, str]) -> None:
    command = parse(line)
    assert command is not None
    assert (command.name, command.arguments) == (name, arguments)


@pytest.mark.parametrize(
    ("written", "members"),
    [
        ("r1", ("r1",)),
        ("[ r1 ]", ("r1",)),
        ('[ r1 "two words" r3 ]', ("r1", "two words", "r3")),
        ("]", ("]",)),
    ],
)
def test_a_list_is_read(written: str, members: tuple[str, ...]) -> None:
    command = parse(f"show rule-hit-count vsys vsys-name vsys1 rule-base nat rules list {written}")
    assert command is not None
    assert listed(command.arguments["rules"]) == members


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_a_blank_line_is_nothing(line: str) -> None:
    assert parse(line) is None


_FIRST = ["check", "clear", "commit", "configure", "exit", "help", "load", "quit", "revert", "save"]
_FIRST += ["set", "show", "test", "validate"]
_TOP = f"{', '.join(_FIRST[:-1])} or {_FIRST[-1]}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("foo", f'"foo" is not a command: expected {_TOP}'),
        ("show sesion", '"sesion" is not known after "show": expected arp, '),
        ("show s", '"s" is ambiguous: session or system'),
        ("sh ses all fil so 1.1.1.1", '"so" is ambiguous: source or source-port'),
        (
            "sh ses all fil from \x1b[2J x",
            '"x" is not known after "show session all filter from \\x1b',
        ),
        ("show session", '"show session" is incomplete: expected all, id, info, meter or packet-'),
        ("show session id", '"show session id" is incomplete: expected <1-4294967295>'),
        ("show session all filter", '"show session all filter" is incomplete: expected app'),
        (
            "test security-policy-match from trust",
            '"test security-policy-match from trust" is incomplete:'
            " source, destination and protocol must be given, too",
        ),
        ("test routing fib-lookup ip", '"test routing fib-lookup ip" is incomplete: expected <ip>'),
        (
            "test routing fib-lookup ip 192.0.2.1",
            '"test routing fib-lookup ip 192.0.2.1" is incomplete: virtual-router must be given',
        ),
        ("sh rule vsys vsys vsys1 rule nat rules list [ r1", "is incomplete: expected <rule> or ]"),
        ("sh rule vsys vsys vsys1 rule nat rules list [ ]", "is empty: expected <rule>"),
        ("sh rule vsys vsys vsys1 rule nat rules list [ r1 ] r2", '"r2" is too much'),
        ("sh rule vsys vsys vsys2", "expected vsys1"),
        ('load config from ""', "expected the name of a file"),
        ("co", '"co" is ambiguous: commit or configure'),
        ("show clock now", '"now" is too much: nothing follows "show clock"'),
        (
            "show session id 0",
            '"0" after "show session id": expected a number from 1 to 4294967295',
        ),
        ("show session id 99999999999", '"99999999999" after "show session id": expected a number'),
        ("show session id x", '"x" after "show session id": expected a number'),
        (
            "sh ses all fil source 10.0.0.0/8",
            '"10.0.0.0/8" after "show session all filter source":'
            " a filter takes one host address, not a network",
        ),
        ("sh ses all fil source 10.0.0", '"10.0.0" after "show session all filter source": not an'),
        ("sh ses all fil source fe80::1%eth1", "an address is given without %interface"),
        ("sh ses all fil source-port 65536", "expected a number from 0 to 65535"),
        (
            "sh ses all fil protocol sctp",
            "expected tcp, udp, icmp, ipv6-icmp or a number from 0 to 255",
        ),
        ("sh ses all fil state c", "expected initial, opening, active, discard, closing or closed"),
        ('sh ses all fil from ""', "expected a name, not an empty text"),
        ("sh ses all fil source 1.1.1.1 source 2.2.2.2", '"source" is given twice'),
        ("sh log traffic count equal 1 direction equal f count equal 2", '"count" is given twice'),
        ('sh ses all fil rule "two words', 'the quote before "two words" is not closed'),
        ("set session offload", '"set session offload" is incomplete: expected yes|no'),
        ("set session offload off", '"off" after "set session offload": expected yes or no'),
        ("show clock |", '"|" is incomplete: expected count, except or match'),
        ("show clock | match", '"match" is incomplete: expected <regex>'),
        ("show clock | match a b", '"b" is too much: nothing follows "match a"'),
        ("show clock | match (?\x1b", "(unknown extension ?\\x1b at position 1)"),
        ("show clock | match (", "not a regular expression (missing )"),
        ("| count", "a command comes before |"),
        ("show clock | grep x", '"grep" is not known after "|"'),
    ],
)
def test_a_wrong_line_says_what_would_be_right(line: str, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(line)
    assert message in str(caught.value)


def test_pipes_are_split_off() -> None:
    command = parse('sh ses all | match "a|b" | except \\d+|count')
    assert command is not None
    assert command.text == "sh ses all"
    assert command.pipes == (Pipe("match", "a|b"), Pipe("except", "\\d+"), Pipe("count", ""))


@pytest.mark.parametrize(
    ("text", "prefix", "labels", "may_end"),
    [
        ("", "", _FIRST, False),
        ("sh", "sh", _FIRST, False),
        ("show session ", "", SESSION_WORDS, False),
        ("show session al", "al", SESSION_WORDS, False),
        ("show session all ", "", ["filter"], True),
        ("show session id ", "", ["<1-4294967295>"], False),
        ("show session id 5 ", "", [], True),
        ("test routing fib-lookup ", "", ["ip", "virtual-router"], False),
        ("test routing fib-lookup ip 192.0.2.1 ", "", ["virtual-router"], False),
        ("test routing fib-lookup ip 192.0.2.1 virtual-router x ", "", [], True),
        ("sh rule vsys vsys vsys1 rule nat rules list ", "", ["<rule>"], False),
        ("sh rule vsys vsys vsys1 rule nat rules list [ ", "", ["<rule>"], False),
        ("sh rule vsys vsys vsys1 rule nat rules list [ r1 ", "", ["<rule>", "]"], False),
        ("sh rule vsys vsys vsys1 rule nat rules list [ r1 ] ", "", [], True),
        ("show log traffic ", "", ["count", "direction"], True),
        ("show log traffic count equal 5 ", "", ["direction"], True),
        ("show counter global filter delta y", "y", ["yes|no"], False),
        ("show clock | ", "", ["count", "except", "match"], False),
        ("show clock | match x ", "", [], True),
        ('show session all filter from "a b', "a b", ["<zone>"], False),
    ],
)
def test_what_can_come_next(text: str, prefix: str, labels: list[str], may_end: bool) -> None:
    found = possible(text)
    assert found.prefix == prefix
    assert [token.label for token in found.tokens] == labels
    assert found.may_end == may_end
    assert not found.problem


def test_used_filters_are_not_offered_again() -> None:
    found = possible("show session all filter source 1.1.1.1 ")
    labels = [token.label for token in found.tokens]
    assert "source" not in labels
    assert "source-port" in labels
    assert found.may_end


def test_a_wrong_beginning_offers_nothing_but_the_reason() -> None:
    found = possible("show foo ")
    assert not found.tokens
    assert '"foo" is not known after "show"' in found.problem


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    _read(text)


_WORDS = """\
show session all filter source 1.1.1.1 state active count yes | match except " id 5 counter global
name log traffic equal direction clear (a+ a{2} [[a] é \x1b (?\x1b"""


@given(st.lists(st.sampled_from(_WORDS.split())))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    _read(" ".join(words))


def _read(text: str) -> None:
    problem = possible(text).problem
    try:
        parse(text)
    except GrammarError as error:
        problem += str(error)
    assert problem.isprintable()  # one line, and nothing that moves a cursor


def test_every_command_of_the_list_parses() -> None:
    names = [syntax.name for syntax in commands()]
    for name in names:
        assert parse(example(name)) is not None
    assert names == sorted(names)
