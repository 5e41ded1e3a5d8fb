"""Judges a data directory after the fact: was every client told the truth, is every stream one story?

It imports nothing of the host. The tables and the form of the chunks are those described in
``trunnion/store/schema.py`` and ``trunnion/store/chunks.py``: a chunk holds JSON lines, codec bit 1 says
compressed (zlib), bit 2 says that events may carry ``span``, offset and length of their text in the
run's output file. ``runs`` are ended runs, ``live`` the others; rows are JSON documents.

    python checker.py DATA_DIR HISTORY EFFECTS       prints figures and violations, exits 1 if there are any
"""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
import struct
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

TERMINAL = {"succeeded", "failed", "cancelled", "timed_out", "interrupted"}
RETRIED = {"faults.again"}
"""Commands that may have one effect for each attempt; all others have one at most."""

MADE_TO_FAIL = "faults.failing"
"""No other command fails by itself."""

COMPRESSED, SPANS, LEAN = 1, 2, 4
MOST_SHOWN = 20


class Verdict:
    """What was counted, and what was wrong."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: dict[str, list[str]] = defaultdict(list)

    def against(self, law: str, text: str) -> None:
        self.wrong[law].append(text)

    def figures(self) -> dict[str, int]:
        """Counts, and how often each law was broken."""
        return {**self.counts, **{f"wrong.{law}": len(texts) for law, texts in sorted(self.wrong.items())}}

    def shown(self) -> str:
        lines = [f"{law}: {text}" for law, texts in sorted(self.wrong.items()) for text in texts[:MOST_SHOWN]]
        return "\n".join(lines)


def lines_of(path: Path) -> list[dict]:
    """What was written; a line that has no end yet is still being written."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


class Stored:
    """The data directory as it is on disk."""

    def __init__(self, data: Path) -> None:
        self.data = data
        path = data / "db" / "trunnion.sqlite"
        self.db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        self.ended = {doc["id"]: doc for doc in self._docs("SELECT doc FROM runs ORDER BY num")}
        self.live = {doc["id"]: doc for doc in self._docs("SELECT doc FROM live ORDER BY num")}

    def close(self) -> None:
        self.db.close()

    def _docs(self, query: str) -> Iterator[dict]:
        return (json.loads(row[0]) for row in self.db.execute(query))

    @property
    def runs(self) -> dict[str, dict]:
        return {**self.live, **self.ended}

    def events(self, run: dict, verdict: Verdict) -> list[tuple[dict, bytes]]:
        """Every event of a run with its bytes as they go to followers; what is wrong with the chunks is told."""
        found: list[tuple[dict, bytes]] = []
        query = "SELECT first, last, codec, crc, data FROM chunks WHERE stream = ? ORDER BY first"
        for first, last, codec, crc, data in self.db.execute(query, (run["num"],)):
            if zlib.crc32(data) != crc:
                verdict.against("chunk", f"run {run['id']}: events {first}..{last} are not what was written")
                continue
            lines = (zlib.decompress(data) if codec & COMPRESSED else data).splitlines()
            if codec & LEAN:
                lines = fattened(lines)
            if len(lines) != last - first + 1:
                verdict.against("gap", f"run {run['id']}: chunk {first}..{last} holds {len(lines)} events")
            found += [self._whole(run["id"], line) if codec & SPANS else (json.loads(line), line) for line in lines]
        return found

    def _whole(self, run_id: str, line: bytes) -> tuple[dict, bytes]:
        event = json.loads(line)
        span = event.pop("span", None)
        if span is None:
            return event, line
        offset, length = span
        text = plain_output((self.data / "artifacts" / run_id / "output").read_bytes())[offset : offset + length]
        whole = {}
        for name, value in event.items():
            if name == "data":
                whole["text"] = text.decode()
            whole[name] = value
        whole.setdefault("text", text.decode())
        return whole, json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def fattened(lines: list[bytes]) -> list[bytes]:
    """The events of a lean chunk as they go to followers: stream and first number, then an array for each event."""
    stream, first = json.loads(lines[0])
    found, ts = [], 0
    for seq, line in enumerate(lines[1:], first):
        after, kind, level, by, text, data, span = json.loads(line)
        data = data and data[0]
        ts += after
        event = {"stream": stream, "seq": seq, "ts": ts, "kind": kind}
        more = {"level": level, "by": by, "text": text or None, "data": data, "span": span}
        event |= {name: value for name, value in more.items() if value is not None}
        found.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
    return found


@functools.lru_cache(maxsize=4)
def plain_output(data: bytes) -> bytes:
    """The bytes of an output file; a compressed one is blocks, then their sizes, then what all that was."""
    if not data.startswith(b"\xff\xfeTRNOUT1"):
        return data
    size, _, count, crc = struct.unpack("<QIII", data[-20:])
    table = data[-20 - 4 * count : -20]
    assert zlib.crc32(table) == crc
    plain, at = [], 9
    for (length,) in struct.iter_unpack("<I", table):
        plain.append(zlib.decompress(data[at : at + length]))
        at += length
    assert sum(map(len, plain)) == size
    return b"".join(plain)


