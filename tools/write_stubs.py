"""Make the Python stubs of the gRPC protocol: python tools/write_stubs.py.

They are committed, so that the wheel works from the package alone; a test compares them with what this makes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = ROOT / "plugins" / "rpc" / "proto"
SOURCE = "trunnion/v1/runtime.proto"
STUBS = ROOT / "plugins" / "rpc" / "src" / "trunnion_rpc" / "v1"
NAMES = ("runtime_pb2.py", "runtime_pb2.pyi", "runtime_pb2_grpc.py")


def made() -> dict[str, str]:
    """Name -> text of each generated module."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOCOL}", *outputs, SOURCE]
        subprocess.run(command, check=True)
        texts = {name: (Path(folder) / SOURCE).with_name(name).read_text(encoding="utf-8") for name in NAMES}
    # The protocol's package is `trunnion.v1`; in Python `trunnion` is the host, and the stubs live in this plugin.
    return {
        name: text.replace("from trunnion.v1 import", "from trunnion_rpc.v1 import") for name, text in texts.items()
    }


def main() -> None:
    """Write all of them."""
    for name, text in made().items():
        (STUBS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
