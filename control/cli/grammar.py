"""The operational commands: one tree that parsing, completion, help and docs come from.

A *token* is a keyword or an argument. What may follow it is either `then` (one of these) or what
is left of the *pairs* of an enclosing token (each at most once, in any order: `filter source X
type Y`), some of which it may *need*. Keywords may be shortened to any unambiguous beginning. A
command is named by its keywords, options left out: `show session all filter type flow` is the
command `show session all`.

`| match RE` and its like are parsed here and applied by the client (`pipes`).
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple


class GrammarError(Exception):
    """A line that is no command; the message says which token is wrong and what would be right."""


# ---- argument types ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of argument."""

    label: str  # how help shows a value: "<ip>"
    read: Callable[[str], str]  # the canonical spelling, or ValueError saying what would be right
    words: tuple[tuple[str, str], ...] = ()  # values worth offering, with their help
    names: str = ""  # the list completion takes names from: zone, rule, ...

    @property
    def placeholder(self) -> str:
        """What stands for the values that are not in `words`; "" where they are all there."""
        return self.label[self.label.index("<") :] if "<" in self.label else ""


def _host_address(text: str) -> str:
    if "/" in text:
        raise ValueError("a filter takes one host address, not a network")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("not an IPv4 or IPv6 address") from None
    if "%" in text:
        raise ValueError("an address is given without %interface")
    return str(address)


def _number(low: int, high: int) -> Kind:
    def read(text: str) -> str:
        # ten digits hold every number here and keep int() from reading a megabyte of them
        if re.fullmatch(r"[0-9]{1,10}", text) and low <= int(text) <= high:
            return str(int(text))
        raise ValueError(f"expected a number from {low} to {high}")

    return Kind(f"<{low}-{high}>", read)


def _one_of(*words: tuple[str, str]) -> Kind:
    names = tuple(word for word, _ in words)

    def read(text: str) -> str:
        found = _matching(names, text)
        if len(found) == 1:
            return found[0]
        raise ValueError(f"expected {_either(names)}")

    return Kind("|".join(names), read, words)


def _name(names: str) -> Kind:
    def read(text: str) -> str:
        if text:
            return text
        raise ValueError("expected a name, not an empty text")

    return Kind(f"<{names}>", read, names=names)


_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "ipv6-icmp": "58"}


def _protocol(text: str) -> str:
    if text in _PROTOCOLS:
        return _PROTOCOLS[text]
    try:
        return _number(0, 255).read(text)
    except ValueError:
        raise ValueError(f"expected {_either((*_PROTOCOLS, 'a number from 0 to 255'))}") from None


def _path(text: str) -> str:
    if text.isprintable() and text:
        return text
    raise ValueError("expected the name of a file")


def _all_or(names: str) -> Kind:
    """A name, or `all`, which no name begins like."""
    name = _name(names)

    def read(text: str) -> str:
        return "all" if text and "all".startswith(text) else name.read(text)

    return Kind(f"all|{name.label}", read, (("all", "All of them"),), names)


def listed(text: str) -> tuple[str, ...]:
    """The members of an argument that may be a list."""
    return tuple(text.split("\n"))


def _pattern(text: str) -> str:
    try:
        with warnings.catch_warnings():  # of what a later Python may read differently
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return text


