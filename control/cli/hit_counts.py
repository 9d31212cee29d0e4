"""`show rule-hit-count` and `clear rule-hit-count`.

The device also says when a rule was created and modified; nobody writes that down here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from control.cli.answers import RefusedError, ask
from control.cli.arguments import listed
from control.management import Management
from dataplane.messages import ClearHits, Done, GetHits, Hit, Hits

_TIMES = ("last-hit-timestamp", "first-hit-timestamp", "last-reset-timestamp")


async def show(management: Management, arguments: Mapping[str, str]) -> str:
    rulebase = arguments["rulebase"]
    hits = await _hits(management, arguments)
    width = max((len(hit.rule) for hit in hits), default=0)
    header = f"{'rule':<{width}s}  {'hit-count':>12s}" + "".join(
        f"  {name:<24s}" for name in _TIMES
    )
    lines = [
        f"vsys: {arguments['vsys']}",
        f"rule-base: {rulebase}",
        "",
        header.rstrip(),
        "-" * len(header),
        *(_row(hit, width) for hit in hits),
    ]
    return "\n".join(lines) + "\n"


async def clear(management: Management, arguments: Mapping[str, str]) -> str:
    names = tuple(hit.rule for hit in await _hits(management, arguments))
    wanted = names if "rules" in arguments else ()
    await ask(management, ClearHits(arguments["rulebase"], wanted), Done)
    return f"Hit counts cleared, of rules: {len(names)}\n"


async def _hits(management: Management, arguments: Mapping[str, str]) -> list[Hit]:
    """Of the rules that are named, else of all. Raises RefusedError for one there is not."""
    rulebase = arguments["rulebase"]
    hits = {hit.rule: hit for hit in (await ask(management, GetHits(rulebase), Hits)).hits}
    names = listed(arguments["rules"]) if "rules" in arguments else hits
    for name in names:
        if name not in hits:
            shown = f"show running {rulebase}-policy lists them"
            raise RefusedError(f'there is no {rulebase} rule "{name}" in force: {shown}')
    return [hits[name] for name in names]


def _row(hit: Hit, width: int) -> str:
    times = (hit.last_ns, hit.first_ns, hit.since_ns)
    shown = "".join(f"  {time.ctime(one // 10**9) if one else '-':<24s}" for one in times)
    return f"{hit.rule:<{width}s}  {hit.hits:>12d}{shown}".rstrip()
