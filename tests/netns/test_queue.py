"""The kernel's queue: taken or forbidden, too full, too slow, and changed while packets flow."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataplane.edges import NAMES
from native import Nfqueue
from tests.support.labs import PYTHON
from tests.support.private import in_namespace
from tests.support.wires import QUEUE
from vm.waiting import wait_until

# ---- a queue that cannot be had ------------------------------------------------------------------


def dataplane(io: str, name: str) -> list[str]:
    where = ["--socket", f"/run/{name}.sock", "--log", f"/run/{name}.log"]
    return [PYTHON, "-m", "dataplane.process", *where, "--io", io, "--queue", str(QUEUE)]


def refusal(command: list[str]) -> str:
    """The one line of a command that must not start."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    return done.stderr


@contextmanager
def holding_the_queue(holder: str) -> Iterator[None]:
    if holder == "another program":
        queue = Nfqueue(QUEUE, None, mode="accept")
        yield
        queue.close()
        return
    process = subprocess.Popen(dataplane(holder, "first"))
    try:
        wait_until(Path("/run/first.sock").is_socket, "the first one listens", seconds=20)
        wait_until(is_bound, "the first one has the queue", seconds=20)
        yield
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def queue_line() -> list[int]:
    """What the kernel says of the queue: number, holder, waiting, ... (see queue_counters.py)."""
    lines = Path("/proc/self/net/netfilter/nfnetlink_queue").read_text().splitlines()
    rows = ([int(word) for word in line.split()] for line in lines)
    return next((row for row in rows if row[0] == QUEUE), [])


def is_bound() -> bool:
    return bool(queue_line())


@pytest.mark.parametrize("holder", ["another program", *NAMES])
@pytest.mark.parametrize("io", NAMES)
@in_namespace
def test_a_queue_that_is_taken(io: str, holder: str) -> None:
    with holding_the_queue(holder):
        said = refusal(dataplane(io, "second"))
        assert said.startswith(f"dataplane: queue {QUEUE}")
        assert "another program" in said
        assert "--queue" in said
    if io == "native":
        assert "CAP_NET" not in said


@pytest.mark.parametrize("capability", ["net_admin", "net_raw"])
@pytest.mark.parametrize("io", NAMES)
@in_namespace
def test_without_a_capability(io: str, capability: str) -> None:
    without = ["setpriv", f"--bounding-set=-{capability}"]
    said = refusal([*without, *dataplane(io, "one")])
    assert f"CAP_{capability.upper()}" in said
    assert "root" in said
    if io == "native":
        assert "another program" not in said


@in_namespace
def test_a_queue_that_was_given_back() -> None:
    for io in (*NAMES, *NAMES):
        with holding_the_queue(io):
            assert is_bound()
        assert not is_bound()