def judge(data: Path, history: Path, effects: Path, intents: Path | None = None) -> Verdict:
    """Judge a data directory whose host has stopped and had time to finish what waited."""
    verdict, told, done = Verdict(), lines_of(history), lines_of(effects)
    if intents is not None and intents.exists():
        intended_first(lines_of(intents), done, verdict)
    with closing(Stored(data)) as stored:
        _judge(stored, told, done, verdict)
    return verdict


def judge_backup(data: Path, history: Path, before: float) -> Verdict:
    """Judge what a backup was restored to, before any host worked on it, by what was told before the backup began.

    Args:
        data: the restored data directory.
        history: what clients were told.
        before: when the backup began, by the clock of the history.
    """
    verdict, told = Verdict(), [line for line in lines_of(history) if line["at"] < before]
    with closing(Stored(data)) as stored:
        _judge(stored, told, [], verdict)
    # It was taken in the midst of work: runs are at work in it, and effects are not what is asked for.
    for law in ("running", "waiting", "hollow"):
        verdict.wrong.pop(law, None)
    return verdict


def _judge(stored: Stored, told: list[dict], done: list[dict], verdict: Verdict) -> None:
    check = stored.db.execute("PRAGMA integrity_check").fetchall()
    if check != [("ok",)]:
        verdict.against("database", str(check[:3]))
    accepted = accepted_runs(told, verdict)
    nothing_lost(stored, told, accepted, verdict)
    streams = {run["id"]: stored.events(run, verdict) for run in stored.runs.values()}
    one_story(stored, streams, verdict)
    as_seen(streams, told, verdict)
    cancels_hold(stored, told, done, verdict)
    effects_once(stored, accepted, done, verdict)
    artifacts_whole(stored, verdict)
    for run in stored.ended.values():
        if run["status"] == "failed" and run["command_id"] != MADE_TO_FAIL:
            verdict.against("failed", f"run {run['id']} ({run['command_id']}): {run['error']}")
    verdict.counts.update(f"status.{run['status']}" for run in stored.runs.values())
    verdict.counts["runs"] = len(stored.runs)


def accepted_runs(told: list[dict], verdict: Verdict) -> dict[str, str]:
    """Run id by key; one key is one run for ever."""
    by_key: dict[str, str] = {}
    for line in told:
        if line["what"] == "accepted":
            verdict.counts["answers"] += 1
            if by_key.setdefault(line["key"], line["run"]) != line["run"]:
                verdict.against("key", f"key {line['key']} became {by_key[line['key']]} and {line['run']}")
    verdict.counts["acknowledged"] = len(by_key)
    return by_key


def nothing_lost(stored: Stored, told: list[dict], accepted: dict[str, str], verdict: Verdict) -> None:
    """R1 and R2: every acknowledged run is there and has ended, as clients were told it had."""
    runs = stored.runs
    for key, run_id in accepted.items():
        if run_id not in runs:
            verdict.against("lost", f"run {run_id} (key {key}) was acknowledged and is not there")
    for run in stored.live.values():
        law = "running" if run["status"] == "running" else "waiting"
        verdict.against(law, f"run {run['id']} ({run['command_id']}) is still {run['status']}")
    for line in told:
        if line["what"] == "ended":
            verdict.counts["ends told"] += 1
            found = runs.get(line["run"], {"status": "lost"})
            if (found["status"], found.get("finished")) != (line["status"], line["finished"]):
                verdict.against("end", f"run {line['run']} was told {line['status']} and is {found['status']}")


def one_story(stored: Stored, streams: dict[str, list[tuple[dict, bytes]]], verdict: Verdict) -> None:
    """R3: numbers from 1 without gap; exactly one terminal event, the last one, agreeing with the row."""
    for run_id, run in stored.runs.items():
        events = [event for event, _ in streams[run_id]]
        verdict.counts["events"] += len(events)
        if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
            verdict.against("gap", f"run {run_id} has {[event['seq'] for event in events][:50]}")
        ends = [event for event in events if event["kind"] == "state" and event["data"]["status"] in TERMINAL]
        if run_id in stored.live:
            if ends:
                verdict.against("terminal", f"run {run_id} is {run['status']} and has a terminal event")
        elif len(ends) != 1 or ends[0] is not events[-1]:
            verdict.against("terminal", f"run {run_id} has {len(ends)} terminal events among {len(events)}")
        elif ends[0]["data"]["status"] != run["status"] or run.get("last_seq") != len(events):
            verdict.against("terminal", f"run {run_id} is {run['status']}, its stream ends {ends[0]['data']['status']}")