HOST = Kind("<ip>", _host_address)
PORT = _number(0, 65535)
PROTOCOL = Kind(
    f"{'|'.join(_PROTOCOLS)}|<0-255>",
    _protocol,
    tuple((name, f"IP protocol {number}") for name, number in _PROTOCOLS.items()),
)
SESSION_ID = _number(1, 4294967295)
LOG_COUNT = _number(1, 10000)
ZONE = _name("zone")
RULE = _name("rule")
APPLICATION = _name("application")
COUNTER = _name("counter")
INTERFACE = _name("interface")
ALL_OR_INTERFACE = _all_or("interface")
NAT_RULE = _name("nat-rule")
PBF_RULE = _name("pbf-rule")
QOS_RULE = _name("qos-rule")
DOS_RULE = _name("dos-rule")
RULE_OF_RULEBASE = replace(_name("rule"), names="rule-of-rulebase")
ROUTER = _name("virtual-router")
CONFIG_FILE = Kind("<file>", _path, names="config-file")
CATEGORY = _name("category")
ASPECT = _name("aspect")
YES_NO = _one_of(("yes", "yes"), ("no", "no"))
ON_OFF = _one_of(("on", "on"), ("off", "off"))
STATE = _one_of(
    ("initial", "initial state"),
    ("opening", "allocated, not installed yet"),
    ("active", "installed, passing packets"),
    ("discard", "denied, dropping packets"),
    ("closing", "being closed"),
    ("closed", "closed"),
)
SESSION_TYPE = _one_of(
    ("flow", "regular session"), ("predict", "pinhole expected by an application")
)
NAT = _one_of(
    ("none", "no translation"),
    ("source", "source translated"),
    ("destination", "destination translated"),
    ("both", "source and destination translated"),
)
RULEBASE = _one_of(
    ("application-override", "application override rules"),
    ("nat", "NAT rules"),
    ("pbf", "policy-based forwarding rules"),
    ("qos", "QoS rules"),
    ("security", "security rules, the default rules too"),
)
VSYS = _one_of(("vsys1", "the one virtual system"))
SEVERITY = _one_of(
    ("drop", "packets dropped"),
    ("error", "errors"),
    ("info", "information"),
    ("warn", "warnings"),
)
COUNTER_VALUE = _one_of(("all", "zero values too"), ("non-zero", "values other than zero"))
DIRECTION = _one_of(("backward", "newest entry first"), ("forward", "oldest entry first"))
PATTERN = Kind("<regex>", _pattern)


# ---- the table -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    text: str  # the keyword, or the argument's name in Command.arguments
    help: str
    kind: Kind | None = None  # of an argument; None for a keyword
    then: tuple[Token, ...] = ()
    pairs: tuple[Token, ...] = ()
    may_end: bool = False  # a command may end here although more may follow
    is_option: bool = False
    is_list: bool = False  # an argument that may be [ several values ]
    needs: tuple[str, ...] = ()  # pairs without which a command is not whole

    @property
    def label(self) -> str:
        return self.kind.label if self.kind else self.text

    @property
    def ends(self) -> bool:
        return self.may_end or not (self.then or self.pairs)


def _word(
    text: str,
    help: str,
    *then: Token,
    pairs: tuple[Token, ...] = (),
    may_end: bool = False,
    needs: tuple[str, ...] = (),
) -> Token:
    return Token(text, help, None, then, pairs, may_end, needs=needs)


def _option(text: str, help: str, *then: Token, pairs: tuple[Token, ...] = ()) -> Token:
    return Token(text, help, None, then, pairs, is_option=True)


def _pair(text: str, argument: str, kind: Kind, help: str) -> Token:
    return _option(text, help, Token(argument, help, kind))


def _equal(text: str, kind: Kind, help: str) -> Token:
    return _option(text, help, _option("equal", "Equal to", Token(text, help, kind)))


# Arguments are named as the fields of dataplane.messages.SessionFilter.
_SESSION_PAIRS = (
    _pair("application", "application", APPLICATION, "Application name"),
    _pair("destination", "destination", HOST, "Destination address, before translation"),
    _pair("destination-port", "destination_port", PORT, "Destination port"),
    _pair("from", "from_zone", ZONE, "Source zone"),
    _pair("nat", "nat", NAT, "What is translated"),
    _pair("nat-rule", "nat_rule", NAT_RULE, "NAT rule name"),
    _pair("protocol", "protocol", PROTOCOL, "IP protocol, by name or number"),
    _pair("rule", "rule", RULE, "Security rule name"),
    _pair("source", "source", HOST, "Source address, before translation"),
    _pair("source-port", "source_port", PORT, "Source port"),
    _pair("state", "state", STATE, "Session state"),
    _pair("to", "to_zone", ZONE, "Destination zone"),
    _pair("type", "type", SESSION_TYPE, "Session type"),
)
_SHOWN_PAIRS = (
    *_SESSION_PAIRS,
    _pair("count", "count", YES_NO, "Print only the number of matching sessions"),
    _pair("egress-interface", "egress", INTERFACE, "Interface the first packet went out by"),
    _pair("ingress-interface", "ingress", INTERFACE, "Interface the first packet came in by"),
    _pair("pbf-rule", "pbf_rule", PBF_RULE, "Policy-based forwarding rule name"),
    _pair("qos-rule", "qos_rule", QOS_RULE, "QoS rule name"),
)

