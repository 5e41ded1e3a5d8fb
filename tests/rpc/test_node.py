"""A program in Node, on the client of the example: what it is told, and what becomes of calls it leaves early."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from clients_kit import ROOT, Checkout, install

from trunnion_rpc.v1 import runtime_pb2 as pb
from trunnion_rpc.v1.runtime_pb2_grpc import RuntimeServiceStub

BEGIN = """
import { Host, Refused, fromJson, toJson } from "./trunnion.js";
const host = new Host(process.env.TARGET, { token: process.env.TRUNNION_TOKEN });
const tell = (value) => console.log(JSON.stringify(value));
const refusal = async (call) => {
  try { await call; } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { status: error.status, code: error.code, details: error.details, message: error.message };
  }
};
const start = async (args) =>
  (await host.ask("Invoke", { commandId: "greenhouse.water", argsJson: toJson(args) })).run.id;
"""
SOCKET = "unix:../data/run/rpc.sock"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = Checkout(tmp_path_factory.mktemp("node") / "trunnion")
    install(made.place / "node")
    made.start()
    yield made
    made.stop()


def node(checkout: Checkout, script: str, target: str = SOCKET, **environ: str) -> list[object]:
    """What a script tells; it ends by itself, with nothing left that is in its way."""
    words = ("node", "--input-type=module", "--unhandled-rejections=strict", "--eval", f"{BEGIN}{script}host.close();")
    done = checkout.run(*words, cwd="node", TARGET=target, **environ)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_client_may_be_taken_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    """With the protocol where the guide says, far from any repository."""
    there, folder = checkout.place / "node", tmp_path / "mine"
    shutil.copytree(there / "proto", folder / "proto")
    (folder / "proto/trunnion/v1").mkdir(parents=True)
    shutil.copy(ROOT / "plugins/rpc/proto/trunnion/v1/runtime.proto", folder / "proto/trunnion/v1")
    for name in ("trunnion.js", "package.json"):
        shutil.copy(there / name, folder)
    (folder / "node_modules").symlink_to(there / "node_modules")
    [said] = node(
        checkout,
        f"""
        const {{ Host: Mine }} = await import("{folder}/trunnion.js");
        const mine = new Mine(process.env.TARGET);
        tell((await mine.ask("GetHost")).source);
        mine.close();
        """,
    )
    assert said == "rpc"


def test_a_refusal_has_the_code_and_the_facts_of_the_host(checkout: Checkout) -> None:
    wrong, nowhere = node(
        checkout,
        """
        tell(await refusal(start({ bed: "roses", litres: "many" })));
        tell(await refusal(host.ask("GetRun", { runId: "01890000-0000-7000-8000-000000000000" })));
        """,
    )
    assert (wrong["status"], wrong["code"]) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "invalid_arguments")
    assert [problem["path"] for problem in wrong["details"]["problems"]] == ["bed", "litres"]
    assert (nowhere["status"], nowhere["code"]) == (grpc.StatusCode.NOT_FOUND.value[0], "not_found")


def test_who_shows_no_token_at_the_port_is_told_so_and_who_is_gone_is_not_the_host(checkout: Checkout) -> None:
    [unknown] = node(checkout, 'tell(await refusal(host.ask("GetHost")));', f"127.0.0.1:{checkout.port}")
    assert (unknown["code"], unknown["details"]) == ("unauthenticated", {})
    [gone] = node(checkout, 'tell(await refusal(host.ask("GetHost")));', "unix:nobody.sock")
    assert (gone["status"], gone["code"]) == (grpc.StatusCode.UNAVAILABLE.value[0], "")


def test_no_proxy_is_asked_for_a_host_of_this_machine(checkout: Checkout) -> None:
    token = checkout.token("dora", "greenhouse.*")
    proxies = dict.fromkeys(("http_proxy", "grpc_proxy"), "http://127.0.0.1:1")
    for place in ("127.0.0.1", "localhost"):
        where = f"{place}:{checkout.port}"
        told = node(checkout, 'tell((await host.ask("GetHost")).principal);', where, TRUNNION_TOKEN=token, **proxies)
        assert told == ["dora"]


def test_a_token_sees_what_is_its_own(checkout: Checkout) -> None:
    [run_id] = node(checkout, 'tell(await start({ bed: "basil", litres: 0 }));')
    token = checkout.token("cleo", "greenhouse.*", "runs.list")
    script = f"""
        tell((await host.ask("GetHost")).principal);
        tell((await refusal(host.ask("GetRun", {{ runId: "{run_id}" }}))).code);
        tell((await host.ask("ListRuns")).runs.length);
    """
    assert node(checkout, script, f"127.0.0.1:{checkout.port}", TRUNNION_TOKEN=token) == ["cleo", "not_found", 0]


def test_a_run_is_followed_with_the_bytes_that_any_client_gets(checkout: Checkout) -> None:
    run_id, seen = node(
        checkout,
        """
        const id = await start({ bed: "basil", litres: 3, pause: 0.01 });
        tell(id);
        const seen = [];
        for await (const { events } of host.listen("StreamEvents", { stream: `run/${id}`, follow: true }))
          for (const { seq, timeUs, kind, text, dataJson } of events)
            seen.push([seq, timeUs, kind, text, dataJson.toString("hex")]);
        tell(seen);
        """,
    )
    with grpc.insecure_channel(f"unix:{checkout.place}/data/run/rpc.sock") as channel:
        asked = pb.StreamEventsRequest(stream=f"run/{run_id}", follow=True)
        events = [event for answer in RuntimeServiceStub(channel).StreamEvents(asked) for event in answer.events]
    assert seen == [[str(e.seq), str(e.time_us), e.kind, e.text, e.data_json.hex()] for e in events]
    assert (events[0].kind, events[-1].text) == ("state", "succeeded")


def test_a_stream_may_be_left_in_the_middle_and_a_run_cancelled(checkout: Checkout) -> None:
    assert node(
        checkout,
        """
        const id = await start({ bed: "tomatoes", litres: 60, pause: 0.01 });
        for await (const { events } of host.listen("StreamEvents", { stream: `run/${id}`, follow: true })) {
          if (events.some((event) => event.kind === "progress")) break;
        }
        await host.ask("CancelRun", { runId: id });
        tell((await host.ask("WaitRun", { runId: id })).run.status);
        """,
    ) == ["RUN_STATUS_CANCELLED"]


def test_a_stream_that_has_no_end_is_let_go_and_one_that_is_not_there_is_refused(checkout: Checkout) -> None:
    assert node(
        checkout,
        """
        for await (const { runs } of host.listen("StreamRuns", {})) { tell(runs.length >= 0); break; }
        for await (const { events } of host.listen("StreamEvents", { stream: "host", follow: true })) {
          tell(events[0].seq);
          break;
        }
        const nowhere = async () => { for await (const _ of host.listen("StreamEvents", { stream: "run/none" })); };
        tell((await refusal(nowhere())).code);
        """,
    ) == [True, "1", "not_found"]


def test_an_upload_is_taken_up_where_it_broke(checkout: Checkout) -> None:
    content = bytes(range(256)) * 1024
    script = """
        const content = Buffer.concat(Array(1024).fill(Buffer.from([...Array(256).keys()])));
        const piece = (begin, end) => ({ chunk: content.subarray(begin, end) });
        const { upload: { id: uploadId } } = await host.ask("OpenUpload", { name: "bytes", size: content.length });
        await host.bring("WriteUpload", [{ uploadId, ...piece(0, 1000) }, piece(1000, 70_000)]);
        tell((await refusal(host.bring("WriteUpload", [{ uploadId, offset: 5, ...piece(5, 9) }]))).code);
        const { upload: { offset } } = await host.ask("GetUpload", { uploadId });
        tell(offset);
        await host.bring("WriteUpload", (async function* () {
          yield { uploadId, offset };
          for (let at = Number(offset); at < content.length; at += 65_536) yield piece(at, at + 65_536);
        })());
        const { upload } = await host.ask("FinishUpload", { uploadId, sha256: process.env.DIGEST });
        tell(upload.handle === `upload:${uploadId}`);
        tell(upload.size);
    """
    told = node(checkout, script, DIGEST=hashlib.sha256(content).hexdigest())
    assert told == ["conflict", "70000", True, str(len(content))]


def test_pieces_for_an_upload_that_is_not_there_are_refused_once(checkout: Checkout) -> None:
    assert node(
        checkout,
        """
        const pieces = function* () {
          for (let n = 0; n < 200; n++) yield { uploadId: "nothing", chunk: Buffer.alloc(65_536) };
        };
        tell((await refusal(host.bring("WriteUpload", pieces()))).code);
        tell((await host.ask("GetHost")).source);
        """,
    ) == ["not_found", "rpc"]
