"""Imported before grpc by whatever imports it: its core writes lines about lost connections to standard error.

They are told by the calls they concern; on a terminal, or in the log of a host, they would stand between other lines.
``GRPC_VERBOSITY`` in the environment says otherwise.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