_COUNTER_PAIRS = (
    _pair("aspect", "aspect", ASPECT, "Counters of this aspect"),
    _pair("category", "category", CATEGORY, "Counters of this category"),
    _pair("delta", "delta", YES_NO, "The change since the previous delta output"),
    _pair("severity", "severity", SEVERITY, "Counters of this severity"),
    _pair("value", "value", COUNTER_VALUE, "Which values to print"),
)

_LOG_PAIRS = (
    _equal("count", LOG_COUNT, "How many of the newest entries to print"),
    _equal("direction", DIRECTION, "Order of the entries"),
)

# Arguments of `test` are named as the fields of dataplane.messages.Match.
_MATCH_PAIRS = (
    _pair("destination", "destination", HOST, "Destination address, before translation"),
    _pair("destination-port", "destination_port", PORT, "Destination port"),
    _pair("from", "from_zone", ZONE, "Source zone"),
    _pair("protocol", "protocol", PROTOCOL, "IP protocol, by name or number"),
    _pair("source", "source", HOST, "Source address, before translation"),
    _pair("source-port", "source_port", PORT, "Source port"),
)
_MATCH_NEEDS = ("source", "destination", "protocol")
_TO = _pair("to", "to_zone", ZONE, "Destination zone, after translation")
_SHOW_ALL = _pair("show-all", "every", YES_NO, "All the rules that match, not the first alone")
_ROUTER = _pair("virtual-router", "virtual_router", ROUTER, "Virtual router name")


def _rule_hit_count(verb: str) -> Token:
    """`rule-hit-count`, which names the rules in the same way for every verb."""
    rules = _word(
        "rules",
        "Which rules",
        _word("all", f"{verb} the hit counts of every rule"),
        _word(
            "list",
            f"{verb} the hit counts of these rules",
            Token("rules", "Rule name, or [ names ]", RULE_OF_RULEBASE, is_list=True),
        ),
    )
    rulebase = Token("rulebase", "Rulebase", RULEBASE, (rules,))
    vsys = Token("vsys", "Virtual system", VSYS, (_word("rule-base", "Which rules", rulebase),))
    by_name = _word("vsys-name", "By its name", vsys)
    return _word("rule-hit-count", "How often rules matched", _word("vsys", "Where", by_name))


_CLEAR_BLOCKED = _word(
    "blocked",
    "Blocked sources",
    _word("all", "Let every blocked source of the zone in again"),
    _word(
        "source",
        "Let one blocked source in again",
        Token("source", "Source address", HOST),
    ),
)
_SHOW_BLOCKED = _word("blocked", "What is blocked", _word("source", "Blocked sources of the zone"))
_THREAT_LOG = "additional-threat-log"

_SESSION_ID = Token("id", "Session number", SESSION_ID)

