"""The log's texts and its file: turned over, on a full disk, opened again."""

import json
from io import FileIO
from pathlib import Path

import msgspec
import pytest

from dataplane.traffic_log import Entry, LogFile, protocol_name, time_text
from tests.support.packets import Firewall, udp

NS = 1_000_000_000

FIELDS = """
    record subtype sessionid start time_generated elapsed src dst natsrc natdst sport dport
    natsport natdport proto from to inbound_if outbound_if app rule action bytes bytes_sent
    bytes_received packets pkts_sent pkts_received session_end_reason tracker_stage offloaded
    srcuser category parent_session_id
"""


def entry(number: int = 1) -> Entry:
    firewall = Firewall()
    firewall.send(udp(sport=number))
    firewall.tick(100)
    (made,) = firewall.entries()
    return made


def lines(path: Path) -> list[int]:
    """Source ports, line by line."""
    return [json.loads(line)["sport"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970/01/01 00:00:00"),
        (NS - 1, "1970/01/01 00:00:00"),
        (1_700_000_000 * NS, "2023/11/14 22:13:20"),
        (2**63 - 1, "2262/04/11 23:47:16"),
    ],
)
def test_times(at_ns: int, text: str) -> None:
    assert time_text(at_ns) == text


def test_protocol_names() -> None:
    names = [protocol_name(number) for number in (1, 6, 17, 47, 50, 51, 58, 132, 0, 255)]
    expected = ["icmp", "tcp", "udp", "gre", "esp", "ah", "ipv6-icmp", "sctp", "0", "255"]
    assert names == expected


def test_fields_have_the_names_of_the_log() -> None:
    fields = json.loads(msgspec.json.encode(entry()))
    assert set(fields) == set(FIELDS.split())
    assert fields["record"] == "traffic"


def test_one_line_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    log = LogFile(path)
    log.write([])
    log.write([entry(1), entry(2)])
    log.write([entry(3)])
    assert lines(path) == [1, 2, 3]  # readable before it is closed
    log.close()
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    again = LogFile(path)
    again.write([entry(4)])
    again.close()
    assert lines(path) == [1, 2, 3, 4]


def test_it_is_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    size = len(msgspec.json.encode(entry(1))) + 1
    log = LogFile(path, max_bytes=2 * size, keep=2)
    for number in range(1, 10):
        log.write([entry(number)])
    log.close()
    assert lines(path) == [9]
    assert lines(tmp_path / "traffic.log.1") == [7, 8]
    assert lines(tmp_path / "traffic.log.2") == [5, 6]
    assert len(list(tmp_path.iterdir())) == 3
    assert log.lost == 0


def test_the_size_counts_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    path.write_bytes(b"x" * 5000)
    log = LogFile(path, max_bytes=5001)
    log.write([entry()])
    log.close()
    assert not path.exists()
    assert (tmp_path / "traffic.log.1").stat().st_size > 5000


def test_a_full_disk_is_counted() -> None:
    log = LogFile(Path("/dev/full"))
    for _ in range(3):
        log.write([entry(1), entry(2)])
    assert log.lost == 6
    log.close()
    assert log.lost == 6


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    log = LogFile(path)
    log.write([entry(1)])
    log.close()
    space = 100

    class Filling(FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            return super().write(data[:space])

    log._file = Filling(path, "ab")
    log.write([entry(2), entry(3)])
    assert log.lost == 2
    space = 10_000
    log.write([entry(4)])
    log.close()
    assert lines(path) == [1, 4]
    assert log.lost == 2


def test_a_file_that_went_away_is_opened_again_after_it_was_turned_over(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "traffic.log"
    log = LogFile(path, max_bytes=1)
    log.write([entry(1)])  # turned over at once
    for old in folder.iterdir():
        old.unlink()
    folder.rmdir()
    log.write([entry(2)])
    assert log.lost == 1
    folder.mkdir()
    log.write([entry(3)])
    log.close()
    assert lines(folder / "traffic.log.1") == [3]


def test_a_log_that_cannot_be_turned_over_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    (tmp_path / "traffic.log.1").mkdir()
    log = LogFile(path, max_bytes=1, keep=1)
    log.write([entry(1)])
    log.write([entry(2)])
    log.close()
    assert lines(path) == [1, 2]
    assert log.lost == 0


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(tmp_path / "missing" / "traffic.log")
    with pytest.raises(IsADirectoryError):
        LogFile(tmp_path)
