"""The kernel's own NAT as a referee: the same attempts through it and through the firewall.

A twin lab (tests/support/nat_lab.py draws it) has a firewall host that is a Linux router with
connection tracking. What comes of every attempt has to be the same, but for DIFFERENCES.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.support.labs import PYTHON
from tests.support.nat_lab import (
    ASK_PORT,
    CLIENT2,
    CONFIG,
    DATAGRAM,
    DMZ,
    DMZ_OUTSIDE,
    FAR,
    NARROW,
    OUTSIDE,
    PUSH,
    SERVER,
    SMALL_MTU,
    TO_DMZ,
    TURNED,
    WAYS,
    WEB,
    nat_lab,
    shell,
)
from vm.firewall import Firewall
from vm.namespaces import Lab

FAMILIES = (4, 6)
_PORT = 20210  # and the family, for both are tried at once: no host chooses these by itself

CONNECT = """
import errno, socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)
    print("connected")
except OSError as error:
    print(errno.errorcode.get(error.errno or 0, "nothing"))
"""


def route_by_the_kernel(lab: Lab) -> None:
    """Makes the firewall host a router that translates like CONFIG."""
    lines = [
        *(
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
            "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
        ),
        "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit",
        f"ip link set eth4 mtu {SMALL_MTU}",
    ]
    addresses = {
        "eth1": ("192.0.2.1/25", "2001:db8:1::1/64"),
        "eth2": (
            *("203.0.113.1/24", "2001:db8:2::1/64", f"{OUTSIDE[6]}/64"),
            *(f"{name[4]}/24" for name in (WEB, DMZ_OUTSIDE)),
            *(f"{name[6]}/64" for name in (WEB, DMZ_OUTSIDE)),
        ),
        "eth3": ("192.0.2.129/25", "2001:db8:3::1/64", f"{TURNED[6]}/64"),
        "eth4": ("198.51.100.1/24", "2001:db8:4::1/64", f"{TO_DMZ[6]}/64"),
    }
    for port, all_of_it in addresses.items():
        # who pings the machine itself is answered by its first address
        lines += [
            f"ip address add {one} dev {port}" + (" preferred_lft 0" if ":" in one and at else "")
            for at, one in enumerate(all_of_it)
        ]
    lines += [
        f"ip route add 198.18.0.0/23 via {SERVER[4]}",
        f"ip route add 2001:db8:5::/64 via {SERVER[6]}",
    ]
    for family, tool in ((4, "iptables"), (6, "ip6tables")):
        inside = {4: "192.0.2.0/24", 6: "2001:db8::/46"}[family]
        client2 = {4: CLIENT2[4], 6: f"[{CLIENT2[6]}]"}[family]
        outside = {4: "MASQUERADE", 6: f"SNAT --to {OUTSIDE[6]}"}[family]
        to_dmz = {4: "MASQUERADE", 6: f"SNAT --to {TO_DMZ[6]}"}[family]
        web, static, own = WEB[family], DMZ_OUTSIDE[family], DMZ[family]
        before, after = (f"{tool} -t nat -A {hook}" for hook in ("PREROUTING", "POSTROUTING"))
        lines += [
            f"{before} -d {web} -p tcp --dport 80 -j DNAT --to {client2}:{ASK_PORT}",
            f"{before} -i eth2 -d {static} -j NETMAP --to {own}",
            f"{after} -o eth2 -s {own} -j NETMAP --to {static}",
            f"{after} -o eth3 -s {inside} -j SNAT --to {TURNED[family]}",
            f"{after} -o eth2 -s {inside} -j {outside}",
            f"{after} -o eth4 -s {inside} -j {to_dmz}",
        ]
    shell(lab, "firewall", *lines)


class Twins(NamedTuple):
    ours: Lab
    kernel: Lab


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    config = tmp_path_factory.mktemp("firewall") / "config.set"
    config.write_text(CONFIG)
    with nat_lab() as ours, nat_lab() as kernel:
        route_by_the_kernel(kernel)
        firewall = Firewall(ours, config)
        firewall.start()
        yield Twins(ours, kernel)
        firewall.kill()


class Attempt(NamedTuple):
    host: str
    command: tuple[str, ...]


def _ping(host: str, target: str, *options: str) -> Attempt:
    return Attempt(host, ("ping", "-n", "-q", "-c", "1", "-W", "1", *options, target))


def _datagram(host: str, target: str, size: int, *, whole: bool = False) -> Attempt:
    return Attempt(host, (PYTHON, "-c", DATAGRAM, target, "9", str(size), str(int(whole))))


def _connect(host: str, target: str, port: int = 9) -> Attempt:
    return Attempt(host, (PYTHON, "-c", CONNECT, target, str(port)))


def _traceroute(host: str, target: str, *options: str) -> Attempt:
    command = ("traceroute", "-n", "-q", "1", "-w", "1", "-m", "4", *options, target)
    return Attempt(host, command)


def _curl(host: str, address: str, port: int, *options: str) -> Attempt:
    bracketed = f"[{address}]" if ":" in address else address
    limits = ("-S", "--connect-timeout", "5", "--max-time", "10")
    return Attempt(host, ("curl", "-sf", *limits, *options, f"http://{bracketed}:{port}/"))


def _of_a_family(family: int) -> Iterator[tuple[str, Attempt]]:
    for way in WAYS:
        yield f"asked, {way.name}", _curl(way.host, way.asked[family], way.port)
    yield (
        "source port",
        _curl("client", SERVER[family], ASK_PORT, "--local-port", str(_PORT + family)),
    )
    for host, names, target in (
        ("client", "client to server", SERVER),
        ("client", "client to far", FAR),
        ("client", "client to DMZ", DMZ),
        ("dmz", "DMZ to far", FAR),
        ("far", "far to DMZ", DMZ_OUTSIDE),
    ):
        yield f"ping, {names}", _ping(host, target[family])
        yield f"closed TCP port, {names}", _connect(host, target[family])
        yield f"closed UDP port, {names}", _datagram(host, target[family], 10)
    for target, name in ((FAR, "far"), (DMZ, "DMZ")):
        yield (
            f"too long a datagram to {name}",
            _datagram("client", target[family], 1400, whole=True),
        )
        push = (PYTHON, "-c", PUSH, target[family], str(ASK_PORT))
        yield f"four megabytes to {name}", Attempt("client", push)
    for kind in ("-U", "-I", "-T"):
        yield f"traceroute {kind} to far", _traceroute("client", FAR[family], kind)
    yield "traceroute from outside", _traceroute("far", DMZ_OUTSIDE[family], "-I")
    yield "ping of an address with one open port", _ping("far", WEB[family])
    yield "closed port of an address with one open port", _connect("far", WEB[family])
    yield "ping of the pool's address", _ping("far", OUTSIDE[family])
    yield "unasked for, to the pool's address", _connect("far", OUTSIDE[family])
    yield "ping in fragments", _ping("client", SERVER[family], "-s", "4000")
    target = {4: "198.18.0.99", 6: "2001:db8:5::99"}[family]
    yield "a host that is not there", _connect("client", target)


ATTEMPTS = {
    f"v{family}: {name}": attempt for family in FAMILIES for name, attempt in _of_a_family(family)
} | {
    "v4: too long a datagram to narrow": _datagram("client", NARROW, 1400, whole=True),
    "v4: four megabytes to narrow": Attempt("client", (PYTHON, "-c", PUSH, NARROW, str(ASK_PORT))),
}


class Outcomes(NamedTuple):
    ours: str
    kernel: str


class Difference(NamedTuple):
    ours: str
    kernel: str
    why: str


_NOT_A_HOST = (
    "a Linux router has to have a translated address to get its packets, and answers for it as for"
    " itself; here it is an address of the firewall to neighbours alone"
)
_BOTH = {
    "source port": Difference(
        "another",
        "kept",
        "a pool's ports are given out so that nobody outside can guess the next; the kernel keeps"
        " what is free",
    ),
    "ping of an address with one open port": Difference("not answered", "answered", _NOT_A_HOST),
    "closed port of an address with one open port": Difference(
        "nothing", "ECONNREFUSED", _NOT_A_HOST
    ),
    "ping of the pool's address": Difference(
        "not answered", "answered", f"{_NOT_A_HOST}; or its own, and no profile allows ping"
    ),
    "unasked for, to the pool's address": Difference(
        "nothing", "ECONNREFUSED", f"{_NOT_A_HOST}; or its own, and no profile allows anything"
    ),
}
DIFFERENCES = {f"v{family}: {name}": row for family in FAMILIES for name, row in _BOTH.items()} | {
    f"v{family}: traceroute from outside": Difference(
        f"{router} {gateway} {DMZ_OUTSIDE[family]}",
        f"{router} {DMZ_OUTSIDE[family]} {DMZ_OUTSIDE[family]}",
        "the kernel translates the source of its own ICMP error with the connection it is about,"
        " and hides a hop; the firewall names the port that the packet came in by",
    )
    for family, router, gateway in (
        (4, "198.18.0.1", "203.0.113.1"),
        (6, "2001:db8:5::1", "2001:db8:2::1"),
    )
}


def outcome(lab: Lab, attempt: Attempt) -> str:
    done = lab.run(attempt.host, attempt.command, timeout=30)
    match attempt.command[0]:
        case "ping":
            return {0: "answered", 1: "not answered"}.get(done.returncode, done.stderr)
        case "traceroute":
            return " ".join(re.findall(r"^ *\d+ +(\S+)", done.stdout, re.MULTILINE))
        case "curl":
            address, _, port = done.stdout.removeprefix("::ffff:").rpartition(" ")
            if port and "--local-port" in attempt.command:
                return "kept" if port in attempt.command else "another"
            return address or f"status {done.returncode}: {done.stderr}"
    return done.stdout.strip() or f"status {done.returncode}"


@pytest.fixture(scope="module")
def outcomes(twins: Twins) -> dict[str, Outcomes]:
    """Of all attempts, a few at a time: most of them wait."""
    with ThreadPoolExecutor(6) as some:
        found = [
            list(some.map(lambda attempt, lab=lab: outcome(lab, attempt), ATTEMPTS.values()))
            for lab in twins
        ]
    return {name: Outcomes(*both) for name, *both in zip(ATTEMPTS, *found, strict=True)}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_same_comes_of_it(outcomes: dict[str, Outcomes], name: str) -> None:
    if name in DIFFERENCES:
        assert outcomes[name] == DIFFERENCES[name][:2]
    else:
        assert outcomes[name].ours == outcomes[name].kernel
        assert outcomes[name].ours == "status 0" or "status" not in outcomes[name].ours


def test_differences_are_of_attempts() -> None:
    assert DIFFERENCES.keys() <= ATTEMPTS.keys()
