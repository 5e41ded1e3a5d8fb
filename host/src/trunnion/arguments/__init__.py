"""Arguments: from a typed signature or a JSON Schema to one schema, one validation, one parser, one completion."""

from trunnion.arguments.argv import ArgvShape, looks_like_option
from trunnion.arguments.begun import Begun
from trunnion.arguments.binding import Bound
from trunnion.arguments.completion import Completion
from trunnion.arguments.hints import Secret
from trunnion.arguments.line import Scan, Word, join_line, scan_line, split_line
from trunnion.arguments.parameters import Parameters, compile_parameters

__all__ = [
    "ArgvShape",
    "Begun",
    "Bound",
    "Completion",
    "Parameters",
    "Scan",
    "Secret",
    "Word",
    "compile_parameters",
    "join_line",
    "looks_like_option",
    "scan_line",
    "split_line",
]
