"""Captures through the engine: merged by time, decided then, written where they leave."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP
from scapy.layers.inet6 import IPv6

from dataplane.edges.edge import EdgeError
from dataplane.edges.pcap import PcapEdge
from native import FOREVER_NS, Capture, CaptureError
from tests.native.test_capture import PCAP_HEADER, PCAPNG_HEADER, read_all, write_pcap
from tests.support.captures import write
from tests.support.packets import (
    DMZ,
    NS,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    default_timeouts,
    snapshot,
    tcp,
    udp,
)


def run(edge: PcapEdge, until_ns: int = FOREVER_NS) -> None:
    while edge.run_once(until_ns):
        pass


def udp_to(number: int) -> bytes:
    """Without a checksum, which is allowed over IPv4, so that it is quickly made."""
    return UDP_START + (1 + number).to_bytes(2) + b"\0\x09\0\0."


UDP_START = udp(payload=b".")[:22]


def test_two_captures_are_merged_by_time(tmp_path: Path) -> None:
    client = [(1.0, tcp("S")), (3.0, tcp("A")), (5.0, tcp("FA"))]
    server = [(2.0, tcp("SA", back=True)), (4.0, tcp("A", back=True)), (6.0, tcp("FA", back=True))]
    inputs = {
        TRUST: write_pcap(tmp_path / "client.pcap", client),
        UNTRUST: write_pcap(tmp_path / "server.pcap", server),
    }
    firewall = Firewall()
    edge = PcapEdge(inputs, firewall.engine, tmp_path)
    run(edge)
    edge.close()
    assert edge.damage == []
    session = firewall.session()
    assert (session.packets_c2s, session.packets_s2c, session.timeout_s) == (3, 3, 15)
    assert (session.start_ns, session.last_ns) == (1 * NS, 6 * NS)
    for port, frames in ((UNTRUST, client), (TRUST, server)):
        sent = read_all(tmp_path / f"{port.replace('/', '_')}.pcap")
        assert [(p.data, p.now_ns) for p in sent] == [(data, at * NS) for at, data in frames]


def test_at_the_same_time_the_port_named_first_goes_first(tmp_path: Path) -> None:
    one = write_pcap(tmp_path / "a.pcap", [(1, udp())])
    two = write_pcap(tmp_path / "b.pcap", [(1, udp(back=True))])
    for inputs, zone in (
        ({TRUST: one, UNTRUST: two}, "trust"),
        ({UNTRUST: two, TRUST: one}, "untrust"),
    ):
        firewall = Firewall()
        run(PcapEdge(inputs, firewall.engine))
        assert firewall.session().c2s.zone == zone
        assert firewall.session().packets_s2c == 1


def test_hours_between_two_packets(tmp_path: Path) -> None:
    """Each packet is decided at its own time, in however few bursts it comes."""
    timers = default_timeouts(timeout_tcp=1000, timeout_tcpinit=3)
    frames = [(0, tcp("S")), (2, tcp("S")), (9, tcp("S")), (9000, udp()), (90000, udp())]
    firewall = Firewall(snapshot(interzone="allow", timeouts_s=timers))
    run(PcapEdge({TRUST: write_pcap(tmp_path / "a.pcap", frames)}, firewall.engine))
    assert [firewall.session(n).start_ns // NS for n in (1, 2, 3, 4)] == [0, 9, 9000, 90000]
    assert firewall.session(1).end_ns == 5 * NS


def test_times_that_go_back_count_as_the_latest(tmp_path: Path) -> None:
    frames = [(10, udp()), (4, udp(dport=54)), (12, udp())]
    firewall = Firewall()
    run(PcapEdge({TRUST: write_pcap(tmp_path / "a.pcap", frames)}, firewall.engine))
    assert [firewall.session(n).start_ns // NS for n in (1, 2)] == [10, 10]


def test_resets_are_written_when_they_are_sent(tmp_path: Path) -> None:
    firewall = Firewall(snapshot(default_rule("no", "reset-both")))
    frames = [(7, tcp("S", 6)), (8, udp()), (9, tcp("S", 6, sport=5))]
    edge = PcapEdge({DMZ: write_pcap(tmp_path / "in.pcap", frames)}, firewall.engine, tmp_path)
    run(edge)
    edge.close()
    sent = read_all(tmp_path / "ethernet1_3.pcap")
    assert [packet.now_ns for packet in sent] == [7 * NS, 9 * NS]
    assert all(IPv6(packet.data)[TCP].flags == "RA" for packet in sent)


def test_more_than_a_piece(tmp_path: Path) -> None:
    """Somebody may look in between, however many packets there are."""
    count = 200_000
    frames = ((number * 1000, udp_to(number % 300)) for number in range(count))
    firewall = Firewall()
    edge = PcapEdge({TRUST: write(tmp_path / "a.pcap", frames)}, firewall.engine)
    fed = [edge.stats().packets for _ in iter(lambda: edge.run_once(FOREVER_NS), False)]
    assert len(fed) > 2
    assert max(after - before for before, after in pairwise([0, *fed, count])) < count / 2
    assert edge.stats().packets == firewall.counters()["pkt_sent"] == count
    assert firewall.engine.stats().installed == 300


def test_a_port_nobody_configured(tmp_path: Path) -> None:
    firewall = Firewall()
    run(PcapEdge({"ethernet1/9": write_pcap(tmp_path / "a.pcap", [(1, udp())])}, firewall.engine))
    assert firewall.counters() == {"pkt_recv": 1, "flow_no_interface": 1}


def test_damage_is_remembered_and_the_rest_is_used(tmp_path: Path) -> None:
    whole = write_pcap(tmp_path / "whole.pcap", [(1, udp()), (3, udp()), (5, udp())])
    cut = write_pcap(tmp_path / "cut.pcap", [(2, udp(back=True)), (4, udp(back=True))])
    cut.write_bytes(cut.read_bytes()[:-2])
    firewall = Firewall()
    edge = PcapEdge({TRUST: whole, UNTRUST: cut}, firewall.engine)
    run(edge)
    (damage,) = edge.damage
    assert damage.startswith(f"{cut}: truncated dump file")
    assert (firewall.session().packets_c2s, firewall.session().packets_s2c) == (3, 1)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    good = write_pcap(tmp_path / "good.pcap", [(1, udp())])
    bad, missing = tmp_path / "bad.pcap", tmp_path / "missing.pcap"
    bad.write_text("hello, this is a text and not a capture")
    firewall = Firewall()
    edge = PcapEdge({UNTRUST: bad, TRUST: good}, firewall.engine)
    run(edge)
    assert edge.damage == [f"{bad}: unknown file format"]
    assert firewall.session().c2s.zone == "trust"
    refused = f"{bad}: unknown file format; {missing}: No such file or directory"
    with pytest.raises(EdgeError, match=f"^{refused}$"):
        PcapEdge({TRUST: bad, UNTRUST: missing}, firewall.engine)
    with pytest.raises(EdgeError, match=f"^{missing}: No such file or directory$"):
        PcapEdge(missing, firewall.engine)


def test_empty_captures(tmp_path: Path) -> None:
    firewall = Firewall()
    edge = PcapEdge({TRUST: write_pcap(tmp_path / "a.pcap", [])}, firewall.engine, tmp_path)
    assert not edge.run_once(0)
    assert not edge.run_once(0)
    edge.close()
    assert firewall.counters() == {}
    assert not PcapEdge({}, firewall.engine).run_once(0)


def test_an_output_that_fails_does_not_take_the_others_along(tmp_path: Path) -> None:
    (tmp_path / "ethernet1_2.pcap").symlink_to("/dev/full")
    frames = [(1, udp()), (2, udp(src="192.0.2.10", dst="203.0.113.30"))]
    firewall = Firewall()
    edge = PcapEdge({TRUST: write_pcap(tmp_path / "in.pcap", frames)}, firewall.engine, tmp_path)
    run(edge)
    with pytest.raises(EdgeError, match=r"ethernet1_2\.pcap: not everything could be written$"):
        edge.close()
    assert len(read_all(tmp_path / "ethernet1_3.pcap")) == 1


RECORD = st.builds(
    lambda seconds, data: (
        seconds.to_bytes(4, "little") + bytes(4) + len(data).to_bytes(4, "little") * 2 + data
    ),
    st.integers(0, 2**32 - 1),
    st.one_of(st.binary(max_size=80), st.sampled_from([tcp(), udp(6), tcp("SA", back=True)])),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([b"", PCAP_HEADER, PCAPNG_HEADER]),
    st.lists(st.one_of(RECORD, st.binary(max_size=60)), max_size=8),
    st.booleans(),
)
def test_any_file_is_used_as_far_as_it_goes(
    tmp_path: Path, header: bytes, parts: list[bytes], alone: bool
) -> None:
    path = tmp_path / "any.pcap"
    path.write_bytes(header + b"".join(parts))
    firewall = Firewall(snapshot(interzone="allow"))
    try:
        edge = PcapEdge(path if alone else {TRUST: path, UNTRUST: path}, firewall.engine)
    except EdgeError as error:
        with pytest.raises(CaptureError):
            Capture(str(path))
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        return
    run(edge)
    while edge.tick(FOREVER_NS):
        pass
    assert firewall.engine.stats().allocated == 0
    stats = edge.stats()
    assert stats.packets == stats.forwarded + stats.dropped + stats.host
    assert stats.packets == firewall.counters().get("pkt_recv", 0)
    assert all(entry.elapsed >= 0 for entry in firewall.entries())
