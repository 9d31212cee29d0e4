"""What a leaf's value may be: one checker per kind of value, and what would be right.

Values stay text in the tree; the functions that read them (`prefix`, `address_range`, `ports`)
raise ValueError with a sentence, and the checkers are made of them. Nothing here accepts what the
standard library accepts beyond plain notation: netmasks behind the slash, scope identifiers,
digits of other scripts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from control.config.errors import shown, suggestion

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

MAX_PORT_ITEMS = 1000  # ranges in one port list


@dataclass(frozen=True, slots=True)
class Reference:
    """The named things a value may stand for."""

    noun: str
    lists: tuple[tuple[str, ...], ...]  # paths of the lists whose entries it may name (paths.py)
    predefined: tuple[str, ...] = ()
    literal: Callable[[str], object] | None = None  # reads what may stand there instead of a name
    not_enforced: re.Pattern[str] | None = None  # names of things that are kept without effect


@dataclass(frozen=True, slots=True)
class ValueType:
    right: str  # "yes or no"
    problem: Callable[[str], str]  # what is wrong with a text, "" where it is right
    words: tuple[str, ...] = ()  # the values that can be listed; in front of others for a reference
    reference: Reference | None = None


# ---- reading -------------------------------------------------------------------------------------

_PREFIX = re.compile(r"([0-9a-fA-F.:]+)(?:/([0-9]{1,3}))?")


def address(text: str) -> Address:
    if not re.fullmatch(r"[0-9a-fA-F.:]+", text):
        raise ValueError(f"{shown(text)} is not an address such as 192.0.2.1 or 2001:db8::1")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not an address such as 192.0.2.1 or 2001:db8::1"
        ) from None


def _interface(text: str) -> Interface:
    """An address with or without a prefix length."""
    parts = _PREFIX.fullmatch(text)
    try:
        if not parts:
            raise ValueError
        return ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not an address or prefix such as 192.0.2.1, 192.0.2.0/24 "
            "or 2001:db8::/64"
        ) from None


def prefix(text: str) -> Network:
    """A prefix, or one address. Host bits are an error: they say that something else was meant."""
    value = _interface(text)
    if value.ip != value.network.network_address:
        raise ValueError(
            f"{shown(text)} has host bits set; the network is {value.network}, "
            f"the host {value.ip}/{value.max_prefixlen}"
        )
    return value.network


def address_range(text: str) -> tuple[Address, Address]:
    """First and last address of a range "192.0.2.1-192.0.2.9"."""
    first_text, dash, last_text = text.partition("-")
    if not dash:
        raise ValueError(f"{shown(text)} is not a range such as 192.0.2.10-192.0.2.20")
    first, last = address(first_text), address(last_text)
    if first.version != last.version:
        raise ValueError(f"{shown(text)} mixes IPv4 and IPv6; both ends are of one family")
    if int(first) > int(last):
        raise ValueError(f"{shown(text)} ends before it starts; write {last}-{first}")
    return first, last


def literal_addresses(text: str) -> tuple[Address, Address]:
    """First and last of what may stand in a rule instead of an address object's name."""
    if "-" in text:
        return address_range(text)
    network = prefix(text)
    return network[0], network[-1]


def looks_like_addresses(text: str) -> bool:
    """Whether a text that names nothing was meant as an address."""
    return ":" in text or "/" in text or bool(re.fullmatch(r"[0-9.-]+", text))


def interface_address(text: str, version: int) -> Interface:
    """The address of an interface with its prefix length."""
    example = "192.0.2.1/24" if version == 4 else "2001:db8::1/64"
    value = _interface(text)
    if value.version != version:
        raise ValueError(
            f"{shown(text)} is IPv{value.version}; IPv{version} such as {example} goes here"
        )
    if "/" not in text or not value.network.prefixlen:
        raise ValueError(f"{shown(text)} has no prefix length; write it as in {example}")
    ip = value.ip
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback or int(ip) == 2**32 - 1:
        raise ValueError(
            f"{shown(text)} cannot be an interface's; a unicast address is, as {example}"
        )
    if value.network.prefixlen < value.max_prefixlen - 1:
        if ip == value.network.network_address:
            raise ValueError(f"{shown(text)} is the network itself; take an address in it")
        if version == 4 and ip == value.network.broadcast_address:
            raise ValueError(f"{shown(text)} is the broadcast address; take another in the network")
    return value


