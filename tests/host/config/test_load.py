"""Configuration: who wins, and what a mistake is told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.config.load import load_config
from trunnion.config.schema import problem_of_setting, violations
from trunnion.config.toml_file import locate_keys
from trunnion.config.values import Config, describe
from trunnion.model.contributions import Setting
from trunnion.model.errors import InvalidConfig, NotFound

SCRIPT = {
    "type": "object",
    "properties": {"run": {"type": "array"}, "timeout": {"type": "number", "default": 60}, "key": {"writeOnly": True}},
    "required": ["run"],
    "additionalProperties": False,
}
SETTINGS = {
    "scripts": (
        Setting(key="folder", schema={"type": "string", "default": "scripts"}, reload="live"),
        Setting(key="", schema={"type": "object", "additionalProperties": SCRIPT}),
    ),
    "my-door": (
        Setting(key="port", schema={"type": "integer", "minimum": 1}),
        Setting(key="token", schema={"type": "string", "minLength": 8, "writeOnly": True}),
    ),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trunnion.toml"


def load(
    path: Path | None,
    text: str = "",
    *,
    env: dict[str, str] | None = None,
    flags: Sequence[str] = (),
    unread: Sequence[str] = (),
) -> Config:
    if path:
        path.write_text(text)
    return load_config(path, overrides=flags, environ=env or {}, settings=SETTINGS, unread=unread)


def refusal(path: Path, text: str, **options: object) -> str:
    with pytest.raises(InvalidConfig) as caught:
        load(path, text, **options)  # type: ignore[arg-type]
    return caught.value.message


def test_without_a_file_every_setting_has_its_default() -> None:
    config = load(None)
    assert config.get("executor.max_running") == 256
    assert config.get("store.durability") == "process"
    assert config.section("my-door") == {"port": None, "token": None}
    assert config.section("scripts") == {"folder": "scripts"}
    assert {entry.source for entry in describe(config)} == {"default"}


@pytest.mark.parametrize("section", HOST_SETTINGS)
def test_each_setting_of_the_host_is_described_and_its_default_fits(section: str) -> None:
    for setting in HOST_SETTINGS[section]:
        assert problem_of_setting(setting) is None
        assert setting.schema["description"]


def test_the_stronger_source_wins_and_is_named(file: Path) -> None:
    env = {"TRUNNION__EXECUTOR__THREADS": "3", "TRUNNION__EXECUTOR__MAX_RUNNING": "3", "TRUNNION_OTHER": "x"}
    text = "[executor]\nmax_pending = 2\nthreads = 2\nmax_running = 2\n"
    config = load(file, text, env=env, flags=["executor.max_running=4"])
    keys = ("max_abandoned", "max_pending", "threads", "max_running")
    assert [config.get(f"executor.{key}") for key in keys] == [8, 2, 3, 4]
    assert [config.source_of(f"executor.{key}") for key in keys] == ["default", "file", "env", "flag"]
    assert config.source_of("executor") == "flag"
    assert config.path == file


def test_free_form_tables_get_defaults_at_every_depth(file: Path) -> None:
    config = load(file, '[scripts.backup]\nrun = ["true"]\n', flags=["scripts.backup.timeout=5", "scripts.b.run=['x']"])
    assert config.section("scripts") == {
        "folder": "scripts",
        "backup": {"run": ["true"], "timeout": 5},
        "b": {"run": ["x"], "timeout": 60},
    }
    assert config.get("scripts.b.timeout") == 60
    assert config.source_of("scripts.backup.run") == "file"
    assert config.source_of("scripts.backup.timeout") == "flag"
    assert config.source_of("scripts.backup") == "flag"


def test_text_values_follow_the_type_of_the_setting() -> None:
    env = {"TRUNNION__MY_DOOR__TOKEN": "1234567890", "TRUNNION__MY_DOOR__PORT": "80", "TRUNNION__LOG__LEVEL": "debug"}
    config = load(None, env=env)
    assert config.section("my-door") == {"port": 80, "token": "1234567890"}
    assert config.get("log.level") == "debug"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[executor]\nmax_runing = 3\n", "{file}:2: executor.max_runing: unknown setting; did you mean 'max_running'"),
        ("\n[exector]\n", "{file}:2: exector: no plugin and no part of the host has a section of this name; did you"),
        ("[executor]\nthreads = 'four'\n", '{file}:2: executor.threads: "four" is not of type "integer"'),
        ("[executor]\nthreads = 0\n", "{file}:2: executor.threads: 0 is less than the minimum of 1"),
        ("executor.threads = 0\n", "{file}:1: executor.threads: 0 is less than"),
        ("executor = 3\n", "{file}:1: executor: expected a table"),
        ("[log]\nlevel = 'loud'\n", '"loud" is not one of debug, info, warning, error, critical'),
        ("[scripts.b]\nrun = ['x']\ntimeot = 3\n", "{file}:3: scripts.b.timeot: unknown key; did you mean 'timeout'?"),
        ("[scripts.b]\nrun = ['x']\ntimeout = 'x'\n", "{file}:3: scripts.b.timeout: "),
        ("[store\n", "{file}:1:7: "),
        ("a = 1\na = 2\n", "{file}:2:6: Cannot overwrite a value"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_file_line_key_and_expectation(file: Path, text: str, expected: str) -> None:
    assert expected.format(file=file) in refusal(file, text)


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    lines = refusal(file, "[log]\nlevel = 'loud'\n", env={"TRUNNION__STORE__X": "1"}, flags=["executor.threads=no"])
    assert [line.partition(": ")[0] for line in lines.splitlines()] == [
        "--set executor.threads",
        "environment variable TRUNNION__STORE__X",
        f"{file}:2",
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["not UTF-8", "missing"])
def test_a_file_that_cannot_be_read_is_named(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidConfig, match=str(file)):
        load_config(file, environ={}, settings={})


@pytest.mark.parametrize("flag", ["executor", "executor=1", "=1", "executor.=1"])
def test_a_set_flag_that_is_none_says_how(flag: str) -> None:
    with pytest.raises(InvalidConfig, match=r"expected section\.key=value"):
        load(None, flags=[flag])


def test_plugins_cannot_be_selected_where_it_would_be_too_late(file: Path) -> None:
    assert "--without" in refusal(file, "", flags=["plugins.only=a"])
    assert "TRUNNION__PLUGINS__ONLY" in refusal(file, "", env={"TRUNNION__PLUGINS__ONLY": "a"})


def test_the_section_of_a_plugin_that_is_not_loaded_is_left_alone(file: Path) -> None:
    config = load(file, "[web]\nport = 'anything'\n", unread=["web", "rpc"])
    assert config.unread == ("web",)
    with pytest.raises(NotFound):
        config.section("web")


def test_a_secret_is_in_no_message_and_not_shown(file: Path) -> None:
    assert "hunter2" not in refusal(file, "[my-door]\ntoken = 'hunter2'\n")
    assert "hunter2" not in refusal(file, "[scripts.b]\nrun = 'x'\nkey = 'hunter2'\n")
    config = load(file, "[my-door]\ntoken = 'long enough'\n[scripts.b]\nrun = ['x']\nkey = 'hunter2'\n")
    shown = {entry.key: entry.value for entry in describe(config)}
    assert shown["my-door.token"] == "***"
    assert shown["scripts.b"] == {"run": ["x"], "timeout": 60, "key": "***"}
    assert config.get("my-door.token") == "long enough"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"role": "boss"}, '"boss" is not one of "viewer" or "admin"'),
        ({"timeout": "long"}, '"long" is not of type "number"'),
        ({"timeout": -1}, "-1 is less than the minimum of 0"),
        ({"key": 12345}, '*** is not of type "string"'),
        ({"key": {"a": "hunter2"}}, '*** is not of type "string"'),
        ({"pin": "hunter2"}, '*** is not of type "integer"'),
        ({"env": {"A": 12345}}, '*** is not of type "string"'),
        ({"env": "A=hunter2"}, '*** is not of type "object"'),
        ({"role": ["hunter2"]}, '*** is not one of "viewer" or "admin"'),
        ("hunter2", '*** is not of type "object"'),
    ],
)
def test_beside_a_secret_only_what_may_be_one_is_masked(value, said):
    """Defence: a wrong word next to a secret is shown, anything that could hold the secret is not."""
    secret = {"type": "string", "writeOnly": True}
    properties = {
        "role": {"enum": ["viewer", "admin"]},
        "timeout": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]},
        "pin": {"anyOf": [{"type": "integer", "writeOnly": True}, {"type": "null"}]},
        "key": secret,
        "env": {"type": "object", "additionalProperties": secret},
    }
    [found] = violations({"type": "object", "properties": properties}, value)
    assert found.message == said


def test_what_one_reader_changes_no_other_sees(file: Path) -> None:
    config = load(file, "[scripts.b]\nrun = ['x']\n")
    section = config.section("scripts")
    section["b"]["run"].append("evil")  # type: ignore[index,call-overload,union-attr]
    assert config.get("scripts.b.run") == ["x"]


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"executor\.threads"):
        load(None).get("executor.thread")
    with pytest.raises(NotFound, match="executor"):
        load(None).get("execuror.threads")


def test_a_schema_is_never_fetched_from_the_network() -> None:
    asked: list[str] = []

    class Remote(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with HTTPServer(("127.0.0.1", 0), Remote) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reference = {"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"}
        problem = problem_of_setting(Setting(key="x", schema=reference))
        server.shutdown()
    assert asked == []
    assert "not a valid JSON Schema" in str(problem)


def test_show_tells_the_reload_rule_and_description() -> None:
    entries = {entry.key: entry for entry in describe(load(None))}
    assert entries["log.level"].reload == "live"
    assert entries["scripts.folder"].reload == "live"
    assert entries["executor.default_lock"].reload == "restart"
    assert "Threads" in entries["executor.threads"].description


def test_keys_are_located_in_every_spelling() -> None:
    text = 'top.sub = 1\n[a]\nb = """\nx\n"""\n"q.r" = 2\n[a.c] # why\n d = [\n  1,\n]\n[[list]]\ne = "f = g"\n'
    assert locate_keys(text) == {
        ("top", "sub"): 1,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "q.r"): 6,
        ("a", "c"): 7,
        ("a", "c", "d"): 8,
        ("list",): 11,
        ("list", "e"): 12,
    }


@given(st.text(max_size=60))
def test_locating_keys_never_fails(text: str) -> None:
    assert all(line >= 1 for line in locate_keys(text).values())


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = folder / "trunnion.toml"
    path.write_text('[demo]\nfolders = ["a", "/b"]\n[demo.one]\ncwd = "c"\n[demo.two]\n', encoding="utf-8")
    place = {"type": "string", "format": "path", "default": "."}
    settings = [
        Setting(key="folders", schema={"type": "array", "items": {"type": "string", "format": "path"}}),
        Setting(key="", schema={"type": "object", "additionalProperties": {"properties": {"cwd": place}}}),
    ]
    section = load_config(path, environ={}, settings={"demo": settings}).section("demo")
    assert section["folders"] == [str(folder / "a"), "/b"]
    assert section["one"] == {"cwd": str(folder / "c")}
    assert section["two"] == {"cwd": str(folder)}
    flagged = load_config(path, environ={}, overrides=['demo.folders=["a"]'], settings={"demo": settings})
    assert flagged.section("demo")["folders"] == [str(elsewhere / "a")]


def test_a_settings_own_check_is_told_with_file_and_line(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[door]\nport = 7\n\n[door.rows.a]\nx = 1\n")

    def odd(value):
        raise ZeroDivisionError("oh")

    settings = {
        "door": (
            Setting(key="port", schema={"type": "integer"}, check=odd),
            Setting(key="", schema={"type": "object"}, check=lambda rows: [(("rows", "a", "x"), "is not even")]),
        )
    }
    with pytest.raises(InvalidConfig) as caught:
        load_config(file, environ={}, settings=settings)
    assert f"{file}:5: door.rows.a.x: is not even" in caught.value.message
    assert f"{file}:2: door.port: the plugin's check of this setting failed: ZeroDivisionError: oh" in (
        caught.value.message
    )


def test_what_several_keys_must_agree_on_is_told_with_file_and_line(tmp_path):
    """Once each value fits by itself; nothing is made of a section that is wrong already."""
    file = tmp_path / "c.toml"
    seen = []

    def agree(section):
        seen.append(section)
        return [(("port",), "is the name's")] if section["port"] == section["name"] else []

    settings = {
        "door": (
            Setting(key="port", schema={"type": "integer", "default": 7}, check_section=agree),
            Setting(key="name", schema={"type": "integer"}),
        )
    }
    file.write_text("[door]\nname = 8\n")
    load_config(file, environ={}, settings=settings)
    assert seen == [{"port": 7, "name": 8}]
    file.write_text("[door]\nname = 7\nport = 7\n")
    with pytest.raises(InvalidConfig) as caught:
        load_config(file, environ={}, settings=settings)
    assert caught.value.message == f"{file}:3: door.port: is the name's"
    file.write_text('[door]\nname = "x"\n')
    with pytest.raises(InvalidConfig):
        load_config(file, environ={}, settings=settings)
    assert len(seen) == 2
