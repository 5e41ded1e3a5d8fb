"""The way back in: what cannot be gone on with is put aside, whole, and a new log says so in its first record."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from time import gmtime, strftime

from trunnion_audit.files import read_lines, segments, sync_folder
from trunnion_audit.keys import KEYS, SALT, is_secret
from trunnion_audit.log import Log, Rules
from trunnion_audit.records import ZERO
from trunnion_audit.taking_up import CHECKPOINT

CUT = "cut.json"


def begin_again(folder: Path, host_id: str, rules: Rules, now: int, reason: str) -> tuple[Log, dict[str, str | int]]:
    """Put a log aside and begin another in its place.

    Args:
        folder: where it lies.
        host_id: whose it is.
        rules: for the new one.
        now: the time.
        reason: why.

    Returns:
        The new log, and what its first record says of the old one.

    Raises:
        OSError, FileProblem: it cannot be done; what was moved stays where it was moved to.
    """
    n, head = _end(folder)
    aside = _aside(folder, now)
    for path in _parts(folder):
        path.rename(aside / path.name)
    sync_folder(aside)
    sync_folder(folder)
    after: dict[str, str | int] = {
        "aside": aside.name, "head": head, "host_id": host_id, "n": n, "reason": reason[:1024]
    }  # fmt: skip
    return Log.begin(folder, host_id, rules, now, after), after


def _end(folder: Path) -> tuple[int, str]:
    """Number and hash of the last whole line; 0 where it cannot be told."""
    import msgspec

    class Numbered(msgspec.Struct):
        n: int

    try:
        last = b""
        for line in read_lines(segments(folder)[-1].path):
            last = line if line.endswith(b"\n") else last
        return msgspec.json.decode(last, type=Numbered).n, sha256(last[:-1]).hexdigest()
    except (OSError, IndexError, msgspec.DecodeError):
        return 0, ZERO


def _aside(folder: Path, now: int) -> Path:
    stamp = strftime("%Y%m%dT%H%M%SZ", gmtime(now // 1_000_000))
    for number in range(1000):
        place = folder / (f"aside-{stamp}" if not number else f"aside-{stamp}-{number}")
        if not place.exists():
            place.mkdir(mode=0o700)
            return place
    raise FileExistsError(f"{folder}/aside-{stamp} is there a thousand times")


def _parts(folder: Path) -> list[Path]:
    """All of a log but the secret of its salts, which receipts of its runs go on needing, if it is one."""
    names = {KEYS, CHECKPOINT, CUT}
    if not is_secret(folder / SALT):
        names.add(SALT)
    found = [each.path for each in segments(folder)]
    return found + [path for path in folder.iterdir() if path.name in names or path.name.startswith("key-")]
