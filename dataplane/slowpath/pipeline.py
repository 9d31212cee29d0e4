"""The order of the slowpath stages; nothing else knows it (packet flow sequence, section 3)."""

from collections.abc import Callable
from typing import NamedTuple

from dataplane.slowpath.allocation import allocation
from dataplane.slowpath.application_override import application_override
from dataplane.slowpath.context import Context, Tables
from dataplane.slowpath.forwarding import forwarding
from dataplane.slowpath.security import security
from dataplane.slowpath.zone import zone
from native import DropReason, Undecided

Stage = Callable[[Context, Tables], Context | DropReason]

STAGES: tuple[Stage, ...] = (
    zone,
    forwarding,
    security,
    application_override,
    allocation,
)


class Decision(NamedTuple):
    """The outcome: a refusal, or a context whose spec is to be installed."""

    context: Context  # as far as the packet got
    refusal: DropReason | None


def decide(packet: Undecided, tables: Tables) -> Decision:
    context = Context(packet)
    for stage in STAGES:
        outcome = stage(context, tables)
        if isinstance(outcome, DropReason):
            return Decision(context, outcome)
        context = outcome
    return Decision(context, None)
