"""Two ends that talk through the firewall, what they say written in words.

`>S <SA >A` are TCP segments: the side and its flags. The numbers fit what was said so far; a SYN or
FIN said again is the same one again; `>RA+50` has a sequence number so much off. Others are
`>udp <udp`, `>gre <gre`, `>echo <reply`.
"""

import re
from typing import Any

from tests.support.packets import (
    CLIENT_ISN,
    SERVER_ISN,
    TRUST,
    UNTRUST,
    Answer,
    Firewall,
    echo,
    other,
    tcp,
    udp,
)

_GRE = 47
_WORD = re.compile(r"([<>])([A-Za-z]+)([+-]\d+)?")


class Talk:
    """Makes the packets: the client is in trust, the server in untrust."""

    def __init__(
        self, family: int = 4, *, isns: tuple[int, int] = (CLIENT_ISN, SERVER_ISN), **fields: Any
    ) -> None:
        """`fields` are those of tcp(), udp() or echo() that every packet has (sport, ...)."""
        self._family, self._fields = family, fields
        self._isns = list(isns)
        self._next = [isn + 1 for isn in isns]
        self._fins: list[int | None] = [None, None]

    def packet(self, word: str, payload: bytes = b"", **fields: Any) -> bytes:
        match = _WORD.fullmatch(word)
        assert match, word
        side, kind, offset = match.groups()
        back = side == "<"
        fields = self._fields | fields
        if kind == "udp":
            return udp(self._family, back=back, payload=payload or b"question", **fields)
        if kind == "gre":
            addresses = {name: fields[name] for name in ("src", "dst") if name in fields}
            return other(_GRE, self._family, back=back, **addresses)
        if kind in ("echo", "reply"):
            return echo(self._family, reply=kind == "reply", back=back, **fields)
        numbers = self._numbers(kind, back, len(payload), int(offset or 0))
        return tcp(kind, self._family, back=back, payload=payload, **(numbers | fields))

    def _numbers(self, flags: str, back: bool, size: int, offset: int) -> dict[str, int]:
        seq = self._next[back]
        if "S" in flags:
            seq = self._isns[back]
        elif "F" in flags:
            seq = self._fins[back] or seq
        if not offset:
            self._fins[back] = seq if "F" in flags else self._fins[back]
            self._next[back] = max(self._next[back], seq + size + ("S" in flags) + ("F" in flags))
        return {"seq": (seq + offset) % (1 << 32), "ack": self._next[not back] % (1 << 32)}


class Conversation(Talk):
    """One through a firewall; each word comes a second after the last."""

    def __init__(
        self, firewall: Firewall, family: int = 4, *, start_s: float = 0, **fields: Any
    ) -> None:
        super().__init__(family, **fields)
        self.firewall = firewall
        self.now_s = start_s

    def say(
        self,
        word: str,
        payload: bytes = b"",
        *,
        at_s: float | None = None,
        after_ns: int = 0,
        port: str | None = None,
        **fields: Any,
    ) -> Answer:
        """Sends a packet by the speaker's port, or `port`."""
        self.now_s = self.now_s + 1 if at_s is None else at_s
        if port is None:
            port = UNTRUST if word[0] == "<" else TRUST
        packet = self.packet(word, payload, **fields)
        return self.firewall.send(packet, port, self.now_s, after_ns=after_ns)

    def play(self, script: str) -> None:
        """Says every word of a script; all of them are forwarded."""
        for word in script.split():
            answer = self.say(word, b"data" if "P" in word else b"")
            assert answer.what == "forward", (word, answer)
