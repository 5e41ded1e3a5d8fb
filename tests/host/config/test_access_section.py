"""The section ``[access]``: what is wrong with it is said at the start, with file, line and nearest name."""

from __future__ import annotations

import pytest

from trunnion.config.load import load_config
from trunnion.config.values import describe
from trunnion.model.errors import InvalidConfig

HASH = "$argon2id$v=19$m=65536,t=3,p=4$IoXwEeTP58xKo4aKFDFoTA$f2wY9I0El6+hpPFT7FNNeM3BFUMG+qktRMCRtKRn1LU"
ANN = '[access.principals.ann]\nrole = "viewer"\n'


def load(tmp_path, text):
    path = tmp_path / "trunnion.toml"
    path.write_text(text)
    return load_config(path, environ={}, settings={})


def problem(tmp_path, text) -> str:
    with pytest.raises(InvalidConfig) as refused:
        load(tmp_path, text)
    [found] = refused.value.details["problems"]
    return f"{found['key']}: {found['message']}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[access.principles.ann]\nrole = "viewer"', "access.principles: unknown setting; did you mean 'principals'?"),
        ('[access.principals.ann]\nrol = "viewer"', "access.principals.ann.rol: unknown; did you mean 'role'?"),
        ('[access.principals.ann]\nrole = "viewr"', 'is not one of "viewer", "operator" or "admin"'),
        ('[access.principals."system:"]', "is not a name"),
        ('[access.principals."a b"]', "is not a name"),
        (f'[access.principals."system:rpc"]\npassword_hash = "{HASH}"', "cannot log in"),
        ('[access.principals."system:rpc"]\ndisabled = true', "plugins.without"),
        ('[access.principals.ann]\npassword_hash = "hunter2222"', "*** does not match"),
        ('[access.grants.g]\nprincipal = "anm"\nrole = "viewer"\non = ["x"]', "no principal 'anm'"),
        ('[access.grants.g]\nprincipal = "anm"\nrole = "viewer"\non = ["x"]', "did you mean 'ann'?"),
        ('[access.grants.g]\nprincipal = "system:p"\nrole = "viewer"\non = ["x"]', "by its role alone"),
        ('[access.grants.g]\nprincipal = "ann"\nrole = "viewer"\non = ["a b"]', "is not a pattern"),
        ('[access.grants.g]\nprincipal = "ann"\nrole = "viewer"\non = []', "access.grants.g.on"),
        ('[access.grants.g]\nprincipal = "ann"\nrole = "viewer"', "is a required property"),
        ('[access.grants."g h"]\nprincipal = "ann"\nrole = "viewer"\non = ["x"]', "is not the id of a grant"),
        (f'[access.tokens.abcdefghijkl]\nprincipal = "an"\nsha256 = "{"0" * 64}"', "did you mean 'ann'?"),
        (f'[access.tokens.abc]\nprincipal = "ann"\nsha256 = "{"0" * 64}"', "is not the id of a token"),
        ('[access.tokens.abcdefghijkl]\nprincipal = "ann"\nsha256 = "hunter2222"', "*** does not match"),
        ('[access.expose]\n"a b" = ["web"]', "is not a name"),
        ('[access.expose]\n"query:a" = ["web"]', "is not a name"),
        ('[access.expose]\n"a.*" = ["cli"]', "local door"),
        ('[access.withhold]\n"a.*" = ["WEB"]', "is not a door"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, said):
    own = "" if "principals.ann]" in text else ANN
    found = problem(tmp_path, f"{text}\n{own}")
    assert said in found
    assert "hunter" not in found


@pytest.mark.parametrize(
    "expires", ["2027", "2027-01-31", "2027-01-31T12:00:00", "2027-13-31T12:00:00Z", "2027-W05-1T12:00:00Z", "soon"]
)
def test_an_expiry_is_a_moment_with_a_time_zone(tmp_path, expires):
    token = f'[access.tokens.abcdefghijkl]\nprincipal = "ann"\nsha256 = "{"0" * 64}"\n'
    assert "RFC 3339" in problem(tmp_path, f'{ANN}{token}expires = "{expires}"\n')
    load(tmp_path, f'{ANN}{token}expires = "2027-01-31T12:00:00.5+02:00"\n')
    load(tmp_path, f"{ANN}{token}expires = 2027-01-31T12:00:00Z\n")


def test_nothing_that_proves_anybody_is_shown(tmp_path):
    token = f'[access.tokens.abcdefghijkl]\nprincipal = "ann"\nsha256 = "{"5" * 64}"\n'
    config = load(tmp_path, f'{ANN}password_hash = "{HASH}"\n{token}')
    shown = str([entry for entry in describe(config) if entry.key.startswith("access.")])
    assert "***" in shown
    assert "argon2" not in shown
    assert "5555" not in shown


def test_every_key_of_the_section_may_change_while_the_host_runs(tmp_path):
    entries = [entry for entry in describe(load(tmp_path, "")) if entry.key.startswith("access.")]
    assert {entry.key: entry.reload for entry in entries} == dict.fromkeys(
        ("access.expose", "access.grants", "access.principals", "access.tokens", "access.withhold"), "live"
    )
