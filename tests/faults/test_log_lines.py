"""N1, N8: a record is one line of the log whatever was said, and the log is written whatever becomes of its file."""

from __future__ import annotations

import json

from canaries_kit import Planted, ask
from faults_kit import Ground


def test_n1_one_record_stays_one_line(ground: Ground) -> None:
    odd = "a\nb\rc\0d\x85e\u2028f\u2029g\x0bh\x0ci"
    planted = Planted(ground, 5)
    planted.up()
    ask(ground, "canaries.noted", text=odd)
    lines = (ground.data / "logs" / "host.jsonl").read_bytes()
    records = [json.loads(line) for line in lines.decode("ascii").splitlines()]
    assert lines.count(b"\n") == len(records)
    assert [record["text"] for record in records].count(odd) == 1
