"""What frames pass a bridge: what is in the table after each step, and what a bridge does then."""

import socket
import struct
from collections.abc import Iterable

import pytest

from control.system import frames
from control.system.frames import Filter
from dataplane.snapshot import Port, Zone, ZoneProtection
from tests.support.packets import snapshot
from tests.support.private import cable, in_namespace, run

TAGGED = [f"-A SIXTUPLE -p {tag} -i eth{n} -j DROP" for n in (1, 2) for tag in ("802_1Q", "S-TAG")]
LLDP, PROFINET, EXPERIMENT = 0x88CC, 0x8892, 0x88B5
INCLUDE = Filter("left", ("eth1",), True, (LLDP,))
EXCLUDE = Filter("right", ("eth2",), False, (LLDP, PROFINET))
BRIDGED = ("eth1", "eth2")


def rules() -> list[str]:
    return [line for line in run("ebtables-nft-save").splitlines() if "SIXTUPLE" in line]


def port(name: str, mode: str, zone: str) -> Port:
    return Port(name, f"if-{name}", zone, (), ipv6=False, virtual_router="", mode=mode)


def zone(name: str, kind: str, *types: int) -> Zone:
    return Zone(name, ZoneProtection("profile", non_ip=kind, non_ip_types=types))


def test_lists_are_of_zones_with_bridged_ports() -> None:
    ports = (
        port("a", "virtual-wire", "left"),
        port("b", "layer2", "left"),
        port("c", "layer3", "routed"),
        port("d", "tap", "heard"),
        port("e", "layer2", "open"),
        port("f", "layer2", "excludes nothing"),
        port("g", "layer2", "without"),
    )
    zones = (
        zone("left", "include", LLDP),
        zone("routed", "include", LLDP),
        zone("heard", "include", LLDP),
        zone("open", ""),
        zone("excludes nothing", "exclude"),
    )
    configured = snapshot()
    changed = type(configured)(
        ports=ports,
        zones=zones,
        rules=(),
        intrazone_default=configured.intrazone_default,
        interzone_default=configured.interzone_default,
        timeouts_s=configured.timeouts_s,
    )
    assert frames.filters(changed) == [Filter("left", ("if-a", "if-b"), True, (LLDP,))]


@in_namespace
def test_lists_come_change_and_go() -> None:
    frames.install(BRIDGED, [INCLUDE, EXCLUDE])
    first = rules()
    assert [line for line in first if line.startswith("-A SIXTUPLE ")] == [
        *TAGGED,
        f"-A SIXTUPLE -i eth1 -j {INCLUDE.chain}",
        f"-A SIXTUPLE -i eth2 -j {EXCLUDE.chain}",
    ]
    assert [line.split()[3] for line in first if f"-A {INCLUDE.chain}" in line] == [
        "IPv4",
        "ARP",
        "IPv6",
        "LLDP",
        "DROP",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "_delete", None)  # nothing is written again
        frames.install(BRIDGED, [INCLUDE, EXCLUDE])
    changed = INCLUDE._replace(types=(LLDP, PROFINET))
    frames.install(BRIDGED, [changed, EXCLUDE])
    assert not any(INCLUDE.chain in line for line in rules())
    assert sum(f"-A {changed.chain} " in line for line in rules()) == 6
    run(f"ebtables-nft -D {changed.chain} -j DROP")  # somebody took a rule out
    frames.install(BRIDGED, [changed, EXCLUDE])
    assert sum(f"-A {changed.chain} " in line for line in rules()) == 6
    frames.install(BRIDGED)
    assert rules() == [":SIXTUPLE RETURN", "-A FORWARD -j SIXTUPLE", *TAGGED]
    frames.install(BRIDGED, [INCLUDE, EXCLUDE])
    frames.remove()
    assert rules() == []
    frames.remove()


# ---- frames --------------------------------------------------------------------------------------


def bridge() -> None:
    cable("eth1", "eth2")
    run("""
        ip link add br0 type bridge stp_state 0 mcast_snooping 0
        # these are no real packets, and nothing but the list is to judge them
        for switch in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do
            [ ! -e $switch ] || echo 0 >$switch
        done
        for port in eth1 eth2; do
            echo 1 >/proc/sys/net/ipv6/conf/$port-far/disable_ipv6
            ip link set $port master br0 up
        done
        ip link set br0 up
        until [ "$(ip -o link show eth1 | grep -c 'state UP')" = 1 ]; do :; done
    """)


def passed(types: Iterable[int], *, back: bool = False) -> set[int]:
    """Those of the types that come out at the other end; below 1536 they are lengths."""
    names = ["eth1-far", "eth2-far"][:: -1 if back else 1]
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as receiver,
    ):
        sender.bind((names[0], 0))
        receiver.bind((names[1], 3))
        receiver.settimeout(10)
        last = 0x0806  # always passes: once it is there, so is all before
        for number in (*types, last):
            body = b"probe".ljust(60 if number == last else 46)
            sender.send(b"\xff" * 6 + b"\2\0\0\0\0\1" + struct.pack("!H", number) + body)
        found: set[int] = set()
        while True:
            frame = receiver.recv(2000)
            number = struct.unpack_from("!H", frame, 12)[0]
            if frame[14:19] == b"probe":
                if number == last and len(frame) == 74:
                    return found
                found.add(number)


ALL = (0x0800, 0x86DD, LLDP, PROFINET, EXPERIMENT, 46)


@in_namespace
def test_only_what_is_listed_passes() -> None:
    bridge()
    frames.install(BRIDGED)
    assert passed(ALL) == set(ALL)
    frames.install(BRIDGED, [INCLUDE])
    assert passed(ALL) == {0x0800, 0x86DD, LLDP}
    assert passed(ALL, back=True) == set(ALL)
    assert frames.dropped([INCLUDE]) == {"left": 3}
    frames.install(BRIDGED, [INCLUDE, EXCLUDE])  # what stays goes on counting
    assert passed(ALL) == {0x0800, 0x86DD, LLDP}
    assert passed(ALL, back=True) == {0x0800, 0x86DD, EXPERIMENT, 46}
    assert frames.dropped([INCLUDE, EXCLUDE]) == {"left": 6, "right": 2}
