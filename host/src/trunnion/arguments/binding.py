"""Validation of one call's arguments: a yes in a microsecond, or a no that says what was expected."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping

import jsonschema_rs
import msgspec

from trunnion.arguments.formats import formats_in
from trunnion.arguments.integers import EXACT, exact, is_int64, mentions_int64, travelling, validated
from trunnion.arguments.judge import refuse
from trunnion.arguments.patterns import options, text_in, text_limits
from trunnion.arguments.plan import Argument, Plan
from trunnion.arguments.problems import Problem, describe, invalid, keyword_words, path_text, show, unknown
from trunnion.arguments.walk import resolve
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject, encode


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The validated arguments of one call. Nothing in it refers back to it, so no collector need look at it.

    Attributes:
        args: JSON form with defaults filled in; secrets are still in it.
        values: what the handler gets: Python objects, or ``args`` itself where it brings a schema.
    """

    args: dict[str, Json]
    values: dict[str, object]


def _validator(schema: Mapping[str, Json]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        pattern_options=options(),
        offline=True,
        validate_formats=True,
        formats=formats_in(schema),
        mask="the value",
    )


class Binder:
    """Validates and converts; compiled once from a plan.

    Attributes:
        bind: validates arguments and makes the handler's values of them; raises ``InvalidArguments`` with each
            problem, the argument's name and what was expected.

    Raises:
        InvalidArguments: the validator cannot use the schema, or a default does not fit it.
    """

    def __init__(self, plan: Plan, *, recursive: bool) -> None:
        self._plan = plan
        self._arguments = {argument.name: argument for argument in plan.arguments}
        self._recursive = recursive
        self._schema = validated(plan.schema)
        try:
            self._is_valid = _validator(self._schema).is_valid
        except ValueError as error:
            raise refuse(plan.where, (), str(error).partition("\n")[0]) from None
        self._most_text = text_limits(self._schema)
        self._convert = plan.convert
        self._exact = frozenset(a.name for a in plan.arguments if mentions_int64(plan.schema, a.schema))
        self._whole = frozenset(a.name for a in plan.arguments if _is_integer(resolve(plan.schema, a.schema)))
        self._touched = self._exact | self._whole
        self._first = tuple(self._touched) if self._exact or plan.convert is None else ()
        self._defaults: dict[str, Json] = {a.name: a.default for a in plan.arguments if a.default is not msgspec.UNSET}
        self._changeable = [(n, encode(value)) for n, value in self._defaults.items() if isinstance(value, list | dict)]
        self._judge_defaults()
        plain = not (self._changeable or self._most_text or self._exact)
        self.bind: Callable[[Mapping[str, Json]], Bound] = self._quick() if plain else self._bind

    def _quick(self) -> Callable[[Mapping[str, Json]], Bound]:
        """``_bind`` without what this plan does not need: what most calls cost beside the validator is steps."""
        defaults, whole, is_valid, convert = self._defaults, self._first, self._is_valid, self._convert
        settle, refused = self._settle, self._refused

        def as_given(args: Mapping[str, Json]) -> Bound:
            filled = {**defaults, **args}
            for name in whole:
                if type(filled.get(name)) is not int:
                    settle(filled)
                    break
            try:
                if is_valid(filled):
                    return Bound(filled, {**filled})
            except ValueError:
                pass
            raise refused(filled)

        if convert is None:
            return as_given

        def converted(args: Mapping[str, Json]) -> Bound:
            filled = {**defaults, **args}
            try:
                if is_valid(filled):
                    return Bound(filled, convert(filled))
            except msgspec.ValidationError:
                return self._again(filled)
            except ValueError:
                pass
            raise refused(filled)

        return converted

    def _bind(self, args: Mapping[str, Json]) -> Bound:
        filled = {**self._defaults, **args}
        for name, encoded in self._changeable:
            if name not in args:
                filled[name] = msgspec.json.decode(encoded)
        for name in self._first:
            if type(filled.get(name)) is not int:
                self._settle(filled)
                break
        if self._most_text and (problem := self._too_long(filled)) is not None:
            raise invalid([problem])
        try:
            if self._is_valid(filled):
                if self._exact:
                    return self._bound(filled)
                if self._convert is None:
                    return Bound(filled, {**filled})
                return Bound(filled, self._convert(filled))
        except msgspec.ValidationError:
            return self._again(filled)
        except ValueError:
            pass
        raise self._refused(filled)

    def _refused(self, filled: dict[str, Json]) -> InvalidArguments:
        return invalid(list(self._problems(filled)))

    def _too_long(self, filled: Mapping[str, Json]) -> Problem | None:
        """Text that it would take too long to match against patterns."""
        for name, most in self._most_text.items():
            held = text_in(filled.get(name)) if name else text_in(filled)
            if held > most:
                reason = (
                    f"it holds {held} characters, and its patterns are matched against {most} at most; for longer text "
                    "whoever declares the command may bound it by maxLength and not by {m,n} in a pattern"
                )
                return Problem(name, reason)
        return None

    def converted(self, args: Mapping[str, Json]) -> Bound:
        """Make the handler's values of arguments that were validated before."""
        return self._bound(dict(args))

    def _bound(self, filled: dict[str, Json]) -> Bound:
        if self._convert is None:
            args = self._travelling(filled) if self._exact else filled
            return Bound(args, dict(args))
        values = self._convert(filled)
        return Bound(self._travelling(filled) if self._exact else filled, values)

    def _again(self, filled: dict[str, Json]) -> Bound:
        """Convert once more: the spelling of an integer (``5.0``) may have been in the way."""
        self._settle(filled)
        try:
            return self._bound(filled)
        except msgspec.ValidationError as error:
            raise invalid([self._conversion_problem(str(error))]) from None

    def _settle(self, filled: dict[str, Json]) -> None:
        """Bring the spellings of one integer together: ``5.0``, and text where the schema says int64."""
        for name in self._touched & filled.keys():
            value = filled[name]
            if type(value) is int:
                continue
            if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT and name in self._whole:
                filled[name] = int(value)
            elif name in self._exact:
                filled[name] = exact(self._plan.schema, self._arguments[name].schema, value)

    def _travelling(self, filled: dict[str, Json]) -> dict[str, Json]:
        changed = {
            name: travelling(self._plan.schema, self._arguments[name].schema, filled[name])
            for name in self._exact & filled.keys()
        }
        return {**filled, **changed}

    def _judge_defaults(self) -> None:
        for argument in self._plan.arguments:
            if argument.default is msgspec.UNSET:
                continue
            if argument.secret and argument.default not in (None, "", [], {}):
                reason = "a secret may not have a default, which everybody could read"
                raise refuse(self._plan.where, (argument.name, "default"), reason)
            self._judge_default(argument, argument.default)

    def _judge_default(self, argument: Argument, default: Json) -> None:
        filled: dict[str, Json] = {argument.name: copy.deepcopy(default)}
        self._settle(filled)
        if (found := self._argument_problem(argument, filled[argument.name])) is not None:
            reason = f"the default does not fit: {found.message}"
            raise refuse(self._plan.where, (argument.name, "default"), reason)

    def problem_of(self, name: str, value: Json) -> Problem | None:
        """What is wrong with the value of one argument by itself, None if nothing is."""
        filled = {name: value}
        self._settle(filled)
        return self._too_long(filled) or self._argument_problem(self._arguments[name], filled[name])

    # -- explaining a refusal ----------------------------------------------------------------------

    def _problems(self, filled: dict[str, Json]) -> Iterator[Problem]:
        found = [*self._undeclared(filled), *self._missing(filled)]
        for name, argument in self._arguments.items():
            if name in filled and (problem := self._argument_problem(argument, filled[name])) is not None:
                found.append(problem)
        yield from found or [self._whole_problem(filled)]

    def _undeclared(self, filled: Mapping[str, Json]) -> list[Problem]:
        if "patternProperties" in self._schema:
            return []
        known = list(self._arguments)
        return [Problem(str(name), unknown(str(name), known)) for name in filled if name not in self._arguments]

    def _missing(self, filled: Mapping[str, Json]) -> list[Problem]:
        return [
            Problem(name, f"it is required{': ' + words if (words := self._expected(argument)) else ''}")
            for name, argument in self._arguments.items()
            if argument.required and name not in filled
        ]

    def _expected(self, argument: Argument) -> str:
        return describe(resolve(self._plan.schema, argument.schema))

    def _argument_problem(self, argument: Argument, value: Json) -> Problem | None:
        """What is wrong with one argument, None if nothing is."""
        validator = self._explainer
        alone = {argument.name: value}
        try:
            if validator.is_valid(alone):
                return None
            if not self._recursive:
                validator.validate(alone)
        except jsonschema_rs.ValidationError as error:
            return self._worded(argument, value, error)
        except ValueError:
            return Problem(argument.name, "it is not a JSON value")
        return Problem(argument.name, self._plain(argument, value))

    @property
    def _explainer(self) -> jsonschema_rs.Draft202012Validator:
        """A validator that looks at arguments one by one; made at the first refusal."""
        if self._explaining is None:
            kept = ("$defs", "definitions", "properties", "patternProperties")
            self._explaining = _validator({key: self._schema[key] for key in kept if key in self._schema})
        return self._explaining

    _explaining: jsonschema_rs.Draft202012Validator | None = None

    def _worded(self, argument: Argument, value: Json, error: jsonschema_rs.ValidationError) -> Problem:
        path = error.instance_path
        if argument.secret:
            return Problem(argument.name, self._plain(argument, None))
        if len(path) == 1 and self._expected(argument) and error.kind.name not in _STRUCTURAL:
            return Problem(argument.name, self._plain(argument, value))
        return Problem(path_text(path), _sentence(error))

    def _plain(self, argument: Argument, value: Json) -> str:
        expected = self._expected(argument)
        sentence = f"expected {expected}" if expected else "it does not fit its schema"
        return sentence if argument.secret else f"{sentence}, got {show(value)}"

    def _whole_problem(self, filled: dict[str, Json]) -> Problem:
        """A rule over several arguments together is broken."""
        if not self._recursive and not any(a.secret for a in self._plan.arguments):
            try:
                _validator(self._schema).validate(filled)
            except jsonschema_rs.ValidationError as error:
                return Problem(path_text(error.instance_path), _sentence(error))
            except ValueError:
                return Problem("", "the arguments are not JSON values")
        return Problem("", "the arguments together do not fit the schema")

    def _conversion_problem(self, text: str) -> Problem:
        sentence, _, place = text.rpartition(" - at `$.")
        path = place.rstrip("`")
        argument = self._arguments.get(re.split(r"[.\[]", path, maxsplit=1)[0])
        if argument is None:
            return Problem("", text)
        if argument.secret:
            return Problem(argument.name, self._plain(argument, None))
        return Problem(path, sentence[:200])


def _is_integer(schema: JsonObject) -> bool:
    return schema.get("type") == "integer" or is_int64(schema)


_STRUCTURAL = ("additionalProperties", "required")


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    keyword, value, shown = error.kind.name, error.kind.value, show(error.instance)
    if keyword == "additionalProperties":
        return f"there is no member {' or '.join(show(name) for name in value)}"
    if keyword == "required":
        return f"the member {show(value)} is missing"
    words = keyword_words(keyword, value) if isinstance(value, str | int | float | list | bool) else None
    if words:
        return f"expected {words}, got {shown}"
    return error.message.replace("the value", shown, 1)
