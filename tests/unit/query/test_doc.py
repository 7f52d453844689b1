# SPDX-License-Identifier: Apache-2.0
"""The page for users says what is so."""

from __future__ import annotations

import pathlib
import re

import pytest

from p2pcs_nova import attributes, query

PAGE = (pathlib.Path(__file__).parents[3] / 'doc/queries.rst').read_text()
_, _, AFTER = PAGE.partition('number::\n\n')
BLOCK, _, _ = AFTER.partition('\n\n')
EXAMPLES = [
    *(line.strip() for line in BLOCK.splitlines()),
    *re.findall(r'p2pcs:query="(.*)"', PAGE),
]


@pytest.mark.parametrize('text', EXAMPLES)
def test_every_example_is_a_query(text: str) -> None:
    assert query.parse(text, attributes.KNOWN).names


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 8


def test_every_known_attribute_is_there_with_its_kind() -> None:
    rows = re.findall(
        r'\* - ``(\w+)``\n     - (text|texts|number|truth)$', PAGE, re.M
    )
    assert dict(rows) == attributes.KNOWN
