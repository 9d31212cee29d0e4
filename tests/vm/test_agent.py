"""The guest agent's client: what goes over the line, and commands and files through a fake one."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_agent import FakeAgent, is_running
from vm import agent as agent_module
from vm.agent import Agent, Protocol
from vm.namespaces import LabError
from vm.waiting import wait_until

# ---- the protocol, without a line ----------------------------------------------------------------


def sent(request: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.removeprefix(b"\xff"))
    return found


def answer(request: bytes, value: object = None) -> bytes:
    """The agent's answer to a request, `value` or to a synchronisation its id."""
    asked = sent(request)
    if asked["execute"] == "guest-sync-delimited":
        return b"\xff" + json.dumps({"return": asked["arguments"]["id"]}).encode() + b"\n"
    return json.dumps({"return": value, "id": asked["id"]}).encode() + b"\n"


def feed(protocol: Protocol, pieces: list[bytes]) -> list[object]:
    answers = [protocol.feed(piece) for piece in pieces]
    return [json.loads(bytes(found)) for found in answers if found is not None]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    left=st.binary(max_size=200),
    old=st.integers(0, 2**48),
    places=st.lists(st.integers(0, 10_000), max_size=8),
    more=st.lists(st.integers(0, 10_000), max_size=8),
    value=st.recursive(
        st.none() | st.booleans() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_an_answer_arrives_whatever_was_left_on_the_line_and_however_it_is_cut(
    left: bytes, old: int, places: list[int], more: list[int], value: object
) -> None:
    protocol = Protocol()
    first, second = protocol.synchronise(), protocol.synchronise()
    assert first.startswith(b"\xff")
    assert sent(first)["arguments"]["id"] != sent(second)["arguments"]["id"]
    stale = b'\n\xff{"return": %d}\n{"return": "old", "id": %d}\n' % (old, old)
    assert feed(protocol, cut(left + stale, places)) == []
    assert not protocol.is_synchronised
    assert feed(protocol, cut(left + answer(second), places)) == []
    assert protocol.is_synchronised
    request = protocol.request("guest-file-read", {"handle": 1})
    assert sent(request)["arguments"] == {"handle": 1}
    received = answer(first) + stale + answer(request, value)
    assert feed(protocol, cut(received, more)) == [value]


def synchronised() -> Protocol:
    protocol = Protocol()
    protocol.feed(answer(protocol.synchronise()))
    return protocol


def test_the_answer_to_a_request_that_was_given_up_does_not_count() -> None:
    protocol = synchronised()
    given_up = protocol.request("guest-exec-status", {"pid": 1})
    request = protocol.request("guest-exec-status", {"pid": 2})
    received = answer(given_up, "of 1") + answer(request, "of 2")
    assert feed(protocol, [received]) == ["of 2"]


def test_a_refusal_says_why() -> None:
    protocol = synchronised()
    number = sent(protocol.request("guest-exec", {}))["id"]
    refusal = {"error": {"class": "GenericError", "desc": "no such thing"}, "id": number}
    with pytest.raises(LabError, match="no such thing"):
        protocol.feed(json.dumps(refusal).encode() + b"\n")


def test_an_answer_without_an_end_is_not_collected_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_module, "_LONGEST_ANSWER_BYTES", 1000)
    protocol = synchronised()
    for _ in range(10):
        protocol.feed(b"x" * 100)
    with pytest.raises(LabError, match="longer than 1000 bytes"):
        protocol.feed(b"x")


# ---- a conversation ------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeAgent]:
    fake = FakeAgent(tmp_path / "agent.sock")
    yield fake
    fake.close()


