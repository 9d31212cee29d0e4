"""The benchmark itself: does it run, and does it say what is wrong with its arguments?"""

from pathlib import Path

import msgspec
import pytest

from tests.bench.__main__ import main
from tests.bench.columns import FIGURES
from tests.bench.report import Document


@pytest.mark.netns
def test_a_short_run_measures_every_column(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    rounds = ["--rounds", "2", "--seconds", "0.1"]
    assert main([*rounds, "--only", "kernel,accept-netfilterqueue", "--json", str(path)]) == 0
    document = msgspec.json.decode(path.read_bytes(), type=Document)
    assert not document.run.failures
    found = [(one.row, one.figure, one.round) for one in document.run.measurements]
    assert sorted(found) == sorted(
        (row, figure.key, number)
        for row in ("kernel", "accept-netfilterqueue")
        for figure in FIGURES
        for number in (1, 2)
    )
    assert all(one.value > 0 for one in document.run.measurements)


def test_the_parser_alone_needs_no_network(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    assert main(["--rounds", "1", "--only", "parser", "--json", str(path)]) == 0
    document = msgspec.json.decode(path.read_bytes(), type=Document)
    assert {one.figure: one.value > 0 for one in document.run.measurements} == {
        "trusted": True,
        "verified": True,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rounds", "0"], "'0' is not a number from 1 to 1000"),
        (["--seconds", "nan"], "'nan' is not a time from 0.1 to 600 seconds"),
        (["--only", "kernel,nothing"], "'nothing' is no row; there are: kernel, conntrack"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--json", str(tmp_path / "file" / "bench.json")]) == 2
    assert capsys.readouterr().err.startswith("bench: --json ")