def ports(text: str) -> tuple[tuple[int, int], ...]:
    """Port ranges, both ends included, from "80,8080-8090"."""
    items = text.split(",")
    if len(items) > MAX_PORT_ITEMS:
        raise ValueError(f"{len(items)} ports and ranges; at most {MAX_PORT_ITEMS} in one list")
    ranges = []
    for item in items:
        parts = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", item)
        first, last = (int(parts[1]), int(parts[2] or parts[1])) if parts else (1, 0)
        if last > 65535 or first > last:
            raise ValueError(
                f"{shown(item)} is not a port or a range from 0 to 65535, such as 80 or 8080-8090; "
                "commas separate several, without blanks"
            )
        ranges.append((first, last))
    return tuple(ranges)


def application_port(text: str) -> None:
    """Where an application is found: "tcp/80,8080-8090" or "udp/dynamic"."""
    protocol, slash, numbers = text.partition("/")
    if protocol not in ("tcp", "udp") or not slash:
        raise ValueError(f"{shown(text)} is not a protocol and ports such as tcp/80 or udp/dynamic")
    if numbers != "dynamic":
        ports(numbers)


def wildcard(text: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """Address and mask of "10.0.0.1/0.255.0.0"; bits that are 1 in the mask may be anything."""
    try:
        value, mask = (ipaddress.IPv4Address(part) for part in text.split("/"))
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not an IPv4 address and a wildcard mask such as 10.0.0.1/0.255.0.0"
        ) from None
    if mask.packed[0] & 0x80:
        raise ValueError(
            f"{shown(text)} has a mask that starts with a 1; bits that are 0 have to match, the "
            "first is one of them"
        )
    return value, mask


_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9])"
_TIME_RANGE = re.compile(f"{_TIME}-{_TIME}")
_DAY_MINUTES = 24 * 60


def time_range(text: str) -> tuple[int, int]:
    """Minutes since midnight, [first, end); the day's last minute is within a range to 23:59."""
    parts = _TIME_RANGE.fullmatch(text)
    if not parts:
        raise ValueError(f"{shown(text)} is not a time range such as 08:00-17:30")
    first_hour, first_minute, hour, minute = map(int, parts.groups())
    first, end = 60 * first_hour + first_minute, 60 * hour + minute
    if first >= end:
        raise ValueError(
            f"{shown(text)} ends before it starts; write a range to 23:59 and one from 00:00"
        )
    return first, _DAY_MINUTES if end == _DAY_MINUTES - 1 else end


_DATE = r"\d{4}/\d{2}/\d{2}@\d{2}:\d{2}"
_DATE_RANGE = re.compile(f"({_DATE})-({_DATE})", re.ASCII)


def date_range(text: str) -> tuple[int, int]:
    """Seconds since the epoch, [first, end), of "2026/08/01@10:00-2026/08/03@18:00" in UTC."""
    parts = _DATE_RANGE.fullmatch(text)
    try:
        if not parts:
            raise ValueError
        first, end = (
            int(datetime.strptime(part, "%Y/%m/%d@%H:%M").replace(tzinfo=UTC).timestamp())
            for part in parts.groups()
        )
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not a range of dates such as 2026/08/01@10:00-2026/08/03@18:00"
        ) from None
    if first >= end:
        raise ValueError(f"{shown(text)} ends before it starts")
    return first, end


# RFC 2597, RFC 3246, RFC 2474
CLASS_SELECTORS = {f"cs{number}": number << 3 for number in range(8)}
ASSURED_FORWARDING = {
    f"af{group}{drop}": group << 3 | drop << 1 for group in range(1, 5) for drop in range(1, 4)
}
EXPEDITED_FORWARDING = {"ef": 46}
CODEPOINTS = {**EXPEDITED_FORWARDING, **ASSURED_FORWARDING, **CLASS_SELECTORS}


