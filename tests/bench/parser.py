"""The parser from memory: builds and runs native/tests/bench_packet.c, which explains itself."""

import msgspec

from tests.bench.engine import compile_c, run
from vm.namespaces import CHECKOUT

_PROGRAM = CHECKOUT / "build/bench_packet"


class Parser(msgspec.Struct, frozen=True):
    bytes: float  # a packet, on average
    trusted_mpps: float  # layer 4's checksums are known to be right
    verified_mpps: float


def build() -> None:
    compile_c("bench_packet.c", _PROGRAM)


def measure() -> Parser:
    """=> built. Raises LabError."""
    return msgspec.json.decode(run([str(_PROGRAM)]), type=Parser)
