"""Counters of the kernel's queue, brought into the engine's."""

from pathlib import Path

import pytest

from dataplane.edges import queue_counters
from dataplane.edges.queue_counters import QueueCounters
from native import Engine
from tests.support.packets import HASH_KEY, NS


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nfnetlink_queue"
    monkeypatch.setattr(queue_counters, "_PROC", path)
    return path


@pytest.fixture
def engine() -> Engine:
    return Engine(hash_key=HASH_KEY, now_ns=0)


def line(number: int, queue_full: int, socket_full: int) -> str:
    """As the kernel prints it: `%5u %6u %5u %1u %5u %5u %5u %8u %2d`."""
    return f"{number:5} 123456     9 2 65531 {queue_full:5} {socket_full:5}  4711  1\n"


def of_the_queue(engine: Engine) -> tuple[int, int]:
    counters = engine.counters()
    return counters["nfq_queue_full"], counters["nfq_socket_full"]


def test_growth_is_counted(proc: Path, engine: Engine) -> None:
    counters = QueueCounters(6, engine)
    for now in ((0, 0), (5, 0), (5, 7), (4_000_000_000, 7)):
        proc.write_text(line(5, 90, 91) + line(6, *now) + line(60, 92, 93))
        for _ in range(2):
            counters.update({})
            assert of_the_queue(engine) == now


def test_the_queue_of_segments_that_open_connections_counts(proc: Path, engine: Engine) -> None:
    proc.write_text(line(6, 1, 2) + line(7, 10, 20) + line(8, 100, 200))
    QueueCounters(6, engine).update({})
    assert of_the_queue(engine) == (11, 22)


def test_the_kernels_counters_have_32_bits(proc: Path, engine: Engine) -> None:
    counters = QueueCounters(6, engine)
    for shown in (0xFFFFFFF0, 0xFFFFFFFF, 5, 6):
        proc.write_text(line(6, shown, shown))
        counters.update({})
    assert of_the_queue(engine) == (0x100000006, 0x100000006)


def test_values_of_the_edge_are_counted(proc: Path, engine: Engine) -> None:
    counters = QueueCounters(6, engine)
    for value in (0, 3, 3, 8):
        counters.update({"nfq_emit_fail": value})
        assert engine.counters()["nfq_emit_fail"] == value


@pytest.mark.parametrize("text", [None, "", "\n\n", line(8, 1, 2)])
def test_a_queue_the_kernel_does_not_show(proc: Path, engine: Engine, text: str | None) -> None:
    if text is not None:
        proc.write_text(text)
    QueueCounters(6, engine).update({})
    assert of_the_queue(engine) == (0, 0)


def test_it_is_due_once_a_second(engine: Engine) -> None:
    counters = QueueCounters(6, engine)
    times = (0, 1, NS - 1, NS, NS + 1, 2 * NS - 1, 2 * NS, 9 * NS, 9 * NS)
    assert [at for at in times if counters.is_due(at)] == [0, NS, 2 * NS, 9 * NS]
