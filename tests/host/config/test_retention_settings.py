"""``[store.retention]``: what may stand there, and what it comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunnion.config.load import load_config
from trunnion.config.retention_settings import US_PER_DAY, retention_rules
from trunnion.model.errors import InvalidConfig
from trunnion.model.retention import ALL, NO_LIMIT, Rule


def loaded(tmp_path: Path, text: str, **environ: str) -> tuple[Rule, ...]:
    path = tmp_path / "trunnion.toml"
    path.write_text(text)
    return retention_rules(load_config(path, environ=environ, settings={}).section("store"))


def test_by_default_thirty_days_and_a_hundred_thousand_runs_are_kept(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == (Rule(ALL, 30 * US_PER_DAY, 100_000, NO_LIMIT),)


def test_commands_have_limits_of_their_own(tmp_path: Path) -> None:
    text = '[store]\nretention_bytes = 7\n[store.retention]\n"a.*" = { days = 0.5 }\n"a.b" = { runs = 0, bytes = 9 }\n'
    whole, *own = loaded(tmp_path, text)
    assert whole.bytes == 7
    assert own == [Rule("a.*", age=US_PER_DAY // 2), Rule("a.b", runs=NO_LIMIT, bytes=9)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"*" = { days = 1 }', "retention_days"),
        ('"command:a.b" = { days = 1 }', "not a command"),
        ('"a b" = { days = 1 }', "not a command"),
        ('"a.b" = { day = 1 }', "did you mean 'days'"),
        ('"a.b" = { days = -1 }', "-1"),
        ('"a.b" = { runs = 1.5 }', "1.5"),
        ('"a.b" = {}', "a.b"),
        ('"a.b" = 3', "3"),
    ],
)
def test_what_means_nothing_is_refused_by_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        loaded(tmp_path, f"[store.retention]\n{line}\n")
    assert message in str(refused.value)
    assert "trunnion.toml:2" in str(refused.value)
