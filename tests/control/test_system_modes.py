"""Interface modes in a real kernel: which links there are, and what the queue sees of what passes.

left 10.0.0.1 --- eth1 [ bridge ] eth2 --- 10.0.0.2 right        eth3 --- third
"""

import re
import threading
from pathlib import Path

import netfilterqueue
import pytest

from control.system import modes
from control.system.errors import KernelError
from control.system.kernel import Kernel
from control.system.netlink import Netlink
from dataplane.snapshot import Port, SecurityRule, Snapshot
from tests.support.private import cable, in_namespace, run
from vm.waiting import wait_until

RUN = Path("/run")
QUEUE = 7


def snapshot(*ports: Port) -> Snapshot:
    rule = SecurityRule("default", "deny")
    return Snapshot(ports, (), rule, rule, {})


def port(number: int, mode: str, bridge: str = "") -> Port:
    return Port(
        f"ethernet1/{number}", f"eth{number}", "zone", (), True, "", mode=mode, bridge=bridge
    )


def configured(*ports: Port) -> Kernel:
    kernel = Kernel(QUEUE, RUN)
    configure(kernel, *ports)
    kernel.open()
    return kernel


def configure(kernel: Kernel, *ports: Port) -> None:
    kernel.configure(snapshot(*ports), ())
    forward()


def forward() -> None:
    """Waits for the bridges: the kernel notices a carrier within a second or so."""
    wait_until(lambda: "state disabled" not in run("bridge link"), "ports forward", seconds=5)


MODES = {
    "virtual-wire": (port(1, "virtual-wire", "wire"), port(2, "virtual-wire", "wire")),
    "layer2": (port(1, "layer2", "lan"), port(2, "layer2", "lan")),
}


def hosts() -> None:
    run("mkdir /run/netns; sysctl -qw net.ipv6.conf.default.accept_dad=0")
    for number, name in enumerate(("left", "right", "third"), start=1):
        run(f"""
            ip netns add {name}
            ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0
            ip link add eth{number} type veth peer eth0 netns {name}
            ip -n {name} link set eth0 up
            ip -n {name} addr add 10.0.0.{number}/24 dev eth0
            ip -n {name} addr add 2001:db8::{number}/64 dev eth0
        """)


def arrives(target: str, source: str = "left", size: int = 56) -> bool:
    command = f"ip netns exec {source} ping -c1 -W1 -s {size} {target} >&2 || echo lost"
    return "lost" not in run(command)


def reaches(target: str, source: str = "left") -> None:
    """A bridge forwards only some time after its port came up."""
    wait_until(lambda: arrives(target, source), "an echo comes back", seconds=10)


def answers_arp(target: str, source: str = "left") -> bool:
    run(f"ip -n {source} neigh flush all")
    run(f"ip netns exec {source} ping -c1 -W1 {target} || true")
    return "lladdr" in run(f"ip -n {source} neigh show {target}")


class Listener:
    """Accepts or drops what is queued, and keeps the links it came by and goes to."""

    def __init__(self, *, accepts: bool = True) -> None:
        self.seen: list[tuple[int, int]] = []
        self.packets: list[bytes] = []
        self._accepts = accepts
        self._queue = netfilterqueue.NetfilterQueue()
        self._queue.bind(QUEUE, self._decide)
        threading.Thread(target=self._queue.run, daemon=True).start()

    def _decide(self, packet: netfilterqueue.Packet) -> None:
        self.seen.append((packet.physindev, packet.physoutdev))
        self.packets.append(packet.get_payload())
        if self._accepts:
            packet.accept()
        else:
            packet.drop()


def index(name: str) -> int:
    with Netlink() as netlink:
        return next(link.ifindex for link in netlink.links() if link.name == name)


@pytest.mark.parametrize("target", ["10.0.0.2", "2001:db8::2"])
@pytest.mark.parametrize("mode", list(MODES))
@in_namespace
def test_the_queue_decides_and_knows_both_ports(mode: str, target: str) -> None:
    hosts()
    configured(*MODES[mode])
    assert not arrives(target)  # nobody listens
    listener = Listener()
    reaches(target)
    there, back = (index("eth1"), index("eth2")), (index("eth2"), index("eth1"))
    assert {there, back} <= set(listener.seen)
    assert all(0 not in pair for pair in listener.seen), listener.seen


@pytest.mark.parametrize("mode", list(MODES))
@in_namespace
def test_what_is_not_ip_passes_without_a_listener(mode: str) -> None:
    hosts()
    configured(*MODES[mode])
    assert answers_arp("10.0.0.2")


@in_namespace
def test_fragments_are_bridged_one_by_one() -> None:
    hosts()
    configured(*MODES["virtual-wire"])
    listener = Listener()
    reaches("10.0.0.2")
    listener.packets.clear()
    assert arrives("10.0.0.2", size=4000)
    echo = [packet for packet in listener.packets if packet[12:16] == bytes([10, 0, 0, 1])]
    assert [len(packet) for packet in echo] == [1500, 1500, 1068]


