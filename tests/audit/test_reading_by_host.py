"""The log is searched, followed and exported through a host."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from audit_kit import check_chain, lines, of_kind

from trunnion import Command, Context, Forbidden, InvalidArguments, Json, NotFound
from trunnion.testing import Hosting


def act(ctx: Context, value: str) -> str:
    ctx.echo("said")
    return value


def hosting(data: Path, **more: Json) -> Hosting:
    made = [Command.of(act, console="t")]
    return Hosting(plugins=["audit"], commands=made, data_dir=data, store="process", settings={"audit": more})


@pytest.mark.anyio
async def test_who_reads_the_audit_is_on_record_before(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    async with hosting(tmp_path, queries="off", streams="off") as host:
        await host.invoke("t.act", value="x")
        found = await host.query("audit.search", target="audit.search")
        assert isinstance(found, dict) and isinstance(found["items"], list)
        (own,) = found["items"]
        assert isinstance(own, dict) and (own["what"], own["policy"]) == ("query", "strict")
        assert json.loads(str(own["args"]))["target"] == "audit.search"
        async with aclosing(host.host.door("cli").follow(host.caller, "audit.tail", 0, live=False)) as batches:
            told = [event async for batch in batches for event in batch]
        assert [event.seq for event in told] == list(range(1, len(told) + 1))
        assert told[-1].data == of_kind(folder, "intent")[-1]
        assert (told[-1].data or {}).get("target") == "audit.tail"  # type: ignore[union-attr]
        run = await host.invoke("audit.export", kind="intent", format="csv")
        assert of_kind(folder, "intent")[-1]["run"] == run.id


@pytest.mark.anyio
async def test_only_administrators_read_it(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        other = host.as_principal("olga", "operator")
        with pytest.raises((Forbidden, NotFound)):
            await other.query("audit.search")
        with pytest.raises((Forbidden, NotFound)):
            await other.invoke("audit.export")
        with pytest.raises((Forbidden, NotFound)):
            async for _ in host.host.door("cli").follow(other.caller, "audit.tail", 0, live=False):
                pass


@pytest.mark.anyio
async def test_administrators_read_it_from_elsewhere_too(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        olga = host.as_principal("olga", "admin", "rpc")
        found: Any = await olga.query("audit.search", principal="olga")
        assert [(item["target"], item["source"]) for item in found["items"]] == [("audit.search", "rpc")]
        await olga.invoke("audit.export")
        with pytest.raises((Forbidden, NotFound)):
            await host.as_principal("olga", "admin", "agent").query("audit.search")


@pytest.mark.anyio
async def test_search_pages_by_its_cursor(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        for number in range(5):
            await host.invoke("t.act", value=f"={number}")
        found, cursor = list[str](), None
        while True:
            page: Any = await host.query(
                "audit.search", target="t.act", kind="intent", limit=2, **({"cursor": cursor} if cursor else {})
            )
            found += [json.loads(item["args"])["value"] for item in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert found == [f"={number}" for number in (4, 3, 2, 1, 0)]
        with pytest.raises(InvalidArguments, match="cursor"):
            await host.query("audit.search", cursor="x")


@pytest.mark.anyio
async def test_the_tail_follows_the_log_live(tmp_path: Path) -> None:
    async with hosting(tmp_path) as host:
        door = host.host.door("cli")
        async with aclosing(door.follow(host.caller, "audit.tail", 0)) as batches, asyncio.timeout(20):
            seen = set[Any]()
            acted = asyncio.create_task(host.invoke("t.act", value="y"))
            async for batch in batches:
                seen |= {(event.data["kind"], event.data.get("target")) for event in batch}  # type: ignore[index,call-overload,union-attr]
                if ("outcome", "t.act") in seen:
                    break
            await acted
        assert ("intent", "t.act") in seen


@pytest.mark.anyio
async def test_the_tail_ends_when_another_log_is_begun(tmp_path: Path) -> None:
    async with hosting(tmp_path, commands="best-effort") as host:
        for number in range(5):
            await host.invoke("t.act", value=f"{number}")
        end: Any = (await host.query("audit.status"))["records"]  # type: ignore[index,call-overload]
        path = tmp_path / "audit" / "audit-00000001.jsonl"
        door = host.host.door("cli")
        async with asyncio.timeout(20):
            batches = door.follow(host.caller, "audit.tail", end)
            first = asyncio.create_task(anext(batches))
            await asyncio.sleep(0)
            await host.invoke("t.act", value="once more")
            assert (await first)[0].seq == end + 1
            path.rename(tmp_path / "away")
            await host.invoke("t.act", value="not recorded")
            await host.invoke("audit.recover", reason="it is gone")
            rest = [event async for batch in batches for event in batch]
        assert all(event.seq > end for event in rest)


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_export_has_what_fits_oldest_first(tmp_path: Path, form: str) -> None:
    async with hosting(tmp_path) as host:
        for value in ("plain", "=cmd|' /C calc'!A0"):
            await host.invoke("t.act", value=value)
        result: Any = await host.result("audit.export", format=form, target="t.act", kind="intent")
        path: Any = await host.query("artifacts.path", artifact_id=result["artifact"])
        text = Path(path["path"]).read_bytes()
    assert result["records"] == 2
    kept = of_kind(tmp_path / "audit", "intent")[:2]
    if form == "jsonl":
        assert text.splitlines() == [line for line in lines(tmp_path / "audit") if json.loads(line) in kept]
    else:
        rows = list(csv.DictReader(io.StringIO(text.decode())))
        assert [row["n"] for row in rows] == [str(record["n"]) for record in kept]
        assert rows[1]["args"] == kept[1]["args"]
    check_chain(tmp_path / "audit")