@pytest.fixture
def agent(fake: FakeAgent, tmp_path: Path) -> Agent:
    return Agent(tmp_path / "agent.sock")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short where a test has to wait for their end."""
    monkeypatch.setattr(agent_module, "ANSWER_WITHIN_S", 0.6)
    monkeypatch.setattr(agent_module, "_SYNCHRONISE_EVERY_S", 0.1)


@pytest.mark.parametrize(
    ("script", "stdin", "expected"),
    [
        pytest.param("echo out; echo err >&2; exit 7", "", (7, "out\n", "err\n"), id="status"),
        pytest.param("kill -TERM $$", "", (-15, "", ""), id="signal"),
        pytest.param("cat", "grüße\n", (0, "grüße\n", ""), id="standard input"),
        pytest.param("cat", "", (0, "", ""), id="no standard input"),
        pytest.param(r"printf '\377\n'", "", (0, "\ufffd\n", ""), id="not UTF-8"),
        pytest.param("ps -o sid= -p $$ | grep -qw $$", "", (0, "", ""), id="session of its own"),
    ],
)
def test_a_command_runs(
    agent: Agent, script: str, stdin: str, expected: tuple[int, str, str]
) -> None:
    done = agent.run(["sh", "-c", script], stdin)
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_a_command_there_is_not_is_said(agent: Agent) -> None:
    done = agent.run(["no-such-command"])
    assert done.returncode == 127
    assert "no-such-command" in done.stderr


def test_output_that_was_cut_is_said(agent: Agent, fake: FakeAgent) -> None:
    fake.truncates = True
    done = agent.run(["echo", "much"])
    assert done.stdout == "much\n"
    assert "the end of standard output is missing" in done.stderr


def test_a_command_that_takes_too_long_is_killed_with_its_children(
    agent: Agent, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1234 & echo $! $$ >{pids}.new; mv {pids}.new {pids}; sleep 1234"
    with pytest.raises(subprocess.TimeoutExpired):
        agent.run(["sh", "-c", script], timeout=1.5)
    found = [int(word) for word in pids.read_text().split()]
    assert len(found) == 2
    wait_until(lambda: not any(map(is_running, found)), "both have ended", seconds=5)


def test_a_long_command_lets_others_in(agent: Agent, tmp_path: Path) -> None:
    go = tmp_path / "go"
    done = []
    waits = ["sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done; echo long"]
    long = threading.Thread(target=lambda: done.append(agent.run(waits).stdout))
    long.start()
    assert agent.run(["touch", str(go)]).returncode == 0
    long.join(20)
    assert done == ["long\n"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "trouble",
    [
        {"silent": 2},
        {"late": 2},
        {"leftover": b'{"return": 12}\n\xff{"return": 7}\n{"return": {"pi'},
        {"leftover": b"\xff\xff\n\n[1, 2]\n"},
    ],
    ids=str,
)
def test_a_conversation_begins_in_spite_of(
    agent: Agent, fake: FakeAgent, trouble: dict[str, object]
) -> None:
    for name, value in trouble.items():
        setattr(fake, name, value)
    assert agent.run(["echo", "hello"]).stdout == "hello\n"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        pytest.param({"silent": 99}, "no answer within", id="silence"),
        pytest.param({"gone_at": "guest-sync-delimited"}, "machine has ended", id="ends at once"),
        pytest.param({"gone_at": "guest-exec"}, "machine has ended", id="ends at the command"),
        pytest.param({"gone_at": "guest-exec-status"}, "machine has ended", id="ends in between"),
        pytest.param({"garbles": "guest-exec"}, "guest-exec is strange", id="nonsense"),
    ],
)
def test_a_conversation_that_fails_is_one_line(
    agent: Agent, fake: FakeAgent, trouble: dict[str, object], message: str
) -> None:
    for name, value in trouble.items():
        setattr(fake, name, value)
    with pytest.raises(LabError, match=message) as failure:
        agent.run(["true"])
    assert "\n" not in str(failure.value)


def test_no_machine_is_one_line(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.sock")
    assert not agent.is_there()
    with pytest.raises(LabError, match="the machine does not run"):
        agent.run(["true"])


@pytest.mark.usefixtures("hasty")
def test_whether_it_is_there(agent: Agent, fake: FakeAgent) -> None:
    assert agent.is_there()
    fake.silent = 99
    began = time.monotonic()  # noqa: TID251
    assert not agent.is_there()
    assert time.monotonic() - began < 5  # noqa: TID251


@pytest.mark.parametrize("size", [0, 1, 192 << 10, 700_001])
def test_a_file_goes_in_and_comes_back(
    agent: Agent, fake: FakeAgent, tmp_path: Path, size: int
) -> None:
    path, content = tmp_path / "file", bytes(range(256)) * (size // 256 + 1)
    agent.write(path, content[:size], 0o640)
    assert path.read_bytes() == content[:size]
    assert path.stat().st_mode & 0o777 == 0o640
    assert agent.read(path) == content[:size]
    assert fake.open_files == 0


def test_a_file_that_cannot_be_opened_is_named(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "no" / "such"
    for attempt in (lambda: agent.read(path), lambda: agent.write(path, b"x", 0o600)):
        with pytest.raises(LabError, match="no/such"):
            attempt()


def test_a_file_that_is_too_long_is_refused(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "_LONGEST_FILE_BYTES", 1000)
    (tmp_path / "file").write_bytes(bytes(500_000))
    with pytest.raises(LabError, match="longer than 1000 bytes"):
        agent.read(tmp_path / "file")


def test_a_command_may_end_the_agent(agent: Agent, fake: FakeAgent, tmp_path: Path) -> None:
    agent.start(["touch", str(tmp_path / "begun")])
    wait_until((tmp_path / "begun").exists, "it was started", seconds=5)
    assert "guest-exec-status" not in fake.asked
