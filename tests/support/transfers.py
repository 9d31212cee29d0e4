"""TCP transfers between hosts of a lab: all that is sent has to arrive as it was."""

import contextlib
import subprocess
from collections.abc import Iterator

from tests.support.labs import PYTHON
from tests.support.nat_lab import serving
from vm.holder import STATE
from vm.namespaces import Lab, kill
from vm.topology import SERVER
from vm.waiting import wait_until

PORT = 5001
MB = 1_000_000
# what lets them pass from trust to untrust
RULE = f"""
set service bulk protocol tcp port {PORT}
set rulebase security rules bulk from trust to untrust source any destination any application any service bulk action allow log-end yes
"""  # noqa: E501 - one element a line
_LOAD = [PYTHON, "-m", "tests.support.load"]


@contextlib.contextmanager
def transfers(lab: Lab, host: str, address: str) -> Iterator[None]:
    """A server to download from and upload to."""
    with serving(lab, host, "transfers", address, str(PORT)):
        yield


def transfer_s(
    lab: Lab, host: str, way: str, address: str, total: int, *, within_s: float
) -> float:
    """How long it takes to download or upload so many bytes, all of which arrive as they were."""
    words = [way, address, str(PORT), str(total)]
    done = lab.run(host, [*_LOAD, *words], timeout=within_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return float(done.stdout)


class Transfer:
    """A TCP connection on which the server sends as fast as it can, until `finish`."""

    def __init__(self, lab: Lab, address: str = SERVER) -> None:
        words = [address, str(PORT)]
        board = STATE / "board"
        self._board = lab.path(board)
        self._board.unlink(missing_ok=True)
        self._source = lab.popen("server", [*_LOAD, "source", *words], stdin=subprocess.PIPE)
        assert self._source.stdout
        assert self._source.stdout.readline() == "ready\n"
        self._sink = lab.popen("client", [*_LOAD, "sink", *words, str(board)])
        self.await_bytes(1 << 20)

    def received(self) -> int:
        return int(self._board.read_text() or 0) if self._board.exists() else 0

    def await_bytes(self, number: int) -> None:
        """Waits for so many bytes more."""
        wanted = self.received() + number
        wait_until(lambda: self.received() >= wanted, f"{number} bytes more", seconds=60)

    def finish(self) -> int:
        """Ends it; all that was sent has to have arrived. The number of bytes."""
        assert self._source.stdin
        self._source.stdin.close()
        self._source.stdin = None
        sent, received = (end.communicate(timeout=60)[0] for end in (self._source, self._sink))
        assert sent == received
        return int(received.split()[0])

    def close(self) -> None:
        kill(self._source)
        kill(self._sink)
