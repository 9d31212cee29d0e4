"""The hook: what is in the tables after each step, and what the kernel does with packets then."""

import re
import threading

import netfilterqueue
import pytest

from control.system import hook, sysctls
from control.system.errors import KernelError
from dataplane import marks
from tests.support.private import in_namespace, run

TOOLS = ("iptables", "ip6tables")
ZONES = {"eth1": "inside", "eth2": "outside", "eth3": "outside"}

INSIDE, OUTSIDE, MULTICAST = (
    f"{marks.of_zone(zone):#x}/0xffffe100" for zone in ("inside", "outside", "multicast")
)
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
-A SIXTUPLE -i eth1 -j NFQUEUE --queue-num 7
-A SIXTUPLE -i eth2 -j NFQUEUE --queue-num 7
{errors}"""
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
    "bridged": "-A SIXTUPLE -i br1 -m physdev --physdev-is-bridged -j NFQUEUE --queue-num 7\n",
    "bridged_in": "-A SIXTUPLE-IN -i br1 -j DROP\n",
    "multicast": f"-A SIXTUPLE-OUT -o eth2 -m mark --mark {MULTICAST} -j RETURN\n",
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
    hook.install(ports("eth1", "eth2"), 7)
    before = {tool: saved(tool) for tool in TOOLS}
    for tool in TOOLS:
        assert ours(tool) == rules(tool)
    hook.install(ports("eth1", "eth2"), 7)
    assert before == {tool: saved(tool) for tool in TOOLS}
    hook.remove()
    for tool in TOOLS:
        assert ours(tool) == ""
    hook.remove()


@in_namespace
def test_bridges_multicast_and_classes_come_and_go() -> None:
    for _ in range(2):
        hook.install(ports("eth1", "eth2"), 7, bridges=["br1"], multicast=["eth2"], is_shaped=True)
        for tool in TOOLS:
            assert sorted(ours(tool).splitlines()) == sorted(rules(tool, **MORE).splitlines())
        hook.install(ports("eth1", "eth2"), 7)
        for tool in TOOLS:
            assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())


@in_namespace
def test_what_is_in_place_is_not_written_again() -> None:
    hook.install(ports("eth1"), 7, bridges=["br1"], multicast=["eth1"], is_shaped=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hook, "_restore", None)
        hook.install(ports("eth1"), 7, bridges=["br1"], multicast=["eth1"], is_shaped=True)


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
    hook.install(ports("eth1", "eth2"), 7)
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
    hook.install(ports("eth1", "eth2"), 7)
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
    hook.install(ports("eth2", "eth1"), 7)
    for tool in TOOLS:
        assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())
        assert not any("eth3" in line for line in saved(tool))


def test_missing_program_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_SEARCH_PATH", "/nowhere")
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
    hook.install(ports("eth1", "eth2"), 7)
    assert not arrives("left", "10.0.2.2")
    assert not arrives("left", "2001:db8:2::2")


@pytest.mark.parametrize("target", ["10.0.{}.2", "2001:db8:{}::2"])
@in_namespace
def test_only_what_comes_by_a_port_and_leaves_by_one_passes(target: str) -> None:
    lab()
    hook.install(ports("eth1", "eth2"), 7)
    sysctls.set_forwarding(True)
    listener = Listener(7)
    assert arrives("left", target.format(2))
    assert listener.packets
    listener.packets.clear()
    assert not arrives("third", target.format(2))
    assert not arrives("left", target.format(3))
    hook.install(ports("eth1", "eth2", "eth3"), 7)
    assert arrives("third", target.format(2))


@pytest.mark.parametrize("target", ["10.0.2.2", "2001:db8:2::2"])
@in_namespace
def test_what_is_marked_for_another_zone_does_not_leave(target: str) -> None:
    """The kernel's routing cannot undo what the dataplane decided."""
    lab()
    hook.install(ports("eth1", "eth2"), 7)
    sysctls.set_forwarding(True)
    listener = Listener(7, zone="inside")
    assert not arrives("left", target)
    assert listener.packets


@pytest.mark.parametrize("fail_open", [False, True])
@in_namespace
def test_what_passed_a_full_queue_has_no_mark(fail_open: bool) -> None:
    hook.install(ports("eth1", "eth2"), 7, fail_open=fail_open)
    for tool in TOOLS:
        unmarked = [rule for rule in saved(tool) if "--mark 0x0/0xffffe100" in rule]
        assert len(unmarked) == (2 if fail_open else 0)
    before = {tool: saved(tool) for tool in TOOLS}
    hook.install(ports("eth1", "eth2"), 7, fail_open=fail_open)
    assert before == {tool: saved(tool) for tool in TOOLS}
    hook.install(ports("eth1", "eth2"), 7)
    for tool in TOOLS:
        assert sorted(ours(tool).splitlines()) == sorted(rules(tool).splitlines())


@pytest.mark.parametrize("target", ["10.0.1.1", "2001:db8:1::1"])
@in_namespace
def test_the_machine_itself_is_not_reached_by_a_port(target: str) -> None:
    lab()
    assert arrives("left", target)
    hook.install(ports("eth1", "eth2"), 7)
    listener = Listener(7)
    assert not arrives("left", target)
    assert listener.packets


@in_namespace
def test_fragments_come_one_by_one() -> None:
    """Nothing here makes the kernel put fragments together before the dataplane saw them."""
    lab()
    hook.install(ports("eth1", "eth2"), 7)
    sysctls.set_forwarding(True)
    listener = Listener(7)
    assert arrives("left", "10.0.2.2", size=4000)
    echo = [packet for packet in listener.packets if packet[12:16] == bytes([10, 0, 1, 2])]
    assert [len(packet) for packet in echo] == [1500, 1500, 1068]
