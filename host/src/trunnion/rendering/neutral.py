"""Text from elsewhere on a terminal: colour may pass, everything else that acts on a terminal is shown.

Escape sequences can set the title, write to the clipboard, move the cursor or make the terminal type
answers (ECMA-48, XTerm Control Sequences). Direction marks, and characters nobody sees, can make text
read as something it is not (Unicode TR36); the two joiners pass, for there are languages that need
them. The bytes stay as they are in the store; only what is printed changes.
"""

from __future__ import annotations

import re

RESET = "\x1b[0m"
COLOUR = r"\x1b\[[0-9;:]*m"
"""What sets colours, as a pattern."""

_ACTING = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    r"\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_colour = re.compile(COLOUR)
_acting = re.compile(_ACTING)
_either = re.compile(f"({COLOUR})|{_ACTING}")
_PLAIN = bytes([0x09, 0x0A, *range(0x20, 0x7F)])


def visible(text: str) -> str:
    r"""``text`` safe to print: newline, tab and colour pass, other control characters become ``\x1b`` and so on.

    A carriage return before a newline is dropped. Text with colour ends with a reset, so that nothing
    after it is coloured.
    """
    if _is_plain(text):
        return text
    if "\x1b" in text and _is_plain(_colour.sub("", text)):
        return _with_reset(text)
    coloured = False

    def shown(match: re.Match[str]) -> str:
        nonlocal coloured
        if match[1]:
            coloured = True
            return match[1]
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    safe = _either.sub(shown, text.replace("\r\n", "\n"))
    return _with_reset(safe) if coloured else safe


def _is_plain(text: str) -> bool:
    """Whether there is nothing in it but what may be printed as it is, found in one scan."""
    if text.isascii():  # ten times quicker than the pattern, and most output is nothing else
        return not text.encode().translate(None, _PLAIN)
    return _acting.search(text) is None


def _with_reset(text: str) -> str:
    body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
    return body + RESET + end
