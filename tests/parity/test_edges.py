"""The same packets through every edge: the same verdicts, and the same bytes out.

The edge that reads captures, within this process, is the measure of the edges of the kernel's
queue, each with a dataplane process in a network namespace.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.edges import NAMES
from tests.parity.reference import COOKED, COOKED2, ETHERNET, NULL, RAW_IP, Outcome, expected
from tests.parity.scripts import SCRIPTS, Script
from tests.parity.site import Site
from tests.support.packets import FAMILIES
from tests.support.wires import finished, forwarded


@pytest.fixture(scope="module", params=NAMES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site(request.param) as site:
        yield site


def without_padding(packet: bytes) -> bytes:
    is_v4 = packet[0] >> 4 == 4
    return packet[: int.from_bytes(packet[2:4]) if is_v4 else 40 + int.from_bytes(packet[4:6])]


def flow_by_flow(packets: list[bytes]) -> list[bytes]:
    """The flows in the order of their first packets, one after the other."""
    flows: dict[bytes, list[bytes]] = {}
    for packet in packets:
        addresses_and_ports = packet[12:24] if packet[0] >> 4 == 4 else packet[8:44]
        flows.setdefault(addresses_and_ports, []).append(packet)
    return [packet for flow in flows.values() for packet in flow]


def of_a_queue(wanted: Outcome, script: Script, edge: str) -> Outcome:
    """What becomes of a script at an edge of the queue where this becomes of it in a capture."""
    arrived = {without_padding(packet) for _, packet in script.packets}
    counters = wanted.counters
    out = {
        port: [forwarded(packet) if packet in arrived else packet for packet in packets]
        for port, packets in wanted.out.items()
    }
    difference = script.difference
    if difference and edge in difference.edges:
        counters = counters if difference.counters is None else difference.counters
        out = {port: packets[: difference.out] for port, packets in out.items() if difference.out}
        if difference.flow_by_flow:
            out = {port: flow_by_flow(packets) for port, packets in out.items()}
    return Outcome(counters, out)


@pytest.mark.netns
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_queue_does_what_a_capture_does(site: Site, script: Script, tmp_path: Path) -> None:
    wanted = of_a_queue(expected(script, tmp_path), script, site.edge)
    assert site.play(script, wanted) == wanted


UNFINISHED = [
    f"v{family}, {name}"
    for family in FAMILIES
    for name in (
        "TCP: handshake, data, close",
        "TCP: 1500 bytes",
        "TCP: reset-both",
        "TCP: reset for data",
        "TCP: waiting SYNs",
        "UDP: question and answer",
        "UDP: 1500 bytes",
        "UDP: waiting",
    )
]


@pytest.mark.netns
@pytest.mark.parametrize("name", UNFINISHED)
def test_a_checksum_that_is_left_to_the_network_card(site: Site, name: str, tmp_path: Path) -> None:
    script = SCRIPTS[name]
    wanted = of_a_queue(expected(script, tmp_path), script, site.edge)
    found = site.play(script, wanted, unfinished=True)
    assert found.counters == wanted.counters
    assert {port: [*map(finished, packets)] for port, packets in found.out.items()} == wanted.out
    if site.edge == "netfilterqueue":  # the package has the kernel finish them
        assert found == wanted


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_link_layer_of_a_capture_does_not_matter(script: Script, tmp_path: Path) -> None:
    found = [expected(script, tmp_path, link) for link in (RAW_IP, ETHERNET, COOKED, COOKED2, NULL)]
    assert found == found[:1] * len(found)
