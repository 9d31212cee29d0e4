"""The hook: what is in the tables after each step, and what the kernel does with packets then."""

import re
import socket
import struct
import threading
from collections.abc import Callable

import netfilterqueue
import pytest

from control.system import hook, sysctls
from control.system.errors import KernelError
from dataplane import marks
from tests.support.private import in_namespace, run
from vm.waiting import wait_until

TOOLS = ("iptables", "ip6tables")
ZONES = {"eth1": "inside", "eth2": "outside", "eth3": "outside"}

INSIDE, OUTSIDE, MULTICAST = (
    f"{marks.of_zone(zone):#x}/0xffffe100" for zone in ("inside", "outside", "multicast")
)
OPENING = "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN"
OURS = """\
:SIXTUPLE - [0:0]
:SIXTUPLE-IN - [0:0]
:SIXTUPLE-OUT - [0:0]
:SIXTUPLE-QOS - [0:0]
-A INPUT -j SIXTUPLE-IN
-A FORWARD -j SIXTUPLE
-A POSTROUTING -j SIXTUPLE-QOS
{bridged}-A SIXTUPLE -i eth1 -g SIXTUPLE-OUT
-A SIXTUPLE -i eth2 -g SIXTUPLE-OUT
-A SIXTUPLE -j DROP
-A SIXTUPLE-IN -i eth1 -m mark ! --mark 0x100/0xffffe100 -j DROP
-A SIXTUPLE-IN -i eth2 -m mark ! --mark 0x100/0xffffe100 -j DROP
{bridged_in}-A SIXTUPLE-OUT -o eth1 -m mark --mark {INSIDE} -j RETURN
-A SIXTUPLE-OUT -o eth2 -m mark --mark {OUTSIDE} -j RETURN
{multicast}-A SIXTUPLE-OUT -j DROP
{classes}:SIXTUPLE - [0:0]
:SIXTUPLE-ERR - [0:0]
-A PREROUTING -j SIXTUPLE
-A OUTPUT -j SIXTUPLE-ERR
-A SIXTUPLE -i eth1 -p tcp {opening} -j NFQUEUE --queue-num 8
-A SIXTUPLE -i eth1 -j NFQUEUE --queue-num 7
-A SIXTUPLE -i eth2 -p tcp {opening} -j NFQUEUE --queue-num 8
-A SIXTUPLE -i eth2 -j NFQUEUE --queue-num 7
{tunnels}{errors}"""
ERRORS = {
    tool: "".join(
        f"-A SIXTUPLE-ERR {match} {type} -m mark ! --mark 0x100 -j NFQUEUE --queue-num 7\n"
        for type in types
    )
    for tool, match, types in (
        ("iptables", "-p icmp -m icmp --icmp-type", (3, 11, 12)),
        ("ip6tables", "-p ipv6-icmp -m icmp6 --icmpv6-type", (1, 2, 3, 4)),
    )
}
# What bridges, multicast routing and QoS add.
MORE = {
    "bridged": "-A SIXTUPLE -i br1 -m physdev --physdev-is-bridged -m pkttype --pkt-type broadcast "
    "-j MARK --set-xmark 0x1/0xffffffff\n"
    f"-A SIXTUPLE -i br1 -p tcp -m physdev --physdev-is-bridged {OPENING} "
    "-j NFQUEUE --queue-num 8\n"
    "-A SIXTUPLE -i br1 -m physdev --physdev-is-bridged -j NFQUEUE --queue-num 7\n",
    "bridged_in": "-A SIXTUPLE-IN -i br1 -j DROP\n",
    "multicast": f"-A SIXTUPLE-OUT -o eth2 -m mark --mark {MULTICAST} -j RETURN\n",
    "tunnels": "-A SIXTUPLE-ERR -o eth2 -j NFQUEUE --queue-num 7\n",
    "classes": "".join(
        f"-A SIXTUPLE-QOS -m mark --mark {number << 9:#x}/0x1e00 "
        f"-j CLASSIFY --set-class 0001:000{number}\n"
        for number in range(1, 9)
    ),
}


def rules(tool: str, **more: str) -> str:
    return OURS.format(
        **{name: more.get(name, "") for name in MORE},
        INSIDE=INSIDE,
        OUTSIDE=OUTSIDE,
        errors=ERRORS[tool],
        opening=OPENING,
    )


