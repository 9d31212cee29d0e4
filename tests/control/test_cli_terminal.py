"""The prompt, driven by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from control.cli import terminal
from control.cli.client import Client, UnreachableError
from control.cli.operations import Operations
from control.cli.protocol import Choice, Choices
from control.cli.terminal import interact, render_choices
from tests.control.cli_fake import FakeManagement, pings

ENTER, CTRL_C, CTRL_D = "\r", "\x03", "\x04"


class Answers(Client):
    """A client whose firewall is in the same process."""

    def __init__(self) -> None:
        self.was_refused = False
        self.lines: list[str] = []
        self._thread = ThreadPoolExecutor(1)
        self.management = FakeManagement()
        self.management.sessions = pings(100)

    def hostname(self) -> str:
        return "fw2" if "commit" in self.lines else "fw1"

    def run(self, line: str) -> Iterator[str]:
        self.lines.append(line)
        if line == "down":
            raise UnreachableError("cannot connect to x")
        if line == "interrupt":
            raise KeyboardInterrupt
        yield f"<{line}>\n" * (100 if line == "long" else 1)

    def complete(self, text: str) -> Choices:
        # the prompt's own loop is running in this thread
        answer = self._thread.submit(asyncio.run, Operations(self.management).complete(text))
        return answer.result()


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        pytest.param(f"show clock{ENTER}exit{ENTER}", ["show clock"], id="exit"),
        pytest.param(f"show clock{ENTER}qui{ENTER}", ["show clock"], id="quit, shortened"),
        pytest.param(f"show clock{ENTER}{CTRL_D}", ["show clock"], id="ctrl-D"),
        pytest.param(f"show cl{CTRL_C}help{ENTER}{CTRL_D}", ["help"], id="ctrl-C cancels a line"),
        pytest.param(f"interrupt{ENTER}help{ENTER}{CTRL_D}", ["interrupt", "help"], id="ctrl-C"),
        pytest.param(f"down{ENTER}help{ENTER}{CTRL_D}", ["down", "help"], id="no firewall"),
        pytest.param(
            f"show clock | match a?{ENTER}{CTRL_D}", ["show clock | match a?"], id="regex"
        ),
        pytest.param(f'show "a?"{ENTER}{CTRL_D}', ['show "a?"'], id="quote"),
    ],
)
def test_lines(keys: PipeInput, typed: str, lines: list[str]) -> None:
    keys.send_text(typed)
    client = Answers()
    assert interact(client) == 0
    assert client.lines == lines


def test_a_question_mark_asks_at_once_and_stays_out_of_the_line(
    keys: PipeInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(terminal, "run_in_terminal", lambda show: show())
    monkeypatch.setattr("builtins.print", lambda text="", **_: shown.append(text))
    keys.send_text(f"show session ?info{ENTER}{CTRL_D}")
    client = Answers()
    assert interact(client) == 0
    assert client.lines == ["show session info"]
    assert shown[0] == (
        "admin@fw1> show session ?\n"
        "> all                       The session table, or the sessions a filter selects\n"
        "> id                        Everything about one session\n"
        "  info                      Session counts, rates, timeouts and settings\n"
        "  meter                     Sessions of each virtual system, and its maximum\n"
        "  packet-buffer-protection  What one source may fill of the packets that wait\n"
    )


def test_the_prompt_follows_the_name(keys: PipeInput, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(terminal, "run_in_terminal", lambda show: show())
    monkeypatch.setattr("builtins.print", lambda text="", **_: shown.append(text))
    keys.send_text(f"sho?{ENTER}commit{ENTER}sho?{ENTER}{CTRL_D}")
    assert interact(Answers()) == 0
    prompts = [text.splitlines()[0] for text in shown if text.startswith("admin@")]
    assert prompts == ["admin@fw1> sho?", "admin@fw2> sho?"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Choices(0, (), "it is wrong"), "Invalid syntax. it is wrong\n"),
        (Choices(0, (), ""), "Nothing known begins like this.\n"),
        (
            Choices(0, (Choice("a", "first", ">"), Choice("<x>", "second", "")), ""),
            "> a    first\n  <x>  second\n",
        ),
    ],
)
def test_help_text(answer: Choices, text: str) -> None:
    assert render_choices(answer) == text


def test_tab_completes_from_where_the_word_begins() -> None:
    completer = terminal._Tab(Answers())
    document = Document("show session all filter rule tw")
    (found,) = completer.get_completions(document, CompleteEvent())
    assert (found.text, found.start_position) == ('"two words" ', -2)


def test_tab_without_a_firewall_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Answers()

    def complete(text: str) -> Choices:
        raise UnreachableError("x")

    monkeypatch.setattr(client, "complete", complete)
    assert not list(terminal._Tab(client).get_completions(Document("sh"), CompleteEvent()))


def test_the_pager_is_for_long_output_and_only_when_it_is_on(
    keys: PipeInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    paged: list[str] = []
    monkeypatch.setattr("pydoc.pager", paged.append)
    lines = ["long", "set cli pager on", "short", "long", "set cli pager off", "long"]
    keys.send_text("".join(f"{line}{ENTER}" for line in lines) + CTRL_D)
    assert interact(Answers()) == 0
    assert paged == ["<long>\n" * 100]