COMMANDS = _word(
    "",
    "",
    _word(
        "check",
        "Check something",
        _word(
            "pending-changes", "Whether the candidate configuration differs from the running one"
        ),
    ),
    _word(
        "clear",
        "Clear runtime state",
        _word(
            "dos-block-table",
            "Block table",
            _word("all", "Let every blocked source in again"),
        ),
        _word(
            "dos-protection",
            "DoS protection",
            _word(
                "zone",
                "Blocked sources of a zone",
                Token("zone", "Zone name", ZONE, (_CLEAR_BLOCKED,)),
            ),
        ),
        _rule_hit_count("Clear"),
        _word(
            "session",
            "Clear sessions",
            _word(
                "all",
                "Clear every session, or those a filter selects",
                _option("filter", "Choose sessions", pairs=_SESSION_PAIRS),
                may_end=True,
            ),
            _word("id", "Clear one session", _SESSION_ID),
        ),
    ),
    _word("commit", "Make the candidate configuration the running one"),
    _word("configure", "Configuration mode (not available in this version)"),
    _word("exit", "Leave the command line"),
    _word("help", "List the commands"),
    _word(
        "load",
        "Load a configuration",
        _word(
            "config",
            "Make a file the candidate configuration",
            _word(
                "from",
                "Make a file the candidate configuration, or running-config",
                Token("file", "File of set commands", CONFIG_FILE),
            ),
        ),
    ),
    _word("quit", "Leave the command line"),
    _word(
        "revert",
        "Give changes up",
        _word("config", "Make the running configuration the candidate again"),
    ),
    _word(
        "save",
        "Save a configuration",
        _word(
            "config",
            "Write the candidate configuration to a file",
            _word(
                "to",
                "Write the candidate configuration to a file",
                Token("file", "File to write", CONFIG_FILE),
            ),
        ),
    ),
    _word(
        "set",
        "Change settings of the running firewall and of this command line",
        _word(
            "cli",
            "Command line settings",
            _word("pager", "Show long output a page at a time", Token("pager", "Pager", ON_OFF)),
        ),
        _word(
            "session",
            "Session settings, at once and not lasting",
            _word(
                "offload",
                "Whether sessions may be in the offload engine",
                Token("offload", "Offload", YES_NO),
            ),
        ),
        _word(
            "system",
            "System settings, at once and not lasting",
            _word(
                "setting",
                "System settings",
                _word(
                    _THREAT_LOG,
                    "Whether packets that packet-based protection drops are logged as threats",
                    Token("threats", "Additional threat log", ON_OFF),
                ),
            ),
        ),
    ),
    _word(
        "show",
        "Show runtime state",
        _word("arp", "ARP table", _word("all", "ARP entries of every interface")),
        _word("clock", "Date and time of the firewall"),
        _word(
            "config",
            "Configuration",
            _word("candidate", "The candidate configuration, as set commands"),
            _word("diff", "The lines in which the candidate differs from the running one"),
            _word("running", "The configuration in force, as set commands"),
        ),
        _word(
            "counter",
            "Counters",
            _word(
                "global",
                "Global counters of the dataplane",
                _option("filter", "Choose counters", pairs=_COUNTER_PAIRS),
                _pair("name", "name", COUNTER, "One counter"),
                may_end=True,
            ),
        ),
        _word(
            "dos-block-table",
            "Block table",
            _word("all", "Every source that is blocked, why and for how long"),
        ),
        _word(
            "dos-protection",
            "DoS protection",
            _word(
                "rule",
                "DoS protection rule",
                Token(
                    "rule",
                    "DoS protection rule name",
                    DOS_RULE,
                    (
                        _word("settings", "Limits of a DoS protection rule"),
                        _word("statistics", "What a DoS protection rule has done"),
                    ),
                ),
            ),
            _word(
                "zone",
                "Blocked sources of a zone",
                Token("zone", "Zone name", ZONE, (_SHOW_BLOCKED,)),
            ),
        ),
        _word(
            "interface",
            "Hardware and logical interfaces, or everything about one",
            Token("interface", "Interface name", ALL_OR_INTERFACE),
        ),
        _word(
            "log",
            "Logs",
            _word(
                "threat",
                "Threat log, the newest 1000 entries unless told otherwise",
                pairs=_LOG_PAIRS,
                may_end=True,
            ),
            _word(
                "traffic",
                "Traffic log, the newest 1000 entries unless told otherwise",
                pairs=_LOG_PAIRS,
                may_end=True,
            ),
        ),
        _word(
            "neighbor",
            "IPv6 neighbours",
            _word("interface", "By interface", _word("all", "Neighbours of every interface")),
        ),
        _word(
            "pbf",
            "Policy-based forwarding",
            _word("rule", "Rules", _word("all", "Rules and what became of their next hops")),
        ),
        _word(
            "qos",
            "QoS",
            _word(
                "interface",
                "Classes of an interface and what they have sent",
                Token("interface", "Interface name", INTERFACE),
            ),
        ),
        _word(
            "routing",
            "Routing",
            _word(
                "fib",
                "Forwarding table of each virtual router",
                pairs=(_ROUTER,),
                may_end=True,
            ),
            _word(
                "route",
                "Routing table of each virtual router",
                pairs=(_ROUTER,),
                may_end=True,
            ),
        ),
        _rule_hit_count("Show"),
        _word(
            "running",
            "What the dataplane runs on",
            _word("application-override-policy", "Application override rules in force"),
            _word("dos-policy", "DoS protection rules in force"),
            _word("ippool", "Address pools of the NAT rules, and how far they are used"),
            _word("nat-policy", "NAT rules in force"),
            _word(
                "nat-rule-ippool",
                "Address pools of one NAT rule",
                _word(
                    "rule",
                    "Address pools of one NAT rule",
                    Token("rule", "NAT rule name", NAT_RULE),
                ),
            ),
            _word("pbf-policy", "Policy-based forwarding rules in force"),
            _word("qos-policy", "QoS rules in force"),
            _word("security-policy", "Security rules in force, the default rules last"),
        ),
        _word(
            "session",
            "Sessions",
            _word(
                "all",
                "The session table, or the sessions a filter selects",
                _option("filter", "Choose sessions", pairs=_SHOWN_PAIRS),
                may_end=True,
            ),
            _word("id", "Everything about one session", _SESSION_ID),
            _word("info", "Session counts, rates, timeouts and settings"),
            _word("meter", "Sessions of each virtual system, and its maximum"),
            _word(
                "packet-buffer-protection",
                "What one source may fill of the packets that wait",
            ),
        ),
        _word(
            "system",
            "System",
            _word("info", "Name, version and uptime"),
            _word(
                "setting",
                "System settings",
                _word(
                    _THREAT_LOG,
                    "Whether packets that packet-based protection drops are logged as threats",
                ),
            ),
        ),
        _word("virtual-wire", "Virtual wires", _word("all", "Virtual wires and their ends")),
        _word("vlan", "VLANs", _word("all", "VLANs and their interfaces")),
        _word(
            "zone-protection",
            "Zone protection profiles in force, and what they have done",
            pairs=(_pair("zone", "zone", ZONE, "Of one zone"),),
            may_end=True,
        ),
    ),
    _word(
        "test",
        "Ask what would happen",
        _word(
            "dos-policy-match",
            "DoS protection rule for a first packet",
            pairs=(
                *_MATCH_PAIRS,
                _pair("from-interface", "from_interface", INTERFACE, "Ingress interface"),
                _pair("to", "to_zone", ZONE, "Zone its destination routes to"),
                _pair("to-interface", "to_interface", INTERFACE, "Egress interface"),
            ),
            needs=_MATCH_NEEDS,
        ),
        _word(
            "nat-policy-match",
            "NAT rule for a first packet; zones are those of its original route",
            pairs=(
                *_MATCH_PAIRS,
                _pair("to", "to_zone", ZONE, "Destination zone, before translation"),
                _pair("to-interface", "to_interface", INTERFACE, "Egress interface"),
            ),
            needs=_MATCH_NEEDS,
        ),
        _word(
            "pbf-policy-match",
            "Policy-based forwarding rule for a first packet",
            pairs=(
                *_MATCH_PAIRS,
                _pair("from-interface", "from_interface", INTERFACE, "Ingress interface"),
            ),
            needs=_MATCH_NEEDS,
        ),
        _word(
            "qos-policy-match",
            "QoS rule for a first packet",
            pairs=(*_MATCH_PAIRS, _TO),
            needs=_MATCH_NEEDS,
        ),
        _word(
            "routing",
            "Routing",
            _word(
                "fib-lookup",
                "Route to an address, with every next hop of equal cost",
                pairs=(_pair("ip", "ip", HOST, "Destination address"), _ROUTER),
                needs=("virtual-router", "ip"),
            ),
        ),
        _word(
            "security-policy-match",
            "Security rule for a first packet",
            pairs=(*_MATCH_PAIRS, _SHOW_ALL, _TO),
            needs=_MATCH_NEEDS,
        ),
    ),
    _word(
        "validate",
        "Check the candidate configuration",
        _word("full", "Check what a commit would check, and change nothing"),
    ),
)