def dscp(text: str) -> int:
    """A codepoint by name or as six bits."""
    if text in CODEPOINTS:
        return CODEPOINTS[text]
    if not re.fullmatch("[01]{6}", text):
        raise ValueError(
            f"{shown(text)} is not a codepoint such as ef, af21 or cs3, nor six bits such as 101110"
        )
    return int(text, 2)


def precedence(text: str) -> int:
    """The codepoint of an IP precedence, by name or as three bits."""
    if text in CLASS_SELECTORS:
        return CLASS_SELECTORS[text]
    if not re.fullmatch("[01]{3}", text):
        raise ValueError(
            f"{shown(text)} is not a precedence such as cs3, nor three bits such as 011"
        )
    return int(text, 2) << 3


# what bridges carry without being asked: IPv4, ARP, 802.1Q, IPv6
_ALWAYS_CARRIED = (0x0800, 0x0806, 0x8100, 0x86DD)


def ether_type(text: str) -> int:
    """ "0x88cc"."""
    if not re.fullmatch("0[xX][0-9a-fA-F]{1,4}", text) or int(text, 16) < 0x600:
        raise ValueError(
            f"{shown(text)} is not an Ethernet type from 0x0600 to 0xffff, such as 0x88cc"
        )
    if int(text, 16) in _ALWAYS_CARRIED:
        raise ValueError(
            f"{shown(text)} is IPv4, ARP, 802.1Q or IPv6, which is no matter of this list; "
            "remove it"
        )
    return int(text, 16)


MAX_MBPS = 60_000


def mbps(text: str) -> int:
    """Bits a second."""
    if not re.fullmatch(r"[0-9]{1,5}(?:\.[0-9]{1,3})?", text) or Decimal(text) > MAX_MBPS:
        raise ValueError(f"{shown(text)} is not a number of Mbit/s from 0 to {MAX_MBPS}")
    return int(Decimal(text) * 1_000_000)


def percent(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3})?", text) or Decimal(text) > 100:
        raise ValueError(f"{shown(text)} is not a percentage from 0 to 100")
    return Decimal(text)


# ---- types ---------------------------------------------------------------------------------------


def _read(right: str, read: Callable[[str], object]) -> ValueType:
    """A type whose values are right when they can be read."""

    def problem(text: str) -> str:
        try:
            read(text)
        except ValueError as error:
            return str(error)
        return ""

    return ValueType(right, problem)


def one_of(*words: str) -> ValueType:
    right = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]

    def problem(text: str) -> str:
        if text in words:
            return ""
        return f"{shown(text)} is not {right}" + suggestion(text, words)

    return ValueType(right, problem, words)


def only(word: str, why: str) -> ValueType:
    """The one value that is enforced; everything else is refused, with the reason."""

    def problem(text: str) -> str:
        return "" if text == word else f"{shown(text)} is not enforced: {why}; only {word} is"

    return ValueType(f"{word}, which is all that is enforced", problem, (word,))


def number(low: int, high: int) -> ValueType:
    right = f"a number from {low} to {high}"

    def problem(text: str) -> str:
        if re.fullmatch(r"[0-9]{1,10}", text) and low <= int(text) <= high:
            return ""
        return f"{shown(text)} is not {right}"

    return ValueType(right, problem)


def matching(right: str, pattern: str, longest: int, reserved: tuple[str, ...] = ()) -> ValueType:
    """Text of a form, with a greatest length and words that mean something else already."""
    compiled = re.compile(pattern)

    def problem(text: str) -> str:
        if len(text) > longest:
            return f"{shown(text)} has {len(text)} characters; at most {longest} are possible"
        if text in reserved:
            return f"{shown(text)} has a meaning of its own and cannot be a name"
        return "" if compiled.fullmatch(text) else f"{shown(text)} is not {right}"

    return ValueType(right, problem)


def name(longest: int = 31, reserved: tuple[str, ...] = ()) -> ValueType:
    return matching(
        f"a name of up to {longest} letters, digits, blanks and _ . - that starts with "
        "a letter, a digit or _",
        r"[A-Za-z0-9_](?:[A-Za-z0-9_. -]*[A-Za-z0-9_.-])?",
        longest,
        reserved,
    )


