"""Captures taken on the host that sent the packets, before its network card computed checksums."""

from pathlib import Path

import pytest

from control.replay.play import Play
from control.replay.setup import Setup
from dataplane.explain import Explainer
from native import CaptureWriter
from tests.support.packets import ALLOW, FAMILIES, NS, echo, routes, snapshot, tcp, udp
from tests.support.wires import unfinished

LINE = "captured before a network card computed the checksum: taken as right"


def played(packets: list[bytes], folder: Path, observer: Explainer | None = None) -> Play:
    path = folder / "in.pcap"
    with CaptureWriter(str(path)) as writer:
        for number, packet in enumerate(packets, 1):
            writer.write(packet, number * NS)
    setup = Setup(snapshot(ALLOW), tuple(routes()), ())
    return Play(setup, path, platform="software", observer=observer)


def run(packets: list[bytes], folder: Path) -> Play:
    play = played(packets, folder)
    for _ in play.pages():
        pass
    return play


def wrong(packet: bytes) -> bytes:
    """Neither right nor unfinished."""
    return packet[:-1] + bytes([packet[-1] ^ 1])


@pytest.mark.parametrize("family", FAMILIES)
def test_unfinished_is_right_and_wrong_is_wrong(family: int, tmp_path: Path) -> None:
    right = [tcp(family=family), udp(family, payload=b"odd")]
    play = run([*map(unfinished, right)], tmp_path)
    assert play.edge.stats().forwarded == 2
    assert play.notes() == [f"2 packets {LINE}"]
    play = run([wrong(tcp("S", family, payload=b"x")), wrong(udp(family))], tmp_path)
    assert play.engine.counters()["flow_parse_l4_cksm"] == 2
    assert play.notes() == []
    play = run(right, tmp_path)
    assert (play.edge.stats().forwarded, play.notes()) == (2, [])


def test_a_wrong_sum_of_icmp_stays_wrong(tmp_path: Path) -> None:
    assert run([wrong(echo())], tmp_path).engine.counters()["flow_parse_l4_cksm"] == 1


def test_each_is_counted_once(tmp_path: Path) -> None:
    """New sessions interrupt a burst; what was looked at behind them is looked at again."""
    packets = [unfinished(udp(sport=sport)) for sport in range(1000, 1200)]
    assert run(packets, tmp_path).engine.counters()["flow_l4_cksm_unfinished"] == 200


def test_the_explanation_reads_it(tmp_path: Path) -> None:
    explainer = Explainer()
    play = played([unfinished(udp())], tmp_path, explainer)
    packet = play.edge.next()
    assert packet is not None
    explainer.before(play.engine)
    lines = explainer.after(play.engine, 1, packet, play.edge.step(), play.first_ns)
    assert "192.0.2.10[40002] > 198.51.100.20[53]  udp" in lines[0]
    assert "parse                 IPv4" in lines[1]