FOREIGN = """\
*raw
:OTHERS - [0:0]
-A PREROUTING -i eth1 -j OTHERS
-A OTHERS -p tcp -j ACCEPT
COMMIT
*mangle
-A FORWARD -i eth9 -j ACCEPT
COMMIT
*filter
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""


def ports(*interfaces: str) -> dict[str, str]:
    return {name: ZONES[name] for name in interfaces}


def saved(tool: str) -> list[str]:
    """The rules, without comments and packet counts."""
    lines = run(f"{tool}-save").splitlines()
    return [re.sub(r"\[\d+:\d+\]", "[0:0]", line) for line in lines if line[0] != "#"]


def ours(tool: str) -> str:
    return "".join(f"{line}\n" for line in saved(tool) if "SIXTUPLE" in line)


def foreign(tool: str) -> list[str]:
    return [line for line in saved(tool) if "SIXTUPLE" not in line]


def restore(text: str) -> None:
    for tool in TOOLS:
        run(f"{tool}-restore --noflush <<'END'\n{text}END\n")


@in_namespace
def test_install_twice_and_remove() -> None:
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    before = {tool: saved(tool) for tool in TOOLS}
    for tool in TOOLS:
        assert ours(tool) == rules(tool)
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    assert before == {tool: saved(tool) for tool in TOOLS}
    hook.remove()
    for tool in TOOLS:
        assert ours(tool) == ""
    hook.remove()


@in_namespace
def test_bridges_multicast_and_classes_come_and_go() -> None:
    for _ in range(2):
        hook.install(
            ports("eth1", "eth2"),
            7,
            opening_queue=8,
            bridges=["br1"],
            multicast=["eth2"],
            tunnels=["eth2"],
            is_shaped=True,
        )
        for tool in TOOLS:
            assert sorted(ours(tool).splitlines()) == sorted(rules(tool, **MORE).splitlines())
        hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
        for tool in TOOLS:
            assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())


@in_namespace
def test_what_is_in_place_is_not_written_again() -> None:
    hook.install(
        ports("eth1"), 7, opening_queue=8, bridges=["br1"], multicast=["eth1"], is_shaped=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hook, "_restore", None)
        hook.install(
            ports("eth1"), 7, opening_queue=8, bridges=["br1"], multicast=["eth1"], is_shaped=True
        )


LEFT_BY_A_CRASH = {
    "another queue": "*raw\n:SIXTUPLE - [0:0]\n-A SIXTUPLE -i eth1 -j NFQUEUE --queue-num 9\n"
    "-A PREROUTING -j SIXTUPLE\nCOMMIT\n",
    "jumps only": "*raw\n:SIXTUPLE - [0:0]\n-A PREROUTING -j SIXTUPLE\n"
    "-A PREROUTING -j SIXTUPLE\nCOMMIT\n*mangle\n:SIXTUPLE - [0:0]\n"
    "-A FORWARD -j SIXTUPLE\nCOMMIT\n",
    "chain without jump": "*mangle\n:SIXTUPLE-OUT - [0:0]\n-A SIXTUPLE-OUT -j ACCEPT\nCOMMIT\n",
    "other ports": "*mangle\n:SIXTUPLE - [0:0]\n-A SIXTUPLE -i eth8 -j RETURN\n"
    "-A FORWARD -j SIXTUPLE\nCOMMIT\n",
    "a rule too many": "*raw\n:SIXTUPLE - [0:0]\n-A SIXTUPLE -j ACCEPT\n"
    "-A SIXTUPLE -i eth1 -j NFQUEUE --queue-num 7\n"
    "-A SIXTUPLE -i eth2 -j NFQUEUE --queue-num 7\n-A PREROUTING -j SIXTUPLE\nCOMMIT\n",
}


@pytest.mark.parametrize("left", list(LEFT_BY_A_CRASH))
@in_namespace
def test_replaces_what_a_crash_left(left: str) -> None:
    restore(LEFT_BY_A_CRASH[left])
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    for tool in TOOLS:
        assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines()), ours(tool)
    hook.remove()
    for tool in TOOLS:
        assert ours(tool) == ""


@pytest.mark.parametrize("first", ["the others", "the hook"])
@in_namespace
def test_rules_of_others_stay_behind_ours(first: str) -> None:
    """Whoever comes first: our jump is in front, and their rules are as they were."""
    if first == "the hook":
        hook.install(ports("eth1"), 3)
        for tool in TOOLS:
            run(f"{tool} -t raw -I PREROUTING 1 -i eth1 -j ACCEPT")
        restore(FOREIGN)
        for tool in TOOLS:
            run(f"{tool} -t mangle -I FORWARD 1 -j ACCEPT")
    else:
        restore(FOREIGN)
    theirs = {tool: foreign(tool) for tool in TOOLS}
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    assert theirs == {tool: foreign(tool) for tool in TOOLS}
    for tool in TOOLS:
        assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())
        assert run(f"{tool} -t raw -S PREROUTING 1") == "-A PREROUTING -j SIXTUPLE\n"
        assert run(f"{tool} -t mangle -S FORWARD 1") == "-A FORWARD -j SIXTUPLE\n"
    hook.remove()
    assert theirs == {tool: saved(tool) for tool in TOOLS}


@in_namespace
def test_ports_and_queue_change() -> None:
    hook.install(ports("eth1", "eth3"), 3)
    hook.install(ports("eth2", "eth1"), 7, opening_queue=8)
    for tool in TOOLS:
        assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())
        assert not any("eth3" in line for line in saved(tool))


def test_missing_program_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "SEARCH_PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "iptables-restore" in hook.missing_tools()
    with pytest.raises(KernelError, match=r"^cannot run iptables-save: No such file or directory$"):
        hook.remove()


# ---- packets -------------------------------------------------------------------------------------
#
#   left 10.0.1.2 --- eth1 .1 [ forwarding ] eth2 .1 --- 10.0.2.2 right
#                             eth3 .1 --- 10.0.3.2 third, not a port


def lab() -> None:
    run("mkdir /run/netns; sysctl -qw net.ipv6.conf.default.accept_dad=0")
    for number, name in enumerate(("left", "right", "third"), start=1):
        run(f"""
            ip netns add {name}
            ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0
            ip link add eth{number} type veth peer eth0 netns {name}
            ip link set eth{number} up
            ip -n {name} link set eth0 up
            ip addr add 10.0.{number}.1/24 dev eth{number}
            ip addr add 2001:db8:{number}::1/64 dev eth{number}
            ip -n {name} addr add 10.0.{number}.2/24 dev eth0
            ip -n {name} addr add 2001:db8:{number}::2/64 dev eth0
            ip -n {name} route add default via 10.0.{number}.1
            ip -n {name} route add default via 2001:db8:{number}::1
        """)


def arrives(source: str, target: str, size: int = 56) -> bool:
    """Whether a ping is answered."""
    command = f"ip netns exec {source} ping -c1 -W1 -s {size} {target} >&2 || echo lost"
    return "lost" not in run(command)


class Listener:
    """Accepts everything on the queue, for the zone it seems to go to, and keeps what came."""

    def __init__(self, queue: int, zone: str = "") -> None:
        self.packets: list[bytes] = []
        self._zone = zone  # or for this one
        self._queue = netfilterqueue.NetfilterQueue()
        self._queue.bind(queue, self._accept)
        threading.Thread(target=self._queue.run, daemon=True).start()

    def _accept(self, packet: netfilterqueue.Packet) -> None:
        data = packet.get_payload()
        self.packets.append(data)
        network = data[18] if data[0] >> 4 == 4 else data[29]  # 10.0.N.0/24, 2001:db8:N::/64
        zone = self._zone or ZONES.get(f"eth{network}")
        packet.set_mark(marks.of_zone(zone) if zone else marks.HOST)  # neighbour discovery
        packet.accept()


@in_namespace
def test_without_a_listener_nothing_passes() -> None:
    lab()
    sysctls.set_forwarding(True)
    assert arrives("left", "10.0.2.2")
    assert arrives("left", "2001:db8:2::2")
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    assert not arrives("left", "10.0.2.2")
    assert not arrives("left", "2001:db8:2::2")


@pytest.mark.parametrize("target", ["10.0.{}.2", "2001:db8:{}::2"])
@in_namespace
def test_only_what_comes_by_a_port_and_leaves_by_one_passes(target: str) -> None:
    lab()
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    sysctls.set_forwarding(True)
    listener = Listener(7)
    assert arrives("left", target.format(2))
    assert listener.packets
    listener.packets.clear()
    assert not arrives("third", target.format(2))
    assert not arrives("left", target.format(3))
    hook.install(ports("eth1", "eth2", "eth3"), 7, opening_queue=8)
    assert arrives("third", target.format(2))


@pytest.mark.parametrize("target", ["10.0.2.2", "2001:db8:2::2"])
@in_namespace
def test_what_is_marked_for_another_zone_does_not_leave(target: str) -> None:
    """The kernel's routing cannot undo what the dataplane decided."""
    lab()
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    sysctls.set_forwarding(True)
    listener = Listener(7, zone="inside")
    assert not arrives("left", target)
    assert listener.packets


