"""Selecting, importing and registering plugins, each on its own."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import msgspec
import pluggy

from trunnion import hookspecs
from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.config.selection import Selection
from trunnion.config.values import did_you_mean
from trunnion.model.contributions import PluginRecord
from trunnion.model.errors import BrokenPlugin, InternalError, InvalidConfig
from trunnion.plugins.contained import Patience, PluginFailure, contained
from trunnion.plugins.discover import Candidate, installed, misnamed, objects, single_files
from trunnion.plugins.hooks import CALLS, HOOKS, refuse_async, refuse_deferred, unmarked_hooks
from trunnion.plugins.plugin_set import PluginSet

_log = logging.getLogger("trunnion.plugins")


def load_plugins(
    selection: Selection,
    *,
    builtins: Mapping[str, object],
    given: Mapping[str, object] | Sequence[object] = (),
    discovery: bool = True,
    patience: Patience | None = None,
) -> PluginSet:
    """Load what is selected; whatever a plugin does, the others are loaded and it is a record.

    Args:
        selection: decided before any import.
        builtins: parts of the host by id: always loaded, and they win every clash.
        given: plugins passed by the embedding program; one of these replaces an installed one of its id.
        discovery: whether installed plugins are looked for. Folders in the selection are read regardless.
        patience: how long each plugin may take at each step.

    Raises:
        BrokenPlugin: a plugin asked for by name is missing or cannot be used; with ``strict``, any cannot.
        InvalidConfig: a plugin folder cannot be read.
        InternalError: a built-in cannot be registered.
    """
    candidates = _candidates(selection, given, discovery=discovery)
    loader = _Loader(selection, frozenset(builtins), patience or Patience())
    loader.register_builtins(builtins)
    records = loader.load_all(candidates)
    _check_required(selection, records)
    return PluginSet(
        loader.manager,
        builtins=builtins,
        records=records,
        required=lambda plugin_id: selection.strict or plugin_id in selection.requested,
        patience=loader.patience,
    )


def _candidates(
    selection: Selection, given: Mapping[str, object] | Sequence[object], *, discovery: bool
) -> list[Candidate]:
    own = objects(given)
    found = installed() if discovery else []
    for folder in () if selection.safe_mode else selection.plugin_dirs:
        try:
            found += single_files(folder)
        except OSError as error:
            raise InvalidConfig(f"{folder}: the plugin folder cannot be read: {error.strerror}") from error
    return own + [candidate for candidate in found if candidate.id not in {c.id for c in own}]


class _Loader:
    def __init__(self, selection: Selection, builtins: frozenset[str], patience: Patience) -> None:
        self.manager = pluggy.PluginManager("trunnion")
        self.manager.add_hookspecs(hookspecs)
        self.patience = patience
        self._selection = selection
        self._reserved = builtins | frozenset(HOST_SETTINGS)

    def register_builtins(self, builtins: Mapping[str, object]) -> None:
        for name in sorted(builtins):
            try:
                self._register(name, builtins[name])
            except Exception as error:
                raise InternalError(f"built-in plugin {name!r} cannot be registered: {error}") from error

    def load_all(self, candidates: Iterable[Candidate]) -> list[PluginRecord]:
        """Load in order of name, so that the same set always gives the same result."""
        by_id: dict[str, list[Candidate]] = defaultdict(list)
        for candidate in candidates:
            by_id[candidate.id].append(candidate)
        return [self._judge(candidate, by_id[name]) for name in sorted(by_id) for candidate in by_id[name]]

    def _judge(self, candidate: Candidate, same_id: Sequence[Candidate]) -> PluginRecord:
        """Decide from what is known without importing; only then load."""
        record = candidate.record()
        if reason := self._selection.refusal(candidate.id):
            return msgspec.structs.replace(record, state="disabled", reason=reason)
        if candidate.incompatible:
            return msgspec.structs.replace(record, state="incompatible", reason=candidate.incompatible)
        if reason := misnamed(candidate.id) or self._taken(candidate, same_id):
            return msgspec.structs.replace(record, state="broken", reason=reason)
        return self._load(candidate, record)

    def _taken(self, candidate: Candidate, same_id: Sequence[Candidate]) -> str:
        if candidate.id in self._reserved:
            return "this name is the host's own"
        rivals = [c.whence for c in same_id if not c.incompatible]
        if len(rivals) > 1:
            return f"both {' and '.join(sorted(rivals))} have a plugin of this name; none is loaded, remove one"
        return ""

    def _load(self, candidate: Candidate, record: PluginRecord) -> PluginRecord:
        try:
            plugin = contained(candidate.load, f"plugin {candidate.id!r} at import", self.patience)
            if other := self._name_of(plugin):
                return msgspec.structs.replace(record, state="disabled", reason=f"the same object as plugin {other!r}")
            register = partial(self._register, candidate.id, plugin)
            hooks = contained(register, f"plugin {candidate.id!r} at registration", self.patience)
        except PluginFailure as failure:
            self.manager.set_blocked(candidate.id)
            return msgspec.structs.replace(record, state="broken", reason=str(failure))
        return msgspec.structs.replace(record, hooks=hooks)

    def _name_of(self, plugin: object) -> str:
        """The id under which this very object is registered already, ``""`` if it is not."""
        return next((name for name, other in self.manager.list_name_plugin() if other is plugin), "")

    def _register(self, name: str, plugin: object) -> tuple[str, ...]:
        """Register and check one plugin; the caller removes it on any exception.

        Returns:
            The hooks it implements.

        Raises:
            TypeError: a hook is unknown, unmarked, async or a wrapper.
            pluggy.PluginValidationError: a hook takes a parameter the specification does not have.
        """
        self.manager.register(plugin, name)
        return self._checked_hooks(name, plugin)

    def _checked_hooks(self, name: str, plugin: object) -> tuple[str, ...]:
        callers = self.manager.get_hookcallers(plugin) or []
        for caller in callers:
            for impl in (impl for impl in caller.get_hookimpls() if impl.plugin_name == name):
                _check_implementation(caller, impl)
        names = tuple(sorted(caller.name for caller in callers))
        if unmarked := unmarked_hooks(plugin, names):
            raise TypeError(f"{unmarked[0]} is not marked with trunnion.hookimpl")
        return tuple(name for name in names if name in HOOKS)


def _check_implementation(caller: pluggy.HookCaller, impl: pluggy.HookImpl) -> None:
    if not caller.has_spec() and not impl.optionalhook:
        raise TypeError(f"there is no hook {caller.name}{did_you_mean(caller.name, list(HOOKS))}")
    if impl.wrapper or impl.hookwrapper:
        raise TypeError(f"{caller.name} is a wrapper; a plugin speaks for itself only")
    try:
        (refuse_deferred if caller.name in CALLS else refuse_async)(impl.function)
    except TypeError as error:
        raise TypeError(f"{caller.name} {error}") from error


def _check_required(selection: Selection, records: Sequence[PluginRecord]) -> None:
    """What was asked for by name must be there and work; what is left out by name must be there.

    Raises:
        BrokenPlugin: it is not. To go on without a plugin whose name was mistyped would be to load it.
    """
    known = sorted({record.id for record in records})
    for names, wish in (selection.requested, "asked for"), (selection.left_out, "to be left out"):
        for name in sorted(names - set(known)):
            hint = did_you_mean(name, known) or f"; installed: {', '.join(known) or 'none'}"
            raise BrokenPlugin(f"plugin {name!r} was {wish} but is not installed{hint}", {"plugin": name})
    for name in sorted(selection.without - set(known)):
        _log.warning("plugins.without names %r, which is not installed%s", name, did_you_mean(name, known))
    for record in records:
        fatal = selection.strict or record.id in selection.requested
        if fatal and record.state in {"broken", "incompatible"}:
            raise BrokenPlugin(f"plugin {record.id!r} cannot be used: {record.reason}", {"plugin": record.id})
