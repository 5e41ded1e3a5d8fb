"""Which of a command's or query's arguments are secret, and how they are kept from sight."""

from __future__ import annotations

from collections.abc import Mapping

from trunnion.access.redaction import MASK, NOTHING, Redactor, leaves
from trunnion.arguments import Parameters
from trunnion.model.json import Json, JsonObject


def secrets_of(args: Mapping[str, Json], parameters: Parameters) -> dict[str, Json]:
    """The secret ones among arguments, in the clear."""
    return {name: args[name] for name in parameters.secret if args.get(name) is not None}


def redactor_for(secrets: JsonObject) -> Redactor:
    """Cuts the values of a run's secret arguments."""
    if not secrets:
        return NOTHING
    return Redactor(leaf for value in secrets.values() for leaf in leaves(value))


def mask(args: Mapping[str, Json], parameters: Parameters) -> dict[str, Json]:
    """Arguments as they may be shown."""
    if not parameters.secret:
        return dict(args)
    return {name: MASK if name in parameters.secret and value is not None else value for name, value in args.items()}
