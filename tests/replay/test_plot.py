"""The line of a session's time to live, and its picture."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from control.replay import plot
from control.replay.play import Play
from control.replay.setup import Setup
from control.replay.timeline import Follower, Timeline, follow
from native import CaptureWriter, SessionView
from tests.support.packets import ALLOW, NS, default_timeouts, routes, snapshot, tcp

START_NS = 1_700_000_000 * NS
OPENED = ((0, tcp("S")), (0, tcp("SA", back=True)), (0, tcp("A")))
BEATS = tuple((at_s, tcp("A")) for at_s in (60, 120, 180))
CLOSED = ((200, tcp("FA")), (200, tcp("FA", back=True)))


class First:
    """Remembers the first session that ended."""

    session: SessionView | None = None

    def decided(self, decision: object) -> None:
        pass

    def ended(self, session: SessionView) -> None:
        self.session = self.session or session


def line(
    packets: Sequence[tuple[float, bytes]], folder: Path, platform: str, resolution_ns: int = 0
) -> tuple[SessionView, Timeline]:
    path = folder / "in.pcap"
    with CaptureWriter(str(path)) as writer:
        for at_s, packet in packets:
            writer.write(packet, START_NS + round(at_s * NS))
    configuration = snapshot(ALLOW, timeouts_s=default_timeouts(timeout_tcp=100))
    setup, first = Setup(configuration, tuple(routes()), ()), First()
    for _ in Play(setup, path, platform="software", observer=first).pages():
        pass
    assert first.session is not None
    follower = Follower(first.session, resolution_ns)
    play = Play(setup, path, platform=platform, observer=follower)
    follow(play.edge, play.engine, follower)
    for _ in play.pages():
        pass
    return first.session, follower.timeline


LINES = {  # seconds, and seconds to live there
    "software": [(0, 100), (60, 40), (60, 100), (120, 40), (120, 100), (180, 40), (180, 100)],
    "pa-7000": [(0, 100), (60, 40), (68, 32), (68, 100), (120, 48), (128, 40), (128, 100)],
    "pa-5000": [(0, 100), (60, 40), (100, 0)],
}


@pytest.mark.parametrize(("platform", "wanted"), LINES.items(), ids=LINES)
def test_the_line(platform: str, wanted: list[tuple[int, int]], tmp_path: Path) -> None:
    _, found = line([*OPENED, *BEATS, *CLOSED], tmp_path, platform)
    points = [(at_ns / NS, left_s) for at_ns, left_s in found.points]
    changes = [point for number, point in enumerate(points) if point not in points[:number]]
    start = changes.index((0, 100))
    assert changes[start : start + len(wanted)] == wanted
    assert found.ended is not None
    assert found.ended.end_reason == ("aged-out" if platform == "pa-5000" else "tcp-fin")
    assert points[-1][1] == 0


def test_close_packets_are_thinned_and_the_line_stays(tmp_path: Path) -> None:
    crowd = [(10 + n / 1000, tcp("A")) for n in range(500)]
    _, found = line([*OPENED, *crowd, *CLOSED], tmp_path, "software", resolution_ns=NS)
    assert len(found.packets) == 2  # the session dies at 110 s
    assert found.ended is not None
    assert found.points[-1] == (found.ended.end_ns - START_NS, 0)
    assert (10_499_000_000, 100.0) in found.points  # what the last of the crowd has started


def test_the_picture(tmp_path: Path) -> None:
    session, died = line([*OPENED, *BEATS, *CLOSED], tmp_path, "pa-5000")
    _, lived = line([*OPENED, *BEATS, *CLOSED], tmp_path, "software")
    setup = Setup(snapshot(ALLOW), tuple(routes()), ())
    play = Play(setup, tmp_path / "in.pcap", platform="software")
    for _ in play.pages():
        pass
    named = play.engine.named(session)
    path = tmp_path / "out.png"
    plot.write(path, named, lived.packets, {"pa-5000": died, "software": lived})
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    assert width == 990
    assert height == round((1.2 + 2 * 2) * 110)
    with pytest.raises(OSError, match="No such file"):
        plot.write(tmp_path / "nowhere" / "out.png", named, [], {"software": Timeline()})
