"""How the renderers get answers from the dataplane, and how a command is refused."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from control.management import Management
from dataplane.messages import Failed, Request

Answer = TypeVar("Answer", bound=Struct)


class Refusal(str):
    """A chunk of output that says why the command was not carried out."""

    __slots__ = ()


class RefusedError(Exception):
    """The command cannot be carried out; the message is the line to print."""


async def ask(management: Management, request: Request, expected: type[Answer]) -> Answer:
    """Raises RefusedError where the dataplane refuses, DataplaneUnavailable where it is down."""
    reply = await management.ask(request)
    if isinstance(reply, expected):
        return reply
    if isinstance(reply, Failed):
        raise RefusedError(reply.message)
    wrong = f"{type(reply).__name__} instead of {expected.__name__}"
    raise RefusedError(f"the dataplane answered {type(request).__name__} with {wrong}")
