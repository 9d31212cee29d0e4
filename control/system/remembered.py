"""What has to be undone some day: in memory, and in a file for whoever starts after a crash.

The file may be gone by the time it is needed (somebody cleared the state directory); what this
process did it can still undo. It may also be from before a reboot, on a disk: of what it speaks of
nothing is left then, and the same name may mean somebody else's link by now.
"""

from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from control.state_dir import no_follow
from control.system.errors import KernelError

T = TypeVar("T")


class Remembered(Generic[T]):
    def __init__(self, file: Path, kind: type[T], nothing: T) -> None:
        self._file = file
        self._kind = kind
        self._nothing = nothing
        self._value: T | None = None

    def get(self) -> T:
        """What was set last, by us or before a crash. Raises KernelError."""
        if self._value is None:
            try:
                with open(self._file, "rb", opener=no_follow) as file:
                    boot, value = msgspec.json.decode(file.read(), type=tuple[str, msgspec.Raw])
                if boot != _boot():
                    return self._nothing
                self._value = msgspec.json.decode(value, type=self._kind)
            except (FileNotFoundError, msgspec.MsgspecError):
                return self._nothing  # the first start, or a file cut off by a crash
            except OSError as error:
                raise self._failure(error) from None
        return self._value

    def set(self, value: T) -> None:
        """Raises KernelError where a successor would not know it; then nothing has changed."""
        try:
            with open(self._file, "wb", opener=no_follow) as file:
                file.write(msgspec.json.encode((_boot(), value)))
        except OSError as error:
            raise self._failure(error) from None
        self._value = value

    def forget(self) -> None:
        """Raises KernelError."""
        self._value = self._nothing
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> KernelError:
        return KernelError(f"{self._file}: {error.strerror}")


@cache
def _boot() -> str:
    """What no two boots have in common."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
