"""The example in Go, where Go and its libraries are: on Debian ``golang-go protoc-gen-go protoc-gen-go-grpc
golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev``.

They are compiled from Debian's folder of sources; ``GOCODE`` names another one. Where they are too old for what the
example calls, that is said in their words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clients_kit import ROOT, Checkout

SOURCES = Path(os.environ.get("GOCODE", "/usr/share/gocode/src"))
MODULE = "example.com/caller"
STUBS = f"Mtrunnion/v1/runtime.proto={MODULE}/trunnionv1"
BEFORE = {
    "transport := insecure.NewCredentials()": "transport := grpc.WithInsecure()",
    "transport = secured(os.Args[2], os.Args[3], os.Args[4])": (
        "transport = grpc.WithTransportCredentials(secured(os.Args[2], os.Args[3], os.Args[4]))"
    ),
    "grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(transport))": "grpc.Dial(os.Args[1], transport)",
    '\t"google.golang.org/grpc/credentials/insecure"\n': "",
}
SAID = """\
I am you
1 l
2 l
watered the basil
succeeded basil
cancelled
invalid_arguments
bed: expected one of "basil", "tomatoes", got "roses"
"""


def program(folder: Path) -> Path:
    """The example, compiled."""
    sources = folder / "src" / MODULE
    sources.mkdir(parents=True)
    for library in SOURCES.iterdir():
        (folder / "src" / library.name).symlink_to(library)
    text = (ROOT / "examples/rpc/go/main.go").read_text(encoding="utf-8")
    if "func NewClient(" not in (SOURCES / "google.golang.org/grpc/clientconn.go").read_text(encoding="utf-8"):
        for now, then in BEFORE.items():
            assert now in text
            text = text.replace(now, then)
    (sources / "main.go").write_text(text, encoding="utf-8")
    protocol = f"--proto_path={ROOT / 'plugins/rpc/proto'}"
    options = ("out=.", f"opt=module={MODULE}", f"opt={STUBS}")
    made = [f"--{kind}_{option}" for kind in ("go", "go-grpc") for option in options]
    environ = {**os.environ, "GOPATH": str(folder), "GO111MODULE": "off", "GOCACHE": str(folder / "cache")}
    for words in (
        [sys.executable, "-m", "grpc_tools.protoc", protocol, *made, "trunnion/v1/runtime.proto"],
        ["go", "vet", "."],
        ["go", "build", "-o", str(folder / "caller"), "."],
    ):
        done = subprocess.run(words, cwd=sources, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder / "caller"


@pytest.mark.skipif(
    not (shutil.which("go") and shutil.which("protoc-gen-go-grpc") and (SOURCES / "google.golang.org/grpc").exists()),
    reason="Go, its generators for gRPC or its library for gRPC are not to be found",
)
def test_the_program_in_go_does_what_the_others_do(tmp_path: Path) -> None:
    caller = program(tmp_path / "go")
    checkout = Checkout(tmp_path / "trunnion")
    checkout.start()
    try:
        done = checkout.run(caller, "unix:data/run/rpc.sock")
        token = checkout.token("ada", "greenhouse.*", "scripts.checksum")
        again = checkout.run(caller, f"127.0.0.1:{checkout.port}", TRUNNION_TOKEN=token)
        nobody = checkout.run(caller, f"127.0.0.1:{checkout.port}")
        checkout.stop()
        checkout.secure("ada")
        checkout.start()
        files = ("certs/ca.pem", "certs/client-ada.pem", "certs/client-ada.key")
        secured = checkout.run(caller, f"localhost:{checkout.port}", *files)
    finally:
        checkout.stop()
    assert done.stdout.splitlines()[1:8] == SAID.splitlines()[1:]
    assert again.stdout.splitlines()[:8] == SAID.replace("you", "ada").splitlines()
    assert done.stdout.splitlines()[8].split()[0] == again.stdout.splitlines()[8].split()[0]
    assert secured.stdout.splitlines()[:8] == SAID.replace("you", "spiffe://trunnion.internal/ada").splitlines()
    assert (nobody.returncode, "say who you are" in nobody.stderr) == (1, True)
