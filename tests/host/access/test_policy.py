"""Decisions agree with a slow reference, whatever the directory, the caller, the time and what was asked before."""

from __future__ import annotations

import policy_reference as reference
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trunnion.access.directory import Directory, both, covers, encloses
from trunnion.access.explain import explain
from trunnion.access.ownership import Seen
from trunnion.access.policy import Policy, Target
from trunnion.model.access import Exposure, Grant, Principal, Token
from trunnion.model.errors import NotFound, Unauthenticated
from trunnion.model.runs import Caller, Run

NAMES = ["ann", "bob", "eve"]
ROLES = ["viewer", "operator", "admin"]
IDS = ["a", "a.b", "a.b.c", "ab.c", "x.y"]
STREAMS = ["unit/a", "unit/a/log", "unit/b", "u"]
STEMS = ["", "a", "a.", "a.b", "ab", "x.y", "u", "unit/", "unit/a", "unit/b", "zz"]
SOURCES = ["cli", "tty", "command", "web", "rpc", "schedule", "system:p"]
REMOTE = ["web", "rpc", "schedule"]
TOKENS = ["t1", "t2", "t3"]

stems = st.sampled_from(STEMS)
patterns = st.builds(str.__add__, stems, st.sampled_from(["", "*"])).filter(bool)
scopes = st.builds(str.__add__, st.sampled_from(["", "", "command:", "query:", "stream:", "runs:"]), patterns)
optional_role = st.none() | st.sampled_from(ROLES)
doors = st.frozensets(st.sampled_from(REMOTE))


def principals():
    return st.lists(
        st.builds(
            Principal,
            name=st.sampled_from(NAMES),
            role=optional_role,
            disabled=st.sampled_from([False, False, False, True]),
            has_password=st.booleans(),
        ),
        unique_by=lambda p: p.name,
        max_size=3,
    )


def tokens():
    return st.lists(
        st.builds(
            Token,
            id=st.sampled_from(TOKENS),
            principal=st.sampled_from(NAMES),
            role=optional_role,
            on=st.lists(st.just("*") | scopes, min_size=1, max_size=3).map(tuple),
            expires=st.none() | st.integers(0, 40),
        ),
        unique_by=lambda t: t.id,
        max_size=3,
    )


def grants():
    return st.lists(
        st.builds(
            Grant,
            id=st.uuids().map(str),
            principal=st.sampled_from(NAMES),
            role=st.sampled_from(ROLES),
            on=st.lists(scopes, min_size=1, max_size=3).map(tuple),
        ),
        max_size=4,
    )


def exposures():
    table = st.dictionaries(patterns, doors, max_size=2)
    return st.builds(Exposure, expose=table, withhold=table)


directories = st.builds(Directory, principals(), tokens(), grants(), exposures())
callers = st.builds(
    Caller,
    principal=st.sampled_from(NAMES),
    source=st.sampled_from(SOURCES),
    role=st.sampled_from(ROLES),
    chain=st.lists(st.sampled_from(SOURCES), max_size=2).map(tuple),
    credential=st.sampled_from(["", "password", "login", *(f"token:{t}" for t in TOKENS), "token:none"]),
)
kinds = st.sampled_from(["command", "query"])
targets = st.one_of(
    st.builds(Target, kinds, st.sampled_from(IDS), st.just("1"), st.sampled_from(ROLES), doors),
    st.builds(Target, kinds, st.sampled_from(IDS), st.just("1"), st.sampled_from(ROLES), doors, st.just(True)),
    st.builds(Target, st.just("stream"), st.sampled_from(STREAMS), st.just("1"), st.sampled_from(ROLES), doors),
)


def run_of(principal: str, command_id: str) -> Run:
    return Run(
        id=f"{principal}-{command_id}", num=1, command_id=command_id, command_revision="1", status="running",
        created=0, principal=principal, source="cli",
    )  # fmt: skip


RUNS = [run_of(principal, command_id) for principal in NAMES for command_id in IDS]


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def agrees(policy: Policy, target: Target, caller: Caller, now: int) -> None:
    directory = policy.directory
    decision = policy.decide(target, caller)
    assert decision.verdict == reference.verdict(directory, target, caller, now)
    assert decision.visible == (decision.verdict in ("allowed", "forbidden"))
    explained = explain(directory, target, caller, now)
    assert explained.decision.verdict == decision.verdict
    assert all(check.passed for check in explained.checks) == decision.allowed
    assert bool(explained.remedy) <= (not decision.allowed)


def agrees_on_runs(policy: Policy, caller: Caller, now: int) -> None:
    directory = policy.directory
    listed = policy.seen_runs(caller)
    for run in RUNS:
        sees = reference.sees_run(directory, run, caller, now)
        assert policy.may_see_run(run, caller) == sees
        assert policy.may_control_run(run, caller) == reference.controls_run(directory, run, caller, now)
        assert any(belongs(run, seen) for seen in listed) == sees


def belongs(run: Run, seen: Seen) -> bool:
    return seen.principal in (None, run.principal) and reference.stands_for(seen.command, run.command_id)


