"""Which level applies to what."""

from __future__ import annotations

import msgspec
import pytest

from trunnion_audit.policy import Kind, Level, Policies, problems_of
from trunnion_audit.settings import SCHEMAS, AuditSettings, SyslogSettings

RULES: dict[str, Level] = {
    "device.*": "best-effort",
    "device.plc.*": "strict",
    "query:device.read": "off",
    "device.read": "strict",
    "stream:unit/*": "best-effort",
    "source:web": "best-effort",
    "source:cli": "off",
}
DEFAULTS: dict[Kind, Level] = {"command": "strict", "query": "off", "stream": "off"}


@pytest.mark.parametrize(
    ("kind", "target", "doors", "level"),
    [
        ("command", "other.do", ("system:x",), "strict"),
        ("command", "other.do", ("cli",), "off"),
        ("command", "other.do", ("cli", "web"), "best-effort"),
        ("command", "device.do", ("cli",), "best-effort"),
        ("command", "device.plc.do", ("cli",), "strict"),
        ("query", "device.read", ("cli",), "off"),
        ("command", "device.read", ("cli",), "strict"),
        ("query", "other.read", ("system:x",), "off"),
        ("stream", "unit/7/log", ("system:x",), "best-effort"),
        ("stream", "device.do", ("system:x",), "off"),
        # Whatever the policy says.
        ("command", "device.do", ("rpc",), "strict"),
        ("command", "device.do", ("command", "rpc"), "strict"),
        ("query", "audit.search", ("cli",), "strict"),
        ("command", "audit.recover", ("cli",), "strict"),
        ("query", "audit.status", ("system:x",), "off"),
    ],
)
def test_the_rule_that_says_most_counts(kind: Kind, target: str, doors: tuple[str, ...], level: Level) -> None:
    policies = Policies(DEFAULTS, RULES)
    for _ in range(2):
        assert policies.of(kind, target, doors[0], doors[1:]) == level


def test_patterns_that_mean_nothing_are_named() -> None:
    wrong = ["", "*.do", "a*b", "source:", "door:web", "query:"]
    assert [pattern for pattern, _ in problems_of(dict.fromkeys([*wrong, *RULES, "*", "query:*"], "off"))] == wrong


def test_the_defaults_of_the_schemas_are_those_of_the_settings() -> None:
    plain = msgspec.to_builtins(AuditSettings())
    assert {key: schema.get("default") for key, schema in SCHEMAS.items()} == plain
    inner = SCHEMAS["syslog"]["properties"]
    assert isinstance(inner, dict)
    said = {key: schema.get("default") for key, schema in inner.items() if isinstance(schema, dict)}
    assert said == msgspec.to_builtins(SyslogSettings())
