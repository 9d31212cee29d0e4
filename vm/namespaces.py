"""A lab seen from outside: start it, run commands on its hosts, stop it.

A lab is one process tree. At its root outside is `unshare`, the *holder*; the child it forked is
process 1 inside (holder.py). Killing the holder, however hard, ends the lab and leaves nothing.
Any number of labs live side by side, for root and for ordinary users alike (those get a user
namespace).
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from vm.holder import ERROR, READY
from vm.topology import HOSTS

CHECKOUT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 60
TOOLS = {  # command: its Debian package
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "iptables": "iptables",
    "nginx": "nginx-light",
    "dnsmasq": "dnsmasq-base",
    "curl": "curl",
    "dig": "bind9-dnsutils",
    "ping": "iputils-ping",
}


class LabError(Exception):
    """The lab cannot be had or used; one line that says why and what to do."""


def environment() -> dict[str, str]:
    """Ours, and the places of the system's tools, of this Python's commands and of the code."""
    env = dict(os.environ)
    places = [env.get("PATH", os.defpath), str(Path(sys.executable).parent), "/usr/sbin", "/sbin"]
    env["PATH"] = os.pathsep.join(places)
    env["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    )
    return env


def check_tools() -> None:
    path = environment()["PATH"]
    missing = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    if missing:
        raise LabError(
            f"the lab needs more Debian packages: apt-get install {' '.join(sorted(missing))}"
        )


def _explain(said: list[str]) -> LabError:
    """What a holder that gave up said, as one line that helps."""
    text = " ".join(" ".join(said).split())
    if "failed to execute" in text:
        return LabError(text)
    if text.startswith("unshare:") and os.geteuid():
        return LabError(
            f"no namespaces for ordinary users here ({text}); run as root, or allow them"
            " (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0)"
        )
    if text.startswith("unshare:"):
        return LabError(
            f"the kernel gives no namespaces ({text}); root with CAP_SYS_ADMIN is needed"
        )
    if "type veth" in text or "Unknown device type" in text:
        return LabError(f"the kernel has no veth links ({text}); load the module `veth`")
    return LabError(text.removeprefix(ERROR) or "the lab ended without a word")


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Lab:
    """A running lab. As a context manager it is stopped at the end."""

    HOSTS: ClassVar = HOSTS
    HOLDER_OPTIONS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, holder: int, init: int) -> None:
        """Raises ProcessLookupError where one of the two has ended."""
        self.holder, self.init = holder, init
        self._holder_fd = os.pidfd_open(holder)
        try:
            self._init_fd = os.pidfd_open(init)
        except OSError:
            os.close(self._holder_fd)
            raise
        self.hosts: tuple[str, ...] = self.HOSTS
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False

    @classmethod
    def start(cls, progress: Callable[[str], None], *, tied: bool = True) -> Self:
        """Starts a lab and waits until it is ready. Raises LabError.

        A tied lab ends with the thread that started it, even if that is killed.
        """
        check_tools()
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid():
            command += ["--user", "--map-root-user"]
        if tied:
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        process = subprocess.Popen(
            [*command, sys.executable, "-m", "vm.holder", *cls.HOLDER_OPTIONS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
        too_late = threading.Timer(READY_WITHIN_S, process.kill)
        too_late.daemon = True
        too_late.start()
        said: list[str] = []
        try:
            assert process.stdout
            with process.stdout as lines:
                for line in map(str.rstrip, lines):
                    if line == READY:
                        lab = cls(process.pid, _children(process.pid)[0])
                        lab._process = process
                        return lab
                    said.append(line)
                    if not line.startswith((ERROR, "unshare:")):
                        progress(line)
            process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            too_late.cancel()
        if process.returncode == -signal.SIGKILL:
            raise LabError(f"the lab was not ready within {READY_WITHIN_S} s")
        raise _explain([line for line in said if line.startswith((ERROR, "unshare:"))] or said)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends every process of the lab and waits until that is so; once is enough."""
        if self._is_stopped:
            return
        self._is_stopped = True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._holder_fd, signal.SIGKILL)
        if self._process:
            self._process.wait()
        select.select([self._init_fd], [], [], 10)
        os.close(self._holder_fd)
        os.close(self._init_fd)

    def command(self, host: str, argv: Sequence[str], *, cwd: str = "/") -> list[str]:
        """The command that runs argv on a host. Raises LabError for a host there is not."""
        if host not in self.hosts:
            raise LabError(f"no host {host!r} in the lab; there are: {', '.join(self.hosts)}")
        return self.in_namespace(host, argv, cwd=cwd)

    def in_namespace(self, host: str, argv: Sequence[str], *, cwd: str = "/") -> list[str]:
        """The command that runs argv on this machine, in the network namespace of a host."""
        return [*self._enter(cwd), "ip", "netns", "exec", host, *argv]

    def _enter(self, cwd: str) -> list[str]:
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        # --root: entering a mount namespace would otherwise leave a chroot we may be in
        return [
            "nsenter",
            f"--target={self.init}",
            *user,
            *("--mount", "--net", "--pid", "--root", f"--wdns={cwd}", "--"),
        ]

    def add_host(self, name: str, near: str, *commands: str) -> None:
        """Another host, with its eth0 on a link of its own to the interface NAME of the host near.

        The commands of `ip` are then run on it. Raises LabError.
        """
        switch = "/proc/sys/net/ipv6/conf/default/accept_dad"
        steps = [
            f"ip netns add {name}",
            f"ip netns exec {name} sh -c 'echo 0 >{switch}'",
            f"ip link add eth0 netns {name} type veth peer name {name} netns {near}",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set eth0 up",
            f"ip -n {near} link set {name} up",
            *(f"ip -n {name} {command}" for command in commands),
        ]
        done = subprocess.run(
            [*self._enter("/"), "sh", "-ec", "\n".join(steps)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=30,
            check=False,
        )
        if done.returncode:
            raise LabError(f"no host {name}: {' '.join(done.stderr.split())}")
        self.hosts = (*self.hosts, name)

    def popen(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.STDOUT,
    ) -> subprocess.Popen[str]:
        """Starts a command on a host, in a session of its own: end it with `kill`."""
        return spawn(self.command(host, argv), stdin=stdin, stdout=stdout, stderr=stderr)

    def run(
        self, host: str, argv: Sequence[str], *, timeout: float = 15
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on a host to its end. Raises subprocess.TimeoutExpired."""
        process = self.popen(host, argv, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            kill(process)
            raise
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def path(self, inside: Path) -> Path:
        """Where a file of the lab is seen from outside."""
        return Path(f"/proc/{self.init}/root") / inside.relative_to("/")

    def processes(self) -> Iterable[tuple[str, int, str]]:
        """Host, process id outside and command of everything that runs on a host."""
        hosts = {}
        for host in self.hosts:
            with contextlib.suppress(OSError):
                hosts[self.path(Path("/run/netns") / host).stat().st_ino] = host
        for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name)):
            try:
                host = hosts[(entry / "ns/net").stat().st_ino]
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except (OSError, KeyError):
                continue
            yield host, int(entry.name), " ".join(words).strip()


def spawn(
    command: list[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.STDOUT,
) -> subprocess.Popen[str]:
    """Starts a command of `Lab.command`, in a session of its own: end it with `kill`."""
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        errors="replace",
        env=environment(),
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process of `Lab.popen` and its children; waits for it and for the command itself."""
    commands = []
    for child in _children(process.pid):
        with contextlib.suppress(ProcessLookupError):
            commands.append(os.pidfd_open(child))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for command in commands:
        select.select([command], [], [], 10)
        os.close(command)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


def child_of(process: subprocess.Popen[str]) -> int:
    """The command itself: nsenter is its parent. Raises LabError where it has ended."""
    children = _children(process.pid)
    if not children:
        raise LabError("the command has ended")
    return children[0]
