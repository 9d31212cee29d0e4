"""The generated configurations are good, and mean what the benchmark says of them."""

import pytest

from control.config.compile import compile_snapshot
from control.config.load import load_config
from tests.bench.rules import configuration


@pytest.mark.parametrize("rules", [1, 100, 10_000])
def test_a_configuration_is_good_and_has_so_many_rules(rules: int) -> None:
    config = load_config(configuration(rules).encode(), "generated")
    assert not config.problems
    assert len(config.tree.entries("rulebase", "security", "rules")) == rules


@pytest.mark.parametrize("offload", [False, True])
def test_a_configuration_switches_the_offload_engine(offload: bool) -> None:
    loaded = load_config(configuration(1, offload=offload).encode(), "generated")
    assert compile_snapshot(loaded.tree, {}).offload == offload
