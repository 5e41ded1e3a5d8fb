"""Which of a command's or query's arguments are secret, and how they and errors are kept from sight."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trunnion.access.redaction import MASK, Redactor, leaves
from trunnion.arguments import Parameters
from trunnion.model.errors import InvalidArguments, TrunnionError, error_from_info
from trunnion.model.events import Event
from trunnion.model.json import Json, JsonObject


def secrets_of(args: Mapping[str, Json], parameters: Parameters, redactor: Redactor) -> dict[str, Json]:
    """The secret ones among arguments, in the clear: declared so, or with something in them that redaction cuts."""
    if not args:
        return {}
    found = {name: args[name] for name in parameters.secret if args.get(name) is not None}
    shown = redactor.value(args)
    if shown is not args and isinstance(shown, Mapping):
        found |= {name: value for name, value in args.items() if name not in shown or shown[name] != value}
    return found


def redactor_for(secrets: JsonObject, redactor: Redactor) -> Redactor:
    """Cuts the values of a run's secret arguments beside what the host cuts."""
    if not secrets:
        return redactor
    return redactor.with_own(leaf for value in secrets.values() for leaf in leaves(value))


def mask(args: Mapping[str, Json], secrets: JsonObject) -> dict[str, Json]:
    """Arguments as they may be shown."""
    if not secrets:
        return dict(args)
    return {name: MASK if name in secrets else value for name, value in args.items()}


def cleaned(error: TrunnionError, redactor: Redactor) -> TrunnionError:
    """An error as it may be shown; the same one where nothing is to be cut."""
    info = error.info
    clean = redactor.error(info)
    return error if clean is info else error_from_info(clean)


def clean_labels(labels: dict[str, str], redactor: Redactor) -> dict[str, str]:
    """Labels as they may be kept."""
    shown = redactor.value(labels) if labels else labels
    return labels if shown is labels or not isinstance(shown, Mapping) else {k: str(v) for k, v in shown.items()}


def refuse_secret_words(key: str | None, folder: str | None, redactor: Redactor) -> None:
    """Refuse a secret in what goes on record as it is: masked, it would be another key or another folder.

    Args:
        key: of an invocation, which tells one wish from another.
        folder: the caller is in.
        redactor: knows what is secret.

    Raises:
        InvalidArguments: one has a secret in it.
    """
    if key is not None and redactor.text(key) != key:
        raise InvalidArguments("the idempotency key has a secret in it, and keys are kept: use another, a UUID say")
    if folder is not None and redactor.text(folder) != folder:
        raise InvalidArguments("the name of the folder you are in has a secret in it, and it is kept: go to another")


def clean_event(event: Event, redactor: Redactor) -> Event:
    """An event of a plugin's own stream as it may be shown."""
    text, raw = redactor.text(event.text), redactor.raw(event.raw)
    return event if text is event.text and raw is event.raw else msgspec.structs.replace(event, text=text, raw=raw)