@pytest.mark.parametrize("fail_open", [False, True])
@in_namespace
def test_what_passed_a_full_queue_has_no_mark(fail_open: bool) -> None:
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8, fail_open=fail_open)
    for tool in TOOLS:
        unmarked = [rule for rule in saved(tool) if "--mark 0x0/0xffffe100" in rule]
        assert len(unmarked) == (2 if fail_open else 0)
    before = {tool: saved(tool) for tool in TOOLS}
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8, fail_open=fail_open)
    assert before == {tool: saved(tool) for tool in TOOLS}
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    for tool in TOOLS:
        assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())


@pytest.mark.parametrize("target", ["10.0.1.1", "2001:db8:1::1"])
@in_namespace
def test_the_machine_itself_is_not_reached_by_a_port(target: str) -> None:
    lab()
    assert arrives("left", target)
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    listener = Listener(7)
    assert not arrives("left", target)
    assert listener.packets


@in_namespace
def test_fragments_come_one_by_one() -> None:
    """Nothing here makes the kernel put fragments together before the dataplane saw them."""
    lab()
    hook.install(ports("eth1", "eth2"), 7, opening_queue=8)
    sysctls.set_forwarding(True)
    listener = Listener(7)
    assert arrives("left", "10.0.2.2", size=4000)
    echo = [packet for packet in listener.packets if packet[12:16] == bytes([10, 0, 1, 2])]
    assert [len(packet) for packet in echo] == [1500, 1500, 1068]


