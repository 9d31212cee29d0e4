"""Tests that change the network, each in a machine of its own.

    @in_namespace
    def test_something(name: str) -> None: ...

runs the function in a process with private network, mount and process namespaces (as root, or in a
user namespace), an empty /run and the loopback up. Its arguments have to be plain values; fixtures
stay outside.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60

P = ParamSpec("P")


def in_namespace(test: Callable[P, None]) -> Callable[P, None]:
    @pytest.mark.netns
    @functools.wraps(test)
    def outside(*args: P.args, **kwargs: P.kwargs) -> None:
        assert not args
        file = test.__code__.co_filename
        private = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        inside = [sys.executable, "-W", "error", "-m", __name__, file, test.__name__]
        done = subprocess.run(
            ["unshare", *user, *private, *inside, json.dumps(kwargs)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"in the namespace:\n{done.stdout}", pytrace=False)

    return outside


def run(command: str) -> str:
    """A shell command that has to work; what it prints."""
    done = subprocess.run(
        ["sh", "-ec", command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def cable(*names: str) -> None:
    """Interfaces of these names, each with its other end (NAME-far) up beside it."""
    for name in names:
        run(f"ip link add {name} type veth peer name {name}-far; ip link set {name}-far up")


def _main(file: str, name: str, arguments: str) -> None:
    spec = importlib.util.spec_from_file_location("inside", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["inside"] = module
    spec.loader.exec_module(module)
    run("mount -t tmpfs tmpfs /run; ip link set lo up")
    getattr(module, name).__wrapped__(**json.loads(arguments))


if __name__ == "__main__":
    _main(*sys.argv[1:])
