"""Answers operational commands: reads the line, asks who knows, has the answer drawn."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from control.cli import (
    bridges,
    configuration,
    dos_protection,
    grammar,
    hit_counts,
    interfaces,
    logs,
    manual,
    nat_pools,
    neighbors,
    packet_buffer,
    pbf,
    policy,
    qos,
    routing,
    session_info,
    sessions,
    system,
    threat_log,
    traffic_log,
    zone_protection,
)
from control.cli.answers import Refusal, RefusedError, ask
from control.cli.arguments import Kind
from control.cli.commands.table import PIPES
from control.cli.counters import GlobalCounters
from control.cli.grammar import GrammarError
from control.cli.protocol import Choice, Choices
from control.cli.tokens import Token
from control.management import DataplaneUnavailable, Management
from dataplane.messages import Counter, Counters, GetCounters, GetSessions, SessionPage

_NO_CONFIGURATION_MODE = (
    "Configuration mode is not available in this version:"
    " load config from FILE and commit change the configuration"
)


_SHOW_POLICY = re.compile("show running (?P<rulebase>.+)-policy")
_TEST_POLICY = re.compile("test (?P<rulebase>.+)-policy-match")


class Operations:
    """One for all administrators; commands may run at the same time."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._counters = GlobalCounters(management)

    @property
    def hostname(self) -> str:
        return self._management.hostname

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
            choices += await self._choices(token, possible.arguments)
        if possible.may_end:
            if not text.rstrip().endswith("|"):
                choices.append(Choice("|", PIPES.help, "", "|"))
            choices.append(Choice("<Enter>", "Finish input", ""))
        wanted = [
            choice
            for choice in choices
            if not choice.text or choice.text.strip('"').startswith(possible.prefix)
        ]
        return Choices(possible.start, tuple(wanted), possible.problem)

    async def _choices(self, token: Token, before: Mapping[str, str]) -> list[Choice]:
        if token.kind is None:
            mark = "+" if token.is_option else ">" if token.then or token.pairs else ""
            return [Choice(token.text, token.help, mark, token.text)]
        names = await self._names(token.kind, before)
        choices = [Choice(word, help, "", word) for word, help in token.kind.words]
        choices += [Choice(name, token.help, "", _quoted(name)) for name in names]
        if token.kind.placeholder:
            choices.append(Choice(token.kind.placeholder, token.help, ""))
        return choices

    async def _names(self, kind: Kind, before: Mapping[str, str]) -> list[str]:
        """Names worth offering for an argument; none where the dataplane is not there to ask.

        `before` are the arguments that stand before it.
        """
        snapshot = self._management.snapshot()
        try:
            match kind.names:
                case "zone":
                    return sorted({port.zone for port in snapshot.ports if port.zone})
                case "rule":
                    return policy.names(snapshot, "security")
                case "nat-rule" | "pbf-rule" | "qos-rule" | "dos-rule":
                    return policy.names(snapshot, kind.names.removesuffix("-rule"))
                case "rule-of-rulebase":
                    return policy.names(snapshot, before["rulebase"])
                case "interface":
                    return [port.name for port in snapshot.ports]
                case "virtual-router":
                    return [router.name for router in snapshot.virtual_routers]
                case "config-file":
                    return self._management.config_files()
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
            case "check pending-changes":
                yield configuration.pending(management)
            case "clear dos-block-table all":
                yield await dos_protection.clear(management)
            case (
                "clear dos-protection zone blocked all" | "clear dos-protection zone blocked source"
            ):
                source = arguments.get("source", "")
                yield await dos_protection.clear(management, arguments["zone"], source)
            case "clear rule-hit-count vsys vsys-name rule-base rules all" | (
                "clear rule-hit-count vsys vsys-name rule-base rules list"
            ):
                yield await hit_counts.clear(management, arguments)
            case "clear session all":
                yield await sessions.clear_all(management, sessions.session_filter(arguments))
            case "clear session id":
                yield await sessions.clear(management, int(arguments["id"]))
            case "commit":
                async for chunk in configuration.commit(management):
                    yield chunk
            case "configure":
                raise RefusedError(_NO_CONFIGURATION_MODE)
            case "exit" | "quit" | "set cli pager":
                pass  # the client's own business
            case "help":
                yield manual.summary()
            case "load config from":
                yield await configuration.load(management, arguments["file"])
            case "revert config":
                yield configuration.revert(management)
            case "save config to":
                yield await configuration.save(management, arguments["file"])
            case "set session offload":
                yield await session_info.set_offload(management, arguments["offload"] == "yes")
            case "set system setting additional-threat-log":
                yield await system.set_threat_log(management, arguments["threats"] == "on")
            case "show arp all":
                yield neighbors.render_arp(management.neighbors())
            case "show clock":
                yield system.clock(management)
            case "show config candidate":
                yield system.config(management.candidate_lines())
            case "show config diff":
                yield await configuration.differences(management)
            case "show config running":
                yield system.config(management.config_lines())
            case "show counter global":
                yield await self._counters.show(arguments)
            case "show dos-block-table all":
                async for chunk in dos_protection.blocks(management):
                    yield chunk
            case "show dos-protection rule settings":
                yield dos_protection.settings(management, arguments["rule"])
            case "show dos-protection rule statistics":
                yield await dos_protection.statistics(management, arguments["rule"])
            case "show dos-protection zone blocked source":
                async for chunk in dos_protection.blocks(management, arguments["zone"]):
                    yield chunk
            case "show interface":
                ports = management.interfaces()
                if (wanted := arguments["interface"]) == "all":
                    yield interfaces.render(ports)
                else:
                    yield interfaces.detail(ports, management.snapshot(), wanted)
            case "show log threat":
                path = management.threat_log()
                yield await asyncio.to_thread(logs.show, path, threat_log.LAYOUT, arguments)
            case "show log traffic":
                path = management.traffic_log()
                yield await asyncio.to_thread(logs.show, path, traffic_log.LAYOUT, arguments)
            case "show neighbor interface all":
                yield neighbors.render_ipv6(management.neighbors())
            case "show pbf rule all":
                yield pbf.rules(management)
            case "show qos interface":
                yield await qos.interface(management, arguments["interface"])
            case "show routing fib":
                yield routing.fib(management, arguments.get("virtual_router"))
            case "show routing route":
                yield routing.routes(management, arguments.get("virtual_router"))
            case "show rule-hit-count vsys vsys-name rule-base rules all" | (
                "show rule-hit-count vsys vsys-name rule-base rules list"
            ):
                yield await hit_counts.show(management, arguments)
            case "show running ippool":
                yield await nat_pools.show(management)
            case "show running nat-rule-ippool rule":
                yield await nat_pools.of_rule(management, arguments["rule"])
            case _ if policy_of := _SHOW_POLICY.fullmatch(name):
                yield policy.show(management.snapshot(), policy_of["rulebase"])
            case "show session all" if arguments.get("count") == "yes":
                yield await sessions.count(management, arguments)
            case "show session all":
                async for chunk in sessions.listing(management, arguments):
                    yield chunk
            case "show session id":
                yield await sessions.detail(management, int(arguments["id"]))
            case "show session info":
                yield await session_info.info(management)
            case "show session meter":
                yield await session_info.meter(management)
            case "show session packet-buffer-protection":
                yield await packet_buffer.show(management)
            case "show system info":
                yield await system.info(management)
            case "show system setting additional-threat-log":
                yield await system.threat_log(management)
            case "show virtual-wire all":
                yield bridges.virtual_wires(management.snapshot())
            case "show vlan all":
                yield bridges.vlans(management.snapshot())
            case "show zone-protection":
                yield await zone_protection.show(management, arguments.get("zone", ""))
            case _ if test_of := _TEST_POLICY.fullmatch(name):
                yield await policy.test(management, test_of["rulebase"], arguments)
            case "test routing fib-lookup":
                yield await routing.lookup(management, arguments["virtual_router"], arguments["ip"])
            case "validate full":
                yield await configuration.validate(management)
            case _:
                raise AssertionError(f"{name} is in the table and has no answer")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name or "|" in name else name
