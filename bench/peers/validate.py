"""A yes to valid arguments; schemas and arguments come on standard input: name -> [schema, arguments]."""

import json
import sys

from kit import attempts, measured, told

CASES = json.load(sys.stdin)


def jsonschema(name):
    from jsonschema import Draft202012Validator

    for case, (schema, arguments) in CASES.items():
        validator = Draft202012Validator(schema)
        told(name, case, measured(_repeated(validator.is_valid, arguments)))


def fastjsonschema(name):
    from fastjsonschema import compile as compiled

    for case, (schema, arguments) in CASES.items():
        told(name, case, measured(_repeated(compiled(schema), arguments)))


def _repeated(check, arguments):
    def work(count):
        for _ in range(count):
            check(arguments)

    return work


attempts(
    {
        "jsonschema": jsonschema,
        "fastjsonschema": fastjsonschema,
    }
)
