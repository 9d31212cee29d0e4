"""A log's file: turned over, on a full disk, opened again; the same for every log."""

import json
from io import FileIO
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from dataplane.log_file import LogFile


class Entry(Struct):
    sport: int
    what: str = "something that takes more than a few words to tell"


def lines(path: Path) -> list[int]:
    """Numbers of the entries, line by line."""
    return [json.loads(line)["sport"] for line in path.read_text().splitlines()]


def test_one_line_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    log = LogFile(path)
    log.write([])
    log.write([Entry(1), Entry(2)])
    log.write([Entry(3)])
    assert lines(path) == [1, 2, 3]  # readable before it is closed
    log.close()
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    again = LogFile(path)
    again.write([Entry(4)])
    again.close()
    assert lines(path) == [1, 2, 3, 4]


def test_it_is_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    size = len(msgspec.json.encode(Entry(1))) + 1
    log = LogFile(path, max_bytes=2 * size, keep=2)
    for number in range(1, 10):
        log.write([Entry(number)])
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
    log.write([Entry(1)])
    log.close()
    assert not path.exists()
    assert (tmp_path / "traffic.log.1").stat().st_size > 5000


def test_a_full_disk_is_counted() -> None:
    log = LogFile(Path("/dev/full"))
    for _ in range(3):
        log.write([Entry(1), Entry(2)])
    assert log.lost == 6
    log.close()
    assert log.lost == 6


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    log = LogFile(path)
    log.write([Entry(1)])
    log.close()
    space = 100

    class Filling(FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            return super().write(data[:space])

    log._file = Filling(path, "ab")
    log.write([Entry(2), Entry(3)])
    assert log.lost == 2
    space = 10_000
    log.write([Entry(4)])
    log.close()
    assert lines(path) == [1, 4]
    assert log.lost == 2


def test_a_file_that_went_away_is_opened_again_after_it_was_turned_over(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "traffic.log"
    log = LogFile(path, max_bytes=1)
    log.write([Entry(1)])  # turned over at once
    for old in folder.iterdir():
        old.unlink()
    folder.rmdir()
    log.write([Entry(2)])
    assert log.lost == 1
    folder.mkdir()
    log.write([Entry(3)])
    log.close()
    assert lines(folder / "traffic.log.1") == [3]


def test_a_log_that_cannot_be_turned_over_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "traffic.log"
    (tmp_path / "traffic.log.1").mkdir()
    log = LogFile(path, max_bytes=1, keep=1)
    log.write([Entry(1)])
    log.write([Entry(2)])
    log.close()
    assert lines(path) == [1, 2]
    assert log.lost == 0


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(tmp_path / "missing" / "traffic.log")
    with pytest.raises(IsADirectoryError):
        LogFile(tmp_path)
