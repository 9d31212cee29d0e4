"""What the comparison claims, proved by doing what it says would help."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.replay.compare import Compared, Fate, compare
from control.replay.comparison import lines
from control.replay.play import Play
from control.replay.setup import Setup
from dataplane.engine import Engine, Observer
from dataplane.offload import PROFILES
from dataplane.snapshot import Snapshot
from native import CaptureWriter
from tests.support.packets import ALLOW, NS, default_timeouts, routes, snapshot, tcp, udp

START_S = 1_700_000_000
BEAT, ACK, ANSWER, DATAGRAM = tcp("PA", payload=b"x"), tcp("A"), tcp("A", back=True), udp()
HANDSHAKE = [(0, tcp("S")), (0.1, tcp("SA", back=True)), (0.2, tcp("A"))]
Timed = Sequence[tuple[float, bytes]]


def heard(packets: Timed, timeout_s: int, folder: Path, platforms: Sequence[str]) -> list[Compared]:
    path = folder / "in.pcap"
    with CaptureWriter(str(path)) as writer:
        for at_s, packet in packets:
            writer.write(packet, START_S * NS + round(at_s * NS))
    timeouts = default_timeouts(timeout_tcp=timeout_s, timeout_udp=timeout_s)
    setup = Setup(snapshot(ALLOW, timeouts_s=timeouts), tuple(routes()), ())

    def run(platform: str, configuration: Snapshot, observer: Observer) -> Engine:
        play = Play(
            replace(setup, snapshot=configuration), path, platform=platform, observer=observer
        )
        for _ in play.pages():
            pass
        return play.engine

    return compare(run, setup.snapshot, platforms)


def fate(packets: Timed, timeout_s: int, folder: Path, platform: str) -> Fate:
    found = heard(packets, timeout_s, folder, [platform])
    assert len(found) == 1
    return found[0].fates[platform]


def one_way(beat_s: float, beats: int) -> Timed:
    return [*HANDSHAKE, *((beat_s * n, BEAT) for n in range(1, beats))]


def answered(beat_s: float, beats: int) -> Timed:
    said = [
        (beat_s * n + late, packet)
        for n in range(1, beats)
        for late, packet in ((0.0, BEAT), (0.05, ANSWER))
    ]
    return [*HANDSHAKE, *said]


def two_a_beat(beat_s: float, beats: int) -> Timed:
    said = [(beat_s * n + late, ACK) for n in range(1, beats) for late in (0.0, 0.05)]
    return [*HANDSHAKE, *said]


def of_udp(beat_s: float, beats: int) -> Timed:
    return [(beat_s * n, DATAGRAM) for n in range(beats)]


PATTERNS = [one_way, answered, two_a_beat, of_udp]
DYING = [("pa-5000", 300), ("pa-7000", 1300), ("software", 1300)]  # with a timeout of 1200 s


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("platform", "beat_s"), DYING)
def test_what_is_said_to_help_helps(
    pattern: Callable[[float, int], Timed], platform: str, beat_s: int, tmp_path: Path
) -> None:
    died = fate(pattern(beat_s, 60), 1200, tmp_path, platform)
    assert died.packets_still_came
    assert died.end_reason == "aged-out"
    assert died.timeout_s == 1200
    timeout_s, interval_s = died.smallest_timeout_s, died.largest_interval_s
    assert timeout_s is not None
    assert interval_s is not None
    assert not fate(pattern(beat_s, 60), timeout_s, tmp_path, platform).packets_still_came
    assert fate(pattern(beat_s, 60), timeout_s - 1, tmp_path, platform).packets_still_came
    assert not fate(pattern(interval_s, 200), 1200, tmp_path, platform).packets_still_came
    # parts of a beat do not grow with it, which may leave a second
    assert fate(pattern(interval_s + 2, 200), 1200, tmp_path, platform).packets_still_came


ARITHMETIC = [  # one way, timeout 1200 s: the vendor's rule of sixteen (fact sheet 3.2)
    ("pa-5000", 74, None),
    ("pa-5000", 75, (74, 1201)),  # the sixteenth packet comes at the instant the timer is over
    ("pa-5000", 76, (74, 1217)),
    ("pa-5000", 600, (74, 9601)),
    ("pa-7000", 600, None),
    ("software", 600, None),
]


@pytest.mark.parametrize(("platform", "beat_s", "advice"), ARITHMETIC)
def test_the_rule_of_sixteen(
    platform: str, beat_s: int, advice: tuple[int, int] | None, tmp_path: Path
) -> None:
    packets = [(0, tcp("S")), (0, tcp("SA", back=True)), (0, tcp("A"))]
    packets += [(beat_s * n, ACK) for n in range(1, 100)]
    found = fate(packets, 1200, tmp_path, platform)
    assert found.packets_still_came == (advice is not None)
    assert (found.largest_interval_s, found.smallest_timeout_s) == (advice or (None, None))


SHORT = [  # pattern, beat, timeout: everything within a minute, over and over again
    pytest.param(one_way, 5, 50, 1, id="TCP"),
    pytest.param(of_udp, 3.75, 30, 8, id="UDP"),
    pytest.param(of_udp, 10, 60, 10, id="UDP, a minute"),
]


@pytest.mark.parametrize(("pattern", "beat_s", "timeout_s", "sessions"), SHORT)
def test_sessions_that_die_within_a_minute(
    pattern: Callable[[float, int], Timed],
    beat_s: float,
    timeout_s: int,
    sessions: int,
    tmp_path: Path,
) -> None:
    died = fate(pattern(beat_s, 60), timeout_s, tmp_path, "pa-5000")
    assert died.packets_still_came
    assert died.after_ns // NS == timeout_s
    assert died.sessions == sessions
    assert not fate(pattern(beat_s, 60), timeout_s, tmp_path, "software").packets_still_came


def test_a_packet_at_the_instant_of_the_end_has_still_come(tmp_path: Path) -> None:
    packets = [(0, tcp("S")), (0, tcp("SA", back=True)), (0, ACK), (100, ACK)]
    assert fate(packets, 100, tmp_path, "software").packets_still_came
    assert not fate(packets, 101, tmp_path, "software").packets_still_came


def test_only_sessions_longer_than_a_minute(tmp_path: Path) -> None:
    short = [*HANDSHAKE, (59.0, tcp("A"))]
    assert heard(short, 1200, tmp_path, list(PROFILES)) == []
    assert [*lines([], list(PROFILES))] == ["No session had packets for longer than a minute."]


def test_a_session_that_ends_by_itself_did_not_die(tmp_path: Path) -> None:
    closed = [*HANDSHAKE, (90.0, tcp("FA")), (90.1, tcp("FA", back=True))]
    (found,) = heard(closed, 1200, tmp_path, ["pa-5000", "software"])
    assert {fate.end_reason for fate in found.fates.values()} == {"tcp-fin"}
    assert found.died == []
    assert [*lines([found], ["pa-5000", "software"])][-1] == (
        "No session died while packets still came."
    )


def test_the_table_names_session_and_platform(tmp_path: Path) -> None:
    found = heard(one_way(300, 40), 1200, tmp_path, ["software", "pa-5000"])
    header, row, *rest = lines(found, ["software", "pa-5000"])
    assert header.split() == ["Session", "Packets", "came", "for", "software", "pa-5000"]
    assert row.startswith("tcp 192.0.2.10[40001] > 198.51.100.20[80] undecided  3:15:00 ")
    assert row.endswith("aged-out after 3:35:00  ! aged-out after 0:20:00")
    assert "tcp 192.0.2.10[40001] > 198.51.100.20[80] undecided on pa-5000" in rest
    assert " ".join(rest[-1].split()) == "smallest timeout that would have kept it: 4801 s"
