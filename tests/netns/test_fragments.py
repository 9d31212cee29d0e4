"""Large packets of real programs, which come in fragments, through translation; and a flood.

tests/support/nat_lab.py draws the lab.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.netns.test_queue import port_address, resident_bytes
from tests.support.labs import FAMILIES, PYTHON, Counted, counters, session_ids
from tests.support.nat_lab import (
    DMZ,
    DMZ_OUTSIDE,
    FAR,
    GATEWAY,
    OUTSIDE,
    SERVER,
    nat_config,
    nat_lab_up,
    shell,
)
from tests.support.transfers import Transfer
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.waiting import wait_until

DNS_PORT = 5300
TEXTS = [chr(ord("a") + number) * 250 for number in range(16)]  # an answer of 4,000 bytes

lab, config = nat_lab_up, nat_config  # fixtures


class Way(NamedTuple):
    """Who pings which address."""

    name: str
    host: str
    target: dict[int, str]


WAYS = (
    Way("source translated", "client", SERVER),
    Way("source translated, to a link of 1,280 bytes", "client", DMZ),
    Way("source translated, behind a router to one", "client", FAR),
    Way("static, in", "far", DMZ_OUTSIDE),
)


def ping(lab: Lab, host: str, target: str, size: int, *options: str) -> bool:
    """The first packet may be lost: it tells how long others may be."""
    command = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-s", str(size), *options, target]
    return lab.run(host, command).returncode == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
@pytest.mark.parametrize("size", [4000, 65_000])
def test_a_large_ping(lab: Lab, firewall: Firewall, size: int, way: Way, family: int) -> None:
    joined = Counted(firewall, "flow_ipfrag_reass")
    assert ping(lab, way.host, way.target[family], size)
    assert joined.by_now() >= 2


@pytest.mark.usefixtures("firewall")
def test_in_a_hundred_fragments(lab: Lab) -> None:
    route = f"{SERVER[4]}/32 via {GATEWAY[4]}"
    shell(lab, "client", f"ip route add {route} mtu lock 576")
    try:
        assert ping(lab, "client", SERVER[4], 65_000, "-M", "dont")
    finally:
        shell(lab, "client", f"ip route del {route}")


@contextlib.contextmanager
def name_server(lab: Lab) -> Iterator[None]:
    texts = ",".join(TEXTS)
    server = lab.popen(
        "server",
        [
            *("dnsmasq", "--conf-file=/dev/null", "--no-daemon", "--no-resolv", "--no-hosts"),
            *("--pid-file", f"--port={DNS_PORT}", "--edns-packet-max=4096"),
            f"--txt-record=large.example,{texts}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        own = ["dig", "-p", str(DNS_PORT), "+time=1", "+tries=1", "TXT", "large.example"]
        wait_until(
            lambda: lab.run("server", [*own, "@127.0.0.1"]).returncode == 0,
            "it answers",
            seconds=10,
        )
        yield
    finally:
        kill(server)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_large_answer_over_udp(lab: Lab, firewall: Firewall, family: int) -> None:
    joined = Counted(firewall, "flow_ipfrag_reass")
    command = ["dig", f"@{SERVER[family]}", "-p", str(DNS_PORT), "+bufsize=4096", "+ignore"]
    with name_server(lab):
        done = lab.run("client", [*command, "+notcp", "+short", "TXT", "large.example"])
    assert sorted(re.findall(r'"(\w+)"', done.stdout)) == TEXTS
    assert joined.by_now() == 1


def test_fragments_are_packets_of_their_session(lab: Lab, firewall: Firewall) -> None:
    done = lab.run("client", ["ping", "-n", "-c", "1", "-e", "777", "-s", "4000", SERVER[4]])
    assert done.returncode == 0
    (number,) = session_ids(firewall, source_port=777)
    shown = firewall.ask(f"show session id {number}")
    assert re.findall(r"layer7 packet count\(\w+\) +: (\d+)$", shown, re.M) == ["3", "3"]
    assert OUTSIDE[4] in shown


# First fragments, each of another datagram of another host, as fast as it goes.
FLOOD = """
import os, socket, struct, sys, time
device, gateway, target, seconds = *sys.argv[1:4], float(sys.argv[4])
start = bytes.fromhex(gateway.replace(":", "")) + b"\\2\\0\\0\\0\\0\\1\\x08\\0"
until, sent = time.monotonic() + seconds, 0
target = socket.inet_aton(target)
body = struct.pack("!4H", 9, 9, 2000, 0) + bytes(56)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((device, 0x0800))
    while time.monotonic() < until:
        noise = os.urandom(4 * 512)
        for at in range(0, len(noise), 4):
            upper = 0x0B00 + int.from_bytes(noise[at : at + 2]) % 0x6000
            source = struct.pack("!HH", upper, 0xffff - upper) # which sums to nothing
            number = int.from_bytes(noise[at + 2 : at + 4])
            header = struct.pack("!BBHHHBBH", 0x45, 0, 84, number, 0x2000, 64, 17, 0)
            total = sum(struct.unpack("!6H", header)) + sum(struct.unpack("!2H", target)) + 0xffff
            total = (total & 0xffff) + (total >> 16)
            total = (total & 0xffff) + (total >> 16)
            header = header[:10] + struct.pack("!H", total ^ 0xffff)
            try:
                raw.send(start + header + source + target + body)
                sent += 1
            except OSError:
                pass
print(sent)
"""


def test_a_flood_leaves_a_transfer_alone(lab: Lab, firewall: Firewall) -> None:
    (dataplane,) = firewall.dataplanes()
    transfer = Transfer(lab, SERVER[4])
    try:
        before, resident = counters(firewall), resident_bytes(dataplane)
        words = ["eth0", port_address(lab), FAR[4], "4"]
        flood = lab.popen("client", [PYTHON, "-c", FLOOD, *words], stdout=subprocess.PIPE)
        at_first = transfer.received()
        sent = int(flood.communicate(timeout=30)[0])
        moved = transfer.received() - at_first
        after = counters(firewall)
        grown = {name: value - before.get(name, 0) for name, value in after.items()}
        assert sent > 10_000
        assert grown["flow_ipfrag_limit"] > 1000
        assert moved > 10 << 20
        assert resident_bytes(dataplane) - resident < 64 << 20  # all there may be, and more
        assert re.search(r"IP fragments held: +8192 ", firewall.ask("show session info"))
        assert ping(lab, "client", SERVER[4], 4000)  # among what still waits
        transfer.finish()
    finally:
        transfer.close()


def test_what_waited_is_dropped_in_time(firewall: Firewall) -> None:
    """After the flood: half a minute later at the latest nothing is held."""
    wait_until(
        lambda: bool(re.search(r"IP fragments held: +0 ", firewall.ask("show session info"))),
        "nothing is held",
        seconds=40,
    )