# ---- the kernel's own ICMP errors ----------------------------------------------------------------


class Errors:
    """Lets packets pass, but ICMP errors of the kernel only as `decide` says."""

    def __init__(self, decide: Callable[[netfilterqueue.Packet], None]) -> None:
        self.errors: list[bytes] = []
        self._decide_error = decide
        self._queue = netfilterqueue.NetfilterQueue()
        self._queue.bind(7, self._decide)
        threading.Thread(target=self._queue.run, daemon=True).start()

    def _decide(self, packet: netfilterqueue.Packet) -> None:
        data = packet.get_payload()
        if packet.indev == 0:
            self.errors.append(data)
            self._decide_error(packet)
        else:
            network = data[18] if data[0] >> 4 == 4 else data[29]
            zone = ZONES.get(f"eth{network}")
            packet.set_mark(marks.of_zone(zone) if zone else marks.HOST)
            packet.accept()


def errors_received(host: str) -> int:
    """Destination unreachable and packet too big, of both families."""
    shown = run(
        f"ip netns exec {host} sh -c 'grep ^Icmp: /proc/net/snmp; cat /proc/net/snmp6'"
    ).splitlines()
    names, values = shown[0].split(), shown[1].split()
    six = dict(line.split() for line in shown[2:])
    return int(values[names.index("InDestUnreachs")]) + int(six["Icmp6InPktTooBigs"])


def too_long(target: str) -> None:
    run(f"ip netns exec left ping -c1 -W1 -M do -s 1400 {target} || true")


def narrow_lab() -> None:
    lab()
    run("ip link set eth2 mtu 1300; ip link set eth1 up")
    hook.install(ports("eth1", "eth2", "eth3"), 7, opening_queue=8)
    sysctls.set_forwarding(True)


