"""Translated addresses: which ones the firewall answers for, and that it does.

eth1 10.0.0.1/24, 2001:db8::1/64 --- 10.0.0.2, 2001:db8::2 host
"""

import ipaddress
import threading
from pathlib import Path

import netfilterqueue
import pytest

from control.system import proxies
from control.system.kernel import Kernel
from dataplane import marks
from dataplane.snapshot import (
    AddressRange,
    DestinationTranslation,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    Port,
    SecurityRule,
    Snapshot,
    StaticIp,
)
from tests.support.private import in_namespace, run

RUN = Path("/run")


def between(first: str, last: str = "") -> AddressRange:
    return AddressRange(
        ipaddress.ip_address(first).packed, ipaddress.ip_address(last or first).packed
    )


POOL = between("10.0.0.20", "10.0.0.22")
ELSEWHERE = between("10.7.0.1", "10.7.0.9")
PORT = Port("ethernet1/1", "eth1", "zone", ("10.0.0.1/24", "2001:db8::1/64"), True, "default")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            NatRule("r", source_translation=DynamicIpAndPort((POOL, ELSEWHERE))),
            ["10.0.0.20", "10.0.0.21", "10.0.0.22"],
            id="ports of a pool",
        ),
        pytest.param(
            NatRule(
                "r",
                source_translation=DynamicIp(
                    (between("10.0.0.30"),), DynamicIpAndPort((between("10.0.0.31"),))
                ),
            ),
            ["10.0.0.30", "10.0.0.31"],
            id="addresses of a pool, and the fallback",
        ),
        pytest.param(
            NatRule("r", source_translation=StaticIp(ELSEWHERE, between("2001:db8::20"))),
            ["2001:db8::20"],
            id="static",
        ),
        pytest.param(
            NatRule(
                "r",
                destination=(between("10.0.0.40"), ELSEWHERE),
                destination_translation=DestinationTranslation((between("10.7.0.3"),)),
            ),
            ["10.0.0.40"],
            id="original destination",
        ),
        pytest.param(
            NatRule("r", destination_translation=DestinationTranslation((POOL,))),
            [],
            id="any destination",
        ),
        pytest.param(
            NatRule(
                "r",
                from_zones=("inside",),
                destination=(between("10.0.0.40"),),
                destination_translation=DestinationTranslation((between("10.7.0.3"),)),
            ),
            [],
            id="destination for those of other zones",
        ),
        pytest.param(
            NatRule(
                "r",
                from_zones=("inside", "zone"),
                destination=(between("10.0.0.40"),),
                destination_translation=DestinationTranslation((between("10.7.0.3"),)),
            ),
            ["10.0.0.40"],
            id="destination for those of this zone, too",
        ),
        pytest.param(NatRule("r", destination=(POOL,)), [], id="no translation"),
        pytest.param(
            NatRule("r", source_translation=DynamicIpAndPort((between("10.0.0.1"),))),
            [],
            id="the firewall's own",
        ),
        pytest.param(
            NatRule("r", source_translation=DynamicIpAndPort((between("9.255.0.0", "10.0.0.2"),))),
            ["10.0.0.2"],
            id="neither network nor own address",
        ),
    ],
)
def test_wanted(rule: NatRule, expected: list[str]) -> None:
    found = proxies.wanted([PORT], [rule, rule])
    assert sorted(found.addresses["ethernet1/1"]) == expected
    assert found.left == 0


def test_there_is_a_bound() -> None:
    everything = NatRule(
        "r",
        source_translation=DynamicIpAndPort(
            (between("0.0.0.0", "255.255.255.255"), between("2001:db8::", "2001:db8::1:ffff"))
        ),
    )
    found = proxies.wanted([PORT], [everything])
    addresses = found.addresses["ethernet1/1"]
    assert len(addresses) == proxies.MOST
    assert found.left == 253 + 0x20000 - 1 - proxies.MOST
    assert not addresses & {"10.0.0.1", "2001:db8::1", "10.0.0.0", "10.0.0.255"}