def as_seen(streams: dict[str, list[tuple[dict, bytes]]], told: list[dict], verdict: Verdict) -> None:
    """R3: what a follower was shown is in the store, byte for byte, and each was shown it in order."""
    places: dict[tuple[str, str], int] = {}
    for line in told:
        if line["what"] != "seen":
            continue
        events, reader = streams.get(line["run"], []), (line["follow"], line["run"])
        for seq, crc in line["events"]:
            verdict.counts["events seen"] += 1
            if seq != places.get(reader, 0) + 1:
                verdict.against("order", f"{reader}: {seq} was shown after {places.get(reader, 0)}")
            places[reader] = seq
            if seq > len(events):
                verdict.against("seen", f"run {line['run']}: event {seq} was shown and is not there")
            elif zlib.crc32(events[seq - 1][1]) != crc:
                verdict.against("seen", f"run {line['run']}: event {seq} is not as it was shown")


def cancels_hold(stored: Stored, told: list[dict], done: list[dict], verdict: Verdict) -> None:
    """A cancel that was answered is not forgotten: no success, and no work in a later host."""
    begun = {line["pid"]: line["at"] for line in told if line["what"] == "up"}
    works = defaultdict(list)
    for line in done:
        works[line["run"]].append(line)
    for line in told:
        if line["what"] != "cancelled" or line["status"] in TERMINAL - {"cancelled"}:
            continue
        verdict.counts["cancels answered"] += 1
        run = stored.runs.get(line["run"], {"status": "lost"})
        status = run["status"]
        wished = line["run"] in stored.live and run.get("cancel_requested_at") is not None
        if status not in {"cancelled", "interrupted", "timed_out"} and not wished:
            verdict.against("cancel", f"run {line['run']} was cancelled when {line['status']} and is {status}")
        for work in works[line["run"]]:
            if begun.get(work["pid"], 0) > line["at"]:
                verdict.against("cancel", f"run {line['run']} was cancelled and worked again in a later host")


def effects_once(stored: Stored, accepted: dict[str, str], done: list[dict], verdict: Verdict) -> None:
    """No token has two effects, unless its command is retried; and no run works before it is on record."""
    by_token = defaultdict(list)
    for line in done:
        by_token[line["token"]].append(line)
        verdict.counts["effects"] += 1
        if line["run"] not in stored.runs:
            verdict.against("unrecorded", f"run {line['run']} had an effect and is not on record")
    for token, lines in by_token.items():
        root = stored.runs.get(lines[0]["run"], {})
        attempts = [line["attempt"] for line in lines]
        twice = len(attempts) > (len(set(attempts)) if root.get("command_id") in RETRIED else 1)
        if twice or len({line["run"] for line in lines}) > 1:
            verdict.against("twice", f"{token} had an effect in {[(line['run'], line['attempt']) for line in lines]}")
    for key, run_id in accepted.items():
        run = stored.runs.get(run_id, {"status": "lost"})
        if run["status"] == "succeeded" and run["command_id"].startswith("faults.") and key not in by_token:
            verdict.against("hollow", f"run {run_id} (key {key}) succeeded without its effect")


def intended_first(intents: list[dict], done: list[dict], verdict: Verdict) -> None:
    """R4: what a run was about to do was on record before it did anything."""
    meant = {line["run"]: line["at"] for line in reversed(intents)}
    verdict.counts["intents"] = len(meant)
    for line in done:
        if meant.get(line["run"], line["at"]) >= line["at"]:
            verdict.against("unintended", f"run {line['run']} ({line['token']}) had an effect before its intent")


def artifacts_whole(stored: Stored, verdict: Verdict) -> None:
    """A kept file that is on record is there, whole."""
    for (doc,) in stored.db.execute("SELECT doc FROM artifacts"):
        info = json.loads(doc)
        verdict.counts["artifacts"] += 1
        path = stored.data / "artifacts" / info["run_id"] / info["id"]
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != info["sha256"]:
            verdict.against("artifact", f"{info['id']} of run {info['run_id']} is missing or damaged")


def digest(data: Path) -> str:
    """What a data directory says of its runs, without times: equal for equal stories."""
    verdict, story = Verdict(), hashlib.sha256()
    with closing(Stored(data)) as stored:
        for run in sorted(stored.runs.values(), key=lambda run: run["num"]):
            head = [run.get(name) for name in ("id", "num", "command_id", "status", "attempt", "error", "result")]
            story.update(json.dumps(head, sort_keys=True).encode())
            for event, _ in stored.events(run, verdict):
                story.update(json.dumps({k: v for k, v in event.items() if k != "ts"}, sort_keys=True).encode())
    return story.hexdigest() + verdict.shown()


if __name__ == "__main__":
    result = judge(*map(Path, sys.argv[1:4]))
    print(json.dumps(result.figures()), result.shown(), sep="\n")
    sys.exit(1 if result.wrong else 0)
