"""`show counter global`: values, and rates since the previous look.

Plain and delta output each remember when they were last printed, for all administrators together.
The first look covers the time since the dataplane started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from control.cli.answers import RefusedError, ask
from control.management import Management
from dataplane.messages import Counter, Counters, GetCounters, GetStatus, Status

_RULE = "-" * 80


class _Sample(NamedTuple):
    pid: int  # of the dataplane: a restarted one counts from zero
    now_ns: int
    values: dict[str, int]


class GlobalCounters:
    def __init__(self, management: Management) -> None:
        self._management = management
        self._samples: dict[bool, _Sample] = {}  # the latest, by whether it was a delta output

    async def show(self, arguments: Mapping[str, str]) -> str:
        answer = await ask(self._management, GetCounters(), Counters)
        status = await ask(self._management, GetStatus(), Status)
        name = arguments.get("name")
        if name is not None and all(counter.name != name for counter in answer.counters):
            raise RefusedError(f'there is no global counter "{name}"')

        is_delta = arguments.get("delta") == "yes"
        before = self._samples.get(is_delta)
        if before is None or before.pid != status.pid:
            before = _Sample(status.pid, answer.now_ns - int(status.uptime_s * 1e9), {})
        values = {counter.name: counter.value for counter in answer.counters}
        self._samples[is_delta] = _Sample(status.pid, answer.now_ns, values)

        elapsed_ns = max(answer.now_ns - before.now_ns, 0)
        rows = []
        for counter in answer.counters:
            change = counter.value - before.values.get(counter.name, 0)
            value = change if is_delta else counter.value
            rate = change * 10**9 // elapsed_ns if elapsed_ns else 0
            if _matches(counter, value, arguments):
                rows.append(_row(counter, value, rate))
        return (
            "Global counters:\n"
            f"Elapsed time since last sampling: {elapsed_ns / 1e9:.3f} seconds\n"
            "\n"
            "name                                   value     rate severity  category  aspect"
            "    description\n"
            f"{_RULE}\n"
            f"{''.join(rows)}"
            f"{_RULE}\n"
            f"Total counters shown: {len(rows)}\n"
            f"{_RULE}\n"
        )


def _matches(counter: Counter, value: int, arguments: Mapping[str, str]) -> bool:
    is_asked_for = all(
        arguments.get(field, text) == text
        for field, text in (
            ("name", counter.name),
            ("severity", counter.severity),
            ("category", counter.category),
            ("aspect", counter.aspect),
        )
    )
    return is_asked_for and (value != 0 or arguments.get("value") == "all" or "name" in arguments)


def _row(counter: Counter, value: int, rate: int) -> str:
    kind = f"{counter.severity:<9s} {counter.category:<9s} {counter.aspect:<9s}"
    return f"{counter.name:<34s}{value:>10d} {rate:>8d} {kind} {counter.text}\n"
