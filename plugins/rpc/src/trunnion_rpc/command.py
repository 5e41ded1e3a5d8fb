"""``trunnion rpc``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trunnion_rpc.authority import Pair

HERE = ("localhost", "127.0.0.1", "::1")
PORT = 50051


@click.group()
def rpc() -> None:
    """Help with the door for gRPC."""


@rpc.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name or address the host is reached by.")
@click.option("--client", "clients", multiple=True, metavar="NAME", help="A client to make a certificate for.")
@click.option("--trust-domain", default="trunnion.internal", show_default=True, help="Whose clients they are.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long they count.")
@click.option("--add", is_flag=True, help="Make more by the authority that is in DIR already.")
def certs(
    *, folder: Path, hosts: Sequence[str], clients: Sequence[str], trust_domain: str, days: int, add: bool
) -> None:
    """Make certificates for trying TLS out, in DIR.

    A private authority, a certificate by it for the host (for this machine and every --host), and one for every
    --client. Nothing is replaced. What to write into the configuration, and how to connect, is said at the end.
    """
    from datetime import UTC, datetime

    from trunnion_rpc.authority import Wish, make

    clients = clients if clients or add else ("client",)
    served = tuple(dict.fromkeys((*HERE, *hosts))) if hosts or not add else ()
    made = make(Wish(folder.absolute(), served, clients, trust_domain, days, add), datetime.now(UTC))
    for line in _told(made, folder.absolute(), served, clients, trust_domain, add=add):
        click.echo(line)


@rpc.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def proto(folder: Path) -> None:
    """Write the protocol into DIR, for other languages.

    It becomes DIR/trunnion/v1/runtime.proto, so that DIR is what generators call the path of the protocol. One that is
    there is replaced.
    """
    from importlib.resources import files

    from trunnion import Conflict

    text = files("trunnion_rpc.v1").joinpath("runtime.proto").read_bytes()
    path = folder / "trunnion" / "v1" / "runtime.proto"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    except OSError as error:
        raise Conflict(f"cannot write {error.filename or path}: {error.strerror}") from None
    click.echo(path)


def _told(
    made: Sequence[Pair], folder: Path, served: Sequence[str], clients: Sequence[str], trust_domain: str, *, add: bool
) -> Iterator[str]:
    from trunnion_rpc.authority import name_of

    yield f"Made in {folder}; nobody else can read the keys:"
    yield ""
    width = max(len(pair.certificate.name) for pair in made)
    for pair in made:
        yield f"  {pair.certificate.name:{width}}  {pair.key.name:{width}}  {pair.about}"
    if not add:
        afar = [host for host in served if host not in HERE]
        yield ""
        yield "For trunnion.toml:"
        yield ""
        yield from (f"  {line}" if line else "" for line in _settings(folder, afar, trust_domain))
    if not clients:
        return
    yield ""
    yield "Add whoever may come, and say what they may do:"
    yield ""
    for client in clients:
        yield f"  trunnion principals add {name_of(client, trust_domain)} --kind program --role operator"
    yield ""
    yield "Then, with the address of the host:"
    yield ""
    address = next((host for host in served if host not in HERE), HERE[0])
    pair = made[-1]
    files = [("--ca", folder / "ca.pem"), ("--cert", pair.certificate), ("--key", pair.key)]
    options = " ".join(f"{option} {shlex.quote(str(path))}" for option, path in files)
    place = f"[{address}]" if ":" in address else address
    yield f"  trunnion --connect grpcs://{place}:{PORT} {options} query host.status"


def _settings(folder: Path, afar: Sequence[str], trust_domain: str) -> Iterator[str]:
    from trunnion.model.json import encode

    where = f"0.0.0.0:{PORT}" if afar else f"127.0.0.1:{PORT}"
    yield "[rpc]"
    yield "enabled = true"
    yield f'listen = ["unix", "{where}"]'
    yield '# audit = "off-i-know"  # where no plugin records what is done, the door stays shut without this'
    yield ""
    yield "[rpc.tls]"
    for key, name in (("cert", "server.pem"), ("key", "server.key"), ("client_ca", "ca.pem")):
        yield f"{key} = {encode(str(folder / name)).decode()}"
    yield f'trust_domain = "{trust_domain}"'
