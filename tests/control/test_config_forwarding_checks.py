"""control/config/forwarding_checks.py: what is wrong with policy-based forwarding."""

import pytest

from control.config.errors import Problem
from control.config.load import load_config

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24
set network interface ethernet ethernet1/2 layer3 ipv6 enabled yes address 2001:db8::1/64
set network interface ethernet ethernet1/3 tap
set network interface loopback units loopback.1 ip 10.255.0.1/32
set network interface tunnel units tunnel.1
set network virtual-router vr interface [ ethernet1/1 ethernet1/2 loopback.1 tunnel.1 ]
set zone out network layer3 [ ethernet1/1 tunnel.1 loopback.1 ]
set zone in network layer3 ethernet1/2
set zone heard network tap ethernet1/3
"""
LINE = BASE.count("\n") + 1


def problems_of(text: str) -> tuple[Problem, ...]:
    rule = "set rulebase pbf rules p"
    where = "" if "from " in text else "from zone in "
    words = f"source any destination any {'' if 'action' in text else 'action no-pbf'}"
    return load_config(f"{BASE}{rule} {where}{words} {text}".encode(), "test").problems


FORWARD = "action forward egress-interface"


@pytest.mark.parametrize(
    ("text", "below", "fragment"),
    [
        ("from zone any", "from zone", 'zone "any" does not exist'),
        ("from zone [ ]", "from", "missing: zone"),
        ("from interface [ ]", "from", "missing: interface"),
        ("from interface ethernet1/9", "from interface", '"ethernet1/9" does not exist'),
        ("from interface ethernet1/3", "from interface", "is a tap interface; only routed ones"),
        ("action forward", "action forward", "missing: egress-interface"),
        (
            f"{FORWARD} loopback.1",
            "action forward egress-interface",
            '"loopback.1" is a loopback interface; layer3 or tunnel is right',
        ),
        (
            f"{FORWARD} ethernet1/1 nexthop ip-address 198.51.101.1",
            "action forward nexthop ip-address",
            "198.51.101.1 is on no network of ethernet1/1",
        ),
        (
            f"{FORWARD} ethernet1/1 nexthop ip-address fe80::1",
            "action forward nexthop ip-address",
            "fe80::1 is on no network of ethernet1/1",
        ),
        (
            f"{FORWARD} ethernet1/1 nexthop ip-address 198.51.100.2",
            "action forward nexthop ip-address",
            "198.51.100.2 is the firewall's own address on ethernet1/1",
        ),
        (
            f"{FORWARD} ethernet1/1 monitor disable-if-unreachable yes",
            "action forward monitor",
            "there is no next hop to watch; set ip-address",
        ),
        (
            f"{FORWARD} ethernet1/1 monitor ip-address 192.0.2.1 profile fast",
            "action forward monitor profile",
            'monitor profile "fast" does not exist',
        ),
        (
            "enforce-symmetric-return nexthop-address-list ["
            + "".join(f" 192.0.2.{n}" for n in range(9))
            + " ]",
            "enforce-symmetric-return nexthop-address-list",
            "9 routers are listed; at most 8 can be",
        ),
        ("application ssl", "application", "only any is"),
    ],
)
def test_one_error(text: str, below: str, fragment: str) -> None:
    found = [problem for problem in problems_of(text) if problem.severity == "error"]
    path = f"rulebase pbf rules p {below}".strip()
    assert {(problem.line, problem.path) for problem in found} == {(LINE, path)}
    assert any(fragment in problem.message for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        "action discard",
        f"{FORWARD} tunnel.1",
        f"{FORWARD} ethernet1/2 nexthop ip-address fe80::9",
        f"{FORWARD} ethernet1/2 nexthop ip-address 2001:db8::9",
        f"{FORWARD} ethernet1/1 nexthop ip-address 198.51.100.9 monitor profile default",
        f"{FORWARD} ethernet1/1 monitor ip-address 192.0.2.1",
    ],
)
def test_right_rules(text: str) -> None:
    assert problems_of(text) == ()


def test_a_rule_from_nowhere() -> None:
    text = f"{BASE}set rulebase pbf rules p source any destination any action discard"
    (problem,) = load_config(text.encode(), "test").problems
    assert (problem.line, problem.message) == (LINE, "missing: from")
