"""Fuzz: tokens, their hashes and the key file are what they should be, or refused; one bit makes the difference."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunnion.access.credentials import is_token_id, new_token, token_digest, token_fits, token_id_of
from trunnion.access.key_file import make_key, read_key, write_key
from trunnion.model.errors import InvalidConfig

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
LETTERS = st.characters(categories=["L", "N", "P", "Z", "C", "S"])


@settings(deadline=None)
@given(st.text(LETTERS, max_size=80) | st.text("trn_0aZ\n", max_size=80))
def test_a_text_names_a_token_only_in_its_form(text: str) -> None:
    token_id = token_id_of(text)
    assert token_id is None or (is_token_id(token_id) and text == text.strip() and text.isascii())
    assert not token_fits(text, None)
    assert token_fits(text, token_digest(text))


@settings(deadline=None)
@given(st.data())
def test_another_character_makes_another_token(data: st.DataObject) -> None:
    token_id, token = new_token()
    assert token_id_of(token) == token_id
    at, new = data.draw(st.integers(0, len(token) - 1)), data.draw(LETTERS)
    changed = token[:at] + new + token[at + 1 :]
    assert token_fits(changed, token_digest(token)) == (changed == token)
    assert token_id_of(token + new) is None


@ONE_FOLDER
@given(st.binary(max_size=200), st.booleans(), st.data())
def test_a_key_file_is_whole_or_refused(tmp_path: Path, content: bytes, cut: bool, data: st.DataObject) -> None:
    place = tmp_path / "secret.key"
    write_key(place, key := make_key())
    good = place.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    changed = bytearray(good)
    changed[bit // 8] ^= 1 << bit % 8
    for wrong in (content, bytes(changed), good[: bit // 8] if cut else good + content + b"\0"):
        place.write_bytes(wrong)
        try:
            found = read_key(place)
        except InvalidConfig as error:
            assert "damaged" in error.message
            assert key.sealing.hex() not in error.message
        else:
            raise AssertionError(f"{found} of {wrong!r}")
