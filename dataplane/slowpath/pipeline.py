"""The order of the slowpath stages; nothing else knows it (packet flow sequence, section 3)."""

from collections.abc import Callable
from typing import NamedTuple

from dataplane.slowpath.allocation import allocation
from dataplane.slowpath.application_override import application_override
from dataplane.slowpath.context import Context, Tables
from dataplane.slowpath.destination_translation import destination_translation
from dataplane.slowpath.forwarding import forwarding
from dataplane.slowpath.management import management
from dataplane.slowpath.policy_based_forwarding import policy_based_forwarding
from dataplane.slowpath.quality_of_service import quality_of_service
from dataplane.slowpath.security import security
from dataplane.slowpath.source_translation import source_translation
from dataplane.slowpath.zone import zone
from native import DropReason, Undecided

Stage = Callable[[Context, Tables], Context | DropReason]

STAGES: tuple[Stage, ...] = (
    zone,
    policy_based_forwarding,
    forwarding,
    destination_translation,
    management,
    security,
    source_translation,
    quality_of_service,
    application_override,
    allocation,
)


class Decision(NamedTuple):
    """The outcome: a refusal, or a context whose spec is to be installed."""

    context: Context  # as far as the packet got
    refusal: DropReason | None
    refused_by: str = ""  # the stage's name


def decide(packet: Undecided, tables: Tables) -> Decision:
    context = Context(packet)
    for stage in STAGES:
        outcome = stage(context, tables)
        if not isinstance(outcome, Context):  # asked so because it is asked ten times a session
            return Decision(context, outcome, stage.__name__)
        context = outcome
    return Decision(context, None)
