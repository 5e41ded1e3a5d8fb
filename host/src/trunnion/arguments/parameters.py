"""The one description of a handler's arguments, used by every door alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from trunnion.arguments.argv import ArgvShape, Command, shape_of
from trunnion.arguments.binding import Binder, Bound
from trunnion.arguments.completion import Completion, complete
from trunnion.arguments.foreign import closed, plan_of_schema
from trunnion.arguments.integers import published
from trunnion.arguments.judge import judge, refuse
from trunnion.arguments.plan import CallShape, Plan
from trunnion.arguments.signature import function_name, plan_of_signature
from trunnion.arguments.walk import is_list, is_object, resolve
from trunnion.model.commands import Handler
from trunnion.model.json import Json, JsonObject


class Parameters:
    """The arguments of one command or query, compiled at registration.

    Attributes:
        schema: JSON Schema 2020-12 for meta.
        argv: how many words may be given by position.
        secret: arguments whose values must not be shown or stored in the clear.
        files: arguments that are paths of files.
        bind: validates arguments given by name; raises ``InvalidArguments`` whose
            ``details["problems"]`` lists path and message of each problem.
    """

    def __init__(self, plan: Plan, complete: Mapping[str, str], *, recursive: bool) -> None:
        self.schema = plan.schema
        self.argv: ArgvShape = shape_of(plan)
        self.secret = frozenset(a.name for a in plan.arguments if a.secret)
        self.files = frozenset(a.name for a in plan.arguments if _is_file(resolve(plan.schema, a.schema)))
        self._shape = plan.shape
        self.bind: Callable[[Mapping[str, Json]], Bound] = Binder(plan, recursive=recursive).bind
        self._command = Command(plan)
        self._queries = complete

    def parse(self, argv: Sequence[str]) -> dict[str, Json]:
        """Read words of a command line as arguments by name, for ``bind``.

        Raises:
            InvalidArguments: unknown or unfinished options, too many words.
        """
        return self._command.parse(argv)

    def usage(self, name: str) -> str:
        """Help for a person: how ``name`` is called and what its arguments mean."""
        return self._command.usage(name)

    def complete(self, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may stand in place of ``incomplete`` after ``words``; nothing past the last argument."""
        return complete(self._command, words, incomplete, self._queries)

    def call(self, handler: Handler, context: object, bound: Bound) -> object:
        """Call the handler, giving it ``context`` first if it takes one; an async one returns its coroutine."""
        shape, values = self._shape, bound.values
        lead = [context] if shape.context else []
        if shape.mapping:
            return handler(*lead, values)
        return handler(*lead, *_by_position(shape, values), **{name: values[name] for name in shape.keyword})


def _by_position(shape: CallShape, values: Mapping[str, object]) -> list[object]:
    found = [values[name] for name in shape.positional]
    rest = values[shape.spread] if shape.spread is not None else ()
    return [*found, *rest] if isinstance(rest, list) else found


def _is_file(schema: JsonObject) -> bool:
    """Whether a (resolved) schema is that of a path, or of a list or a choice of paths."""
    if schema.get("format") == "path":
        return True
    parts = schema.get("anyOf", [schema["items"]] if "items" in schema else [])
    return is_list(parts) and any(is_object(part) and part.get("format") == "path" for part in parts)


def compile_parameters(
    handler: Handler,
    schema: JsonObject | None = None,
    positional: tuple[str, ...] | None = None,
    *,
    context_types: tuple[type, ...] = (),
    context_names: tuple[str, ...] = ("ctx", "caller"),
    complete: Mapping[str, str] = {},
) -> Parameters:
    """Compile the arguments of a handler, once, at registration.

    Args:
        handler: sync or async function; its parameters are the arguments unless there is a schema.
        schema: JSON Schema 2020-12 of an object; the handler then takes one mapping.
        positional: names argv may give by position; None takes them from signature or schema.
        context_types: a first parameter annotated with one of these is the context, no argument.
        context_names: so is a first parameter with one of these names.
        complete: argument name -> id of the query that offers its values.

    Raises:
        InvalidArguments: signature or schema cannot be used; function, argument and reason are named.
    """
    where = function_name(handler)
    if schema is None:
        plan = plan_of_signature(handler, positional, context_types, context_names)
        verdict = judge(plan.schema, where, foreign=False)
    else:
        verdict = judge(schema, where, foreign=True)
        plan = plan_of_schema(handler, closed(schema, where), positional, context_types, context_names)
    _check_names(plan, where, (*plan.words, *complete))
    plan = msgspec.structs.replace(plan, schema=published(plan.schema))
    return Parameters(plan, complete, recursive=verdict.recursive)


def _check_names(plan: Plan, where: str, names: Sequence[str]) -> None:
    known = {argument.name for argument in plan.arguments}
    for name in names:
        if name not in known:
            raise refuse(where, (name,), f"there is no argument {name!r}; there are {', '.join(sorted(known))}")
