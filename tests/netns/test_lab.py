"""The lab itself, without a firewall: hosts, servers, isolation, and that nothing is ever left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import PYTHON, forward_plainly, has_ended, namespaces_in_use
from vm import registry, traffic
from vm.lab import main
from vm.namespaces import Lab, LabError, environment, kill
from vm.topology import HOSTS
from vm.waiting import wait_until


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def router(lab: Lab) -> Lab:
    """The lab with the kernel forwarding where the firewall will be."""
    forward_plainly(lab)
    return lab


@pytest.mark.parametrize("attempt", traffic.ATTEMPTS, ids=lambda attempt: attempt.what)
def test_a_plain_router_passes_the_demonstration_traffic(
    router: Lab, attempt: traffic.Attempt
) -> None:
    if attempt.target == "198.51.100.10":
        attempt = attempt._replace(command=("ping", "-c", "1", "-W", "2", attempt.target))
    outcome = traffic.attempt(router, attempt)
    assert outcome.passed, outcome.happened


@pytest.mark.parametrize("host", HOSTS)
def test_a_command_runs_on_its_host_and_its_status_comes_back(lab: Lab, host: str) -> None:
    done = lab.run(host, ["sh", "-c", "ip netns identify $$; echo to stderr >&2; exit 7"])
    assert (done.stdout, done.stderr, done.returncode) == (f"{host}\n", "to stderr\n", 7)


def test_an_unknown_host_is_named_with_the_known_ones(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"no host 'gateway' .* client, server"):
        lab.run("gateway", ["true"])


def test_a_command_that_takes_too_long_is_ended_with_its_children(lab: Lab) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("client", ["sh", "-c", "sleep 1234 & sleep 1234"], timeout=0.5)
    wait_until(
        lambda: not any("sleep 1234" in command for _, _, command in lab.processes()),
        "the sleeps have ended",
        seconds=5,
    )


def test_labs_do_not_see_each_other() -> None:
    with Lab.start(quiet) as one, Lab.start(quiet) as other:
        marker = ["sh", "-c", "echo $$ >/run/only-here; exec sleep 60"]
        sleeper = one.popen("client", marker)
        wait_until(one.path(Path("/run/only-here")).exists, "the marker is there", seconds=5)
        assert not other.path(Path("/run/only-here")).exists()
        assert not any("sleep 60" in command for _, _, command in other.processes())
        forward_plainly(one)  # the same addresses exist in both
        web = next(attempt for attempt in traffic.ATTEMPTS if attempt.what == "HTTP")
        assert traffic.attempt(one, web).passed
        assert not traffic.attempt(other, web).passed
        one.stop()
        forward_plainly(other)
        assert traffic.attempt(other, web).passed
        kill(sleeper)


@pytest.fixture
def sleeping_lab() -> Iterator[tuple[Lab, set[int], list[int]]]:
    """A lab with something running on every host, its namespaces and its processes."""
    before = namespaces_in_use()
    with Lab.start(quiet) as lab:
        sleepers = [lab.popen(host, ["setsid", "sleep", "600"]) for host in HOSTS]
        running: list[int] = []

        def all_run() -> bool:
            running[:] = [pid for _, pid, command in lab.processes() if "sleep 600" in command]
            return len(running) == len(HOSTS)

        wait_until(all_run, "a process on every host", seconds=5)
        yield lab, namespaces_in_use() - before, [*running, lab.init]
        for sleeper in sleepers:
            kill(sleeper)


def test_a_killed_holder_leaves_no_process_and_no_namespace(
    sleeping_lab: tuple[Lab, set[int], list[int]],
) -> None:
    lab, namespaces, processes = sleeping_lab
    assert len(namespaces) >= len(HOSTS)
    os.kill(lab.holder, signal.SIGKILL)
    wait_until(lambda: all(map(has_ended, processes)), "every process has ended", seconds=10)
    wait_until(lambda: not namespaces & namespaces_in_use(), "no namespace is in use", seconds=10)


def test_a_killed_starter_takes_its_lab_along() -> None:
    program = (
        "import signal; from vm.namespaces import Lab\n"
        "lab = Lab.start(lambda line: None)\n"
        "print(lab.holder, lab.init, flush=True)\n"
        "signal.pause()\n"
    )
    starter = subprocess.Popen(
        [PYTHON, "-c", program], env=environment(), stdout=subprocess.PIPE, text=True
    )
    with starter:
        assert starter.stdout
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert len(pids) == 2
        starter.kill()
    wait_until(lambda: all(map(has_ended, pids)), "the lab has ended", seconds=10)


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vm.namespaces.TOOLS", {"no-such-tool": "no-such-package", "sh": "dash"})
    with pytest.raises(LabError, match=r"apt-get install no-such-package$"):
        Lab.start(quiet)


def test_an_ordinary_user_gets_the_same_lab() -> None:
    # a user without capabilities; where the kernel has no user namespaces for us (in a chroot)
    # nobody can be that user, and the lab says what is missing
    user = ["unshare", "--user", "--map-user=1234", "--map-group=1234"]
    program = (
        "import os, sys; from vm.namespaces import Lab, LabError\n"
        "assert os.geteuid() == 1234\n"
        "with Lab.start(lambda line: None) as lab:\n"
        "    done = lab.run('server', ['curl', '-sf', 'http://203.0.113.10/'])\n"
        "    sys.exit(done.returncode)\n"
    )
    done = subprocess.run(
        [*user, PYTHON, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 or done.stderr.startswith("unshare: unshare failed"), done.stderr


# ---- sixtuple lab --------------------------------------------------------------------------------


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def run_lab(*words: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from vm.lab import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.usefixtures("runtime")
def test_a_background_lab_from_up_to_down() -> None:
    try:
        up = run_lab("up")
        assert up.returncode == 0, up.stderr
        assert "lab default is up" in up.stdout
        assert run_lab("up").stdout == "lab default is up already\n"
        status = run_lab("status")
        assert status.returncode == 0
        for text in ("client     eth0       192.0.2.10/25", "firewall   eth4", "nginx", "dnsmasq"):
            assert text in status.stdout
        done = run_lab("exec", "dmz", "--", "sh", "-c", "echo hello; exit 9")
        assert (done.returncode, done.stdout) == (9, "hello\n")
        lab = registry.find("default")
        assert lab
        forward_plainly(lab)
        driven = run_lab("traffic")
        assert driven.returncode == 1  # a router that blocks nothing is not what is expected
        assert driven.stdout.count(" ok ") == len(traffic.ATTEMPTS) - 1
        assert driven.stdout.count(" WRONG ") == 1
        assert run_lab("down").stdout == "lab default is down\n"
        assert run_lab("status").returncode == 1
    finally:
        run_lab("down")


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["exec", "client", "true"], "lab default is not up", id="not up"),
        pytest.param(["traffic", "--name", "b"], "sixtuple lab up --name b", id="named"),
        pytest.param(["exec", "client"], "which command?", id="no command"),
        pytest.param(["up", "--name", "../x"], "lab name '../x'", id="name is a path"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_file_of_a_process_id_that_changed_hands_is_no_lab(
    runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    me = os.getpid()
    (registry.directory() / "lab-default.json").write_text(
        f'{{"holder": {me}, "holder_started": 1, "init": {me}, "init_started": 1}}'
    )
    assert main(["status"]) == 1
    assert main(["down"]) == 0
    assert capsys.readouterr().out.endswith("lab default was not up\n")
    assert not (runtime / "sixtuple" / "lab-default.json").exists()


@pytest.mark.parametrize("kind", ["open to others", "symbolic link", "file"])
def test_a_runtime_directory_that_is_not_ours_alone_is_refused(runtime: Path, kind: str) -> None:
    path = runtime / "sixtuple"
    if kind == "file":
        path.touch(0o700)
    else:
        real = path if kind == "open to others" else runtime / "elsewhere"
        real.mkdir()
        real.chmod(0o755 if kind == "open to others" else 0o700)
        if kind == "symbolic link":
            path.symlink_to(real)
    with pytest.raises(LabError, match="not a directory that only you can use"):
        registry.directory()
