# SPDX-License-Identifier: Apache-2.0
"""Attributes as an owner writes them, as they travel, and their kinds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import attributes, wire

TEXTS = st.text(alphabet='abz0-9 .', min_size=1)
VALUES = (
    TEXTS
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(TEXTS).map(tuple)
)


@pytest.mark.parametrize(
    ('name', 'word', 'value'),
    [
        ('tier', 'gold', 'gold'),
        ('floor', '3', 3),
        ('floor', '-3', -3),
        ('floor', '2.5', 2.5),
        ('floor', '03', '03'),
        ('laptop', 'true', True),
        ('laptop', 'false', False),
        ('labs', 'a;b', ('a', 'b')),
        ('site', '10', '10'),
        ('country', 'true', 'true'),
        ('cpu_flags', 'avx2', ('avx2',)),
        ('cores', '64', 64),
        ('reliability', '0.9', 0.9),
        ('kvm', 'false', False),
    ],
)
def test_owners_word_has_the_kind_of_its_name_or_looks(
    name: str, word: str, value: wire.Attribute
) -> None:
    (found,) = attributes.read({name: word}).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ('name', 'word', 'message'),
    [
        ('cores', 'many', "attribute cores: 'many' is no number"),
        ('kvm', 'yes', "attribute kvm: 'yes' is no truth"),
    ],
)
def test_word_of_another_kind_than_its_name_is_refused(
    name: str, word: str, message: str
) -> None:
    with pytest.raises(attributes.BadAttribute, match=message):
        attributes.read({name: word})


@pytest.mark.parametrize('word', ['gold', '3', '2.5', 'true', 'a;b'])
def test_value_is_shown_as_its_owner_wrote_it(word: str) -> None:
    assert attributes.write(attributes.read({'x': word})['x']) == word


def test_vocabulary_is_what_pcs_say_and_what_is_known() -> None:
    said: list[wire.Attributes] = [
        {'floor': 3, 'tier': 'gold', 'cores': 'a lie'},
        {'floor': 'third', 'tier': 'silver'},
    ]
    known = {'cores': wire.Kind.NUMBER}
    assert attributes.merge(known, said) == {
        'cores': wire.Kind.NUMBER,
        'floor': wire.Kind.ANY,
        'tier': wire.Kind.TEXT,
    }


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_attributes_arrive_as_they_were_sent(said: wire.Attributes) -> None:
    record = wire.AttributesRecord('pc1', said)
    for codec in (msgspec.json, msgspec.msgpack):
        got = codec.decode(codec.encode(record), type=wire.AttributesRecord)
        assert got == record
        kinds = {name: wire.kind_of(value) for name, value in said.items()}
        assert {n: wire.kind_of(v) for n, v in got.attributes.items()} == kinds


@pytest.mark.parametrize(
    'value', [b'null', b'{}', b'[1]', b'[[]]', b'9007199254740993', b'1e999']
)
def test_value_of_no_kind_is_refused(value: bytes) -> None:
    data = b'{"name": "pc1", "attributes": {"x": %s}}' % value
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(data, type=wire.AttributesRecord)