PIPES = _word(
    "|",
    "Pipe through a command",
    _word("count", "Print the number of lines"),
    _word("except", "Print lines that do not match", Token("regex", "Pattern", PATTERN)),
    _word("match", "Print lines that match", Token("regex", "Pattern", PATTERN)),
)


# ---- reading a line ------------------------------------------------------------------------------


class Pipe(NamedTuple):
    name: str  # match, except, count
    regex: str  # "" for count


class Command(NamedTuple):
    name: str  # its keywords: "show session all"
    arguments: dict[str, str]  # canonical spellings, by argument name
    pipes: tuple[Pipe, ...]
    text: str  # the line without its pipes


class Possible(NamedTuple):
    """What may stand at the end of an unfinished line."""

    start: int  # where the token begins that is being typed
    prefix: str  # what is there of it
    tokens: tuple[Token, ...]
    may_end: bool  # what was typed before it is a whole command
    arguments: dict[str, str]  # of what was typed before it
    problem: str  # what is wrong with what was typed before it, "" where nothing is


class _Piece(NamedTuple):
    text: str
    start: int
    is_open: bool  # a quote that is not closed


_PIECE = re.compile(r'"(?P<quoted>[^"]*)(?P<close>"?)|(?P<pipe>\|)|(?P<plain>[^\s"|]+)')


