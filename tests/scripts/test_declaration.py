"""What a declaration may say, and how a wrong one is named."""

import tomllib
from pathlib import Path

import pytest

from trunnion import InvalidConfig
from trunnion.config.load import load_config
from trunnion.config.schema import violations
from trunnion_scripts.declaration import read, schema_of_declaration
from trunnion_scripts.plugin import trunnion_settings
from trunnion_scripts.request import problem, request

DUMP = """
run = ["pg_dump", "--dbname={db}", "{*tables}"]
umask = "027"
timeout = 600
limits = { open_files = 256 }
env = { PGHOST = "h-{db}" }
[args.db]
type = "string"
required = true
description = "which"
[args.tables]
type = "array"
items = { type = "string" }
[args.jobs]
type = "integer"
flag = true
env = "JOBS"
[args.password]
type = "string"
secret = true
env = "PGPASSWORD"
"""


def script(text: str, name: str = "dump", program: Path | None = None):
    return read(name, tomllib.loads(text), f"scripts.{name}", program)


def test_a_whole_declaration():
    dump = script(DUMP)
    assert dump.id == "scripts.dump"
    assert dump.positional == ("db", "tables")
    assert dump.schema["required"] == ["db"]
    assert dump.schema["properties"]["db"] == {"type": "string", "description": "which"}
    assert dump.schema["properties"]["password"] == {"type": "string", "writeOnly": True}


def test_what_is_started():
    values = {"db": "prod", "tables": ["a", "b"], "password": "pässword", "jobs": 3}
    wanted = request(
        script(DUMP), values, {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "x", "LD_PRELOAD": "y"}
    )
    assert wanted.spawn.argv == ("pg_dump", "--dbname=prod", "a", "b")
    assert wanted.spawn.env == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PGHOST": "h-prod",
        "PGPASSWORD": "pässword",
        "JOBS": "3",
    }
    assert (wanted.spawn.umask, wanted.spawn.limits.open_files, wanted.spawn.stdin) == (0o027, 256, "null")
    assert wanted.stdin == b""


def test_variables_of_the_host_pass_when_named():
    wanted = request(script('run = ["x"]\npass_env = ["AWS_*"]'), {}, {"AWS_KEY": "k", "OTHER": "o"})
    assert wanted.spawn.env == {"AWS_KEY": "k"}


def test_standard_input_from_a_text_or_from_an_argument():
    text = 'run = ["psql"]\nstdin = "select {q};\\n"\n[args.q]\ntype = "string"\nsecret = true'
    wanted = request(script(text), {"q": "1"}, {})
    assert (wanted.stdin, wanted.spawn.stdin) == (b"select 1;\n", "pipe")
    wanted = request(script('run = ["x"]\n[args.p]\nsecret = true\nstdin = true'), {"p": "word"}, {})
    assert wanted.stdin == b"word"


