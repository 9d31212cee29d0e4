"""A script through the edge that reads captures: what becomes of it is what all others must do."""

from pathlib import Path

import msgspec

from dataplane.edges.pcap import PcapEdge
from dataplane.messages import SessionFilter
from native import Capture
from tests.parity.outcome import Outcome, moved
from tests.parity.scripts import Script
from tests.parity.translations import Ports
from tests.parity.ways import USUAL, Way
from tests.support.captures import RAW_IP, write
from tests.support.packets import NS, Firewall

ETHERNET, COOKED, COOKED2, NULL = 1, 113, 276, 0  # link types of libpcap
_STEP_NS = NS // 1000  # from packet to packet
_WHEN_ALL_IS_OVER_S = 100_000


def frame(packet: bytes, link: int) -> bytes:
    ethertype = b"\x86\xdd" if packet[:1] >= b"\x60" else b"\x08\0"
    return {
        RAW_IP: b"",
        ETHERNET: b"\2\0\0\0\0\1\2\0\0\0\0\2" + ethertype,
        COOKED: bytes(14) + ethertype,
        COOKED2: ethertype + bytes(18),
        NULL: bytes(4),
    }[link] + packet


def _read(path: Path) -> list[bytes]:
    capture, found = Capture(str(path)), []
    while packets := capture.read():
        found += [packet.data for packet in packets]
    return found


def expected(
    script: Script, folder: Path, way: Way = USUAL, *, link: int = RAW_IP, ageing: bool = False
) -> Outcome:
    """At the end every session is cleared; or, with `ageing`, left alone until it is over."""
    if not script.has_pool:
        return _played(script, folder, way, link, ageing)
    folder.mkdir()
    ports, times, is_new = Ports(), 0, True
    while is_new:  # the same ports are drawn every time
        packets = tuple(sent._replace(packet=ports.real(sent.packet)) for sent in script.packets)
        times += 1
        where = folder / str(times)
        outcome = _played(script._replace(packets=packets), where, way, link, ageing)
        is_new = ports.learn(outcome.out)
    return ports.named(outcome)


def _played(script: Script, folder: Path, way: Way, link: int, ageing: bool) -> Outcome:
    firewall = Firewall(script.config, platform=way.platform)
    if way.before is not None:
        firewall.engine.set_offload(way.before)
    arriving: dict[str, list[tuple[int, bytes]]] = {}
    for at, sent in enumerate(script.packets, 1):
        arriving.setdefault(sent.port, []).append((at * _STEP_NS, frame(sent.packet, link)))
    folder.mkdir()
    inputs = {
        port: write(folder / f"in-{number}.pcap", packets, link)
        for number, (port, packets) in enumerate(arriving.items())
    }
    out = folder / "out"
    out.mkdir()
    edge = PcapEdge(inputs, firewall.engine, out)
    if way.halfway is not None:
        _run(edge, len(script.packets) // 2)
        firewall.engine.set_offload(way.halfway)
    _run(edge, len(script.packets))
    while ageing and edge.tick(_WHEN_ALL_IS_OVER_S * NS):
        pass
    counters = moved({}, firewall.counters())
    _clear(firewall)
    edge.close()
    assert not edge.damage
    written = {path.stem.replace("_", "/"): _read(path) for path in sorted(out.iterdir())}
    return Outcome(
        counters,
        {port: packets for port, packets in written.items() if packets},
        [msgspec.to_builtins(entry) for entry in firewall.entries()],
    )


def _run(edge: PcapEdge, packets: int) -> None:
    while edge.run_once(packets * _STEP_NS):
        pass


def _clear(firewall: Firewall) -> None:
    _, cursor = firewall.engine.clear_matching(0, SessionFilter())
    while cursor:
        _, cursor = firewall.engine.clear_matching(cursor, SessionFilter())
