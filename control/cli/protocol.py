"""What the command line's client and server say to each other: JSON objects, one a line.

The server greets with Hello, or with Refused where it will not talk. A connection carries one
request: Run is answered with Text and Refused frames, Complete with Choices. End comes last, or the
answer is not whole.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

MAX_REQUEST_BYTES = 16 << 10


class Run(Struct, frozen=True, tag="run"):
    command: str


class Complete(Struct, frozen=True, tag="complete"):
    text: str  # a command line up to the cursor


class Hello(Struct, frozen=True, tag="hello"):
    hostname: str


class Text(Struct, frozen=True, tag="text"):
    text: str


class Refused(Struct, frozen=True, tag="refused"):
    """The command was not carried out, or not to its end."""

    text: str


class End(Struct, frozen=True, tag="end"):
    pass


class Choice(Struct, frozen=True):
    """Something that may come next."""

    label: str  # as help lists it
    help: str
    mark: str  # ">" where more may follow, "+" for an option, "" else
    text: str = ""  # what completion writes; "" where only the administrator knows the value


class Choices(Struct, frozen=True, tag="choices"):
    start: int  # where in the text a choice is to be written
    choices: tuple[Choice, ...]
    problem: str  # what is wrong with the text before that


Request = Run | Complete
Reply = Hello | Text | Refused | End | Choices


def encode(message: Request | Reply) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises msgspec.DecodeError."""
    return _REQUESTS.decode(line)


def decode_reply(line: bytes) -> Reply:
    """Raises msgspec.DecodeError."""
    return _REPLIES.decode(line)


_REQUESTS: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_REPLIES: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
