"""Replays as processes: the same every time, in bounded memory, and ended by whoever wants to."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from dataplane.offload import PROFILES
from tests.native.test_capture import read_all
from tests.support.captures import conversations, pcap_header, record, write
from tests.support.packets import NS
from tests.support.private import ROOT
from tests.support.replays import START_S, command, config, records, replay
from vm.waiting import wait_until

PATIENCE_S = 60


@pytest.mark.parametrize("platform", PROFILES)
def test_two_replays_are_the_same(tmp_path: Path, platform: str) -> None:
    path = write(tmp_path / "a.pcap", conversations(6000, 300, step_ns=NS // 50))
    options = (path, "--config", config(tmp_path), "--platform", platform)
    seen = []
    for number in range(2):
        out = tmp_path / f"out-{number}"
        json, table = replay(*options, "--json", "--capture-dir", out), replay(*options)
        assert (json.returncode, json.stderr, table.returncode, table.stderr) == (0, b"", 0, b"")
        written = {file.name: file.read_bytes() for file in out.iterdir()}
        seen.append((json.stdout, table.stdout, written))
    assert seen[0] == seen[1]
    entries, summary = records(seen[0][0])
    assert (len(entries), summary["packets"]) == (300, 6000)


def test_translated_ports_are_the_same_too(tmp_path: Path) -> None:
    nat = "set rulebase nat rules out from trust to untrust source any destination any "
    nat += "source-translation dynamic-ip-and-port translated-address 198.51.100.128/25"
    path = write(tmp_path / "a.pcap", conversations(600, 30))
    options = (path, "--config", config(tmp_path, nat), "--json")
    once, again = replay(*options), replay(*options)
    assert once.stdout == again.stdout
    entries, summary = records(once.stdout)
    assert len({entry["natsport"] for entry in entries}) > 20
    assert summary["counters"]["nat_dynamic_port_xlat"] == 30


def test_standard_input(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", conversations(600, 30))
    options = ("--config", config(tmp_path), "--json")
    wanted = replay(path, *options)
    done = replay("-", *options, input=path.read_bytes())
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted.stdout, b"")
    assert records(wanted.stdout)[1]["sessions"] == 30


# ---- memory --------------------------------------------------------------------------------------

_SESSIONS, _PACKETS = 400, 8_000  # of a round
_ROUND_NS = 60 * NS  # sessions of the one before are over


def rounds(count: int) -> Iterator[tuple[int, bytes]]:
    return chain.from_iterable(
        conversations(_PACKETS, _SESSIONS, start_ns=START_S * NS + number * _ROUND_NS)
        for number in range(count)
    )


# the program, and what the kernel says of its memory; the parent's usage of a child would count the
# parent's own, from before it became another program
_MEASURED = """
import re, sys
from control.main import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""


def peak_kb(folder: Path, count: int) -> int:
    """The most memory a replay of so many rounds needs; they come through a pipe."""
    pipe, out = folder / f"pipe-{count}", folder / f"out-{count}"
    os.mkfifo(pipe)
    arguments = ["replay", str(pipe), "--config", str(config(folder)), "--json"]
    with (
        out.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-c", _MEASURED, *arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        write(pipe, rounds(count))
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    entries, summary = records(out.read_bytes())
    assert (len(entries), summary["packets"]) == (count * _SESSIONS, count * _PACKETS)
    assert summary["counters"]["log_event_lost"] == 0
    return int(said)


def test_memory_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    few, many = 5, 120
    grown_kb = peak_kb(tmp_path, many) - peak_kb(tmp_path, few)
    more_packets = (many - few) * _PACKETS
    assert grown_kb * 1024 < 4 * more_packets  # four bytes a packet; a packet has forty and more


# ---- ended from outside --------------------------------------------------------------------------


def is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_an_interrupt(tmp_path: Path) -> None:
    """While it waits for more of a capture that comes through a pipe."""
    out = tmp_path / "out"
    arguments = command("-", "--config", config(tmp_path), "--capture-dir", out)
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(pcap_header() + b"".join(record(*packet) for packet in rounds(3)))
            process.stdin.flush()
            assert process.stdout.readline().startswith(b"Time (UTC)")
            wait_until(lambda: is_asleep(process.pid), "it reads", seconds=PATIENCE_S)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 130
    count = re.fullmatch(rb"interrupted after ([\d,]+) packets\n", said)
    assert count
    assert sum(len(read_all(path)) for path in out.iterdir()) == int(count[1].replace(b",", b""))


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", conversations(30_000, 5000))
    replaying = " ".join(command(path, "--config", config(tmp_path), "--json"))
    done = subprocess.run(
        f"{replaying} | head -n 1", shell=True, cwd=ROOT, capture_output=True, timeout=PATIENCE_S
    )
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


@pytest.mark.parametrize("sessions", [1, 5000])
def test_an_output_that_is_full(tmp_path: Path, sessions: int) -> None:
    path = write(tmp_path / "a.pcap", conversations(6 * sessions, sessions))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(path, "--config", config(tmp_path), "--json"),
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
        )
    assert (done.returncode, done.stderr) == (2, b"standard output: No space left on device\n")


# ---- a terminal ----------------------------------------------------------------------------------


def on_terminal(arguments: list[str], *, both: bool) -> tuple[bytes, bytes]:
    """What a program writes to its output, and to the terminal its error output is, or both are."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=follower if both else subprocess.PIPE,
        stderr=follower,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(follower)
        shown = b""
        readers = [leader] if both else [leader, process.stdout.fileno()]  # type: ignore[union-attr]
        output = b""
        while readers:
            ready, _, _ = select.select(readers, [], [], PATIENCE_S)
            assert ready
            for reader in ready:
                try:
                    data = os.read(reader, 65536)
                except OSError:  # the terminal's other end is closed
                    data = b""
                if not data:
                    readers.remove(reader)
                elif reader == leader:
                    shown += data
                else:
                    output += data
    os.close(leader)
    assert process.returncode == 0
    return output, shown


@pytest.mark.parametrize("is_pipe", [False, True])
def test_progress_on_a_terminal(tmp_path: Path, is_pipe: bool) -> None:
    path = write(tmp_path / "a.pcap", conversations(6000, 300))
    arguments = command(path, "--config", config(tmp_path))
    quiet = subprocess.run(arguments, cwd=ROOT, capture_output=True, timeout=PATIENCE_S)
    assert quiet.stderr == b""
    if is_pipe:
        arguments = ["sh", "-c", f'cat {path} | exec "$0" "$@"', *arguments]
        arguments[arguments.index(str(path))] = "-"
    output, shown = on_terminal(arguments, both=False)
    assert output == quiet.stdout
    assert b"packets" in shown
    assert b"6,000 packets in" not in shown
    _, shown = on_terminal(arguments, both=True)
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).replace(b"\r", b"")
    for line in quiet.stdout.splitlines():
        assert line in plain
