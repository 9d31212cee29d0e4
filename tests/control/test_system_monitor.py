"""Monitored hosts: asked through the rule's path, and believed after so many silences.

machine eth1 10.0.1.1 --- 10.0.1.2 first      the routes lead to the first,
        eth2 10.0.2.1 --- 10.0.2.2 second     both have 10.9.0.1
"""

import asyncio

import pytest

from control.system.monitor import Monitors, Target, targets
from dataplane.snapshot import Monitor, Path, PbfRule, Port
from tests.support.private import in_namespace, run

ONE = Port("ethernet1/1", "eth1", "zone", ("10.0.1.1/24",), False, "default")
PATHS = (Path(1, "ethernet1/1", ""), Path(2, "ethernet1/1", "10.0.1.2"))


def rule(name: str, nexthop: str, egress: str = "ethernet1/1", *, disables: bool = True) -> PbfRule:
    monitor = Monitor("10.9.0.1", 3, 5, disables)
    return PbfRule(name, "forward", egress=egress, nexthop=nexthop, monitor=monitor)


def test_targets() -> None:
    rules = (
        rule("a", "10.0.1.2"),
        rule("b", "", disables=False),
        rule("c", "10.0.1.9"),
        rule("d", "10.0.1.2", "ethernet1/9"),  # no such port
        PbfRule("e", "forward", egress="ethernet1/1"),
    )
    assert targets(rules, [ONE], PATHS) == [
        Target("a", "10.9.0.1", "eth1", 2, 3, 5, True),
        Target("b", "10.9.0.1", "eth1", 1, 3, 5, False),
        Target("c", "10.9.0.1", "eth1", 0, 3, 5, True),
    ]


def lab() -> None:
    run("mkdir /run/netns; sysctl -qw net.ipv6.conf.default.accept_dad=0")
    for number, name in enumerate(("first", "second"), start=1):
        run(f"""
            ip netns add {name}
            ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0
            ip link add eth{number} type veth peer eth0 netns {name}
            ip link set eth{number} up; ip addr add 10.0.{number}.1/24 dev eth{number}
            ip addr add 2001:db8:{number}::1/64 dev eth{number}
            ip -n {name} link set eth0 up; ip -n {name} link set lo up
            ip -n {name} addr add 10.0.{number}.2/24 dev eth0
            ip -n {name} addr add 2001:db8:{number}::2/64 dev eth0
            ip -n {name} addr add 10.9.0.1/32 dev lo; ip -n {name} addr add 2001:db8:9::1/128 dev lo
            ip rule add fwmark {number}/0xff lookup 100{number}
            ip -6 rule add fwmark {number}/0xff lookup 100{number}
            ip route add default via 10.0.{number}.2 table 100{number}
            ip -6 route add default via 2001:db8:{number}::2 table 100{number}
        """)
    run("ip route add 10.9.0.0/16 via 10.0.1.2; ip -6 route add 2001:db8:9::/48 via 2001:db8:1::2")


@pytest.mark.parametrize("address", ["10.9.0.1", "2001:db8:9::1"])
@in_namespace
def test_a_host_is_asked_through_its_path(address: str) -> None:
    lab()
    asyncio.run(_follow(address))


async def _follow(address: str) -> None:
    happened = asyncio.Event()
    monitors = Monitors(happened.set)
    watched = [
        Target("first", address, "eth1", 1, 0.1, 2, True),
        Target("second", address, "eth2", 2, 0.1, 2, True),
        Target("harmless", address, "eth2", 2, 0.1, 2, False),
        Target("nowhere", address, "eth9", 2, 0.1, 3, True),
    ]

    async def becomes(unreachable: set[str]) -> None:
        async with asyncio.timeout(20):
            while set(monitors.unreachable()) != unreachable:
                happened.clear()
                await happened.wait()

    monitors.watch(watched)
    await becomes({"nowhere"})
    run(f"ip -n second addr del {address} dev lo")  # it would forward nothing
    await becomes({"nowhere", "second", "harmless"})
    assert monitors.disabled() == ("nowhere", "second")
    run(f"ip -n second addr add {address} dev lo; ip link set eth1 down")
    await becomes({"nowhere", "first"})
    happened.clear()
    monitors.watch(watched[1:])
    assert happened.is_set()
    assert monitors.unreachable() == ("nowhere",)
    await monitors.stop()
