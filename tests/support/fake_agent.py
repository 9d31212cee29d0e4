"""A guest agent for tests: behind a Unix socket for one client at a time, as qemu has it.

Commands and files are those of this machine. A test may have it be silent, late or unfriendly.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any


class FakeAgent:
    """Answers until it is closed; `asked` has every request in order, `commands` what was run."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.commands: list[list[str]] = []
        self.silent = 0  # so many synchronisations get no answer
        self.late = 0  # so many are answered only with the one that follows
        self.leftover = b""  # what a client finds before its own answers
        self.truncates = False
        self.gone_at = ""  # hangs up instead of answering this command
        self.garbles = ""  # the answer to this command means nothing
        self._late: list[bytes] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._files: dict[int, Any] = {}
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
        for process in self._processes.values():
            process.kill()
            process.communicate()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listening.accept()[0]
            except OSError:
                return
            # a client that has gone is met at any write, that of the end included
            with contextlib.suppress(OSError), client, client.makefile("rwb") as line:
                self._converse(line)

    def _converse(self, line: Any) -> None:
        line.write(self.leftover)
        for text in line:
            if not text.endswith(b"\n"):
                return
            request = json.loads(text.rpartition(b"\xff")[2])
            self.asked.append(request["execute"])
            if request["execute"] == self.gone_at:
                return
            for answer in self._answers(request):
                line.write(answer)
            line.flush()

    def _answers(self, request: dict[str, Any]) -> list[bytes]:
        arguments = request.get("arguments", {})
        if request["execute"] == "guest-sync-delimited":
            answer = b"\xff" + json.dumps({"return": arguments["id"]}).encode() + b"\n"
            if self.silent:
                self.silent -= 1
                return []
            if self.late:
                self.late -= 1
                self._late.append(answer)
                return []
            answers, self._late = [*self._late, answer], []
            return answers
        try:
            result = {"return": self._do(request["execute"], arguments)}
        except (OSError, KeyError) as error:
            result = {"error": {"class": "GenericError", "desc": str(error)}}
        if request["execute"] == self.garbles:
            result = {"return": "?"}
        return [json.dumps({**result, "id": request["id"]}).encode() + b"\n"]

    def _do(self, command: str, arguments: dict[str, Any]) -> Any:
        match command:
            case "guest-exec":
                self.commands.append([arguments["path"], *arguments["arg"]])
                process = subprocess.Popen(
                    self.commands[-1],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                assert process.stdin
                process.stdin.write(b64decode(arguments.get("input-data", "")))
                process.stdin.close()
                process.stdin = None
                self._processes[process.pid] = process
                return {"pid": process.pid}
            case "guest-exec-status":
                return self._status(arguments["pid"])
            case "guest-file-open":
                file = open(arguments["path"], arguments["mode"] + "b")  # noqa: SIM115
                self._files[file.fileno()] = file
                return file.fileno()
            case "guest-file-write":
                data = b64decode(arguments["buf-b64"])
                # as a write may: not all of it
                return {"count": self._files[arguments["handle"]].write(data[:100_000])}
            case "guest-file-read":
                data = self._files[arguments["handle"]].read(arguments["count"])
                return {
                    "count": len(data),
                    "buf-b64": b64encode(data).decode(),
                    "eof": len(data) < arguments["count"],
                }
            case "guest-file-close":
                self._files.pop(arguments["handle"]).close()
                return {}
        raise KeyError(command)

    def _status(self, pid: int) -> dict[str, Any]:
        process = self._processes[pid]
        if process.poll() is None:
            return {"exited": False}
        out, err = process.communicate()
        del self._processes[pid]
        ended = (
            {"exitcode": process.returncode}
            if process.returncode >= 0
            else {"signal": -process.returncode}
        )
        cut = {"out-truncated": True} if self.truncates else {}
        data = {"out-data": b64encode(out).decode(), "err-data": b64encode(err).decode()}
        return {"exited": True, **ended, **data, **cut}

    @property
    def open_files(self) -> int:
        return len(self._files)


def is_running(pid: int) -> bool:
    """Whether that process of this machine is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z" and pid != os.getpid()
