"""What was seen of a TCP connection, and what follows from it (RFC 9293, 5961, 7323).

The engine's states are read off here: how far the opening has come, who has sent a FIN, whose RST
is in doubt. Numbers are followed as by van Rooij ("Real Stateful TCP Packet Filtering in IP
Filter"). Sides are 0, who spoke first, and 1.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support import raw_packets as raw
from tests.support.raw_packets import Segment

_LATEST_ACK = 66_000  # an acknowledgement may be late by so much, or by a window if that is more
_LARGEST_SCALE = 14
_CLIENT, _SERVER = 0, 1
_NAMES = ("C2S", "S2C")
_RST_REASONS = ("tcp-rst-from-client", "tcp-rst-from-server")
_OUT_OF_WINDOW = "tcp_drop_out_of_wnd"
_TIMERS = {
    "NONE": "timeout-tcpinit",
    "INIT": "timeout-tcpinit",
    "HANDSHAKE": "timeout-tcphandshake",
    "ESTABLISHED": "timeout-tcp",
    "HALF_CLOSED": "timeout-tcp-half-closed",
    "TIME_WAIT": "timeout-tcp-time-wait",
    "UNVERIFIED_RST": "timeout-tcp-unverified-rst",
}


def kind_of(flags: int) -> str:
    if flags & raw.RST:
        return "RST"
    if flags & raw.FIN:
        return "FIN"
    if flags & raw.SYN:
        return "SYNACK" if flags & raw.ACK else "SYN"
    return "ACK"


def _before(a: int, b: int) -> bool:
    """In sequence space; what lies exactly opposite is before each other."""
    return (a - b) % (1 << 32) >= 1 << 31


def _later(a: int, b: int) -> int:
    return b if _before(a, b) else a


class Became(NamedTuple):
    """What became of a segment."""

    drop: str = ""  # the reason
    starts: bool = False  # the timer, again
    counter: str = ""
    end: str = ""  # reason the session will have ended for
    takes_back_a_rst: bool = False


@dataclass
class Side:
    """What one side has sent, and what it may send."""

    has_spoken: bool = False
    has_syn: bool = False
    sent: int = 0  # behind its last byte
    allowed: int = 0  # behind the last byte the other side takes
    window: int = 0  # the largest it has offered
    expects: int = 0  # its highest acknowledgement; 0 before there is one
    scale: int | None = None


@dataclass
class Tcp:
    opening: str = "NONE"  # then INIT, HANDSHAKE, ESTABLISHED
    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(), Side()))
    fins: set[int] = field(default_factory=set)
    is_reset: bool = False
    doubted: int | None = None  # whose RST could not be verified

    @property
    def is_over(self) -> bool:
        return self.is_reset or len(self.fins) == 2

    @property
    def is_closing(self) -> bool:
        return self.is_over or (self.doubted is None and bool(self.fins))

    @property
    def state(self) -> str:
        if self.is_over:
            return "TIME_WAIT"
        if self.doubted is not None:
            return f"UNVERIFIED_RST_{_NAMES[self.doubted]}"
        return f"HALF_CLOSED_{_NAMES[min(self.fins)]}" if self.fins else self.opening

    def timer(self, *, one_timer: bool) -> str:
        if one_timer and self.is_closing:
            return "timeout-tcpwait"
        return _TIMERS[self.state.removesuffix("_C2S").removesuffix("_S2C")]

    @property
    def is_tracked(self) -> bool:
        """Both sides' numbers are known from their beginning."""
        return self.sides[_CLIENT].has_syn and self.sides[_SERVER].has_syn

    def limits(self, side: int) -> tuple[int, ...]:
        """Highest and lowest end of what the side may send, highest and lowest acknowledgement."""
        mine, other = self.sides[side], self.sides[1 - side]
        late = max(mine.window, _LATEST_ACK)
        limits = (mine.allowed, mine.sent - other.window, other.sent, other.sent - late)
        return tuple(number % (1 << 32) for number in limits)

    def segment(
        self, side: int, said: Segment, size: int, *, bypass: bool, challenge: bool, one_timer: bool
    ) -> Became:
        """`one_timer` has timeout-tcpwait run from the first FIN or RST to the end."""
        kind, was, was_closing = kind_of(said.flags), self.state, self.is_closing
        mine, other = self.sides[side], self.sides[1 - side]
        if was == "INIT" and (reason := self._refused(side, said, bypass, challenge)):
            return Became(reason)
        if kind == "RST":
            return self._rst(side, said.seq, bypass, one_timer)
        if kind == "SYN" and was not in ("NONE", "INIT", "HANDSHAKE"):
            return Became()  # the other side answers that it knows a connection
        counter = ""
        end = (said.seq + size + bool(said.flags & raw.SYN) + (kind == "FIN")) % (1 << 32)
        if self.is_tracked and not self._fits(side, said, end):
            if not bypass:
                return Became(_OUT_OF_WINDOW)
            counter = "tcp_out_of_wnd_pass"
        if was == "INIT" and side == _SERVER and kind == "ACK":
            mine.expects = said.ack  # a RST that answers the challenge will have this number
            return Became()
        if not mine.has_spoken or (said.flags & raw.SYN and was in ("NONE", "INIT")):
            self._begin(side, said, end)
        window = self._window(side, said)
        mine.sent = _later(mine.sent, end)
        mine.window = max(mine.window, window)
        if said.flags & raw.ACK:
            mine.expects = _later(mine.expects, said.ack) if mine.expects else said.ack
            other.allowed = _later(other.allowed, (said.ack + max(window, 1)) % (1 << 32))
        takes_back = self.doubted == side and not self.is_over
        if takes_back:
            self.doubted = None
        self._open(side, kind)
        if kind == "FIN":
            self.fins.add(side)
        is_new = not (was_closing and one_timer) and was != "TIME_WAIT"
        return Became(
            starts=is_new and (self.doubted is None or self.is_over),
            counter=counter,
            end="tcp-fin" if self.is_closing else "",
            takes_back_a_rst=takes_back,
        )

    def _open(self, side: int, kind: str) -> None:
        """How far the opening has come."""
        if self.opening == "NONE":
            self.opening = {"SYN": "INIT", "SYNACK": "HANDSHAKE"}.get(kind, "ESTABLISHED")
        elif self.opening == "INIT" and side == _SERVER and kind in ("SYN", "SYNACK"):
            self.opening = "HANDSHAKE"
        elif side == _CLIENT and kind == "ACK":  # in INIT the answer took another path
            self.opening = "ESTABLISHED"

    def _refused(self, side: int, said: Segment, bypass: bool, challenge: bool) -> str:
        """Why a segment cannot be after the client's SYN alone."""
        kind, client, server = kind_of(said.flags), *self.sides
        if side == _SERVER and kind == "ACK":
            return "" if challenge else "tcp_drop_challenge_ack"
        if bypass or kind == "SYN":
            return ""
        if side == _CLIENT:
            fits = kind == "RST" and (
                said.seq == client.sent or (server.expects != 0 and said.seq == server.expects)
            )
        else:
            fits = kind in ("SYNACK", "RST") and bool(said.flags & raw.ACK)
            fits = fits and not _before(said.ack, client.allowed)
            fits = fits and not _before(client.sent, said.ack)
        return "" if fits else _OUT_OF_WINDOW

    def _rst(self, side: int, seq: int, bypass: bool, one_timer: bool) -> Became:
        mine, other = self.sides[side], self.sides[1 - side]
        expected = other.expects or mine.sent
        is_sure = bypass or self.state in ("NONE", "INIT") or seq in (expected, mine.sent)
        if side in self.fins or self.is_over:  # the number of its FIN: data had crossed it
            is_sure = is_sure or seq == (mine.sent - 1) % (1 << 32)
        is_outside = _before(seq, expected) or _before(mine.allowed, seq)
        if not is_sure and self.is_tracked and is_outside:
            return Became(_OUT_OF_WINDOW)
        if self.is_over:
            return Became(end=_RST_REASONS[side])
        if is_sure:
            starts = not (self.is_closing and one_timer)
            self.is_reset = True
            return Became(starts=starts, end=_RST_REASONS[side])
        if self.is_closing and one_timer:
            return Became(counter="tcp_rst_unverified")
        starts = self.doubted is None
        self.doubted = side
        return Became(starts=starts, counter="tcp_rst_unverified", end=_RST_REASONS[side])

    # ---- numbers

    def _window(self, side: int, said: Segment) -> int:
        scales = self.is_tracked and not said.flags & raw.SYN
        if scales and None not in (self.sides[_CLIENT].scale, self.sides[_SERVER].scale):
            return said.window << (self.sides[side].scale or 0)
        return said.window

    def _fits(self, side: int, said: Segment, end: int) -> bool:
        highest, lowest, highest_ack, lowest_ack = self.limits(side)
        if _before(highest, said.seq) or _before(end, lowest):
            return False
        acks_well = not _before(highest_ack, said.ack) and not _before(said.ack, lowest_ack)
        return acks_well or not said.flags & raw.ACK

    def _begin(self, side: int, said: Segment, end: int) -> None:
        """The first segment of a side, or its SYN."""
        mine, other = self.sides[side], self.sides[1 - side]
        is_syn = bool(said.flags & raw.SYN)
        mine.has_spoken, mine.has_syn = True, mine.has_syn or is_syn
        mine.sent, mine.window, mine.expects = end, max(said.window, 1), 0
        mine.allowed = (said.seq + 1) % (1 << 32) if is_syn else end  # data with it may be refused
        if is_syn:
            mine.scale = None if said.scale is None else min(said.scale, _LARGEST_SCALE)
        if is_syn and other.has_syn:
            mine.allowed = (end + other.window) % (1 << 32)
            other.allowed = _later(other.allowed, (other.sent + mine.window) % (1 << 32))