@pytest.mark.parametrize("is_let", [True, False])
@pytest.mark.parametrize("target", ["10.0.2.2", "2001:db8:2::2"])
@in_namespace
def test_the_kernels_errors_leave_through_the_queue(target: str, is_let: bool) -> None:
    narrow_lab()
    listener = Errors(lambda packet: packet.accept() if is_let else packet.drop())
    before = errors_received("left")
    too_long(target)
    (error, *_) = listener.errors
    header = 20 if error[0] >> 4 == 4 else 40
    assert tuple(error[header : header + 2]) == ((3, 4) if header == 20 else (2, 0))
    assert (errors_received("left") > before) == is_let


@in_namespace
def test_an_error_that_is_rewritten_is_routed_anew() -> None:
    """The kernel told who the packet seemed to be from; the dataplane knows better."""
    narrow_lab()

    def redirect(packet: netfilterqueue.Packet) -> None:
        data = bytearray(packet.get_payload())
        data[16:20] = bytes([10, 0, 3, 2])
        data[10:12] = b"\0\0"
        total = sum(struct.unpack("!10H", data[:20]))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        data[10:12] = struct.pack("!H", ~total & 0xFFFF)
        packet.set_payload(bytes(data))
        packet.set_mark(marks.HOST)
        packet.accept()

    Errors(redirect)
    left, third = errors_received("left"), errors_received("third")
    too_long("10.0.2.2")
    assert (errors_received("left"), errors_received("third")) == (left, third + 1)


@in_namespace
def test_what_the_dataplane_sends_itself_is_not_queued() -> None:
    lab()
    hook.install(ports("eth1"), 7, opening_queue=8)
    listener = Errors(lambda packet: packet.drop())
    error = b"\3\1\0\0" + bytes(32)
    before = errors_received("left")
    for mark in (marks.HOST, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            sender.sendto(error[:2] + b"\xfc\xfe" + error[4:], ("10.0.1.2", 0))
        if mark:
            wait_until(lambda: errors_received("left") == before + 1, "it arrives", seconds=5)
            assert listener.errors == []
        else:
            wait_until(lambda: len(listener.errors) == 1, "it is queued", seconds=5)


# ---- multicast -----------------------------------------------------------------------------------

MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC = 200, 202, 204  # linux/mroute.h
VIFF_USE_IFINDEX = 8


def route_multicast() -> socket.socket:
    """What a routing daemon does: 239.1.1.1 from 10.0.1.2 by eth1 goes to eth2 and eth3."""
    daemon = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    daemon.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
    for number in (1, 2, 3):
        vif = struct.pack(
            "=HBBIiI", number, VIFF_USE_IFINDEX, 1, 0, socket.if_nametoindex(f"eth{number}"), 0
        )
        daemon.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)
    entry = socket.inet_aton("10.0.1.2") + socket.inet_aton("239.1.1.1") + struct.pack("=H", 1)
    ttls = bytes(1 if number in (2, 3) else 0 for number in range(32))
    entry = (entry + ttls).ljust(44, b"\0") + bytes(16)
    daemon.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, entry)
    return daemon


@pytest.mark.parametrize("zone", ["multicast", "outside", "inside"])
@in_namespace
def test_multicast_leaves_by_the_ports_that_route_it(zone: str) -> None:
    lab()
    hook.install(ports("eth1", "eth2", "eth3"), 7, opening_queue=8, multicast=["eth2"])
    sysctls.set_forwarding(True)
    Listener(7, zone=zone)
    for host in ("right", "third"):
        run(f"ip -n {host} addr add 239.1.1.1/32 dev eth0 autojoin")
    with route_multicast():
        before = {host: received(host) for host in ("right", "third")}
        run("ip -n left route add 239.0.0.0/8 dev eth0")
        run("ip netns exec left ping -c3 -i0.1 -W1 -t 8 239.1.1.1 || true")
        came = [host for host, count in before.items() if received(host) >= count + 3]
    by_mark = {"multicast": ["right"], "outside": ["right", "third"], "inside": []}
    assert came == by_mark[zone]


def received(host: str) -> int:
    """Multicast packets of its groups."""
    shown = run(f"ip netns exec {host} cat /proc/net/netstat").splitlines()
    names, values = (line.split() for line in shown if line.startswith("IpExt:"))
    return int(values[names.index("InMcastPkts")])
