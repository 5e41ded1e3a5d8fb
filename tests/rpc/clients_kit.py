"""Clients in other languages, and what they are tried on: a copy of the example with a host of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TAKEN = ("examples/rpc", "examples/quickstart/plugins", "plugins/rpc/proto")
HOST = [sys.executable, "-c", "from trunnion.launcher.main import main; main()", "up", "--no-shell"]
PATIENCE = 60
TLS = """
[rpc.tls]
cert = "certs/server.pem"
key = "certs/server.key"
client_ca = "certs/ca.pem"
trust_domain = "trunnion.internal"
"""
INSTALL = ("npm", "ci", "--silent", "--prefer-offline")


class Checkout:
    """A copy of the example, in a tree like the repository's, and a host that is up in it.

    Args:
        root: of the tree.
        buf: the folder of the program of that name, if it is to be found by name.

    Attributes:
        place: the folder of the example.
        port: where the host listens beside its socket.
        said: by the host at its start.
    """

    def __init__(self, root: Path, buf: Path | None = None) -> None:
        self.root, self.place, self.buf = root, root / "examples" / "rpc", buf
        for folder in TAKEN:
            left = shutil.ignore_patterns("data", "node_modules", "__pycache__")
            shutil.copytree(ROOT / folder, root / folder, ignore=left)
        places = [str(Path(sys.executable).parent), *([str(buf)] if buf else []), os.environ["PATH"]]
        self.environ = {k: v for k, v in os.environ.items() if k != "TRUNNION_TOKEN"}
        self.environ |= {"PATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"}
        self.said, self.port = "", 0
        self._host: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the host, at a port that the system chooses."""
        self.said = ""
        config = self.place / "trunnion.toml"
        config.write_text(config.read_text(encoding="utf-8").replace(":50051", ":0"), encoding="utf-8")
        log = self.root / "up.log"
        with log.open("wb") as out:
            self._host = subprocess.Popen(
                HOST, cwd=self.place, env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        end = time.monotonic() + PATIENCE
        while "  socket: ready" not in self.said:
            assert self._host.poll() is None and time.monotonic() < end, self.said
            time.sleep(0.01)
            self.said = log.read_text(encoding="utf-8")
        self.port = int(re.findall(r"rpc\.sock, (?:grpcs://)?127\.0\.0\.1:(\d+)", self.said)[0])

    def secure(self, client: str) -> None:
        """Make certificates, and a principal of them that may do what the example does; the next start needs them."""
        made = self.run("trunnion", "rpc", "certs", "certs", "--client", client)
        assert made.returncode == 0, made.stderr
        with (self.place / "trunnion.toml").open("a", encoding="utf-8") as config:
            config.write(TLS)
        name = f"spiffe://trunnion.internal/{client}"
        for words in (("principals", "add", name), ("grants", "add", name, "operator", "greenhouse.*", "scripts.*")):
            done = self.run("trunnion", *words)
            assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """End the host in order."""
        if self._host is not None:
            self._host.terminate()
            self._host.wait(PATIENCE)
            self._host = None

    def run(self, *command: str | Path, cwd: str = ".", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the folder of the example, or in one below it."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.place / cwd,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def token(self, name: str, *things: str) -> str:
        """A principal that may do some things, and its token."""
        for words in (("principals", "add", name), ("grants", "add", name, "operator", *things)):
            done = self.run("trunnion", *words)
            assert done.returncode == 0, done.stderr
        return self.run("trunnion", "tokens", "create", name).stdout.strip()


def require(program: str, package: str) -> str:
    """Where a program is. Without it tests are left out, though not where everything is to be tested."""
    if found := shutil.which(program):
        return found
    what = f"{program} is not to be found: it comes with {package}"
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def install(folder: Path) -> None:
    """Install what a package of Node needs, exactly what its lock file says."""
    require("npm", "Node, 20 or newer")
    done = subprocess.run(INSTALL, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def installed_buf(folder: Path) -> Path:
    """The folder in which a fresh ``buf`` is."""
    shutil.copytree(Path(__file__).with_name("buf"), folder)
    install(folder)
    return folder / "node_modules" / ".bin"
