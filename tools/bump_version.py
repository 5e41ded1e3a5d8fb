"""Write one version everywhere it stands: python tools/bump_version.py 0.2.0.

The distributions are released in lockstep: the root pins the others exactly, a plugin accepts the
host of the same minor version.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pyprojects(root: Path) -> list[Path]:
    """The pyproject.toml of every distribution in the repository."""
    return [root / "pyproject.toml", root / "host" / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]


def version_module(root: Path) -> Path:
    """The module the host reads its version from."""
    return root / "host" / "src" / "trunnion" / "_version.py"


def with_version(text: str, version: str) -> str:
    """The text of one of these files with the version, the exact pins and the host's range replaced.

    Raises:
        ValueError: ``version`` is not of the form ``1.2.3``, with an optional ``a1``, ``b1`` or ``rc1``.
    """
    if (parts := re.fullmatch(r"(\d+)\.(\d+)\.\d+(?:(?:a|b|rc)\d+)?", version)) is None:
        raise ValueError(f"{version!r} is not a version such as 0.2.0 or 0.2.0rc1")
    major, minor = int(parts[1]), int(parts[2])
    text = re.sub(r'(?mi)^(version) = "[^"]*"', rf'\1 = "{version}"', text)
    text = re.sub(r'"(trunnion-[a-z]+)==[^"]*"', rf'"\1=={version}"', text)
    return re.sub(r'"trunnion-host>=[^"]*"', f'"trunnion-host>={major}.{minor},<{major}.{minor + 1}"', text)


def main() -> None:
    """Rewrite all of them with the version given as the only argument."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/bump_version.py VERSION")
    for path in [*pyprojects(ROOT), version_module(ROOT)]:
        path.write_text(with_version(path.read_text(encoding="utf-8"), sys.argv[1]), encoding="utf-8")
    print(f"every distribution says {sys.argv[1]}; now: towncrier build")  # noqa: T201


if __name__ == "__main__":
    main()
