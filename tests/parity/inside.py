"""Process 1 of a site: the network of tests/support/wires.py, and a dataplane process in it.

    python -m tests.parity.inside EDGE PLATFORM DIRECTORY FD

The wires go to whoever has the other end of the Unix socket FD, requests to the dataplane's socket
in the directory. All of it ends with the standard input.
"""

import subprocess
import sys
from pathlib import Path

from tests.support.wires import QUEUE, build_network, send_sockets


def main(edge: str, platform: str, directory: str, descriptor: str) -> None:
    send_sockets(int(descriptor), build_network(Path(directory)))
    options = ["--socket", f"{directory}/socket", "--log", f"{directory}/log"]
    options += ["--threat-log", f"{directory}/threats"]
    options += ["--io", edge, "--queue", str(QUEUE), "--platform", platform]
    dataplane = [sys.executable, "-m", "dataplane.process"]
    subprocess.Popen([*dataplane, *options])
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
