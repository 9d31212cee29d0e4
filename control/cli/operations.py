"""Answers operational commands: reads the line, asks who knows, has the answer drawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from control.cli import (
    grammar,
    interfaces,
    manual,
    neighbors,
    policy,
    routing,
    session_info,
    sessions,
    system,
    traffic_log,
)
from control.cli.answers import Refusal, RefusedError, ask
from control.cli.counters import GlobalCounters
from control.cli.grammar import GrammarError, Kind, Token
from control.cli.protocol import Choice, Choices
from control.management import DataplaneUnavailable, Management
from dataplane.messages import Counter, Counters, GetCounters, GetSessions, SessionPage

_NO_CONFIGURATION_MODE = (
    "Configuration mode is not available in this version:"
    " sixtuple run --config FILE decides the configuration"
)


class Operations:
    """One for all administrators; commands may run at the same time."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._counters = GlobalCounters(management)

    async def run(self, line: str) -> AsyncGenerator[str, None]:
        """The answer to a command, in chunks; a Refusal among them where it was not carried out."""
        try:
            command = grammar.parse(line)
            if command and command.pipes:
                raise GrammarError("pipes are applied where the answer is printed, not here")
        except GrammarError as error:
            yield Refusal(f"Invalid syntax. {error}\n")
            return
        if command is None:
            return
        try:
            async for chunk in self._answer(command.name, command.arguments):
                yield chunk
        except (DataplaneUnavailable, RefusedError) as error:
            yield Refusal(f"{error}\n")
        except OSError as error:  # the kernel, or the log's file
            where = f"{error.filename}: " if error.filename else ""
            yield Refusal(f"{where}{error.strerror or error}\n")

    async def complete(self, text: str) -> Choices:
        """What can come at the end of a command line that ends in `text`."""
        possible = grammar.possible(text)
        choices: list[Choice] = []
        for token in possible.tokens:
            choices += await self._choices(token)
        if possible.may_end:
            if not text.rstrip().endswith("|"):
                choices.append(Choice("|", grammar.PIPES.help, "", "|"))
            choices.append(Choice("<Enter>", "Finish input", ""))
        wanted = [
            choice
            for choice in choices
            if not choice.text or choice.text.strip('"').startswith(possible.prefix)
        ]
        return Choices(possible.start, tuple(wanted), possible.problem)

    async def _choices(self, token: Token) -> list[Choice]:
        if token.kind is None:
            mark = "+" if token.is_option else ">" if token.then or token.pairs else ""
            return [Choice(token.text, token.help, mark, token.text)]
        names = await self._names(token.kind)
        choices = [Choice(word, help, "", word) for word, help in token.kind.words]
        choices += [Choice(name, token.help, "", _quoted(name)) for name in names]
        if token.kind.placeholder:
            choices.append(Choice(token.kind.placeholder, token.help, ""))
        return choices

    async def _names(self, kind: Kind) -> list[str]:
        """Names worth offering for an argument; none where the dataplane is not there to ask."""
        snapshot = self._management.snapshot()
        try:
            match kind.names:
                case "zone":
                    return sorted({port.zone for port in snapshot.ports if port.zone})
                case "rule":
                    defaults = (snapshot.intrazone_default, snapshot.interzone_default)
                    return [rule.name for rule in (*snapshot.rules, *defaults)]
                case "application":
                    page = await ask(self._management, GetSessions(), SessionPage)
                    return sorted({session.application for session in page.sessions})
                case "counter":
                    return [counter.name for counter in await self._all_counters()]
                case "category":
                    return sorted({counter.category for counter in await self._all_counters()})
                case "aspect":
                    return sorted({counter.aspect for counter in await self._all_counters()})
        except (DataplaneUnavailable, RefusedError):
            pass
        return []

    async def _all_counters(self) -> tuple[Counter, ...]:
        return (await ask(self._management, GetCounters(), Counters)).counters

    async def _answer(self, name: str, arguments: Mapping[str, str]) -> AsyncIterator[str]:
        management = self._management
        match name:
            case "clear session all":
                yield await sessions.clear_all(management, sessions.session_filter(arguments))
            case "clear session id":
                yield await sessions.clear(management, int(arguments["id"]))
            case "configure":
                raise RefusedError(_NO_CONFIGURATION_MODE)
            case "exit" | "quit" | "set cli pager":
                pass  # the client's own business
            case "help":
                yield manual.summary()
            case "set session offload":
                yield await session_info.set_offload(management, arguments["offload"] == "yes")
            case "show arp all":
                yield neighbors.render_arp(management.neighbors())
            case "show clock":
                yield system.clock(management)
            case "show config running":
                yield system.config(management)
            case "show counter global":
                yield await self._counters.show(arguments)
            case "show interface all":
                yield interfaces.render(management.interfaces())
            case "show log traffic":
                path = management.traffic_log()
                yield await asyncio.to_thread(traffic_log.show, path, arguments)
            case "show neighbor interface all":
                yield neighbors.render_ipv6(management.neighbors())
            case "show routing route":
                routes, ages_s = management.routes(), management.route_ages_s()
                yield routing.render(routes, ages_s, management.interfaces())
            case "show running application-override-policy":
                yield policy.application_override(management.snapshot())
            case "show running security-policy":
                yield policy.security(management.snapshot())
            case "show session all" if arguments.get("count") == "yes":
                yield await sessions.count(management, sessions.session_filter(arguments))
            case "show session all":
                wanted = sessions.session_filter(arguments)
                async for chunk in sessions.listing(management, wanted):
                    yield chunk
            case "show session id":
                yield await sessions.detail(management, int(arguments["id"]))
            case "show session info":
                yield await session_info.info(management)
            case "show session meter":
                yield await session_info.meter(management)
            case "show system info":
                yield await system.info(management)
            case _:
                raise AssertionError(f"{name} is in the grammar and has no answer")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name or "|" in name else name
