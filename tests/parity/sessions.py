"""Packets of sessions that the offload engine takes, and all that makes it give one up.

Every script goes on after what it is about, so that what that left behind shows.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from dataplane.snapshot import SecurityRule
from tests.parity.scripts import Script, Sent
from tests.support.conversations import Talk
from tests.support.packets import (
    CLIENT,
    CLIENT_ISN,
    FAMILIES,
    SERVER_ISN,
    TRUST,
    UNTRUST,
    icmp_error,
    snapshot,
)
from tests.support.wires import CHECKSUM_AT, checksum, layer4

_OUT = SecurityRule(name="out", action="allow", from_zones=("trust",), log_start=True)
_CONFIG = snapshot(_OUT)
_NO_SYN_CHECK = snapshot(_OUT, tcp_reject_non_syn=False)
_BYPASS = snapshot(_OUT, tcp_asymmetric_bypass=True)

_SEGMENT = bytes(range(250)) * 4
_SCALE = 7
_MANY, _MOST = 40, 70  # segments: more than pa-5000 reports twice for, and pa-7000 once


class Session(NamedTuple):
    """A script, and what it must bring about to be what it says: every drop, and more."""

    script: Script
    counters: dict[str, int]


class _Recorder(Talk):
    """Keeps what is said."""

    def __init__(self, family: int, **fields: Any) -> None:
        super().__init__(family, **fields)
        self.sent: list[Sent] = []

    def say(self, word: str, payload: bytes = b"", **fields: Any) -> bytes:
        packet = self.packet(word, payload, **fields)
        self.put(word[0], packet, is_awaited=not self.sent or "S" in word)
        return packet

    def put(self, side: str, packet: bytes, *, is_awaited: bool = False) -> None:
        self.sent.append(Sent(UNTRUST if side == "<" else TRUST, packet, is_awaited))

    def script(self, words: str) -> None:
        for word in words.split():
            self.say(word, b"data" if "P" in word else b"")

    def open(self, **fields: Any) -> None:
        self.say(">S", **fields)
        self.say("<SA", **fields)
        self.say(">A")

    def go_on(self) -> None:
        """Asks and answers, until the offload engine has the session again, and some more."""
        self.script(">PA <A <PA >A " * 5)

    def close(self) -> None:
        self.script(">FA <A <FA >A")


def _connection(family: int, times: int = 1) -> _Recorder:
    """One that is open and has been used."""
    ends = _Recorder(family)
    ends.open()
    for _ in range(times):
        ends.go_on()
    return ends


def _over(ends: _Recorder) -> tuple[Sent, ...]:
    ends.go_on()
    ends.close()
    return tuple(ends.sent)


def _with_options(packet: bytes) -> bytes:
    """With four bytes of options that do nothing, or a header of destination options."""
    if packet[0] >> 4 == 6:
        options = bytes([packet[6], 0, 1, 4, 0, 0, 0, 0])
        length = int.from_bytes(packet[4:6]) + len(options)
        return packet[:4] + length.to_bytes(2) + b"\x3c" + packet[7:40] + options + packet[40:]
    length = int.from_bytes(packet[2:4]) + 4
    header = b"\x46" + packet[1:2] + length.to_bytes(2) + packet[4:10] + b"\0\0" + packet[12:20]
    header += b"\1\1\1\1"
    return header[:10] + checksum(header) + header[12:] + packet[20:]


def _spoiled(packet: bytes) -> bytes:
    at, protocol = layer4(packet)
    at += CHECKSUM_AT[protocol]
    return packet[:at] + bytes([packet[at] ^ 0x5A]) + packet[at + 1 :]


# ---- transfers -----------------------------------------------------------------------------------


def _transfers(family: int) -> Iterator[Session]:
    for side, back in ((">", "<"), ("<", ">")):
        whom = "the server" if side == ">" else "the client"
        ends = _Recorder(family)
        ends.open()
        for number in range(_MOST):
            ends.say(f"{side}PA", _SEGMENT)
            if number % 2:
                ends.say(f"{back}A")
        ends.close()
        yield Session(Script(f"a transfer to {whom}", tuple(ends.sent), _CONFIG), {})

        # windows are 256 bytes unless they are scaled, and nothing would fit
        ends = _Recorder(family, window=256)
        ends.open(options=[("WScale", _SCALE)])
        for _ in range(2):
            ends.say(f"{back}A")
            for _ in range(_MANY // 2):
                ends.say(f"{side}PA", _SEGMENT)
        ends.close()
        yield Session(Script(f"a scaled window of {whom}", tuple(ends.sent), _CONFIG), {})

        # only one end scales, so neither does
        ends = _Recorder(family, window=512)
        ends.say(">S", options=[("WScale", _SCALE)] if side == "<" else [])
        ends.say("<SA", options=[("WScale", _SCALE)] if side == ">" else [])
        ends.script(">A >PA <PA >A")
        for _ in range(3):
            ends.say(f"{side}PA", bytes(400))
        ends.say(f"{side}PA-1200", bytes(400))  # once more
        yield Session(
            Script(f"a window that is not scaled, to {whom}", tuple(ends.sent), _CONFIG),
            {"tcp_drop_out_of_wnd": 1},
        )
    ends = _Recorder(family)
    ends.open()
    for _ in range(_MANY):
        ends.say(">PA", _SEGMENT)
        ends.say("<PA", _SEGMENT)
    ends.close()
    yield Session(Script("transfers both ways at once", tuple(ends.sent), _CONFIG), {})


# ---- what does not fit a connection --------------------------------------------------------------


def _misfits(family: int) -> Iterator[Session]:
    for words in (">PA+50000 >A+50000", "<PA+50000 <A+50000", ">PA-70000 <PA-70000"):
        ends = _connection(family)
        ends.script(words)
        yield Session(
            Script(f"out of window: {words}", _over(ends), _CONFIG), {"tcp_drop_out_of_wnd": 2}
        )
    for what, off in (("never sent", 5_000_000), ("too old", -70_000)):
        ends = _connection(family)
        ends.say(">A", ack=SERVER_ISN + off)
        ends.say("<A", ack=CLIENT_ISN + off)
        yield Session(
            Script(f"acknowledges what is {what}", _over(ends), _CONFIG),
            {"tcp_drop_out_of_wnd": 2},
        )
    ends = _connection(family)
    ends.script(">PA+50000 <PA+50000")
    yield Session(
        Script("out of window with asymmetric-path bypass", _over(ends), _BYPASS),
        {"tcp_out_of_wnd_pass": 26},  # what follows is too old, or acknowledges too little
    )
    ends = _connection(family)
    ends.put(">", _spoiled(ends.packet(">PA", b"data")))
    yield Session(Script("a wrong checksum", _over(ends), _CONFIG), {"flow_parse_l4_cksm": 1})


# ---- the ends of connections ---------------------------------------------------------------------


def _ends(family: int) -> Iterator[Session]:
    for side, back in ("><", "<>"):
        who = "the client" if side == ">" else "the server"
        ends = _connection(family)
        ends.script(f"{side}RA {back}PA {side}PA")
        yield Session(Script(f"RST of {who}", tuple(ends.sent), _CONFIG), {})
        ends = _connection(family)
        ends.script(f"{side}RA+50")
        ends.script(f"{back}PA " * 3)
        yield Session(
            Script(f"RST in the window of {who}", _over(ends), _CONFIG),
            {"tcp_rst_unverified": 1},
        )
        ends = _connection(family)
        ends.script(f"{side}RA+50 {back}A {side}RA")
        yield Session(
            Script(f"RST in the window of {who}, asked back", tuple(ends.sent), _CONFIG),
            {"tcp_rst_unverified": 1},
        )
        ends = _connection(family)
        ends.script(f"{side}RA+50000 {side}RA-70000")
        yield Session(
            Script(f"RST out of the window of {who}", _over(ends), _CONFIG),
            {"tcp_drop_out_of_wnd": 2},
        )
        ends = _connection(family, 3)
        ends.script(f"{side}FA {back}A")
        ends.script(f"{back}PA {side}A " * 10)
        ends.script(f"{back}FA {side}A {back}FA {side}A")
        yield Session(Script(f"FIN of {who}, data the other way", tuple(ends.sent), _CONFIG), {})
    ends = _connection(family)
    ends.script(">FA <FA >A <A")
    yield Session(Script("FIN of both", tuple(ends.sent), _CONFIG), {})
    ends = _connection(family)
    ends.close()
    again = _Recorder(family, isns=(0x71223344, 0x05667788))
    again.open()
    both = (*ends.sent, *_over(again))
    yield Session(Script("ports used again", both, _CONFIG), {"session_allocated": 2})
    ends = _connection(family)
    ends.script(">S <A")
    yield Session(Script("a SYN, and the answer to it", _over(ends), _CONFIG), {})
    ends = _connection(family)
    ends.script("<SA >A >S+9 <A <S")
    yield Session(Script("SYNs of all kinds", _over(ends), _CONFIG), {})
    ends = _Recorder(family)
    ends.script(">PA <A")
    yield Session(
        Script("a connection that began before", _over(ends), _NO_SYN_CHECK),
        {"flow_tcp_non_syn": 1},
    )


# ---- packets it does not understand --------------------------------------------------------------


def _punts(family: int) -> Iterator[Session]:
    for kind, word in (("TCP", "PA"), ("UDP", "udp")):
        goes_on = f">{word} <{word} " * 10

        def used(words: str = goes_on) -> _Recorder:
            ends = _connection(family) if "PA" in words else _Recorder(family)
            ends.script(words)
            return ends

        ends = used()
        for side in "><":
            ends.put(side, _with_options(ends.packet(side + word, b"data")))
        ends.script(goes_on)
        yield Session(Script(f"{kind} with IP options", tuple(ends.sent), _CONFIG), {})

        ends = used()
        ends.script(f">{word} " * 10)
        ends.say(f">{word}", ttl=1)  # without data, which the server would not see
        ends.script(f"<{word} " * 10)
        yield Session(
            Script(f"{kind} whose TTL ends here", tuple(ends.sent), _CONFIG),
            {"flow_fwd_l3_ttl_zero": 1},
        )

        ends = used()
        asked, answered = (ends.say(side + word, b"data") for side in "><")
        for error in ("unreachable", "too-big", "exceeded"):
            ends.put("<", icmp_error(asked, kind=error))
            ends.put(">", icmp_error(answered, kind=error, src=CLIENT[family]))
        ends.script(goes_on)
        yield Session(
            Script(f"ICMP errors about {kind}", tuple(ends.sent), _CONFIG),
            {"flow_icmp_err_pass": 6},
        )


# ---- other protocols, many sessions --------------------------------------------------------------


def _others(family: int) -> Iterator[Session]:
    for word in ("udp", "gre"):
        kind = word.upper()
        ends = _Recorder(family)
        ends.script(f">{word} <{word} " * 20)
        yield Session(Script(f"{kind}, question and answer", tuple(ends.sent), _CONFIG), {})
        ends = _Recorder(family)
        ends.script(f">{word} " * 20 + f"<{word} " * 20)
        yield Session(Script(f"{kind}, one way after the other", tuple(ends.sent), _CONFIG), {})
    ends = _Recorder(family)
    for size in range(20):
        ends.say(">udp", bytes(size + 1))
        ends.say("<udp", bytes(1400 - size))
    yield Session(Script("UDP of all sizes", tuple(ends.sent), _CONFIG), {})
    sides = [_Recorder(family, sport=50_000 + number) for number in range(4)]
    for side in sides:
        side.open()
        _over(side)
    turns = zip(*(side.sent for side in sides), strict=True)
    mixed = tuple(sent for turn in turns for sent in turn)
    yield Session(Script("connections side by side", mixed, _CONFIG), {"session_allocated": 4})


def _all() -> Iterator[tuple[str, Session]]:
    for family in FAMILIES:
        for sessions in (_transfers, _misfits, _ends, _punts, _others):
            for script, counters in sessions(family):
                name = f"v{family}, {script.name}"
                yield name, Session(script._replace(name=name), counters)


SESSIONS = dict(_all())