def test_values_are_refused_before_anything_runs():
    dump = script(DUMP)
    assert problem(dump, {"db": "x", "tables": ["ok"]}) is None
    assert "tables" in problem(dump, {"db": "x", "tables": ["-o"]})
    assert "NUL" in problem(dump, {"db": "a\0b"})
    assert "NUL" in problem(dump, {"db": "a", "password": "a\0b"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "scripts.dump.run: expected a list of words"),
        ("run = []", "scripts.dump.run: expected"),
        ('run = "ls -l"', "scripts.dump.run: Expected `array`"),
        ('run = ["ls", 5]', "scripts.dump.run[1]: Expected `str`"),
        ('run = ["{x}"]\n[args.x]\n', "run[0]: the program itself"),
        ('run = ["ls", "{x}"]', "run[1]: there is no argument 'x'"),
        ('run = ["ls", "{tabel}"]\n[args.table]\nrequired = true', "did you mean 'table'"),
        ('run = ["ls", "{x"]', "run[1]: '{x' has a brace"),
        ('run = ["ls"]\nretry = { attempts = 0 }', "scripts.dump.retry.attempts: Expected `int` >= 1"),
        ('run = ["ls"]\nretry = { atempts = 2 }', "scripts.dump.retry: unknown key 'atempts'"),
        ('run = ["ls"]\nretry = { codes = ["exit"] }', "scripts.dump.retry.codes[0]: Invalid enum value 'exit'"),
        ('run = ["ls"]\n[args.x]\ntype = "string"', "args.x: nothing uses it"),
        ('run = ["ls", "{x}"]\n[args.x]\nsecret = true\nenv = "X"', "'x' is secret and would be visible"),
        ('run = ["ls"]\n[args.x]\nsecret = true', "args.x: a secret needs a way in"),
        ('run = ["ls", "{x}"]\n[args.x]\ntype = "array"', "'x' is a list: write {*x}"),
        ('run = ["ls", "{*x}"]\n[args.x]\ntype = "string"', "'x' is no list: write {x}"),
        ('run = ["ls"]\ntimeuot = 5', "unknown key 'timeuot'; did you mean 'timeout'?"),
        ('run = ["ls"]\ntimeout = 0', "scripts.dump.timeout: Expected `float` > 0"),
        ('run = ["ls"]\noutput = "xml"', "scripts.dump.output: Invalid enum value 'xml'"),
        ('run = ["ls"]\nlimits = { opne_files = 5 }', "opne_files"),
        ('run = ["ls"]\numask = "999"', "scripts.dump.umask"),
        ('run = ["ls"]\nstdin = "x"\n[args.p]\nstdin = true', "standard input can come from one place only"),
        ('run = ["ls"]\nenv = { A = "1" }\n[args.p]\nenv = "A"', "args.p.env: 'A' is set by env already"),
        ('run = ["ls", "{x}"]\n[args.x]\nrequired = "yes"', "args.x.required: Expected `bool`"),
        ('run = ["ls", "{x}"]\n[args."x y"]', "args.x y"),
    ],
)
def test_a_wrong_declaration_names_key_and_expectation(text, expected):
    with pytest.raises(InvalidConfig) as caught:
        script(text)
    assert expected in caught.value.message


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidConfig) as caught:
        script('run = ["ls", "{a}", "{b}"]\n[args.c]')
    assert len(caught.value.message.splitlines()) == 3


def test_a_name_has_to_be_one():
    with pytest.raises(InvalidConfig, match="no name for a command"):
        script('run = ["ls"]', name="Über")


def test_a_file_beside_a_program_runs_it(tmp_path):
    program = tmp_path / "a{b}.sh"
    assert request(script("", program=program), {}, {}).spawn.argv == (str(program),)
    with_words = script(f'run = ["./{program.name}", "-v"]', program=program)
    wanted = request(with_words, {}, {})
    assert (wanted.spawn.argv, wanted.spawn.cwd) == ((str(program), "-v"), str(tmp_path))
    with pytest.raises(InvalidConfig, match="first word has to be"):
        script('run = ["rm", "-v"]', program=program)


def test_the_schema_for_the_configuration_agrees_and_hides_the_environment():
    schema = schema_of_declaration()
    assert violations(schema, tomllib.loads(DUMP)) == []
    assert violations(schema, {"run": ["x"], "nope": 1})
    assert schema["properties"]["env"]["additionalProperties"]["writeOnly"]


def test_the_configuration_is_refused_with_the_place_of_each_bad_script(tmp_path):
    [*_, whole] = trunnion_settings()
    file = tmp_path / "c.toml"
    file.write_text('[scripts.good]\nrun = ["ls"]\n[scripts.bad]\nrun = ["ls", "{x}"]\n[scripts.list]\nrun = ["ls"]\n')
    with pytest.raises(InvalidConfig) as caught:
        load_config(file, environ={}, settings={"scripts": (whole,)})
    assert caught.value.message.splitlines() == [
        f"{file}:4: scripts.bad.run.1: there is no argument 'x'",
        f"{file}:5: scripts.list: 'list' is the name of this plugin's query scripts.list; give the script another",
    ]
