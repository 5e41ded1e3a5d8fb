"""Another program calls the commands of ``warehouse.py`` over the local socket."""

from pathlib import Path

from trunnion.protocol.blocking import BlockingClient

with BlockingClient(Path("data/run/host.sock")) as host:
    host.call("stock.add", {"item": "nut", "count": 2})
    print(host.call("stock.shelf"))
