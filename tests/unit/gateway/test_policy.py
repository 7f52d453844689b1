# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova.gateway import policy

TIERS = """\
slices:
- name: gold
  match: {tier: gold}
- name: rome-2
  match:
    site: [rome, 10]
    tier: silver
- name: rest
  match: {}
"""


@pytest.mark.parametrize(
    ('attributes', 'expected'),
    [
        ({'tier': 'gold', 'site': 'rome'}, 'gold'),
        ({'tier': 'silver', 'site': 'rome'}, 'rome-2'),
        ({'tier': 'silver', 'site': '10'}, 'rome-2'),
        ({'tier': 'silver', 'site': 'oslo'}, 'rest'),
        ({}, 'rest'),
    ],
)
def test_first_slice_that_matches_takes_the_pc(
    attributes: dict[str, str], expected: str
) -> None:
    assert policy.read_policy(TIERS, 'p').slice_of(attributes) == expected


def test_pc_that_no_slice_takes_is_in_none() -> None:
    text = 'slices: [{name: gold, match: {tier: gold}}]'
    assert policy.read_policy(text, 'p').slice_of({'tier': 'tin'}) == ''


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'p.yaml:1: policy: must be a mapping'),
        ('[]', 'p.yaml:1: policy: must be a mapping'),
        ('{}', 'p.yaml:1: slices: is missing'),
        ('slices: []', 'slices: must list at least one slice'),
        ('slices: gold', 'slices: must list at least one slice'),
        ('slices:\n- gold\n', 'p.yaml:2: slices[0]: must be a mapping'),
        ('slices:\n- {name: a}\n', 'p.yaml:2: slices[0].match: is missing'),
        ('slices:\n- {match: {}}\n', 'slices[0].name: is missing'),
        (
            'zones: 1\nslices: [{name: a, match: {}}]',
            "policy: unknown field 'zones'; known: slices",
        ),
        (
            'slices:\n- name: a\n  match: {}\n  size: 3\n',
            "p.yaml:2: slices[0]: unknown field 'size'",
        ),
        (
            'slices:\n- name: Gold\n  match: {}\n',
            "p.yaml:2: slices[0].name: 'Gold' cannot be the name",
        ),
        (f'slices: [{{name: {"a" * 64}, match: {{}}}}]', 'at most 63'),
        ('slices: [{name: a.b, match: {}}]', 'cannot be the name'),
        (
            'slices:\n- {name: a, match: {x: y}}\n- {name: a, match: {}}',
            "p.yaml:3: slices[1].name: 'a' is there twice",
        ),
        (
            'slices:\n- {name: a, match: {}}\n- {name: b, match: {}}',
            "no PC can be in 'b': 'a' before it takes every PC",
        ),
        (
            'slices:\n- name: a\n  match:\n    gpu: yes\n',
            "p.yaml:4: slices[0].match.gpu: 'yes' is no text: quote it",
        ),
        ('slices: [{name: a, match: {x: }}]', "'' is no text"),
        ('slices: [{name: a, match: {x: ""}}]', 'match.x: is empty'),
        ('slices: [{name: a, match: {x: []}}]', 'at least one value'),
        ('slices: [{name: a, match: {x: {y: z}}}]', 'must be a text'),
        ('slices: [{name: a, match: {x: 1, x: 2}}]', "'x' is there twice"),
        ('slices:\n  - name: [\n', 'p.yaml:3: not YAML'),
        ('slices: \x00', 'p.yaml: not YAML'),
    ],
)
def test_fault_is_named_with_file_line_and_field(
    text: str, message: str
) -> None:
    with pytest.raises(policy.PolicyError) as caught:
        policy.read_policy(text, 'p.yaml')
    assert str(caught.value).startswith('p.yaml')
    assert message in str(caught.value)


def test_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'policy.yaml'
    with pytest.raises(policy.PolicyError, match=str(path)):
        policy.load_policy(path)
    path.write_text(TIERS)
    assert policy.load_policy(path).names == ('gold', 'rome-2', 'rest')


@given(st.text())
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    try:
        policy.read_policy(text, 'p')
    except policy.PolicyError:
        return
