"""What a check found, as data."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from trunnion.model.json import Json

Level: TypeAlias = Literal["ok", "note", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: what was looked at: ``loads``, ``imports``, ``words`` ...
        level: ``error`` breaks the contract; ``warning`` wants a second thought; ``note`` is for information.
        text: what was seen.
    """

    check: str
    level: Level
    text: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How one plugin keeps the contract.

    Attributes:
        plugin: its id.
        origin: what its entry point names, or its file.
    """

    plugin: str
    distribution: str = ""
    version: str = ""
    origin: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing breaks the contract."""
        return not self.of("error")

    def of(self, level: Level) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]

    def shown(self) -> dict[str, Json]:
        """The report as JSON, with its outcome."""
        return {"ok": self.ok, **msgspec.to_builtins(self)}

    def __str__(self) -> str:
        whence = f"{self.distribution} {self.version}".strip() or self.origin
        lines = [f"plugin {self.plugin} ({whence})"]
        lines += [f"  {finding.level:<8} {finding.check}: {finding.text}" for finding in self.findings]
        errors, warnings = len(self.of("error")), len(self.of("warning"))
        lines.append(f"{'passed' if self.ok else 'FAILED'}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
        return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