def text(longest: int) -> ValueType:
    return matching(f"text of up to {longest} characters", r"[^\x00-\x1f\x7f-\x9f]*", longest)


def reference(right: str, to: Reference, *words: str) -> ValueType:
    """The name of something; whether it is there only the whole tree shows (validate.py).

    Each of `words` stands for itself and alone.
    """
    return ValueType(right, lambda _: "", words, to)


YES_NO = one_of("yes", "no")
ANYTHING = ValueType("any text", lambda _: "")
ETHERNET = matching(
    "a port name such as ethernet1/1", r"ethernet[1-9][0-9]?/[1-9][0-9]{0,2}", longest=15
)
UNIT = matching(
    "a sub-interface's name such as ethernet1/1.100",
    r"ethernet[1-9][0-9]?/[1-9][0-9]{0,2}\.[1-9][0-9]{0,3}",
    longest=20,
)
LOOPBACK_UNIT = matching("a name such as loopback.1", r"loopback\.[1-9][0-9]{0,3}", longest=13)
TUNNEL_UNIT = matching("a name such as tunnel.1", r"tunnel\.[1-9][0-9]{0,3}", longest=11)
WILDCARD = _read("an address and a wildcard mask such as 10.0.0.1/0.255.0.0", wildcard)
TIME_RANGE = _read("a range of times of a day, in UTC, such as 08:00-17:30", time_range)
DATE_RANGE = _read(
    "a range of dates and times, in UTC, such as 2026/08/01@10:00-2026/08/03@18:00", date_range
)
DSCP = _read("a codepoint such as ef, af21 or cs3, or six bits such as 101110", dscp)
PRECEDENCE = _read("a precedence such as cs3, or three bits such as 011", precedence)
ETHER_TYPE = _read("an Ethernet type such as 0x88cc", ether_type)
MBPS = _read(f"Mbit/s from 0 to {MAX_MBPS}, with up to three decimals", mbps)
PERCENT = _read("a percentage from 0 to 100", percent)
PREFIX = _read("an address or a prefix such as 192.0.2.0/24 or 2001:db8::/64", prefix)
RANGE = _read("a range such as 192.0.2.10-192.0.2.20", address_range)
PORTS = _read("ports and ranges from 0 to 65535 such as 80,8080-8090", ports)
APPLICATION_PORT = _read(
    "tcp or udp with ports such as tcp/80,8080-8090 or udp/dynamic", application_port
)
IPV4_INTERFACE = _read(
    "an IPv4 address with prefix length such as 192.0.2.1/24",
    lambda text: interface_address(text, 4),
)
IPV6_INTERFACE = _read(
    "an IPv6 address with prefix length such as 2001:db8::1/64",
    lambda text: interface_address(text, 6),
)


def _of_family(read: Callable[[str], Network | Address], version: int) -> Callable[[str], object]:
    def of_family(text: str) -> object:
        value = read(text)
        if value.version != version:
            raise ValueError(f"{shown(text)} is IPv{value.version}; IPv{version} goes here")
        return value

    return of_family


IPV4_PREFIX = _read("an IPv4 prefix such as 192.0.2.0/24", _of_family(prefix, 4))
IPV6_PREFIX = _read("an IPv6 prefix such as 2001:db8::/32", _of_family(prefix, 6))
IPV4_ADDRESS = _read("an IPv4 address such as 192.0.2.1", _of_family(address, 4))
IPV6_ADDRESS = _read("an IPv6 address such as 2001:db8::1", _of_family(address, 6))
OWN_ADDRESS = _read(
    "an address of an interface such as 192.0.2.1, 192.0.2.1/24 or 2001:db8::1", _interface
)
MAC = matching(
    "a MAC address of one host such as 00:53:00:00:00:01",
    r"[0-9A-Fa-f][02468ACEace](?::[0-9A-Fa-f]{2}){5}",
    longest=17,
)
ADDRESS = _read("an address such as 192.0.2.1 or 2001:db8::1", address)
