"""Call a host over gRPC: see who you are, run, follow, cancel, be refused, bring a file."""

import asyncio
import os
import sys
from pathlib import Path

from trunnion import Invocation, TrunnionError
from trunnion_rpc.client import Client
from trunnion_rpc.target import Tls


def water(bed: str, litres: float = 2) -> Invocation:
    return Invocation(command_id="greenhouse.water", args={"bed": bed, "litres": litres, "pause": 0.1})


async def show(host: Client, run_id: str) -> None:
    """Print what a run says, to its end."""
    async for batch in host.follow(f"run/{run_id}"):
        for event in batch:
            if event.kind in ("text", "progress"):
                print(event.text.rstrip())


async def main(target: str, *files: str) -> None:
    tls = Tls(*map(Path, files)) if files else None  # of the authority, one's certificate, its key
    token = os.environ.get("TRUNNION_TOKEN") or None
    async with await Client.connect(target, token=token, tls=tls) as host:
        print("I am", (await host.host()).principal)

        run = await host.submit(water("basil"))
        await show(host, run.id)
        run = await host.wait(run.id)
        print(run.status, run.result["bed"])

        run = await host.submit(water("tomatoes", 60))
        await host.cancel(run.id)
        print((await host.wait(run.id)).status)

        try:
            await host.submit(water("roses"))
        except TrunnionError as error:
            print(error.code)
            for problem in error.details["problems"]:
                print(f"{problem['path']}: {problem['message']}")

        upload = await host.files.upload(b"hello\n", name="hello.txt")
        run = await host.submit(Invocation(command_id="scripts.checksum", args={"file": upload.handle}))
        await show(host, run.id)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
