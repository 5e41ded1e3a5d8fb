"""Judges a schema somebody else wrote, once, at registration: what passes here is cheap to validate with.

The cost of a validation is bounded by what is refused here: size, number of subschemas, the size of
the schema with its references written out, references outside the document, references that lead
back to themselves, and patterns that need backtracking.
"""

from __future__ import annotations

from trunnion.arguments.patterns import SAME_PLACE, compiles
from trunnion.arguments.walk import is_object, lookup, subschemas
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, JsonObject, encode

MAX_BYTES = 1 << 20
MAX_SUBSCHEMAS = 1_000
MAX_EXPANDED = 20_000
MAX_DEPTH = 64
MAX_PATTERNS = 32
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REFUSED = ("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor", "$vocabulary")


class Verdict:
    """What the judge found out on the way.

    Attributes:
        recursive: whether some reference leads back into itself; explaining a failure in detail can
            then take exponential time, while yes or no cannot.
    """

    def __init__(self, recursive: bool) -> None:
        self.recursive = recursive


def judge(schema: JsonObject, where: str, *, foreign: bool) -> Verdict:
    """Refuse a schema that is no schema, too costly, or not self-contained.

    Args:
        schema: an object schema, JSON Schema 2020-12.
        where: whose it is, for the message.
        foreign: whether somebody wrote it by hand; a schema made from a signature is well-formed.

    Raises:
        InvalidArguments: with the place inside the schema and the reason.
    """
    _size(schema, where)
    _Walk(schema, where).check()
    if foreign:
        _meta(schema, where)
    weight = _Weight(schema, where)
    weight.of(schema, ())
    return Verdict(weight.recursive)


def refuse(where: str, place: tuple[str, ...], reason: str) -> InvalidArguments:
    """The error for a schema that cannot be used."""
    shown = "/".join(place if len(place) <= 8 else (*place[:3], "…", *place[-4:]))
    at = f" at {shown}" if place else ""
    message = f"{where}: the schema of its arguments cannot be used{at}: {reason}"
    return InvalidArguments(message, {"problems": [{"path": shown, "message": reason}]})


def _size(schema: JsonObject, where: str) -> None:
    try:
        size = len(encode(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise refuse(where, (), f"it is not JSON ({error})") from None
    if size > MAX_BYTES:
        raise refuse(where, (), f"it has {size} bytes, more than {MAX_BYTES}")


class _Walk:
    def __init__(self, root: JsonObject, where: str) -> None:
        self.root = root
        self.where = where
        self.count = 0
        self.patterns = 0
        self._seen: set[int] = set()
        self._targets: list[tuple[tuple[str, ...], Json]] = []

    def check(self) -> None:
        dialect = self.root.get("$schema", DIALECT)
        if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
            raise refuse(self.where, ("$schema",), "only JSON Schema 2020-12 is supported")
        self._visit(self.root, ())
        while self._targets:
            place, target = self._targets.pop()
            if id(target) not in self._seen:
                self._visit(target, place)

    def _visit(self, schema: Json, place: tuple[str, ...]) -> None:
        self.count += 1
        if self.count > MAX_SUBSCHEMAS:
            raise refuse(self.where, (), f"it has more than {MAX_SUBSCHEMAS} subschemas")
        if len(place) > 2 * MAX_DEPTH:
            raise refuse(self.where, place[:8], f"it nests deeper than {MAX_DEPTH} levels")
        if not is_object(schema):
            return
        self._seen.add(id(schema))
        self._keywords(schema, place)
        for step, part in subschemas(schema):
            self._visit(part, place + step)

    def _keywords(self, schema: JsonObject, place: tuple[str, ...]) -> None:
        for keyword in _REFUSED:
            if keyword in schema:
                raise refuse(self.where, (*place, keyword), f"{keyword} is not supported; use $defs and $ref")
        if place and "$id" in schema:
            raise refuse(self.where, (*place, "$id"), "an embedded $id is not supported; use $defs and $ref")
        if "$ref" in schema:
            self._reference(schema["$ref"], (*place, "$ref"))
        patterns = schema.get("patternProperties")
        self._pattern(schema.get("pattern"), (*place, "pattern"))
        for pattern in patterns if is_object(patterns) else ():
            self._pattern(pattern, (*place, "patternProperties"))

    def _reference(self, reference: Json, place: tuple[str, ...]) -> None:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise refuse(self.where, place, f"{reference!r} is not a reference inside the schema, such as #/$defs/Name")
        try:
            self._targets.append((place, lookup(self.root, reference)))
        except KeyError:
            raise refuse(self.where, place, f"{reference!r} points at nothing") from None

    def _pattern(self, pattern: Json, place: tuple[str, ...]) -> None:
        if not isinstance(pattern, str):
            return
        self.patterns += 1
        if self.patterns > MAX_PATTERNS:
            raise refuse(self.where, place, f"it has more than {MAX_PATTERNS} patterns")
        if not compiles(pattern):
            reason = (
                f"the pattern {pattern!r} cannot be matched in linear time: "
                "look-around, backreferences and very large repetitions are not supported"
            )
            raise refuse(self.where, place, reason)


class _Weight:
    """The size of a schema with its references written out; cycles count once."""

    def __init__(self, root: JsonObject, where: str) -> None:
        self.root = root
        self.where = where
        self.recursive = False
        self._known: dict[int, int] = {}
        self._open: dict[int, bool] = {}

    def of(self, schema: Json, place: tuple[str, ...], *, same: bool = False) -> int:
        """The weight of one subschema; ``same`` says that it applies to the very value its parent does."""
        if not is_object(schema):
            return 1
        key = id(schema)
        if key in self._open:
            return self._cycle(key, place, same)
        if len(self._open) > 2 * MAX_DEPTH:
            raise refuse(self.where, place[:8], f"its references nest deeper than {2 * MAX_DEPTH} levels")
        if key not in self._known:
            self._open[key] = same
            self._known[key] = 1 + sum(self._parts(schema, place))
            del self._open[key]
        if self._known[key] > MAX_EXPANDED:
            raise refuse(self.where, place, f"with its references written out it has more than {MAX_EXPANDED} parts")
        return self._known[key]

    def _parts(self, schema: JsonObject, place: tuple[str, ...]) -> list[int]:
        parts = [
            self.of(part, place + step, same=step[0] in SAME_PLACE)
            for step, part in subschemas(schema)
            if step[0] not in ("$defs", "definitions")
        ]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            parts.append(self.of(lookup(self.root, reference), (*place, "$ref"), same=True))
        return parts

    def _cycle(self, key: int, place: tuple[str, ...], same: bool) -> int:
        self.recursive = True
        keys = list(self._open)
        between = keys[keys.index(key) + 1 :]
        if same and all(self._open[step] for step in between):
            raise refuse(self.where, place, "it refers to itself without going into a member or an item")
        return 1


def _meta(schema: JsonObject, where: str) -> None:
    import jsonschema  # type: ignore[import-untyped]

    try:
        jsonschema.Draft202012Validator.check_schema(schema, format_checker=None)
    except jsonschema.SchemaError as error:
        raise refuse(where, tuple(str(step) for step in error.absolute_path), error.message[:200]) from None
    except RecursionError:
        raise refuse(where, (), "it nests too deeply") from None