steps = st.lists(
    st.one_of(directories, st.integers(1, 15), st.just("ask")),
    min_size=3,
    max_size=10,
)


@given(directories, st.lists(callers, min_size=2, max_size=4), st.lists(targets, min_size=2, max_size=4), steps)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_policy_agrees_with_the_reference(directory, who, what, steps) -> None:
    """Defence: ``decide``, what ``Policy`` remembers of it, and ``ownership``. The same callers and targets are asked
    about again and again while directories are replaced and the clock passes the end of tokens."""
    clock = Clock()
    policy = Policy(clock, directory)
    for step in [*steps, "ask"]:
        if isinstance(step, Directory):
            policy.replace(step)
        elif isinstance(step, int):
            clock.now += step
        for caller in who:
            for target in what:
                agrees(policy, target, caller, clock.now)
            agrees_on_runs(policy, caller, clock.now)


@given(patterns, patterns, st.sampled_from([*IDS, *STREAMS]))
@example("ab*", "ab", "ab")
def test_patterns(one: str, other: str, name: str) -> None:
    """Defence: ``covers``, ``encloses`` and ``both``, names and families of names alike."""
    assert covers(one, name) == reference.stands_for(one, name)
    shared = both(one, other)
    in_both = reference.stands_for(one, name) and reference.stands_for(other, name)
    assert in_both == (shared is not None and reference.stands_for(shared, name))
    if encloses(one, other):
        assert reference.stands_for(one, name) or not reference.stands_for(other, name)


@given(directories, callers, st.sampled_from(["unit/*", "u*", "unit/a*", "*"]), st.sampled_from(ROLES), doors)
@settings(max_examples=200, deadline=None)
def test_a_family_of_streams_is_visible_where_a_stream_of_it_is(directory, caller, family, role, expose) -> None:
    """Defence: names that are patterns themselves, in ``covers`` and ``encloses``."""
    policy = Policy(lambda: 0, directory)
    whole = policy.decide(Target("stream", family, "1", role, expose), caller)
    for name in STREAMS:
        if reference.stands_for(family, name):
            one = policy.decide(Target("stream", name, "1", role, expose), caller)
            assert not one.allowed or whole.allowed
            assert not one.visible or whole.visible


# -- one by one ---------------------------------------------------------------------------------------

ANN = Principal(name="ann", role="admin", has_password=True)
DO = Target("command", "a.b", "1", "operator", frozenset({"web"}))


def ann(credential: str = "password") -> Caller:
    return Caller("ann", "web", "viewer", credential=credential)


def test_an_expired_token_is_noticed_although_something_else_refused_it_before() -> None:
    """Defence: ``until`` of refusals too; the remembered ``not_found`` would outlive the token."""
    clock = Clock()
    token = Token(id="t1", principal="ann", on=("x.*",), expires=10)
    policy = Policy(clock, Directory([ANN], [token]))
    assert policy.decide(DO, ann("token:t1")).verdict == "not_found"
    clock.now = 10
    assert policy.decide(DO, ann("token:t1")).verdict == "unauthenticated"


def test_a_replaced_directory_counts_at_once_and_listeners_hear_of_it() -> None:
    """Defence: ``Policy.replace`` forgets what was decided before anybody is told."""
    policy = Policy(lambda: 0, Directory([ANN]))
    assert policy.decide(DO, ann()).allowed
    heard = []
    policy.listeners.append(lambda: heard.append(policy.decide(DO, ann()).verdict))
    policy.replace(Directory())
    assert (heard, policy.generation) == (["unauthenticated"], 1)


def test_what_is_remembered_is_bounded() -> None:
    """Defence: ``Policy.LIMIT``; principals at a door are as many as somebody likes to invent."""
    policy = Policy(lambda: 0)
    for number in range(Policy.LIMIT + 10):
        policy.decide(DO, Caller(f"p{number}", "web", "viewer"))
    assert len(policy._known) <= Policy.LIMIT


def test_a_grant_of_everything_does_not_make_an_admin() -> None:
    """Defence: ``role_everywhere``; commands and queries are not streams and not the runs of others."""
    grant = Grant(id="g", principal="bob", role="admin", on=("*",))
    policy = Policy(lambda: 0, Directory([Principal(name="bob")], [], [grant]))
    bob = Caller("bob", "web", "viewer", credential="login")
    assert policy.decide(DO, bob).allowed
    assert not policy.is_admin(bob)
    assert not policy.may_see_run(run_of("ann", "a.b"), bob)


def test_a_lost_credential_is_told_apart_from_what_is_not_there() -> None:
    policy = Policy(lambda: 0, Directory([ANN]))
    with pytest.raises(NotFound):
        policy.require_run(run_of("bob", "a"), Caller("eve", "cli", "viewer"))
    policy.require_run(run_of("bob", "a"), ann())
    with pytest.raises(Unauthenticated):
        policy.require_run(run_of("ann", "a"), ann("token:gone"))
