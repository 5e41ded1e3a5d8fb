"""The version, as text: reading installed metadata would cost every start 25 ms."""

VERSION = "0.1.0"
