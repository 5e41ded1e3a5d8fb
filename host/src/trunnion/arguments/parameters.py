"""The one description of a handler's arguments, used by every door alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial

import msgspec

from trunnion.arguments.argv import ArgvShape, Command, shape_of
from trunnion.arguments.begun import Begun, begun
from trunnion.arguments.binding import Binder, Bound
from trunnion.arguments.completion import Completion, complete
from trunnion.arguments.file_places import replaced, speaks_of_files
from trunnion.arguments.foreign import closed, plan_of_schema
from trunnion.arguments.integers import declared, published
from trunnion.arguments.judge import judge, refuse
from trunnion.arguments.plan import CallShape, Plan
from trunnion.arguments.problems import Problem
from trunnion.arguments.signature import function_name, plan_of_signature
from trunnion.arguments.simplicity import is_simple
from trunnion.model.commands import Handler
from trunnion.model.json import Json, JsonObject


class Parameters:
    """The arguments of one command or query, compiled at registration.

    Attributes:
        schema: JSON Schema 2020-12 for meta.
        argv: how many words may be given by position.
        secret: arguments whose values must not be shown or stored in the clear.
        files: arguments that name files, or hold names of files.
    """

    def __init__(self, plan: Plan, complete: Mapping[str, str], *, recursive: bool) -> None:
        self.schema = plan.schema
        self.argv: ArgvShape = shape_of(plan)
        self.secret = frozenset(a.name for a in plan.arguments if a.secret)
        self.files = frozenset(a.name for a in plan.arguments if speaks_of_files(plan.schema, a.schema))
        self._file_schemas = {a.name: a for a in plan.arguments if a.name in self.files}
        self._shape = plan.shape
        self._command = Command(plan)
        self._queries = complete
        self._compile = partial(Binder, plan, recursive=recursive)
        if not is_simple(plan):
            self._binder  # noqa: B018  compiled now, for it may fail

    @cached_property
    def _binder(self) -> Binder:
        return self._compile()

    @cached_property
    def bind(self) -> Callable[[Mapping[str, Json]], Bound]:
        """Validate arguments given by name and make the handler's values of them.

        It raises ``InvalidArguments``, whose ``details["problems"]`` lists path and message of each problem.
        """
        return self._binder.bind

    def parse(self, argv: Sequence[str]) -> dict[str, Json]:
        """Read words of a command line as arguments by name, for ``bind``.

        Raises:
            InvalidArguments: unknown or unfinished options, too many words.
        """
        return self._command.parse(argv)

    def begun(self, argv: Sequence[str], apart: Collection[str] = ()) -> Begun:
        """Look at words of a command line that goes on: what is wrong with them whatever follows.

        Args:
            argv: whole words; the last one may be an option whose value is still to come.
            apart: arguments whose values are not judged.
        """

        def judge(name: str, value: Json) -> Problem | None:
            return None if name in apart else self._binder.problem_of(name, value)

        return begun(self._command, judge, argv)

    @cached_property
    def options(self) -> Mapping[str, str]:
        """Argument -> the option it is given by, without the dashes."""
        return {name: slot.option for name, slot in self._command.slots.items()}

    def takes_value(self, word: str) -> bool:
        """Whether a word is an option whose value is the next word."""
        return self._command.takes_value(word)

    def usage(self, name: str, width: int = 100) -> str:
        """Help for a person: how ``name`` is called and what its arguments mean, in lines of so many columns."""
        return self._command.usage(name, width)

    def complete(self, words: Sequence[str], incomplete: str) -> list[Completion]:
        """What may stand in place of ``incomplete`` after ``words``; nothing past the last argument."""
        return complete(self._command, words, incomplete, self._queries)

    def with_files(self, bound: Bound, change: Callable[[str, str], str]) -> Bound:
        """The same arguments with each file they name given as ``change(argument, name)`` says.

        A default is the author's own word, not the caller's, and stays as it is.

        Args:
            bound: validated arguments; what replaces a name of a file is not held against the schema again.
            change: may raise what refuses the call.
        """
        changed: dict[str, Json] = {
            name: replaced(self.schema, argument.schema, bound.args[name], partial(change, name))
            for name, argument in self._file_schemas.items()
            if name in bound.args and bound.args[name] != argument.default
        }
        return self._binder.converted({**bound.args, **changed}) if changed else bound

    def rename_files(self, args: Mapping[str, Json], change: Callable[[str, str], str]) -> dict[str, Json]:
        """Arguments by name as a caller gives them, with each file they name given as ``change(argument, name)`` says.

        They are not judged: it is for clients that bring files to where the host can take them.
        """
        changed: dict[str, Json] = {
            name: replaced(self.schema, argument.schema, args[name], partial(change, name))
            for name, argument in self._file_schemas.items()
            if name in args
        }
        return {**args, **changed}

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


def compile_parameters(
    handler: Handler,
    schema: JsonObject | None = None,
    positional: tuple[str, ...] | None = None,
    *,
    context_types: tuple[type, ...] = (),
    context_names: tuple[str, ...] = ("ctx", "caller"),
    complete: Mapping[str, str] = {},
    judged: bool = False,
) -> Parameters:
    """Compile the arguments of a handler, once, at registration.

    Args:
        handler: sync or async function; its parameters are the arguments unless there is a schema.
        schema: JSON Schema 2020-12 of an object; the handler then takes one mapping.
        positional: names argv may give by position; None takes them from signature or schema.
        context_types: a first parameter annotated with one of these is the context, no argument.
        context_names: so is a first parameter with one of these names.
        complete: argument name -> id of the query that offers its values.
        judged: whether the schema is known to be one, as those that a host tells of in its meta are. To find that out
            takes a hundred times as long as all else.

    Raises:
        InvalidArguments: signature or schema cannot be used; function, argument and reason are named.
    """
    where = function_name(handler)
    if schema is None:
        plan = plan_of_signature(handler, positional, context_types, context_names)
        verdict = judge(plan.schema, where, foreign=False)
    else:
        verdict = judge(schema, where, foreign=not judged)
        plan = plan_of_schema(handler, closed(declared(schema), where), positional, context_types, context_names)
    _check_names(plan, where, (*plan.words, *complete))
    plan = msgspec.structs.replace(plan, schema=published(plan.schema))
    return Parameters(plan, complete, recursive=verdict.recursive)


def _check_names(plan: Plan, where: str, names: Sequence[str]) -> None:
    known = {argument.name for argument in plan.arguments}
    for name in names:
        if name not in known:
            raise refuse(where, (name,), f"there is no argument {name!r}; there are {', '.join(sorted(known))}")
