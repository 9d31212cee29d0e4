"""A secret hash: who chooses addresses must not choose where they lead."""

from hashlib import blake2b


class KeyedHash:
    def __init__(self, key: bytes) -> None:
        self._seeded = blake2b(key=key, digest_size=8)

    def __call__(self, data: bytes) -> int:
        hashed = self._seeded.copy()
        hashed.update(data)
        return int.from_bytes(hashed.digest(), "big")
