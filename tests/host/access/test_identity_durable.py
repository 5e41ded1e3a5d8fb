"""Any sequence of changes equals a model, over restarts and over what ``kill -9`` leaves on the disk."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_kit import People, people

from trunnion.model.errors import Busy, Conflict, NotFound, Unauthenticated

NAMES = ("ann", "bob@x.org", "spiffe://x/y:z")
IDS = ("g1", "g2", "g3")
ROLES = st.sampled_from(["viewer", "operator", "admin"])
names, ids = st.sampled_from(NAMES), st.sampled_from(IDS)
steps = st.one_of(
    st.tuples(st.just("add"), names, ROLES),
    st.tuples(st.just("role"), names, ROLES),
    st.tuples(st.just("disable"), names, st.booleans()),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("grant"), ids, names, ROLES),
    st.tuples(st.just("ungrant"), ids),
    st.tuples(st.just("token"), names),
    st.tuples(st.just("revoke"), st.integers(0, 5)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("killed")),
)


class Model:
    """What there should be, kept the obvious way."""

    def __init__(self) -> None:
        self.principals: dict[str, tuple[str, bool]] = {}
        self.grants: dict[str, tuple[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.texts: list[tuple[str, str]] = []

    def remove(self, name: str) -> None:
        del self.principals[name]
        self.grants = {i: grant for i, grant in self.grants.items() if grant[0] != name}
        self.tokens = {i: owner for i, owner in self.tokens.items() if owner != name}


class Both:
    """Does each step to the host and to the model; both refuse the same ones."""

    def __init__(self, model: Model, rig: People) -> None:
        self.model, self.rig = model, rig

    async def do(self, step: tuple) -> None:
        await getattr(self, step[0])(*step[1:])

    async def _expect(self, refused: type[Exception] | None, command: str, **args: object) -> object:
        if refused is None:
            return await self.rig.do(command, **args)
        with pytest.raises(refused):
            await self.rig.do(command, **args)
        return None

    def _absent(self, name: str) -> type[Exception] | None:
        return None if name in self.model.principals else NotFound

    async def add(self, name: str, role: str) -> None:
        refused = Conflict if name in self.model.principals else None
        await self._expect(refused, "principals.add", name=name, role=role)
        self.model.principals.setdefault(name, (role, False))

    async def role(self, name: str, role: str) -> None:
        await self._expect(self._absent(name), "principals.set", name=name, role=role)
        if name in self.model.principals:
            self.model.principals[name] = (role, self.model.principals[name][1])

    async def disable(self, name: str, disabled: bool) -> None:
        await self._expect(self._absent(name), "principals.set", name=name, disabled=disabled)
        if name in self.model.principals:
            self.model.principals[name] = (self.model.principals[name][0], disabled)

    async def remove(self, name: str) -> None:
        await self._expect(self._absent(name), "principals.remove", name=name)
        if name in self.model.principals:
            self.model.remove(name)

    async def grant(self, grant_id: str, name: str, role: str) -> None:
        refused = self._absent(name) or (Conflict if grant_id in self.model.grants else None)
        await self._expect(refused, "grants.add", id=grant_id, principal=name, role=role, on=["t.*"])
        if refused is None:
            self.model.grants[grant_id] = (name, role)

    async def ungrant(self, grant_id: str) -> None:
        refused = None if grant_id in self.model.grants else NotFound
        await self._expect(refused, "grants.remove", id=grant_id)
        self.model.grants.pop(grant_id, None)

    async def token(self, name: str) -> None:
        made = await self._expect(self._absent(name), "tokens.create", principal=name)
        if made is not None:
            self.model.tokens[made["id"]] = name
            self.model.texts.append((made["id"], made["token"]))

    async def revoke(self, number: int) -> None:
        if number < len(self.model.texts):
            token_id = self.model.texts[number][0]
            refused = None if token_id in self.model.tokens else NotFound
            await self._expect(refused, "tokens.revoke", id=token_id)
            self.model.tokens.pop(token_id, None)

    async def check(self) -> None:
        """What is shown, and who is let in, is what the model says."""
        model, rig = self.model, self.rig
        shown = {name: (await rig.ask_of(f"{name}.list"))["items"] for name in ("principals", "grants", "tokens")}
        assert {i["name"]: (i["role"], i["disabled"]) for i in shown["principals"]} == model.principals
        assert {i["id"]: (i["principal"], i["role"]) for i in shown["grants"]} == model.grants
        assert {i["id"]: i["principal"] for i in shown["tokens"]} == model.tokens
        for token_id, text in model.texts:
            owner = model.tokens.get(token_id)
            if owner is not None and not model.principals[owner][1]:
                assert (await rig.bearer(text)).principal == owner
            else:
                with pytest.raises((Unauthenticated, Busy)):  # shown too often, it is not even looked at
                    await rig.bearer(text)


async def walk(root: Path, sequence: list[tuple]) -> None:
    """Go through a sequence; ``restart`` and ``killed`` begin another host, on the same data or on its image."""
    model, data, rest = Model(), root / "data", list(sequence)
    for life in range(len(sequence) + 1):
        async with people(root, data=data, durability="process") as rig:
            both = Both(model, rig)
            await both.check()
            while rest and rest[0][0] not in ("restart", "killed"):
                await both.do(rest.pop(0))
                await both.check()
            if not rest:
                return
            if rest.pop(0)[0] == "killed":
                data = rig.disk_image(f"image{life}")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(st.lists(steps, max_size=14))
def test_any_sequence_of_changes_equals_a_model(sequence):
    root = Path(tempfile.mkdtemp())
    try:
        asyncio.run(walk(root, sequence))
    finally:
        shutil.rmtree(root)


async def test_what_goes_with_a_principal_goes_at_once_and_for_good(tmp_path):
    await walk(
        tmp_path,
        [
            ("add", "ann", "viewer"), ("add", "bob@x.org", "admin"), ("token", "ann"), ("token", "bob@x.org"),
            ("grant", "g1", "ann", "admin"), ("remove", "ann"), ("killed",), ("add", "ann", "viewer"),
            ("disable", "bob@x.org", True), ("restart",), ("disable", "bob@x.org", False), ("revoke", 1), ("killed",),
        ],
    )  # fmt: skip