# ---- in the kernel -------------------------------------------------------------------------------


def snapshot(*rules: NatRule) -> Snapshot:
    default = SecurityRule("default", "deny")
    return Snapshot((PORT,), (), default, default, {}, nat_rules=rules)


def lab() -> None:
    run("""
        mkdir /run/netns; sysctl -qw net.ipv6.conf.default.accept_dad=0
        ip netns add host; ip netns exec host sysctl -qw net.ipv6.conf.default.accept_dad=0
        ip link add eth1 type veth peer eth0 netns host
        ip -n host link set eth0 up
        ip -n host addr add 10.0.0.2/24 dev eth0; ip -n host addr add 2001:db8::2/64 dev eth0
    """)


def answer_for_the_host() -> None:
    """The dataplane's part: neighbour discovery is the machine's, everything else is dropped."""

    def decide(packet: netfilterqueue.Packet) -> None:
        data = packet.get_payload()
        if data[0] >> 4 == 6 and data[6] == 58 and data[40] in (135, 136):
            packet.set_mark(marks.HOST)
            packet.accept()
        else:
            packet.drop()

    queue = netfilterqueue.NetfilterQueue()
    queue.bind(7, decide)
    threading.Thread(target=queue.run, daemon=True).start()


def is_answered_for(address: str) -> bool:
    run(f"ip -n host neigh flush all; ip netns exec host ping -c1 -W1 {address} || true")
    return "lladdr" in run(f"ip -n host neigh show {address}")


@in_namespace
def test_questions_are_answered() -> None:
    lab()
    answer_for_the_host()
    pool = NatRule(
        "r", source_translation=DynamicIpAndPort((POOL, between("2001:db8::20", "2001:db8::21")))
    )
    kernel = Kernel(7, RUN)
    assert kernel.configure(snapshot(pool), ()) == []
    state = kernel.look()
    kernel.open()
    assert state.refused == [], state.refused
    for address in ("10.0.0.20", "10.0.0.22", "2001:db8::21"):
        assert is_answered_for(address), address
    for address in ("10.0.0.23", "2001:db8::22"):
        assert not is_answered_for(address), address
    # The dataplane sees a network like any other.
    assert [route.port for route in state.fib if route.prefix == "10.0.0.0/24"] == ["ethernet1/1"]
    assert not any(
        route.prefix.startswith("10.0.0.2") for route in state.fib if route.kind != "broadcast"
    )
    everything = "ip neigh show proxy; ip rule; ip route show table all"
    before = run(everything)
    kernel.configure(snapshot(), ())
    kernel.look()
    assert not is_answered_for("10.0.0.20")
    assert run("ip neigh show proxy; ip route show table all | grep 'table 1000' || true") == ""
    kernel = Kernel(7, RUN)
    kernel.configure(snapshot(pool), ())
    kernel.look()
    assert run(everything) == before
    assert is_answered_for("10.0.0.21")
    assert kernel.close() == []
    assert run("ip neigh show proxy; ip route show table all | grep 'table 1000' || true") == ""


@in_namespace
def test_a_host_that_has_such_an_address_itself_is_still_reached() -> None:
    """A rule translates some sessions with it; the others go there as without it."""
    lab()
    answer_for_the_host()
    rule = NatRule(
        "r",
        destination=(between("10.0.0.2"), between("10.0.0.40")),
        destination_translation=DestinationTranslation((between("10.7.0.3"),)),
    )
    kernel = Kernel(7, RUN)
    assert kernel.configure(snapshot(rule), ()) == []
    kernel.look()
    kernel.open()
    assert is_answered_for("10.0.0.40")
    decided = f"from 10.9.9.9 iif eth1 mark {marks.of_zone('zone'):#x}"
    for question in ("", decided):
        assert "dev eth1" in run(f"ip route get 10.0.0.2 {question}")
    assert kernel.close() == []
