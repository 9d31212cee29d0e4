"""The kernel's side as a whole: what is open when, and what comes back by itself."""

import threading
from pathlib import Path

import pytest

from control.management import Neighbor
from control.system import sysctls
from control.system.errors import KernelError
from control.system.kernel import Kernel
from control.system.routes import StaticRoute
from dataplane.snapshot import Port, SecurityRule, Snapshot
from tests.support.private import cable, in_namespace, run

PORTS = (
    Port("ethernet1/1", "eth1", "trust", ("192.0.2.1/24", "2001:db8::1/64"), True, "default"),
    Port("ethernet1/2", "eth2", "untrust", ("198.51.100.1/24",), False, "default"),
)
ROUTES = (
    StaticRoute("10.0.0.0/8", "198.51.100.9", "eth2", 10, False),
    StaticRoute("2001:db8:1::/48", "2001:db8::9", "eth1", 10, False),
)
RUN = Path("/run")


def snapshot(*ports: Port) -> Snapshot:
    rule = SecurityRule("default", "deny")
    return Snapshot(ports, (), rule, rule, {})


CONFIG = snapshot(*PORTS)


def is_hooked(interface: str) -> bool:
    return f"-i {interface} -j NFQUEUE --queue-num 7" in run("iptables-save")


def forwarding() -> str:
    return run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").strip()


def state() -> str:
    switches = "sysctl -a 2>/dev/null | grep -E '^net.ipv[46].(conf|ip_forward)'"
    rules = "(iptables-save; ip6tables-save) | grep ^-A"
    addresses = "ip addr show dev eth1; ip addr show dev eth2"
    return run(f"{addresses}; ip route; ip -6 route show proto 66; {switches}; {rules}")


@in_namespace
def test_configure_open_close() -> None:
    cable("eth1", "eth2")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    assert is_hooked("eth1")
    assert forwarding() == "0\n0"
    assert kernel.look().refused == []
    assert "10.0.0.0/8 via 198.51.100.9 dev eth2 proto 66" in run("ip route")
    kernel.open()
    assert forwarding() == "1\n1"
    assert kernel.close() == []
    assert forwarding() == "0\n0"
    assert "SIXTUPLE" not in run("iptables-save; ip6tables-save")
    assert run("cat /proc/sys/net/ipv4/conf/eth1/accept_local") == "0\n"
    assert run("ip route; ip -6 route show proto 66; ip addr show scope global") == ""
    assert list(RUN.iterdir()) == []


@in_namespace
def test_a_start_after_a_crash_takes_old_ports_back() -> None:
    cable("eth1", "eth2")
    Kernel(7, RUN).configure(CONFIG, ROUTES)
    Kernel(7, RUN).configure(snapshot(PORTS[1]), ROUTES[:1])
    assert run("ip addr show dev eth1 scope global") == ""
    assert not is_hooked("eth1")
    assert is_hooked("eth2")


@in_namespace
def test_a_second_start_finds_everything_in_place() -> None:
    cable("eth1", "eth2")
    for _ in range(2):
        kernel = Kernel(7, RUN)
        kernel.configure(CONFIG, ROUTES)
        kernel.look()
        kernel.open()
        before = state()
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    assert kernel.look().refused == []
    kernel.open()
    assert state() == before


@in_namespace
def test_other_ports_and_routes() -> None:
    cable("eth1", "eth2", "eth3")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    kernel.look()
    third = Port("ethernet1/3", "eth3", "dmz", ("203.0.113.1/24",), False, "default")
    kernel.configure(snapshot(PORTS[0], third), ROUTES[1:])
    kernel.look()
    assert [is_hooked(name) for name in ("eth1", "eth2", "eth3")] == [True, False, True]
    assert "198.51.100" not in run("ip addr; ip route")
    assert "203.0.113.1/24" in run("ip addr show dev eth3")
    assert "2001:db8:1::/48" in run("ip -6 route")


@in_namespace
def test_what_went_with_a_link_comes_back() -> None:
    cable("eth1", "eth2")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    assert kernel.look().refused == []
    run("ip link set eth2 down")
    down = kernel.look()
    lost = "static route 10.0.0.0/8: next hop 198.51.100.9 is on no connected network"
    assert down.refused == [lost], down.refused
    run("ip link set eth2 up")
    assert kernel.look().refused == []
    assert "10.0.0.0/8" in run("ip route")
    run("ip link del eth1")
    gone = kernel.look()
    assert gone.refused == ["static route 2001:db8:1::/48: there is no interface eth1"]
    cable("eth1")
    back = kernel.look()
    assert back.refused == []
    assert any(route.prefix == "2001:db8::1/128" for route in back.routes)
    assert "192.0.2.1/24" in run("ip addr show dev eth1")
    assert run("cat /proc/sys/net/ipv4/conf/eth1/accept_local") == "1\n"


