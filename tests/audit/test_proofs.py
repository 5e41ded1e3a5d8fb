"""Proofs and receipts: made by the plugin, checked by the verifier and by the definitions of RFC 6962. Row O7."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from log_kit import Log, Signer, intent, made, mth, outcome, path_of, proof_of, sha, text_of

from trunnion_audit.proofs import (
    Beginning,
    Range,
    Unprovable,
    beginning_of,
    consistency,
    consistency_ranges,
    inclusion,
    path_ranges,
    proof_file,
    roots_of,
    sealed_by,
)
from trunnion_audit.receipts import Seal, Told, receipt
from trunnion_audit.verify import (
    Question,
    Report,
    check_proof,
    check_receipt,
    given_keys,
    is_consistent,
    kept_roots,
    main,
    root_by_inclusion,
    verify,
)

Figure = Callable[..., None]
LINES = [b"line %d" % number for number in range(70)]
LEAVES = [sha(b"\0" + line) for line in LINES]


def numbered(first: int = 1) -> list[tuple[int, bytes]]:
    return list(enumerate(LINES, 1))[first - 1 :]


def names(report: Report) -> list[str]:
    return [finding.name for finding in report.findings]


def test_audit_paths_are_those_of_the_rfc() -> None:
    for size in range(1, 40):
        root = mth(LEAVES[:size]).hex()
        for leaf in range(size):
            ranges = path_ranges(leaf, size)
            roots = roots_of(numbered(), Beginning(), ranges)
            path = [roots[each] for each in ranges]
            assert path == path_of(leaf, LEAVES[:size])
            assert root_by_inclusion(LEAVES[leaf], leaf, size, path) == root
            assert root_by_inclusion(LEAVES[leaf + 1], leaf, size, path) != root
            assert size == 1 or root_by_inclusion(LEAVES[leaf], (leaf + 1) % size, size, path) != root
            assert root_by_inclusion(LEAVES[leaf], leaf, size, [*path, root.encode()[:32]]) is None
            assert not path or root_by_inclusion(LEAVES[leaf], leaf, size, path[:-1]) is None


def test_consistency_proofs_are_those_of_the_rfc() -> None:
    for size in range(1, 40):
        later = (size, mth(LEAVES[:size]).hex())
        for first in range(1, size + 1):
            ranges = consistency_ranges(first, size)
            roots = roots_of(numbered(), Beginning(), ranges)
            proof = [roots[each] for each in ranges]
            assert proof == proof_of(first, LEAVES[:size])
            earlier = (first, mth(LEAVES[:first]).hex())
            assert is_consistent(earlier, later, proof)
            other = (first, mth([*LEAVES[: first - 1], LEAVES[-1]]).hex())
            assert not is_consistent(other, later, proof)
            assert not is_consistent(earlier, (size, mth(LEAVES[1 : size + 1]).hex()), proof) or first == size == 0
            for place in range(len(proof)):
                wrong = [*proof[:place], sha(b"wrong"), *proof[place + 1 :]]
                assert not is_consistent(earlier, later, wrong)
                assert not is_consistent(earlier, later, proof[:place] + proof[place + 1 :])
            assert not is_consistent(earlier, later, [*proof, LEAVES[0]])


def test_after_a_cut_what_can_be_proved_is_the_same() -> None:
    """From the nodes that the cut left; what needs more than those is refused, and nothing else is."""
    for kept in range(1, 40):
        beginning = Beginning(2, kept + 1, tuple(log_nodes(kept)))
        for size in (kept + 1, kept + 2, 41):
            for leaf in range(kept, size):
                ranges = path_ranges(leaf, size)
                roots = roots_of(numbered(kept + 1), beginning, ranges)
                assert [roots[each] for each in ranges] == path_of(leaf, LEAVES[:size])
        for first in range(max(1, kept), 41):
            ranges = consistency_ranges(first, 41)
            roots = roots_of(numbered(kept + 1), beginning, ranges)
            assert [roots[each] for each in ranges] == proof_of(first, LEAVES[:41])
        if kept > 1:
            with pytest.raises(Unprovable, match=f"history begins at record {kept + 1}"):
                roots_of(numbered(kept + 1), beginning, [Range(0, 1)])


def log_nodes(size: int) -> list[str]:
    found, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append(mth(LEAVES[start : start + (1 << level)]).hex())
            start += 1 << level
    return found


def test_a_range_beyond_the_end_is_refused() -> None:
    with pytest.raises(Unprovable, match="ends at record 70"):
        roots_of(numbered(), Beginning(), [Range(64, 71)])


def salt(field: str, run: str) -> bytes:
    return sha(f"{field} {run}".encode())


def seal_of(log: Log) -> Seal:
    signer = log.signers[-1]
    return Seal(log.host_id, log.listed, signer.id, lambda data: signer._key.sign(data).hex(), salt)


RESULT = b'{"done":1.5}'
EVENTS = [b'{"seq":1,"kind":"state"}\n', b'{"seq":2,"kind":"text"}\n']


def ran(tmp_path: Path, *, cut: bool = False, events: bool = True) -> tuple[Log, bytes]:
    """A log with one run whose receipt is asked for."""
    log = made(60, every=9, segments=3)
    if cut:
        log.cut(2)
    args = '{"value":1.5}'
    committed = sha(salt("args", "the-run") + args.encode()).hex()
    chance = random.Random(1)
    intent(log, "other", chance)
    number = log.size + 1
    log.add("intent", principal="ann", target="plc.write", run="the-run", args=args, args_commit=committed)
    intent(log, "another", chance)
    result_commit = sha(salt("result", "the-run") + RESULT).hex()
    events_commit = sha(salt("events", "the-run") + b"".join(EVENTS)).hex()
    outcome(log, "the-run", number, result_commit=result_commit, events_commit=events_commit)
    outcome(log, "the-run", number)  # again, after a crash
    log.checkpoint()
    log.write(tmp_path / "log")
    return log, receipt(tmp_path / "log", "the-run", Told(RESULT, EVENTS if events else None), seal_of(log))


def test_a_receipt_holds(tmp_path: Path) -> None:
    log, file = ran(tmp_path)
    for key in (log.signers[0].id, log.signers[1].public):
        report = check_receipt(file, Question(keys=given_keys(key), host_id=log.host_id))
        assert (report.verdict, report.findings, report.notes) == ("intact", [], [])
    content = json.loads(file)
    assert text_of(content) + b"\n" == file
    assert [entry["n"] for entry in content["records"]] == [62, 64]
    assert (content["args"], content["result"]) == ('{"value":1.5}', RESULT.decode())
    assert report.facts["disclosed"] == "args, result, events"
    _, less = ran(tmp_path, events=False)
    assert "events" not in json.loads(less)
    assert check_receipt(less).verdict == "intact"
    assert "taken from the file itself" in check_receipt(less).notes[0]


def test_what_is_no_longer_what_was_committed_to_is_left_out(tmp_path: Path) -> None:
    """A receipt that does not hold is of no use, and would say that the log is wrong."""
    log, _ = ran(tmp_path)
    content = json.loads(receipt(tmp_path / "log", "the-run", Told(b"{}", EVENTS[:1]), seal_of(log)))
    assert "result" not in content and "events" not in content
    assert check_receipt(text_of(content)).verdict == "intact"


def test_a_receipt_after_a_cut_holds(tmp_path: Path) -> None:
    _, file = ran(tmp_path, cut=True)
    assert verify(tmp_path / "log").verdict == "intact"
    assert check_receipt(file).verdict == "intact"


def test_a_run_that_has_not_ended_has_a_receipt_of_its_intent(tmp_path: Path) -> None:
    log = made(60, every=9)
    log.add("intent", principal="ann", target="plc.write", run="run-x")
    log.checkpoint()
    outcome(log, "run-x", 61)
    log.write(tmp_path / "log")
    report = check_receipt(receipt(tmp_path / "log", "run-x", Told(), seal_of(log)))
    assert report.facts["records"] == "intent 61"


def signed(content: dict[str, Any], signer: Signer) -> bytes:
    return text_of({**content, "sig": signer.over("receipt", content)}) + b"\n"


def test_whatever_is_changed_in_a_receipt_is_found(tmp_path: Path) -> None:
    """By somebody who has the key even, for each member: the log is what counts."""
    log, file = ran(tmp_path)
    content, signer, stranger = json.loads(file), log.signers[-1], Signer("stranger")
    one, two = content["records"]
    wrong_path = {**one, "proof": ["0" * 64, *one["proof"][1:]]}
    changes: list[tuple[str, dict[str, Any]]] = [
        ("bad_commitment", {"args": '{"value":2.5}'}),
        ("bad_commitment", {"result": "2"}),
        ("bad_commitment", {"args_salt": "0" * 64}),
        ("bad_commitment", {"events": content["events"][:1]}),
        ("bad_commitment", {"result_salt": None}),
        ("bad_proof", {"records": [wrong_path, two]}),
        ("bad_proof", {"records": [{**one, "line": one["line"].replace("ann", "bob")}, two]}),
        ("bad_proof", {"records": [one, {**two, "proof": two["proof"][:-1]}]}),
        ("bad_record", {"records": []}),
        ("bad_record", {"records": [{**one, "n": 63}, two]}),
        ("bad_record", {"records": [two, one]}),
        ("bad_record", {"run": "another-run"}),
        ("wrong_host", {"host_id": "host-b"}),
        ("wrong_key", {"keys": []}),
        ("unknown_key", {"keys": content["keys"][:1]}),
        ("unknown_key", {"key": stranger.id}),
        ("bad_signature", {"checkpoint": content["checkpoint"].replace('"ts":1', '"ts":2')}),
        ("malformed", {"checkpoint": one["line"]}),
        ("malformed", {"type": "something else"}),
        ("malformed", {"v": 2}),
        ("malformed", {"records": "none"}),
        ("malformed", {"records": [{**one, "proof": ["zz"]}, two]}),
    ]
    for expected, change in changes:
        changed = {name: value for name, value in {**content, **change}.items() if value is not None}
        assert names(check_receipt(signed(changed, signer))) == [expected], change
    assert names(check_receipt(signed(content, stranger))) == ["bad_signature"]
    assert names(check_receipt(file, Question(keys=given_keys(stranger.id)))) == ["unknown_key"]
    assert names(check_receipt(file, Question(host_id="host-b"))) == ["wrong_host"]
    assert names(check_receipt(b"no")) == ["malformed"]
    chance = random.Random(3)
    for _ in range(150):
        place = chance.randrange(len(file) - 1)
        flipped = bytearray(file)
        flipped[place] ^= 1 << chance.randrange(7)
        assert check_receipt(bytes(flipped)).verdict == "not intact", place


def test_a_checkpoint_that_does_not_speak_of_all_before_it_seals_nothing(tmp_path: Path) -> None:
    """Signed by the key of the log even."""
    log, file = ran(tmp_path)
    size = log.size - 1
    line = log.checkpoint(size=size, root=log.root(size))
    records = json.loads(file)["records"]
    for entry in records:
        entry["proof"] = [node.hex() for node in path_of(entry["n"] - 1, log.leaves[:size])]
    changed = {**json.loads(file), "checkpoint": line.decode(), "records": records}
    assert names(check_receipt(signed(changed, log.signers[-1]))) == ["bad_checkpoint"]


def test_what_has_no_receipt_says_why(tmp_path: Path) -> None:
    log, _ = ran(tmp_path)
    with pytest.raises(Unprovable, match="no run nobody is on record"):
        receipt(tmp_path / "log", "nobody", Told(), seal_of(log))
    intent(log, "late", random.Random(1))
    log.write(tmp_path / "log")
    with pytest.raises(Unprovable, match="no checkpoint covers"):
        receipt(tmp_path / "log", "late", Told(), seal_of(log))
    path = tmp_path / "log" / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"ts":17', b'"ts":18', 1))
    with pytest.raises(Unprovable, match="is not what its last checkpoint says"):
        receipt(tmp_path / "log", "the-run", Told(), seal_of(log))
    path.unlink()
    with pytest.raises(Unprovable, match="segment 1 of the audit log is missing"):
        receipt(tmp_path / "log", "the-run", Told(), seal_of(log))


def grown(shared: int, size: int, about: str) -> Log:
    log = Log()
    for number in range(shared - 1):
        log.add("note", text=f"{number}")
    while log.size < size:
        log.add("note", text=about)
    log.checkpoint()
    return log


def test_o7_two_histories_for_two_readers(tmp_path: Path, figure: Figure) -> None:
    one, other = grown(40, 60, "one"), grown(40, 75, "other")
    one.write(tmp_path / "one")
    other.write(tmp_path / "other")
    assert verify(tmp_path / "one").verdict == verify(tmp_path / "other").verdict == "intact"
    tried = 0
    for first in range(1, 61):
        file = proof_file(tmp_path / "other", first, other.host_id, other.listed)
        content = json.loads(file)
        own = kept_roots([f"{first}:{one.root(first)}"])
        found = check_proof(file, Question(roots=own, keys=given_keys(one.signers[0].id)))
        claimed = text_of({**content, "first": {"root": one.root(first), "size": first}})
        if first <= 40:
            assert (found.verdict, check_proof(claimed).verdict) == ("intact", "intact")
        else:
            assert (names(found), names(check_proof(claimed))) == (["forked"], ["bad_proof"])
            assert [f.name for f in verify(tmp_path / "other", Question(roots=own)).findings] == ["forked"]
        tried += 1
    figure("roots compared", tried)


def test_o7_without_the_fault(tmp_path: Path) -> None:
    log = grown(40, 60, "one")
    log.write(tmp_path / "log")
    file = proof_file(tmp_path / "log", 50, log.host_id, log.listed)
    assert check_proof(file, Question(roots=kept_roots([f"50:{log.root(50)}"]))).verdict == "intact"
    for broken in (b"[]", file[:-3], text_of({**json.loads(file), "first": {"root": "x", "size": 50}})):
        assert names(check_proof(broken)) == ["malformed"]


def test_o7_after_a_cut(tmp_path: Path) -> None:
    log = made(120, every=10, segments=4)
    log.cut(3)
    log.write(tmp_path / "log")
    begins = beginning_of(tmp_path / "log").first
    for first in (begins - 1, begins, begins + 7, log.size - 1):
        file = proof_file(tmp_path / "log", first, log.host_id, log.listed)
        report = check_proof(file, Question(roots=kept_roots([f"{first}:{log.root(first)}"])))
        assert report.verdict == "intact", report.findings
    with pytest.raises(Unprovable, match="history begins"):
        proof_file(tmp_path / "log", begins - 2, log.host_id, log.listed)
    for none in (0, log.size + 1):
        with pytest.raises(Unprovable, match="no earlier tree"):
            proof_file(tmp_path / "log", none, log.host_id, log.listed)


def test_proofs_of_single_records_and_of_whole_logs(tmp_path: Path) -> None:
    log = made(60, every=9)
    log.write(tmp_path / "log")
    sealed = sealed_by(log.checkpoints[-1])
    assert sealed is not None
    for number, path in inclusion(tmp_path / "log", [1, 30, 59], sealed).items():
        assert path == [node.hex() for node in path_of(number - 1, log.leaves[:59])]
    root, proof = consistency(tmp_path / "log", 30, sealed)
    assert (root, proof) == (log.root(30), [node.hex() for node in proof_of(30, log.leaves[:59])])


def test_files_are_checked_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, file = ran(tmp_path)
    (tmp_path / "r").write_bytes(file)
    (tmp_path / "p").write_bytes(proof_file(tmp_path / "log", 50, log.host_id, log.listed))
    assert main(["receipt", str(tmp_path / "r"), "--keys", log.signers[0].id]) == 0
    assert "target: plc.write" in capsys.readouterr().out
    assert main(["proof", str(tmp_path / "p"), "--against", f"50:{log.root(50)}"]) == 0
    assert main(["proof", str(tmp_path / "p"), "--against", f"51:{log.root(51)}", "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["findings"][0]["name"] == "forked"
    assert main(["receipt", str(tmp_path / "none")]) == 2
