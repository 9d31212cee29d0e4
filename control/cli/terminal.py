"""The interactive prompt: line editing, Tab completion, `?` help, history and a pager."""

from __future__ import annotations

import pydoc
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from control.cli import grammar
from control.cli.arguments import PATTERN
from control.cli.client import OK, Client, UnreachableError, is_exit
from control.cli.grammar import GrammarError
from control.cli.protocol import Choices


class _Tab(Completer):
    def __init__(self, client: Client) -> None:
        self._client = client

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        try:
            answer = self._client.complete(text)
        except UnreachableError:
            return  # the next command says so
        for choice in answer.choices:
            if choice.text:
                yield Completion(
                    f"{choice.text} ",
                    start_position=answer.start - len(text),
                    display=choice.label,
                    display_meta=choice.help,
                )


def render_choices(answer: Choices) -> str:
    """What `?` prints."""
    if answer.problem:
        return f"Invalid syntax. {answer.problem}\n"
    if not answer.choices:
        return "Nothing known begins like this.\n"
    width = max(len(choice.label) for choice in answer.choices)
    return "".join(
        f"{choice.mark:<1s} {choice.label:<{width}s}  {choice.help}\n" for choice in answer.choices
    )


def _is_free_text(text: str) -> bool:
    """Whether a ? typed here belongs to the line: in a quote, or in a pattern."""
    kinds = {token.kind for token in grammar.possible(text).tokens}
    return text.count('"') % 2 == 1 or PATTERN in kinds


def _bindings(client: Client, prompt: Callable[[], str]) -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("?")
    def _(event: KeyPressEvent) -> None:
        text = event.current_buffer.document.text_before_cursor
        if _is_free_text(text):
            event.current_buffer.insert_text("?")
            return
        try:
            shown = render_choices(client.complete(text))
        except UnreachableError as error:
            shown = f"{error}\n"
        run_in_terminal(lambda: print(f"{prompt()}{text}?\n{shown}", end=""))

    return bindings


def interact(client: Client) -> int:
    """Runs the prompt to its end. Raises UnreachableError where nobody answers at the start."""
    prompt = _prompt(client.hostname())
    session: PromptSession[str] = PromptSession(
        completer=_Tab(client),
        complete_style=CompleteStyle.READLINE_LIKE,
        complete_while_typing=False,
        complete_in_thread=True,
        history=InMemoryHistory(),
        key_bindings=_bindings(client, lambda: prompt),
    )
    is_paged = False
    while True:
        try:
            line = session.prompt(prompt)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return OK
        if is_exit(line):
            return OK
        is_paged = _pager_setting(line, is_paged)
        try:
            _print(client.run(line), is_paged)
            prompt = _prompt(client.hostname())  # a commit may have changed it
        except UnreachableError as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            print()


def _prompt(hostname: str) -> str:
    return f"admin@{hostname}> "


def _pager_setting(line: str, is_paged: bool) -> bool:
    try:
        command = grammar.parse(line)
    except GrammarError:
        return is_paged
    if command is not None and command.name == "set cli pager":
        return command.arguments["pager"] == "on"
    return is_paged


def _print(chunks: Iterator[str], is_paged: bool) -> None:
    if not is_paged:
        for chunk in chunks:
            print(chunk, end="", flush=True)
        return
    text = "".join(chunks)
    if text.count("\n") < shutil.get_terminal_size().lines:
        print(text, end="")
    else:
        pydoc.pager(text)
