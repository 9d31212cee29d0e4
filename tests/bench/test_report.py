"""Medians, spread and ratios of a run."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.bench import report
from tests.bench.columns import CONNECTIONS, PACKETS, STREAM, Figure
from tests.bench.report import Failure, Measurement, Run

KERNEL, NATIVE, NATIVE_10000 = "kernel", "native", "native-10000"
OFFLOAD_OFF, NAT = "native-offload-off", "native-nat"
ACCEPT_NATIVE, ACCEPT_PACKAGE = "accept-native", "accept-netfilterqueue"


def run_of(values: Mapping[tuple[str, Figure], Sequence[float]]) -> Run:
    return Run(
        rounds=max(map(len, values.values())),
        seconds=2,
        measurements=[
            Measurement(number, row, figure.key, value)
            for (row, figure), series in values.items()
            for number, value in enumerate(series, 1)
        ],
    )


@pytest.mark.parametrize(
    ("values", "median", "is_noisy"),
    [
        pytest.param([10], 10, False, id="a single round is never noisy"),
        pytest.param([9, 10, 11], 10, False, id="20 %"),
        pytest.param([8.5, 10, 11.5], 10, False, id="exactly 30 %"),
        pytest.param([8.4, 10, 11.5], 10, True, id="31 %"),
        pytest.param([30, 10, 10, 10, 10], 10, True, id="one outlier"),
    ],
)
def test_median_and_noise(values: list[float], median: float, is_noisy: bool) -> None:
    run = run_of({(KERNEL, STREAM): values})
    assert run.median(KERNEL, STREAM) == median
    assert (STREAM in report.noisy(run, KERNEL, [STREAM])) == is_noisy


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    run = run_of({(NATIVE, STREAM): [9, 8, 12], (ACCEPT_NATIVE, STREAM): [10, 10, 20]})
    (ratio,) = report.ratios(run)
    assert (ratio.value, ratio.lowest, ratio.highest) == (0.8, 0.6, 0.9)
    assert not ratio.is_reached


@pytest.mark.parametrize(
    ("row", "against", "figure", "value", "is_reached"),
    [
        (NATIVE, ACCEPT_NATIVE, STREAM, 0.85, True),
        (NATIVE, ACCEPT_NATIVE, STREAM, 0.84, False),
        (NATIVE, ACCEPT_PACKAGE, STREAM, 7.9, False),
        (NATIVE, ACCEPT_NATIVE, PACKETS, 0.8, True),
        (NATIVE, ACCEPT_NATIVE, CONNECTIONS, 0.59, False),
        (NATIVE_10000, NATIVE, CONNECTIONS, 0.9, True),
        (OFFLOAD_OFF, NATIVE, STREAM, 0.8, True),
        (OFFLOAD_OFF, NATIVE, PACKETS, 0.79, False),
        (NAT, NATIVE, STREAM, 0.5, True),
        (NAT, NATIVE, CONNECTIONS, 0.79, False),
        ("replay-1000000", "replay-100000", report.PEAK, 1.1, True),
        ("replay-1000000", "replay-100000", report.PEAK, 1.2, False),
    ],
)
def test_what_is_asked(
    row: str, against: str, figure: Figure, value: float, is_reached: bool
) -> None:
    (ratio,) = report.ratios(run_of({(row, figure): [value], (against, figure): [1]}))
    assert ratio.is_reached == is_reached


@pytest.mark.parametrize(("bytes_each", "is_reached"), [(219, True), (429, True), (430, False)])
def test_ten_million_sessions_have_four_gibibytes(bytes_each: float, is_reached: bool) -> None:
    (ratio,) = report.ratios(run_of({("engine-10000000", report.MEMORY): [bytes_each]}))
    assert ratio.value == bytes_each
    assert ratio.is_reached == is_reached


@pytest.mark.parametrize(("thousands", "is_reached"), [(500, True), (499, False)])
def test_half_a_million_packets_are_replayed_a_second(thousands: float, is_reached: bool) -> None:
    (ratio,) = report.ratios(run_of({("replay-1000000", report.REPLAYED): [thousands]}))
    assert ratio.is_reached == is_reached


@pytest.mark.parametrize(("millions", "is_reached"), [(10, True), (9.9, False)])
def test_ten_million_packets_are_parsed_a_second(millions: float, is_reached: bool) -> None:
    (ratio,) = report.ratios(run_of({("parser", report.TRUSTED): [millions]}))
    assert ratio.is_reached == is_reached


@pytest.mark.parametrize(("at_most", "is_reached"), [(90, True), (91, False)])
def test_a_lookup_among_many_costs_at_most_three_times_as_much(
    at_most: float, is_reached: bool
) -> None:
    run = run_of(
        {
            ("engine-10000000", report.LOOKUP): [at_most],
            ("engine-10000", report.LOOKUP): [30.0],
        }
    )
    (ratio,) = report.ratios(run)
    assert ratio.is_reached == is_reached


def test_a_row_without_its_counterpart_gives_no_ratio() -> None:
    assert not list(report.ratios(run_of({(NATIVE, STREAM): [1]})))


def test_what_is_shown_and_written(tmp_path: Path) -> None:
    run = run_of({(KERNEL, STREAM): [40, 10], (NATIVE, STREAM): [9, 9]})
    run.failures.append(Failure(2, NATIVE, "ping", "no [answer]"))
    out = StringIO()
    report.show(run, Console(width=120, file=out))
    shown = out.getvalue()
    assert "25.00*" in shown
    assert "kernel forwarding: 1 TCP stream 120%" in shown
    assert "not measured in round 2: native ping: no [answer]" in shown

    report.write(run, tmp_path / "bench.json")
    document = msgspec.json.decode((tmp_path / "bench.json").read_bytes(), type=report.Document)
    assert document.run == run
    assert [(one.row, one.median, one.is_noisy) for one in document.medians] == [
        ("kernel", 25, True),
        ("native", 9, False),
    ]
