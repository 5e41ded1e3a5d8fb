"""Hosts with a folder of plugins that do what they should not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from faults_kit import Ground


class Broken(Ground):
    """A ground with a folder of plugins that do what they should not."""

    def __init__(self, root: Path, seed: str) -> None:
        super().__init__(root, seed)
        self.config.write_text('[plugins]\ndir = ["plugins"]\n')
        self.folder = root / "plugins"
        self.folder.mkdir()
        self.options: list[str] = []

    def plugins(self, sources: dict[str, str]) -> None:
        for name, source in sources.items():
            (self.folder / f"{name}.py").write_text(source)

    def command(self, *args: str, without: str = "none") -> list[str]:
        program = [sys.executable, "-c", "from trunnion.launcher.main import main; main()"]
        if without != "none":
            program = [sys.executable, str(Path(__file__).with_name("sabotage.py")), without]
        return [*program, "--config", str(self.config), "--data-dir", str(self.data), *self.options, *args]


def states(ground: Broken) -> dict[str, tuple[str, str]]:
    done = ground.run("plugins", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    records = listed["plugins"] if isinstance(listed, dict) else listed
    return {record["id"]: (record["state"], record.get("reason", "")) for record in records}