def _split(line: str) -> list[list[_Piece]]:
    """The line's tokens, a list for the command and one for each pipe."""
    stages: list[list[_Piece]] = [[]]
    for found in _PIECE.finditer(line):
        if found["pipe"]:
            stages.append([])
        elif found["plain"] is not None:
            stages[-1].append(_Piece(found["plain"], found.start(), False))
        else:
            stages[-1].append(_Piece(found["quoted"], found.start(), not found["close"]))
    return stages


def _matching(names: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The name itself, or all that begin so."""
    return (text,) if text in names else tuple(name for name in names if name.startswith(text))


def _either(names: tuple[str, ...]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _shown(text: str) -> str:
    """A token in a message: on one line and no longer than a message should be."""
    visible = _visible(text)
    return f'"{visible[:60]}..."' if len(visible) > 60 else f'"{visible}"'


def _visible(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


_CLOSE = _word("]", "End of the list")


class _Walk:
    """A way through the tree, token by token."""

    def __init__(self, root: Token) -> None:
        self._root = self._at = root
        self._pairs: tuple[Token, ...] = ()  # of the enclosing token
        self._unused: tuple[Token, ...] = ()
        self.words: list[str] = []  # keywords that name the command
        self.arguments: dict[str, str] = {}
        self._typed: list[str] = []
        self._needs: tuple[str, ...] = ()
        self._members: list[str] | None = None  # of a list that is not closed yet

    @property
    def ends(self) -> bool:
        return self._at.ends and self._members is None and not self._missing

    @property
    def next(self) -> tuple[Token, ...]:
        following = self._at.then or self._unused
        return (*following, _CLOSE) if self._members else following

    @property
    def _missing(self) -> tuple[str, ...]:
        unused = {token.text for token in self._unused}
        return tuple(name for name in self._needs if name in unused)

    def step(self, piece: _Piece) -> None:
        text = piece.text
        if piece.is_open:
            raise GrammarError(f"the quote before {_shown(text)} is not closed")
        if not self.next:
            if self._find(self._pairs, text):
                raise GrammarError(f"{_shown(text)} is given twice")
            raise GrammarError(f"{_shown(text)} is too much: nothing follows {self._before()}")
        argument = self.next[0]
        if not argument.kind:
            self._enter(self._keyword(text))
        elif argument.is_list and self._members is None and text == "[":
            self._members = []
        elif self._members == [] and text == _CLOSE.text:
            raise GrammarError(f"[ ] after {self._before()} is empty: expected {argument.label}")
        elif self._members and text == _CLOSE.text:
            self.arguments[argument.text] = "\n".join(self._members)
            self._members = None
            self._enter(argument)
        else:
            value = self._read(argument.kind, text)
            if self._members is not None:
                self._members.append(value)
            else:
                self.arguments[argument.text] = value
                self._enter(argument)

    def finish(self) -> None:
        if self._missing and self._at.ends:
            *most, last = self._missing
            needed = f"{', '.join(most)} and {last}" if most else last
            raise GrammarError(f"{self._before()} is incomplete: {needed} must be given, too")
        if not self.ends:
            labels = tuple(token.label for token in self.next)
            raise GrammarError(f"{self._before()} is incomplete: expected {_either(labels)}")

    def _read(self, kind: Kind, text: str) -> str:
        try:
            return kind.read(text)
        except ValueError as error:
            where = f"{_shown(text)} after {self._before()}"
            raise GrammarError(f"{where}: {_visible(str(error))}") from None

    def _keyword(self, text: str) -> Token:
        if any(text == token.text for token in self._pairs if token not in self.next):
            raise GrammarError(f"{_shown(text)} is given twice")  # and not short for another
        found = self._find(self.next, text)
        if len(found) == 1:
            return found[0]
        if found:
            names = tuple(token.text for token in found)
            raise GrammarError(f"{_shown(text)} is ambiguous: {_either(names)}")
        is_first = not (self._typed or self._root.text)
        where = "a command" if is_first else f"known after {self._before()}"
        names = tuple(token.text for token in self.next)
        raise GrammarError(f"{_shown(text)} is not {where}: expected {_either(names)}")

    @staticmethod
    def _find(tokens: tuple[Token, ...], text: str) -> tuple[Token, ...]:
        found = _matching(tuple(token.text for token in tokens), text)
        return tuple(token for token in tokens if token.text in found)

    def _enter(self, token: Token) -> None:
        self._unused = tuple(one for one in self._unused if one is not token)
        if token.pairs:
            self._pairs = self._unused = token.pairs
            self._needs = token.needs
        if not (token.kind or token.is_option):
            self.words.append(token.text)
        self._typed.append(self.arguments[token.text] if token.kind else token.text)
        self._at = token

    def _before(self) -> str:
        text = _visible(" ".join(self._typed) or self._root.text)
        return f'"{text}"' if len(text) <= 60 else f'"...{text[-60:]}"'


def parse(line: str) -> Command | None:
    """The command of a line; None for a blank one. Raises GrammarError."""
    command, *stages = _split(line)
    if not command and not stages:
        return None
    walk = _walk_command(command)
    end = next((found.start() for found in _PIECE.finditer(line) if found["pipe"]), len(line))
    pipes = tuple(_pipe(stage) for stage in stages)
    return Command(" ".join(walk.words), walk.arguments, pipes, line[:end].strip())


def possible(text: str) -> Possible:
    """What may come at the end of `text`; its last token is unfinished unless a blank follows."""
    *before, last = _split(text)
    start, prefix, is_typing = len(text), "", False
    if last and (last[-1].is_open or not text[-1].isspace()):
        prefix, start, _ = last.pop()
        is_typing = True
    walk = _Walk(PIPES if before else COMMANDS)
    try:
        if before:
            _walk_command(before[0])
            for stage in before[1:]:
                _pipe(stage)
        for piece in last:
            walk.step(piece)
    except GrammarError as error:
        return Possible(start, prefix, (), False, {}, str(error))
    may_end = walk.ends and not is_typing
    return Possible(start, prefix, walk.next, may_end, walk.arguments, "")


def _walk_command(pieces: list[_Piece]) -> _Walk:
    if not pieces:
        raise GrammarError("a command comes before |")
    walk = _Walk(COMMANDS)
    for piece in pieces:
        walk.step(piece)
    walk.finish()
    return walk


def _pipe(pieces: list[_Piece]) -> Pipe:
    walk = _Walk(PIPES)
    for piece in pieces:
        walk.step(piece)
    walk.finish()
    return Pipe(walk.words[0], walk.arguments.get("regex", ""))


# ---- the table as a list -------------------------------------------------------------------------


class Syntax(NamedTuple):
    """A command for help and docs."""

    name: str  # keywords and arguments: "show session id <1-4294967295>"
    help: str
    options: tuple[tuple[str, str], ...]  # "filter source <ip>" and its help


def commands() -> Iterator[Syntax]:
    """Every command of the table, in its order."""
    yield from _commands(COMMANDS, ())


def _commands(token: Token, before: tuple[Token, ...]) -> Iterator[Syntax]:
    path = (*before, token)
    if (token.ends or token.needs) and token is not COMMANDS:
        pairs = {one.text: _labels(one) for one in token.pairs}
        words = " ".join([*(one.label for one in path[1:]), *(pairs[one] for one in token.needs)])
        keyword = next(one for one in reversed(path) if not one.kind)
        yield Syntax(words, keyword.help, tuple(_options(token)))
    for following in token.then:
        if not following.is_option:
            yield from _commands(following, path)


def _options(token: Token) -> Iterator[tuple[str, str]]:
    for option in (*token.then, *token.pairs):
        if option.text in token.needs:
            continue
        if option.pairs:
            for pair in option.pairs:
                yield f"{option.text} {_labels(pair)}", pair.help
        elif option.is_option:
            yield _labels(option), option.help


def _labels(token: Token) -> str:
    return " ".join([token.label, *(_labels(one) for one in token.then)])
