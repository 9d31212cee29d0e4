"""Ports with several queues in a machine with as many processors.

A stream's packets come by one of a port's queues and are interrupts of one processor, but leave by
that of whichever processor gives the verdict: all of it has to be used, and streams stay in order.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.inline import MACHINE_ONLY
from tests.support.labs import Counted
from tests.support.nat_lab import shell
from tests.support.transfers import MB, RULE, transfer_s, transfers
from vm.firewall import CONFIG, Firewall
from vm.namespaces import Lab
from vm.topology import FIREWALL, SERVER

pytestmark = MACHINE_ONLY

STREAMS, EACH = 6, 15 * MB
_SEGMENT = 1448  # bytes of data, without what GSO puts together


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG.read_text() + RULE


def interrupts(lab: Lab) -> dict[str, int]:
    """By queue: virtio2-input.0 and so on, all processors together."""
    found = {}
    for line in shell(lab, FIREWALL, "cat /proc/interrupts").splitlines():
        if match := re.search(r"^ *\d+:((?: +\d+)+) .*(virtio\d+-(?:input|output)\.\d+)$", line):
            found[match[2]] = sum(map(int, match[1].split()))
    return found


def virtio(lab: Lab, port: str) -> str:
    return shell(lab, FIREWALL, f"basename $(readlink -f /sys/class/net/{port}/device)").strip()


def out_of_order(lab: Lab, host: str) -> int:
    """Segments that came to a host before those they follow."""
    names, values = (
        line.split()
        for line in shell(lab, host, "cat /proc/net/netstat").splitlines()
        if line.startswith("TcpExt:")
    )
    return int(values[names.index("TCPOFOQueue")])


@pytest.mark.parametrize(("way", "receiver"), [("download", "client"), ("upload", "server")])
def test_every_queue_is_used_and_streams_stay_in_order(
    lab: Lab, firewall: Firewall, way: str, receiver: str
) -> None:
    late = Counted(firewall, "tcp_drop_out_of_wnd")
    before, early = interrupts(lab), out_of_order(lab, receiver)
    with transfers(lab, "server", SERVER), ThreadPoolExecutor(STREAMS) as some:
        ends = [
            some.submit(transfer_s, lab, "client", way, SERVER, EACH, within_s=120)
            for _ in range(STREAMS)
        ]
        for end in ends:
            end.result()
    after = interrupts(lab)
    for port in ("eth1", "eth2"):
        queues = [name for name in after if name.startswith(f"{virtio(lab, port)}-input")]
        assert len(queues) == 2
        assert all(after[name] - before[name] > 50 for name in queues), (before, after)
    assert out_of_order(lab, receiver) - early <= STREAMS * EACH / _SEGMENT / 100
    assert late.by_now() == 0
