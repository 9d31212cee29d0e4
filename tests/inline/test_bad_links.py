"""Long transfers while the links behind the firewall lose, delay, reorder and repeat packets.

client --- eth1 [ firewall, netem on what it sends ] eth2 --- server

Translation, offload and the window check are on; both ends get every byte, and what the firewall
drops is what came too late, not what is in order for a TCP that repairs losses.
"""

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.inline import MACHINE_ONLY
from tests.support.labs import Counted, LogEntry, commit, traffic_log
from tests.support.nat_lab import shell
from tests.support.transfers import MB, PORT, RULE, transfer_s, transfers
from vm.firewall import CONFIG, Firewall
from vm.namespaces import Lab
from vm.topology import FIREWALL, SERVER
from vm.waiting import wait_until

pytestmark = MACHINE_ONLY

BAD = "netem delay 30ms loss 1% reorder 5% duplicate 1% limit 10000"
PORTS = ("eth1", "eth2")
STREAMS, EACH = ("download", "upload") * 2, 5 * MB
SHAPED = """
set network qos profile wide aggregate-bandwidth egress-max 500
set network qos interface ethernet1/2 enabled yes
set network qos interface ethernet1/2 regular-traffic default-group qos-profile wide
"""


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG.read_text() + RULE


@contextlib.contextmanager
def bad(lab: Lab, *places: str) -> Iterator[None]:
    """Places are as `tc` names them: `dev eth1 root`."""
    shell(lab, FIREWALL, *(f"tc qdisc replace {place} {BAD}" for place in places))
    try:
        yield
    finally:
        shell(lab, FIREWALL, *(f"tc qdisc del {place}" for place in places))


def netem(lab: Lab, port: str) -> tuple[int, int]:
    """Packets a port has sent, and those it has lost."""
    shown = shell(lab, FIREWALL, f"tc -s qdisc show dev {port}")
    found = re.search(r"netem .*\n Sent \d+ bytes (\d+) pkt \(dropped (\d+)", shown)
    assert found, shown
    return int(found[1]), int(found[2])


def segments(lab: Lab, *, together: bool) -> None:
    """Whether they travel put together (GSO, GRO), so that dozens share a fate."""
    value = "on" if together else "off"
    for host, ports in (("client", ("eth0",)), ("server", ("eth0",)), (FIREWALL, PORTS)):
        shell(
            lab, host, *(f"ethtool -K {one} tso {value} gso {value} gro {value}" for one in ports)
        )


@pytest.fixture(params=[True, False], ids=["put together", "one by one"])
def packets(request: pytest.FixtureRequest, lab: Lab) -> Iterator[None]:
    segments(lab, together=request.param)
    yield
    segments(lab, together=True)


@pytest.mark.usefixtures("packets")
def test_every_byte_arrives_both_ways(lab: Lab, firewall: Firewall) -> None:
    late = Counted(firewall, "tcp_drop_out_of_wnd")
    offloaded = Counted(firewall, "pkt_offloaded")
    logged = len(list(traffic_log(firewall)))
    with (
        bad(lab, *(f"dev {port} root" for port in PORTS)),
        transfers(lab, "server", SERVER),
        ThreadPoolExecutor(len(STREAMS)) as some,
    ):
        ends = [
            some.submit(transfer_s, lab, "client", way, SERVER, EACH, within_s=180)
            for way in STREAMS
        ]
        for end in ends:
            end.result()
        sent, lost = map(sum, zip(*(netem(lab, port) for port in PORTS), strict=True))
    assert lost > sent / 300
    assert offloaded.by_now() > sent / 2
    assert late.by_now() <= sent / 1000

    ended: list[LogEntry] = []

    def all_ended() -> bool:
        ended[:] = [one for one in list(traffic_log(firewall))[logged:] if one.dport == PORT]
        return len(ended) == len(STREAMS)

    wait_until(all_ended, "the sessions end", seconds=40, every_s=0.5)
    # a repeated segment that comes to a closed connection is answered with a RST
    reasons = {one.session_end_reason for one in ended}
    assert reasons <= {"tcp-fin", "tcp-rst-from-client", "tcp-rst-from-server"}
    assert all(max(one.bytes_sent, one.bytes_received) > EACH for one in ended)


@pytest.mark.parametrize(
    ("more", "place", "is_shaped"),
    [("", "dev eth2 root", False), (SHAPED, "dev eth2 parent 1:4", True)],
    ids=["alone", "below the shaping"],
)
def test_a_commit_leaves_foreign_queueing_alone(
    lab: Lab, firewall: Firewall, config: str, more: str, place: str, is_shaped: bool
) -> None:
    commit(firewall, config + more)
    try:
        with bad(lab, place):
            commit(firewall, f"{config}{more}set deviceconfig system hostname other\n")
            shown = shell(lab, FIREWALL, "tc qdisc show dev eth2")
            assert ("htb 1:" in shown) == is_shaped
            with transfers(lab, "server", SERVER):
                transfer_s(lab, "client", "upload", SERVER, MB, within_s=60)
            assert netem(lab, "eth2")[0] > 0
    finally:
        commit(firewall, config)
    assert "htb" not in shell(lab, FIREWALL, "tc qdisc show dev eth2")
