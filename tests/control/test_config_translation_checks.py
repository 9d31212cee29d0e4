"""control/config/translation_checks.py: what is wrong with translation rules."""

import pytest

from control.config.errors import Problem
from control.config.load import load_config

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24
set network interface ethernet ethernet1/2 layer3 ipv6 enabled yes address 2001:db8::1/64
set network interface ethernet ethernet1/3 layer3
set network virtual-router vr interface [ ethernet1/1 ethernet1/2 ethernet1/3 ]
set zone out network layer3 [ ethernet1/1 ethernet1/3 ]
set zone in network layer3 ethernet1/2
set address host ip-netmask 10.0.0.5
set address wild ip-wildcard 10.0.0.5/0.255.0.0
set address net6 ip-netmask 2001:db8:1::/64
set address-group hosts static [ host wild ]
"""
LINE = BASE.count("\n") + 1


def problems_of(text: str) -> tuple[Problem, ...]:
    words = "from in to out"
    for side in ("source", "destination"):
        if side not in text.split():
            words += f" {side} any"
    return load_config(f"{BASE}set rulebase nat rules n {words} {text}".encode(), "test").problems


SOURCE, DYNAMIC = "source-translation", "source-translation dynamic-ip-and-port"
STATIC, SERVER = "source-translation static-ip", "destination-translation"


@pytest.mark.parametrize(
    ("text", "below", "fragment"),
    [
        # pools
        (DYNAMIC, DYNAMIC, "missing: one of translated-address, interface-address"),
        (f"{DYNAMIC} translated-address [ ]", f"{DYNAMIC} translated-address", "the pool is empty"),
        (
            f"{DYNAMIC} translated-address any",
            f"{DYNAMIC} translated-address",
            'address or address group "any" does not exist',
        ),
        (
            f"{DYNAMIC} translated-address hots",
            f"{DYNAMIC} translated-address",
            "did you mean host",
        ),
        (
            f"{DYNAMIC} interface-address interface ethernet1/3",
            f"{DYNAMIC} interface-address interface",
            "ethernet1/3 has no IPv4 address, as the packets of the rule need",
        ),
        (
            f"{DYNAMIC} interface-address interface ethernet1/2",
            f"{DYNAMIC} interface-address interface",
            "ethernet1/2 has no IPv4 address",
        ),
        (
            f"source net6 {DYNAMIC} interface-address interface ethernet1/1",
            f"{DYNAMIC} interface-address interface",
            "ethernet1/1 has no IPv6 address",
        ),
        (
            f"{DYNAMIC} interface-address interface ethernet1/9",
            f"{DYNAMIC} interface-address interface",
            'interface "ethernet1/9" does not exist',
        ),
        (
            f"{DYNAMIC} interface-address interface ethernet1/1 ip 198.51.100.3",
            f"{DYNAMIC} interface-address ip",
            '"198.51.100.3" is no address of ethernet1/1',
        ),
        (
            f"{DYNAMIC} interface-address interface ethernet1/1 ip 1.2.3",
            f"{DYNAMIC} interface-address ip",
            '"1.2.3" is not an address such as',
        ),
        (
            f"{SOURCE} dynamic-ip translated-address 10.64.0.0-10.64.125.0",
            f"{SOURCE} dynamic-ip translated-address",
            "32001 consecutive addresses; at most 32000 are possible",
        ),
        (
            f"{SOURCE} dynamic-ip translated-address host fallback interface-address "
            "interface ethernet1/3",
            f"{SOURCE} dynamic-ip fallback interface-address interface",
            "ethernet1/3 has no IPv4 address",
        ),
        # one to one
        (
            f"{STATIC} translated-address 192.0.2.1",
            f"{STATIC} translated-address",
            "source is any, which cannot go one to one",
        ),
        (
            f"source [ host 10.0.0.7 ] {STATIC} translated-address 192.0.2.0/31",
            f"{STATIC} translated-address",
            "source is more than one range; make a rule of each",
        ),
        (
            f"source host {STATIC} translated-address 192.0.2.0/31",
            f"{STATIC} translated-address",
            "2 addresses for the 1 of source; as many are needed",
        ),
        (
            f"source host {STATIC} translated-address 192.0.2.1 bi-directional yes "
            "destination 192.0.2.9 destination-translation translated-address 192.0.2.8",
            f"{STATIC} bi-directional",
            "not together with a translation of the destination",
        ),
        (
            f"destination host {SERVER} translated-address 192.0.2.0/31",
            f"{SERVER} translated-address",
            "2 addresses for the 1 of destination; as many are needed, or a single one",
        ),
        (
            f"{SERVER} translated-address 192.0.2.0/31",
            f"{SERVER} translated-address",
            "destination is any, which cannot go one to one",
        ),
        (f"{SERVER} translated-port 80", SERVER, "missing: translated-address"),
        (
            f"{SERVER} translated-address host translated-port 0",
            f"{SERVER} translated-port",
            "is not a number from 1 to 65535",
        ),
        (
            f"{SERVER} translated-address host dynamic-{SERVER} translated-address host",
            "",
            f"dynamic-{SERVER} excludes {SERVER}",
        ),
        # families
        (
            f"source 10.0.0.0/8 {DYNAMIC} translated-address net6",
            f"{DYNAMIC} translated-address",
            "no address is IPv4, as the packets of the rule are",
        ),
        (
            f"destination net6 {SERVER} translated-address host",
            f"{SERVER} translated-address",
            "no address is IPv6",
        ),
        # prefixes
        (
            f"nat-type nptv6 {DYNAMIC} translated-address net6",
            "nat-type",
            f"{DYNAMIC} exchanges no prefix",
        ),
        (
            f"nat-type nptv6 destination net6 {SERVER} translated-address net6 translated-port 1",
            "nat-type",
            f"{SERVER} translated-port exchanges no prefix",
        ),
        (
            f"nat-type nptv6 source host {STATIC} translated-address 192.0.2.1",
            f"{STATIC} translated-address",
            "IPv6 prefixes are exchanged; source or translated-address is something else",
        ),
        ("nat-type nat64", "nat-type", '"nat64" is not ipv4 or nptv6'),
        # what else a rule may not have
        ("to-interface ethernet1/8", "to-interface", 'interface "ethernet1/8" does not exist'),
        ("service application-default", "service", '"application-default" does not exist'),
        ("source wild", "source", '"wild" is a wildcard mask, which only security rules may have'),
        ("source hosts", "source", '"wild" is a wildcard mask'),
    ],
)
def test_one_error(text: str, below: str, fragment: str) -> None:
    found = [problem for problem in problems_of(text) if problem.severity == "error"]
    path = f"rulebase nat rules n {below}".strip()
    assert [(problem.line, problem.path) for problem in found] == [(LINE, path)]
    assert fragment in found[0].message


@pytest.mark.parametrize(
    "text",
    [
        f"{SOURCE} dynamic-ip translated-address 10.64.0.0-10.64.124.255",
        f"{SOURCE} dynamic-ip translated-address [ 10.64.0.0-10.64.124.255 10.65.0.0/20 ]",
        f"source net6 {DYNAMIC} interface-address interface ethernet1/2",
        f"destination [ host 10.0.0.9 ] {SERVER} translated-address 192.0.2.1",
        f"{SERVER} translated-address 192.0.2.1",
        f"source net6 nat-type nptv6 {STATIC} translated-address 2001:db8:2::/64",
        f"{DYNAMIC} translated-address [ host net6 ]",
    ],
)
def test_right_rules(text: str) -> None:
    assert problems_of(text) == ()