@in_namespace
def test_a_vlan_learns_and_floods() -> None:
    """A packet to an unknown host is queued once for each port it would leave by."""
    hosts()
    configured(*(port(number, "layer2", "lan") for number in (1, 2, 3)))
    listener = Listener()
    reaches("10.0.0.2")
    unicast = set(listener.seen)
    listener.seen.clear()
    run("ip netns exec left ping -c1 -W1 -b 10.0.0.255 || true")
    eth1, eth2, eth3 = (index(f"eth{number}") for number in (1, 2, 3))
    assert {(eth1, eth2), (eth2, eth1)} <= unicast
    wait_until(lambda: {(eth1, eth2), (eth1, eth3)} <= set(listener.seen), "both", seconds=5)


@in_namespace
def test_two_wires_are_apart() -> None:
    hosts()
    cable("eth4")
    ports = (port(1, "virtual-wire", "a"), port(4, "virtual-wire", "a"))
    configured(*ports, port(2, "virtual-wire", "b"), port(3, "virtual-wire", "b"))
    Listener()
    assert not arrives("10.0.0.2")
    assert not answers_arp("10.0.0.2")
    reaches("10.0.0.3", source="right")


@in_namespace
def test_a_tap_is_heard_and_answers_nobody() -> None:
    hosts()
    run("ip addr add 10.0.0.9/24 dev lo")
    configured(port(1, "tap"))
    listener = Listener(accepts=False)
    run("ip -n left neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev eth0")
    assert not arrives("10.0.0.2")
    assert {pair[0] for pair in listener.seen} == {index("eth1")}
    assert any(packet[16:20] == bytes([10, 0, 0, 2]) for packet in listener.packets)
    assert not answers_arp("10.0.0.9")
    heard = len(listener.packets)
    assert not arrives("10.0.0.2")  # what was heard before is not learned
    assert len(listener.packets) > heard


@pytest.mark.parametrize("mode", list(MODES))
@in_namespace
def test_the_machine_is_not_reached_by_a_bridge(mode: str) -> None:
    """Neither its addresses nor its routing: not even by frames to the bridge's own address."""
    hosts()
    run("""
        ip link set eth3 up; ip addr add 10.0.3.1/24 dev eth3
        ip -n third addr add 10.0.3.2/24 dev eth0
        ip addr add 192.0.2.9/32 dev lo
    """)
    configured(*MODES[mode])
    Listener()
    assert not answers_arp("192.0.2.9")
    mac = re.search(r"link/ether (\S+)", run("ip link show eth1"))
    assert mac
    run(f"""
        ip -n left route add 192.0.2.9 dev eth0; ip -n left route add 10.0.3.0/24 via 10.0.0.77
        ip -n left neigh replace 192.0.2.9 lladdr {mac[1]} dev eth0
        ip -n left neigh replace 10.0.0.77 lladdr {mac[1]} dev eth0
        ip -n third route replace default via 10.0.3.1
    """)
    assert not arrives("192.0.2.9")
    assert not arrives("10.0.3.2")
    assert run("ip -6 addr show dev eth1; ip -6 addr show type bridge") == ""


@in_namespace
def test_everything_goes_at_the_end_and_after_a_crash() -> None:
    hosts()
    before = run("ip -br link")
    ports = (*MODES["layer2"], port(3, "tap"))
    configured(*ports)
    made = {link.removesuffix(":") for link in re.findall(r"sx\w-[0-9a-f]{8}", run("ip link"))}
    assert len(made) == 4  # two bridges, two ends of a sink
    (RUN / "links.json").unlink()  # a state directory that was cleared
    kernel = configured(*ports)
    assert kernel.close() == []
    assert "sx" not in run("ip link")
    assert len(run("ip -br link").splitlines()) == len(before.splitlines())
    Listener()
    assert not arrives("10.0.0.2")


@in_namespace
def test_ports_change_their_mode() -> None:
    hosts()
    kernel = configured(*MODES["virtual-wire"])
    Listener()
    reaches("10.0.0.2")
    configure(kernel, MODES["virtual-wire"][0])  # the other one is given up
    assert not arrives("10.0.0.2")
    configure(kernel, *MODES["layer2"])
    reaches("10.0.0.2")
    routed = Port("ethernet1/1", "eth1", "zone", ("10.0.0.99/24",), True, "default")
    configure(kernel, routed)
    assert not arrives("10.0.0.2")
    assert "sx" not in run("ip link")
    assert "10.0.0.99/24" in run("ip addr show dev eth1")
    assert "fe80::" in run("ip addr show dev eth1")
    configure(kernel, *MODES["virtual-wire"])
    reaches("10.0.0.2")
    assert "10.0.0.99" not in run("ip addr")


