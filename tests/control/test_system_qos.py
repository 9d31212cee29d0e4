"""Shaping: which classes there are, and which packets they count.

host 10.0.1.2 --- eth1 [ forwarding ] eth2 --- 10.0.2.2 other
"""

import threading
from pathlib import Path

import netfilterqueue
import pytest

from control.system.kernel import Kernel
from dataplane import marks
from dataplane.snapshot import Port, Qos, QosClass, SecurityRule, Snapshot
from tests.support.private import in_namespace, run

RUN = Path("/run")
LIMITS = Qos(
    100_000_000,
    (
        QosClass(1, "real-time", 0, 20_000_000),
        QosClass(2, "high", 50_000_000, 0),
        QosClass(8, "low", 1_000_000, 500_000),
    ),
)


def port(number: int, qos: Qos | None = None) -> Port:
    addresses = (f"10.0.{number}.1/24",)
    return Port(f"ethernet1/{number}", f"eth{number}", "zone", addresses, False, "default", qos=qos)


def snapshot(*ports: Port) -> Snapshot:
    default = SecurityRule("default", "deny")
    return Snapshot(ports, (), default, default, {})


def lab() -> None:
    run("mkdir /run/netns")
    for number, name in enumerate(("host", "other"), start=1):
        run(f"""
            ip netns add {name}; ip link add eth{number} type veth peer eth0 netns {name}
            ip -n {name} link set eth0 up; ip -n {name} addr add 10.0.{number}.2/24 dev eth0
            ip -n {name} route add default via 10.0.{number}.1
        """)


class Marker:
    """Lets everything pass, in a class."""

    def __init__(self) -> None:
        self.qos_class = 0
        self._queue = netfilterqueue.NetfilterQueue()
        self._queue.bind(7, self._decide)
        threading.Thread(target=self._queue.run, daemon=True).start()

    def _decide(self, packet: netfilterqueue.Packet) -> None:
        packet.set_mark(marks.of_zone("zone") | self.qos_class << marks.CLASS_SHIFT | 7)
        packet.accept()


def counted(kernel: Kernel) -> dict[int, int]:
    return {one.number: one.packets for one in kernel.qos_classes("ethernet1/2")}


@pytest.mark.parametrize(("qos_class", "counts"), [(0, 4), *((n, n) for n in range(1, 9))])
@in_namespace
def test_a_packet_counts_in_the_class_of_its_mark(qos_class: int, counts: int) -> None:
    lab()
    kernel = Kernel(7, RUN)
    kernel.configure(snapshot(port(1), port(2, LIMITS)), ())
    kernel.open()
    marker = Marker()
    run("ip netns exec host ping -c1 -W2 10.0.2.2")  # neighbours are known then
    marker.qos_class = qos_class
    before = counted(kernel)
    run("ip netns exec host ping -c5 -i0.01 -W2 10.0.2.2")
    after = counted(kernel)
    more = {number: after[number] - before[number] for number in after}
    assert more.pop(counts) >= 5, (before, after)
    more.pop(4, 0)  # what the machine itself says
    assert not any(more.values()), (before, after)


@in_namespace
def test_figures() -> None:
    lab()
    kernel = Kernel(7, RUN)
    kernel.configure(snapshot(port(1), port(2, LIMITS)), ())
    found = {one.number: one for one in kernel.qos_classes("ethernet1/2")}
    assert [*found] == [1, 2, 3, 4, 5, 6, 7, 8]
    last, fifth = found[8], found[5]
    assert (last.priority, last.guaranteed_bps, last.max_bps) == ("low", 500_000, 1_000_000)
    assert (fifth.priority, fifth.guaranteed_bps, fifth.max_bps) == ("medium", 0, 0)
    assert kernel.qos_classes("ethernet1/1") == []
    shown = {
        words[2]: words for words in map(str.split, run("tc class show dev eth2").splitlines())
    }

    def figures(name: str) -> list[str]:
        words = shown[name]
        return [words[words.index(key) + 1] for key in ("prio", "rate", "ceil") if key in words]

    assert figures("1:100") == ["100Mbit", "100Mbit"]
    assert figures("1:1") == ["0", "20Mbit", "100Mbit"]
    assert figures("1:2") == ["1", "8Kbit", "50Mbit"]
    assert figures("1:4") == ["2", "8Kbit", "100Mbit"]
    assert figures("1:8") == ["3", "500Kbit", "1Mbit"]


@in_namespace
def test_it_changes_in_place_and_goes() -> None:
    lab()
    kernel = Kernel(7, RUN)
    kernel.configure(snapshot(port(1), port(2, LIMITS)), ())
    kernel.open()
    Marker()
    run("ip netns exec host ping -c3 -i0.01 -W2 10.0.2.2")
    before = counted(kernel)
    assert sum(before.values()) >= 3
    other = Qos(50_000_000, LIMITS.classes[:1])
    kernel = Kernel(7, RUN)  # a successor
    kernel.configure(snapshot(port(1), port(2, other)), ())
    assert "rate 50Mbit ceil 50Mbit" in run("tc class show dev eth2 classid 1:100")
    assert "ceil 50Mbit" in run("tc class show dev eth2 classid 1:8")
    after = counted(kernel)  # the hosts' own packets come at any time
    assert all(after[number] >= packets for number, packets in before.items())
    assert "CLASSIFY" in run("iptables-save")
    kernel.configure(snapshot(port(1), port(2)), ())
    assert "htb" not in run("tc qdisc show")
    assert "CLASSIFY" not in run("iptables-save")
    kernel.configure(snapshot(port(1), port(2, other)), ())
    kernel.configure(snapshot(port(1)), ())
    assert "htb" not in run("tc qdisc show")
    kernel.configure(snapshot(port(2, other)), ())
    assert kernel.close() == []
    assert "htb" not in run("tc qdisc show")
