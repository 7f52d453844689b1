# SPDX-License-Identifier: Apache-2.0
"""What others write reaches a terminal as characters only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import texts


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    shown = texts.printable(text)
    assert shown.isprintable()
    assert len(shown) <= texts.LIMIT


def test_escape_sequences_and_line_ends_are_gone() -> None:
    assert texts.printable('pc\x1b[2J\n\u202eé😀') == 'pc [2J  é '


def test_a_long_text_is_cut() -> None:
    assert texts.printable('x' * 9, 4) == 'xxx…'


def test_what_nobody_asked_for_has_a_dash_for_an_id() -> None:
    assert texts.or_dash('req-1') == 'req-1'
    assert texts.or_dash('') == '-'