@in_namespace
def test_a_link_that_is_renamed_loses_our_addresses() -> None:
    """It is behind a port no more and has no rule that sends its packets to the queue."""
    cable("eth1", "eth2")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    run("ip link set eth1 down; ip link set eth1 name other; ip link set other up")
    run("ip addr add 203.0.113.1/24 dev other")  # somebody else's
    assert list(kernel.look().ports.values()) == ["ethernet1/2"]
    shown = run("ip addr show dev other scope global")
    assert [one for one in ("192.0.2.1", "2001:db8::1", "203.0.113.1") if one in shown] == [
        "203.0.113.1"
    ], shown
    assert "198.51.100.1/24" in run("ip addr show dev eth2")
    run("ip link add eth1 type veth peer name spare")
    kernel.look()
    assert "192.0.2.1/24" in run("ip addr show dev eth1")
    run("ip link set eth2 down; ip link set eth2 name last; ip link set last up")
    assert kernel.close() == []
    assert "198.51.100.1" not in run("ip addr show dev last")


@in_namespace
def test_after_close_nothing_opens_it_again() -> None:
    cable("eth1", "eth2")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    kernel.close()
    for late in (kernel.open, kernel.look, lambda: kernel.configure(CONFIG, ROUTES)):
        with pytest.raises(KernelError, match="being stopped"):
            late()
    assert forwarding() == "0\n0"
    assert not is_hooked("eth1")


@in_namespace
def test_the_hook_stays_where_forwarding_cannot_be_switched_off() -> None:
    cable("eth1", "eth2")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    kernel.open()
    run("mount -o bind,ro /proc/sys /proc/sys")
    (line,) = kernel.close()
    assert line.startswith("cannot set net.ipv4.ip_forward to 0: Read-only file system")
    assert is_hooked("eth1")


@in_namespace
def test_forwarding_is_never_on_without_the_hook() -> None:
    cable("eth1", "eth2")
    seen: list[tuple[bool, bool]] = []
    switch = sysctls.set_forwarding

    def watched(on: bool) -> None:
        seen.append((on, is_hooked("eth1") and is_hooked("eth2")))
        switch(on)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sysctls, "set_forwarding", watched)
        kernel = Kernel(7, RUN)
        kernel.configure(CONFIG, ROUTES)
        kernel.open()
        kernel.close()
    assert seen == [(True, True), (False, True)]


@in_namespace
def test_looking_and_configuring_at_once() -> None:
    cable("eth1", "eth2")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ROUTES)
    looks = [threading.Thread(target=kernel.look) for _ in range(4)]
    for thread in looks:
        thread.start()
    kernel.configure(snapshot(PORTS[0]), ROUTES[1:])
    for thread in looks:
        thread.join()
    kernel.look()
    assert "10.0.0.0/8" not in run("ip route")


@in_namespace
def test_neighbors() -> None:
    cable("eth1", "eth2", "eth3")
    kernel = Kernel(7, RUN)
    kernel.configure(CONFIG, ())
    run(
        """
        ip link set eth3 up
        ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth1
        ip neigh add 192.0.2.10 lladdr 02:00:00:00:00:0a nud stale dev eth1
        ip neigh add 198.51.100.9 nud failed dev eth2
        ip neigh add 198.51.100.8 lladdr 02:00:00:00:00:08 nud reachable dev eth2
        ip neigh add 2001:db8::9 lladdr 02:00:00:00:00:99 dev eth1
        ip neigh add 203.0.113.9 lladdr 02:00:00:00:00:77 dev eth3
        """
    )
    found = [neighbor for neighbor in kernel.neighbors() if neighbor.address[:4] != "fe80"]
    assert found == [
        Neighbor("192.0.2.9", "02:00:00:00:00:09", "ethernet1/1", "permanent"),
        Neighbor("192.0.2.10", "02:00:00:00:00:0a", "ethernet1/1", "stale"),
        Neighbor("2001:db8::9", "02:00:00:00:00:99", "ethernet1/1", "permanent"),
        Neighbor("198.51.100.8", "02:00:00:00:00:08", "ethernet1/2", "reachable"),
        Neighbor("198.51.100.9", "", "ethernet1/2", "failed"),
    ], found
