"""The types of arguments that commands have: what is read, what is offered, what would be right."""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace


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


def matching(names: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The name itself, or all that begin so."""
    return (text,) if text in names else tuple(name for name in names if name.startswith(text))


def either(names: tuple[str, ...]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


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
        found = matching(names, text)
        if len(found) == 1:
            return found[0]
        raise ValueError(f"expected {either(names)}")

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
        raise ValueError(f"expected {either((*_PROTOCOLS, 'a number from 0 to 255'))}") from None


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
