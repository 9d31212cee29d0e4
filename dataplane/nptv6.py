"""IPv6 prefix translation without state that leaves checksums as they are (RFC 6296).

One prefix replaces another; what that changes in the sum of the address's 16-bit words is taken
back in a word behind the prefix, so that no checksum over the address has to change.
"""

from struct import Struct

from dataplane.snapshot import AddressRange

_WORDS = Struct("!8H")
_SUBNET_WORD = 3  # bits 48..63, of prefixes up to /48 (RFC 6296 3.4)
_IDENTIFIER_WORDS = range(4, 8)  # of longer ones: the first that is not 0xFFFF (3.5)


class Nptv6:
    def __init__(self, original: AddressRange, translated: AddressRange) -> None:
        """Raises ValueError where the ranges are not two IPv6 prefixes of one length."""
        length = _prefix_length(original)
        if _prefix_length(translated) != length:
            raise ValueError("nptv6 translates a prefix into one of the same length")
        if length > 64:
            raise ValueError(f"nptv6 translates prefixes up to /64, not /{length}")
        self._host_bits = (1 << 128 - length) - 1
        self._original = int.from_bytes(original.first, "big")
        self._prefix = int.from_bytes(translated.first, "big")
        self._is_short = length <= 48
        self._adjustment = (_sum(original.first) - _sum(translated.first)) % 0xFFFF

    def translate(self, address: bytes) -> bytes | None:
        """None where the address is not one of the prefix, or cannot be translated."""
        number = int.from_bytes(address, "big")
        host = number & self._host_bits
        if number ^ host != self._original:
            return None
        words = list(_WORDS.unpack((self._prefix | host).to_bytes(16, "big")))
        place = self._word(words)
        if place is None:
            return None
        # one's complement has two zeros; 0xFFFF would not find its way back (3.4)
        words[place] = (words[place] + self._adjustment) % 0xFFFF
        return _WORDS.pack(*words)

    def _word(self, words: list[int]) -> int | None:
        """Which word is adjusted: none where that would lose information."""
        if self._is_short:
            return None if words[_SUBNET_WORD] == 0xFFFF else _SUBNET_WORD
        if not any(words[4:]):  # the routers' anycast address
            return None
        return next((word for word in _IDENTIFIER_WORDS if words[word] != 0xFFFF), None)


def _prefix_length(addresses: AddressRange) -> int:
    first, last = (int.from_bytes(a, "big") for a in (addresses.first, addresses.last))
    host_bits = (first ^ last).bit_length()
    is_prefix = last - first == (1 << host_bits) - 1
    if len(addresses.first) != 16 or not is_prefix:
        raise ValueError("nptv6 translates IPv6 prefixes, not ranges of addresses")
    return 128 - host_bits


def _sum(address: bytes) -> int:
    return sum(_WORDS.unpack(address))
