"""Schemas and patterns that are to cost more than they may: what rows M2 and M3 put to the host."""

from __future__ import annotations

from typing import Any


def of(schema: object, **more: object) -> dict[str, Any]:
    """The schema of a command with one argument, ``x``."""
    return {"type": "object", "properties": {"x": schema}, **more}


def doubling(keyword: str, depth: int, inside: str | None = None) -> dict[str, Any]:
    def link(i: int) -> dict[str, Any]:
        target = {"$ref": f"#/$defs/a{i + 1}"}
        return target if inside is None else {inside: target}

    definitions = {f"a{i}": {keyword: [link(i), link(i)]} for i in range(depth)}
    return of({"$ref": "#/$defs/a0"}, **{"$defs": {**definitions, f"a{depth}": {"type": "string"}}})


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return of(schema)


BOMBS = {
    "self": (of({"$ref": "#/properties/x"}), "refers to itself"),
    "root": (of({}, **{"$ref": "#"}), "refers to itself"),
    "mutual": (
        of({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
        "refers to itself",
    ),
    "allOf doubling": (doubling("allOf", 30), "written out"),
    "anyOf doubling": (doubling("anyOf", 30), "written out"),
    "oneOf doubling": (doubling("oneOf", 30), "written out"),
    "doubling through items": (doubling("anyOf", 30, "items"), "written out"),
    "10,000-way anyOf": (of({"anyOf": [{"const": i} for i in range(10_000)]}), "subschemas"),
    "chain": (
        of(
            {"$ref": "#/$defs/a0"},
            **{"$defs": {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(900)} | {"a900": {}}},
        ),
        "nest deeper",
    ),
    "nested 70": (nested(140), "nests deeper"),
    "nested 5,000": (nested(5_000), "not JSON|nests deeper"),
    "dynamic": (of({"$dynamicRef": "#x"}), "dynamicRef is not supported"),
    "recursive": (of({"$recursiveRef": "#"}), "recursiveRef is not supported"),
    "embedded id": (of({"$id": "http://127.0.0.1:9/other"}), "embedded"),
    "remote": (of({"$ref": "http://127.0.0.1:9/x"}), "not a reference inside"),
    "file": (of({"$ref": "file:///etc/passwd"}), "not a reference inside"),
    "relative": (of({"$ref": "other.json#/a"}), "not a reference inside"),
    "nowhere": (of({"$ref": "#/$defs/none"}), "points at nothing"),
    "remote dialect": ({**of({}), "$schema": "http://127.0.0.1:9/dialect"}, "only JSON Schema 2020-12"),
    "2 MB": (of({"description": "x" * (2 << 20)}), "bytes"),
    "400 patterns": (of({"allOf": [{"pattern": f"a{i}"} for i in range(400)]}), "patterns"),
    "large repetition": (of({"pattern": "(a{500}){1000}"}), "linear time"),
    "pattern out of sight": (of({"$ref": "#/properties/x/default", "default": {"pattern": "(?=a)"}}), "linear time"),
}

REDOS = [
    "^(a+)+$",
    "^(a*)*$",
    "^(a|a)*$",
    "^(a|aa)+$",
    "^(a+)*$",
    "^(a*)+$",
    "(a+)+b",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "^(.*a){20}$",
    "(x+x+)+y",
    "^((ab)*)+$",
    "^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}$",
    "^(\\d+)+$",
    "^(\\w+\\s?)*$",
    "^(\\s+)+$",
    "([a-z]+)*=",
    "(.*)*x",
    "(.+)+x",
    "^(?:a?){30}a{30}$",
    "^(a?a?a?a?a?a?a?a?)*b$",
    "((a{0,5}){0,5}){0,5}b",
    "^(([^,]*),)*$",
    "(\\n|.)*?end",
    "a*a*a*a*a*a*a*b",
    "(?:(?:a|b)+)+c",
    "(0|1|01)*2",
    "^(a|b|ab)*c",
    "(?i)^(A+)+$",
    "\\s+$",
    "^(([a-z]+)-)*$",
    "(.*)(.*)(.*)(.*)(.*)(.*)z",
    '([^"]+)*"',
    "(a|b|c|ab|bc|abc)*d",
    "(\\d+\\.?)+x",
]
"""Patterns that take other engines for ever; gathered from advisories about programs that met them."""

LARGE = [
    "(?:[a-z]{1,40}){1,40}!",
    "(?:[a-z]{1,70}){1,70}!",
    "^.*[a-m].{400}$",
    "^(?:[a-z]?){500}[a-z]{500}[0-9]",
    "[a-m](?:(?:a){0,20}[^x]){1,21}![^a]",
    ".[a-m](?:(?:\\w){0,20}){1,21}[0-9]",
    "(?:(?:a){10,11}){2,7}[a-z](?:(?:(?:a){0,40}){2,3}){1,21}![^a]",
    "(?:(?:[a-z]){2,42}){1,101}[a-m](?:(?:a){1,2}|(?:(?:[a-z]){10,110}){1,41})!",
]
"""Patterns without backtracking that are slow by their size: found by trying what a generator made."""


def patterns() -> list[str]:
    """The corpus of M3: each of the patterns as it is, anchored, repeated, in an alternative, and with a tail."""
    forms = ("{}", "^(?:{})$", "(?:{})+;", "(?:{}|x)y", "(?:{}){{1,3}}z")
    return [form.format(pattern) for pattern in (*REDOS, *LARGE) for form in forms]
