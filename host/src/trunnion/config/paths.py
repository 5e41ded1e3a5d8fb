"""Where the configuration and the data are looked for when nobody says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from trunnion.model.errors import InvalidConfig

ENV_CONFIG = "TRUNNION_CONFIG"
SYSTEM_CONFIG = Path("/etc/trunnion/trunnion.toml")
SYSTEM_DATA = Path("/var/lib/trunnion")


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """The data directory when neither flag nor file names one.

    Under systemd it is the unit's state directory, else ``/var/lib/trunnion`` for root's services; for
    everybody else the user's XDG data directory.
    """
    if state := environ.get("STATE_DIRECTORY"):
        return Path(state.partition(":")[0])
    if "INVOCATION_ID" in environ and os.geteuid() == 0:
        return SYSTEM_DATA
    import platformdirs

    return platformdirs.user_data_path("trunnion", appauthor=False)


def find_config(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The configuration file when no flag names one; None where there is none.

    ``$TRUNNION_CONFIG``, then ``trunnion.toml`` in the working directory, then the user's, then the system's.

    Raises:
        InvalidConfig: the one in the working directory belongs to another user. It names code to run, so it is used
            only where somebody names it.
    """
    if named := environ.get(ENV_CONFIG):
        return Path(named)
    here = cwd / "trunnion.toml"
    if here.is_file():
        _refuse_foreign(here)
        return here
    import platformdirs

    user = platformdirs.user_config_path("trunnion", appauthor=False) / "trunnion.toml"
    return next((path for path in (user, SYSTEM_CONFIG) if path.is_file()), None)


def _refuse_foreign(path: Path) -> None:
    status = path.stat()
    if status.st_uid not in {os.geteuid(), 0}:
        raise InvalidConfig(
            f"{path}: found in the working directory, but it belongs to user id {status.st_uid}; "
            f"give --config {path} to use it all the same"
        )
