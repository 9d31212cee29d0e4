"""The same packets through every edge: the same verdicts, the same bytes out and the same log.

The edge that reads captures, within this process, is the measure of the edges of the kernel's
queue, each with a dataplane process in a network namespace.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.edges import NAMES
from tests.parity.queued import comparable, expected_of_a_queue
from tests.parity.reference import COOKED, COOKED2, ETHERNET, NULL, expected
from tests.parity.scripts import SCRIPTS, Script
from tests.parity.site import Site
from tests.parity.translations import TRANSLATIONS
from tests.support.captures import RAW_IP
from tests.support.packets import FAMILIES
from tests.support.wires import finished

ALL = SCRIPTS | TRANSLATIONS


@pytest.fixture(scope="module", params=NAMES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site(request.param) as site:
        yield site


@pytest.mark.netns
@pytest.mark.parametrize("script", ALL.values(), ids=ALL)
def test_a_queue_does_what_a_capture_does(site: Site, script: Script, tmp_path: Path) -> None:
    wanted = expected_of_a_queue(script, site.edge, tmp_path)
    assert comparable(site.play(script, wanted)) == wanted


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
] + [
    f"v{family}, {shape}: {name}"
    for family in FAMILIES
    for shape in ("source", "destination", "both")
    for name in ("TCP, from handshake to close", "TCP, offloaded", "UDP")
]


@pytest.mark.netns
@pytest.mark.parametrize("name", UNFINISHED)
def test_a_checksum_that_is_left_to_the_network_card(site: Site, name: str, tmp_path: Path) -> None:
    script = ALL[name]
    wanted = expected_of_a_queue(script, site.edge, tmp_path)
    found = comparable(site.play(script, wanted, unfinished=True))
    assert (found.counters, found.log) == (wanted.counters, wanted.log)
    assert {port: [*map(finished, packets)] for port, packets in found.out.items()} == wanted.out
    if site.edge == "netfilterqueue":  # the package has the kernel finish them
        assert found == wanted


@pytest.mark.parametrize("script", ALL.values(), ids=ALL)
def test_the_link_layer_of_a_capture_does_not_matter(script: Script, tmp_path: Path) -> None:
    links = (RAW_IP, ETHERNET, COOKED, COOKED2, NULL)
    found = [expected(script, tmp_path / str(link), link=link) for link in links]
    assert found == found[:1] * len(found)
