"""JSON that a careless loader takes, or falls over: each document with the words of its refusal (row M1, trap T12)."""

from __future__ import annotations

MIB = 1 << 20
CORPUS = {
    "deep arrays": (b"[" * 100_000 + b"]" * 100_000, "nests deeper"),
    "deep objects": (b'{"a":' * 100_000, "nests deeper"),
    "depth 101": (b"[" * 101 + b"]" * 101, "nests deeper than 100"),
    "100 MB": (b'"' + b"a" * (100 * MIB) + b'"', "larger than 16777216 bytes"),
    "1 M keys": (b"{" + b",".join(b'"%d":1' % i for i in range(1_000_000)) + b"}", "values"),
    "many empty arrays": (b"[" + b"[]," * (5 * MIB) + b"[]]", "values"),
    "only quotes": (b'"' * (16 * MIB), "values"),
    "backslashes": (b'"' + b"\\" * (16 * MIB - 3) + b'"', "truncated"),
    "5,000 digits": (b"1" * 5_000, "out of range"),
    "129 digits": (b"[" + b"1" * 129 + b"]", "more than 128 digits"),
    "NaN": (b'{"a":NaN}', "invalid character"),
    "infinity": (b"-Infinity", "invalid"),
    "1e999": (b"[1e999]", "out of range"),
    "duplicate": (b'{"a":1,"b":{"c":1,"c":2}}', 'the key "c" is there twice'),
    "duplicate, escaped": (b'{"a":1,"\\u0061":2}', 'the key "a" is there twice'),
    "duplicate behind quotes": (b'{"x":"\\":\\\\","k\\"":1,"k\\"":2}', "is there twice"),
    "duplicate at the end of many": (b"{" + b",".join(b'"%d":1' % i for i in range(99_000)) + b',"5":1}', "twice"),
    "lone high surrogate": (b'"\\ud800 and more text"', "surrogate"),
    "lone low surrogate": (b'"\\udc00 and more text"', "surrogate"),
    "surrogate at the end": (b'"\\ud800"', "truncated"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "trailing text": (b"{} x", "trailing"),
    "two documents": (b"1 2", "trailing"),
    "not UTF-8": (b'"\xff"', "UTF-8"),
    "surrogate as UTF-8": (b'"\xed\xa0\x80"', "UTF-8"),
    "empty": (b"", "truncated"),
    "control character": (b'"\x01"', "invalid character"),
    "leading zero": (b"[01]", "invalid number"),
    "text with a surrogate": ('"\ud800"', "surrogate"),
}