@in_namespace
def test_a_bridge_that_somebody_deletes_comes_back() -> None:
    hosts()
    kernel = configured(*MODES["layer2"])
    (name,) = set(re.findall(r"sxv-[0-9a-f]{8}", run("ip link")))
    run(f"ip link del {name}")
    Listener()
    assert not arrives("10.0.0.2")
    kernel.look()
    forward()
    reaches("10.0.0.2")
    run("ip link set eth1 nomaster")
    kernel.look()
    forward()
    reaches("10.0.0.2")


TUNNEL = Port("tunnel.1", "tunnel.1", "vpn", ("10.9.0.1/24",), True, "default", mode="tunnel")


@in_namespace
def test_without_its_bridge_a_port_is_closed() -> None:
    hosts()
    run("ip addr add 192.0.2.9/32 dev lo; ip addr add 10.0.3.1/24 dev eth3; ip link set eth3 up")
    configured(*MODES["layer2"])
    (name,) = set(re.findall(r"sxv-[0-9a-f]{8}", run("ip link")))
    run(f"""
        ip link del {name}
        mac=$(ip -br link show eth1 | awk '{{print $3}}')
        ip -n left route add default dev eth0
        ip -n left neigh replace 192.0.2.9 lladdr $mac dev eth0
        ip -n left neigh replace 10.0.3.3 lladdr $mac dev eth0
    """)
    listener = Listener()
    heard = len(listener.packets)
    assert not arrives("192.0.2.9")
    assert not arrives("10.0.3.3")
    assert len(listener.packets) > heard  # they came, and were asked about


@in_namespace
def test_tunnels_come_and_go() -> None:
    kernel = configured(TUNNEL)
    shown = run("ip -d addr show tunnel.1")
    assert "tun type tun" in shown
    assert "10.9.0.1/24" in shown
    assert [route.port for route in kernel.look().fib if route.prefix == "10.9.0.0/24"] == [
        "tunnel.1"
    ]
    kernel.configure(snapshot(), ())
    assert "tunnel.1" not in run("ip link")


@in_namespace
def test_what_is_there_under_the_name_of_a_tunnel_is_left_alone() -> None:
    cable("tunnel.1")
    with pytest.raises(KernelError, match=r"^tunnel.1: tunnel.1 is there and is no tun device$"):
        configured(TUNNEL)
    Kernel(QUEUE, RUN).close()
    assert "tunnel.1" in run("ip link")


@in_namespace
def test_a_vlan_needs_the_kernels_help() -> None:
    cable("eth1")
    tagged = Port(
        "ethernet1/1.5", "eth1.5", "zone", ("10.5.0.1/24",), True, "default", parent="eth1", tag=5
    )
    if "VLAN_8021Q=y" in run("zcat /proc/config.gz || true"):
        configured(tagged)
        assert "vlan protocol 802.1Q id 5" in run("ip -d link show eth1.5")
    else:
        with pytest.raises(
            KernelError,
            match=r"^ethernet1/1.5: the kernel has no VLANs: load them with 'modprobe 8021q'$",
        ):
            configured(tagged)


@in_namespace
def test_loopback_addresses() -> None:
    run("ip addr add 192.0.2.77/32 dev lo")

    def loopback(*addresses: str) -> Port:
        return Port("loopback.1", "lo", "zone", addresses, True, "default", mode="loopback")

    kernel = configured(loopback("10.7.0.1/24", "2001:db8::7/128"))
    shown = run("ip addr show dev lo")
    assert all(
        one in shown for one in ("10.7.0.1/32", "2001:db8::7/128", "127.0.0.1/8", "192.0.2.77/32")
    )
    assert kernel.look().ports == {}  # the link is the machine's
    configured(loopback("10.7.0.2/32"))  # after a crash
    shown = run("ip addr show dev lo")
    assert "10.7.0.1" not in shown
    assert "2001:db8::7" not in shown
    kernel = configured(loopback("10.7.0.2/32"))
    assert kernel.close() == []
    shown = run("ip addr show dev lo")
    assert "10.7.0.2" not in shown
    assert "127.0.0.1/8" in shown
    assert "192.0.2.77/32" in shown


def test_names_are_short_and_their_own() -> None:
    ports = [
        port(1, "layer2", "same"),
        port(2, "virtual-wire", "same"),
        port(3, "virtual-wire", "same"),
        port(4, "tap"),
        port(5, "layer2"),  # in no VLAN
        port(6, "layer3"),
    ]
    found = modes.bridges(ports)
    names = [name for bridge in found for name in bridge.links]
    assert len(set(names)) == len(names) == 5
    assert all(len(name) < 16 for name in names)
    assert modes.zones(ports) == {**{f"eth{n}": "" for n in range(1, 6)}, "eth6": "zone"}
