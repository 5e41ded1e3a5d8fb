"""``trunnion new plugin`` and ``trunnion check-plugin``: what somebody does who writes the first plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_its_tests(folder: Path) -> str:
    """Run a distribution's own tests as its author does, but for the installation."""
    # An installed host brings the fixture along; naming it does no harm there.
    options = ("-q", "-p", "trunnion.testing.pytest_plugin", "-p", "no:cacheprovider", "--rootdir", str(folder))
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    environ["PYTHONPATH"] = os.pathsep.join([str(folder / "src"), *filter(None, [environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_plugin_passes_its_own_tests_and_the_contract(place):
    made = place.run("new", "plugin", "bird-watch", "--dir", "deep/down")
    assert (made.code, made.out) == (0, "deep/down/bird-watch\n")
    assert "next: pip install -e deep/down/bird-watch" in made.err
    folder = place.root / "deep/down/bird-watch"
    assert (folder / "src/bird_watch/py.typed").read_text() == ""
    assert "bird_watch" in (folder / "src/bird_watch/plugin.py").read_text()
    assert "4 passed" in run_its_tests(folder)
    checked = place.run("check-plugin", str(folder))
    assert (checked.code, checked.err) == (0, "")
    assert "passed: 0 errors, 0 warnings" in checked.out


def test_what_was_written_is_no_longer_a_template(place):
    folder = place.root / place.run("new", "plugin", "x9").out.strip()
    texts = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert len(texts) == 7
    assert [path for path, text in texts.items() if "$" in text] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Bird Watch", "it could be 'bird_watch'"),
        ("bird__watch", "it could be 'bird_watch'"),
        ("9lives", "it could be 'x9lives'"),
        ("../up", "it could be 'up'"),
        ("Vögel", "it could be 'v_gel'"),
        ("§", "no name can be made"),
        ("", "no name can be made"),
        ("b" * 64, f"it could be '{'b' * 63}'"),
        ("json", "try json_plugin"),
        ("class", "try class_plugin"),
        ("store", "try store_plugin"),
        ("trunnion", "try trunnion_plugin"),
    ],
)
def test_a_name_no_plugin_can_have_is_refused_and_the_nearest_shown(place, name, said):
    before = sorted(place.root.rglob("*"))
    done = place.run("new", "plugin", name)
    assert done.code == 2
    assert said in done.err
    assert sorted(place.root.rglob("*")) == before


@pytest.mark.parametrize("there", ["folder", "empty folder", "file", "dangling link"])
def test_nothing_is_overwritten(place, there):
    target = place.root / "bird-watch"
    if there == "file":
        target.write_text("mine")
    elif there == "dangling link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
        if there == "folder":
            (target / "README.md").write_text("mine")
    done = place.run("new", "plugin", "bird_watch")
    assert (done.code, done.out) == (6, "")
    assert "bird-watch is there already" in done.err
    assert not there.endswith("folder") or [p.name for p in target.iterdir()] == ["README.md"] * (there == "folder")
    assert not (place.root / "nowhere").exists()


def test_a_place_that_cannot_be_written_to_is_said(place):
    (place.root / "file").write_text("")
    done = place.run("new", "plugin", "bird_watch", "--dir", "file/below")
    assert done.code == 9
    assert "cannot be made" in done.err


BAD = """
from trunnion import Setting, hookimpl
@hookimpl
def trunnion_settings():
    yield Setting(key="url", schema={"type": "string", "description": "Where"})
@hookimpl
def trunnion_commands(settings):
    if not settings["url"]:
        raise ValueError("no url")
    return []
"""


def test_a_plugin_that_breaks_the_contract_fails_the_check(place):
    (place.root / "bad.py").write_text(BAD)
    done = place.run("check-plugin", "bad.py")
    assert done.code == 1
    assert "no url" in done.out
    assert "FAILED: 1 error, 0 warnings" in done.out
    (entry,) = json.loads(place.run("check-plugin", "--json", "bad.py").out)
    assert entry["ok"] is False
    assert (entry["plugin"], entry["origin"]) == ("bad", str(place.root / "bad.py"))
    assert [f["check"] for f in entry["findings"] if f["level"] == "error"] == ["starts"]


def test_settings_it_needs_come_from_the_flags_and_the_file(place):
    (place.root / "bad.py").write_text(BAD)
    assert place.run("--set", "bad.url=here", "check-plugin", "bad.py").code == 0
    (place.root / "other.toml").write_text('[bad]\nurl = "there"\n[elsewhere]\nkey = 1\n')
    assert place.run("--config", "other.toml", "check-plugin", "bad.py").code == 0
    (place.root / "other.toml").write_text("[bad]\nurl = 3\n")
    wrong = place.run("--config", "other.toml", "check-plugin", "bad.py")
    assert wrong.code == 1
    assert "bad.url" in wrong.out


def test_what_there_is_not_is_said_with_the_nearest(place):
    done = place.run("check-plugin", "scirpts")
    assert done.code == 5
    assert "did you mean: scripts" in done.err
