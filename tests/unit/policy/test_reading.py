# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib
import re
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.document import SLOTS_MAX, Placing, Policy, Ratios
from p2pcs_nova.policy.words import PolicyError

ROOT = pathlib.Path(__file__).resolve().parents[3]

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


ROME = """\
version: 7
slot: {vcpus: 2, memory_mb: 4096}
sites:
- name: rome
  match: {site: rome}
  rank: reliability
  slices:
  - name: rome-gold
    share: 25%
    minimum: 8
    maximum: 50
    zone: rome
    traits: [CUSTOM_P2PCS_B, CUSTOM_P2PCS_A]
    ratios: {vcpus: 4, disk_mb: 0.5}
    placing: pack
  - {name: rome-silver, share: "12.5 %"}
  - {name: rome-bronze, share: rest}
- name: elsewhere
  match: {}
  slices: [{name: rest, share: 100%}]
"""


NO_RANK = (
    'sites: [{name: s, match: {}, slices: '
    '[{name: a, share: 1%}, {name: b, share: rest}]}]'
)


def site_name(policy: Policy, attributes: wire.Attributes) -> str:
    site = policy.site_of(attributes)
    return '' if site is None else site.name


@pytest.mark.parametrize(
    ('attributes', 'expected'),
    [
        ({'tier': 'gold', 'site': 'rome'}, 'gold'),
        ({'tier': 'silver', 'site': 'rome'}, 'rome-2'),
        ({'tier': 'silver', 'site': '10'}, 'rome-2'),
        ({'tier': 'silver', 'site': 10}, 'rome-2'),
        ({'tier': 'silver', 'site': 10.0}, 'rome-2'),
        ({'tier': 'silver', 'site': ('oslo', 'rome')}, 'rome-2'),
        ({'tier': 'silver', 'site': 'oslo'}, 'rest'),
        ({'tier': 'silver', 'site': True}, 'rest'),
        ({}, 'rest'),
    ],
)
def test_first_site_that_matches_takes_the_pc(
    attributes: wire.Attributes, expected: str
) -> None:
    assert site_name(reading.read_policy(TIERS, 'p'), attributes) == expected


def test_pc_that_no_site_takes_is_in_none() -> None:
    text = 'slices: [{name: gold, match: {tier: gold}}]'
    assert site_name(reading.read_policy(text, 'p'), {'tier': 'tin'}) == ''


def test_a_ranked_policy_says_all_of_its_slices() -> None:
    policy = reading.read_policy(ROME, 'p')
    assert policy.version == 7
    assert policy.slot == wire.Capacity(2, 4096)
    assert policy.names == ('rome-gold', 'rome-silver', 'rome-bronze', 'rest')
    gold, silver, bronze, rest = policy.slices
    assert [one.share for one in policy.slices] == [
        250_000,
        125_000,
        625_000,
        1_000_000,
    ]
    assert (gold.minimum, gold.maximum, gold.zone) == (8, 50, 'rome')
    assert gold.traits == ('CUSTOM_P2PCS_A', 'CUSTOM_P2PCS_B')
    assert gold.ratios == Ratios(vcpus=4.0, disk_mb=0.5)
    assert gold.placing is Placing.PACK
    assert silver.placing is Placing.SPREAD
    assert (silver.minimum, silver.maximum, silver.zone) == (0, 200, '')
    assert bronze.ratios == rest.ratios == Ratios()
    assert policy.sites[0].rank == 'reliability'


@pytest.mark.parametrize(
    ('total', 'slots'),
    [
        (wire.Capacity(8, 10000, 0), 2),
        (wire.Capacity(3, 99999, 0), 1),
        (wire.Capacity(), 0),
        (wire.Capacity(2**12, 2**26, 2**28), SLOTS_MAX),
    ],
)
def test_slots_of_a_pc_are_what_its_scarcest_part_holds(
    total: wire.Capacity, slots: int
) -> None:
    assert reading.read_policy(ROME, 'p').slots_of(total) == slots


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'p.yaml:1: policy: must be a mapping'),
        ('[]', 'p.yaml:1: policy: must be a mapping'),
        ('slices:\n' + '[' * 50_000, 'p.yaml:2: nested too deeply'),
        ('{}', 'p.yaml:1: slices: is missing'),
        ('slices: []', 'slices: must list at least one slice'),
        ('slices: gold', 'slices: must list at least one slice'),
        ('slices:\n- gold\n', 'p.yaml:2: slices[0]: must be a mapping'),
        ('slices:\n- {name: a}\n', 'p.yaml:2: slices[0].match: is missing'),
        ('slices:\n- {match: {}}\n', 'slices[0].name: is missing'),
        (
            'zones: 1\nslices: [{name: a, match: {}}]',
            "policy: unknown field 'zones'; known: version, slot, sites",
        ),
        (
            'slices:\n- name: a\n  match: {}\n  size: 3\n',
            "p.yaml:4: slices[0]: unknown field 'size'",
        ),
        (
            'slices:\n- name: Gold\n  match: {}\n',
            "p.yaml:2: slices[0].name: 'Gold' cannot be the name",
        ),
        (f'slices: [{{name: {"a" * 64}, match: {{}}}}]', 'at most 58'),
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
        (
            'slices:\n- {name: a, match: {t: x}}\n- {name: b, match: {s: y}}',
            "p.yaml:3: slices[1]: a PC with t: x, s: y would be in 'a' and",
        ),
        (
            'slices: [{name: a, match: {t: x}}, {name: a-2, match: {t: y}}]',
            "'a-2' is the name of a part of 'a'",
        ),
        (
            'slices: [{name: a-2, match: {t: x}}, {name: a, match: {t: y}}]',
            "'a-2' is the name of a part of 'a'",
        ),
        ('slices: [{name: a, match: {}, share: 5%}]', "field 'share'"),
        ('version: 0\nslices: [{name: a, match: {}}]', "'0' is no number"),
        ('version: 1.5\nslices: [{name: a, match: {}}]', 'no whole number'),
        ('slot: {}\nslices: [{name: a, match: {}}]', 'slot: is empty'),
        ('sites: []\nslices: []', 'sites and slices: one of them only'),
        *(
            (f'slices:\n- name: a\n  match: {{}}\n  {line}', message)
            for line, message in (
                ('zone: internal', 'p.yaml:4: slices[0].zone: '),
                ('zone: a:b', "'a:b' cannot be an availability zone"),
                ('traits: [HW_X]', "'HW_X' is no trait of ours"),
                ('traits: [CUSTOM_GOLD]', 'CUSTOM_P2PCS_ and then'),
                ('maximum: 1.5', 'no whole number'),
                ('maximum: 0', 'no number from 1 to'),
                ('minimum: 201', '201 slots are more than the maximum of'),
                ('ratios: {vcpus: none}', "ratios.vcpus: 'none' is no number"),
                ('ratios: {memory_mb: 1.5}', 'no number from 0.01 to 1'),
                ('placing: heap', "'heap' is none of spread, pack"),
                ('ratios: {gpus: 1}', "unknown field 'gpus'"),
            )
        ),
        *(
            (
                'sites:\n- name: s\n  match: {}\n  rank: r\n  slices:\n'
                + ''.join(
                    f'  - {{name: {name}, share: {share}}}\n'
                    for name, share in zip('abc', shares, strict=False)
                ),
                message,
            )
            for shares, message in (
                (('25%', '50%'), 'p.yaml:6: sites[0].slices: leave PCs out'),
                (('60%', '60%'), 'overlap: the shares are 120 %'),
                (('0%', 'rest'), 'p.yaml:6: sites[0].slices[0].share: is emp'),
                (('100%', 'rest'), 'slices[1].share: is empty'),
                (('rest', '50%'), 'slices[0].share: takes the rest'),
                (('half', 'rest'), "'half' is no share"),
                (('0.25', 'rest'), "'0.25' is no share"),
                (('99.9999%',), 'the shares are 99.9999 %'),
            )
        ),
        (NO_RANK, 'p.yaml:1: sites[0].rank: is missing'),
        ('slices:\n  - name: [\n', 'p.yaml:3: not YAML'),
        ('slices:\n\x00', 'p.yaml:2: not YAML: special characters'),
        ('a: "\\U99999999"', 'not YAML: the number of a version or of a ch'),
        ('a: "\\U00110000"', 'a character is too large'),
        (f'%YAML {"9" * 5000}.1\n---\n{{}}', 'a version or of a character'),
        (
            'slices:\n- {name: a, match: {x: "\\ud800"}}',
            'p.yaml:2: slices[0].match.x: has a character that is no text',
        ),
        (
            'slices: [{name: a, match: {cores: ">= 8"}}]',
            "match.cores: attribute cores: '>= 8' is no number",
        ),
        ('slices: [{name: a, match: {cores: .nan}}]', "'.nan' is no number"),
        ('slices: [{name: a, match: {gpus: "x;y"}}]', "'x;y' is a list: ask"),
        ('slices: [{name: a, match: {labs: ";"}}]', "';' is a list: ask for"),
        (
            'slices: [{name: a, match: {n: 8}}, {name: b, match: {n: 8.0}}]',
            "a PC with n: 8 would be in 'a' and in 'b'",
        ),
        ('slices: [{name: a, match: {kvm: "yes"}}]', "'yes' is no truth"),
        (
            'slices:\n- name: a\n  match: {}\n  minimum: 3\n  maximum: 2',
            'p.yaml:4: slices[0].minimum: 3 slots are more than',
        ),
    ],
)
def test_fault_is_named_with_file_line_and_field(
    text: str, message: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        reading.read_policy(text, 'p.yaml')
    assert str(caught.value).startswith('p.yaml')
    assert message in str(caught.value)


@pytest.mark.parametrize(
    'text',
    [
        'slices: [{name: LONG, match: {}}]',
        'slices: [{name: a, match: {LONG: []}}]',
        'slices: *LONG',
    ],
)
def test_what_is_said_of_a_long_value_is_not_long(text: str) -> None:
    text = text.replace('LONG', 'a' * 90_000)
    with pytest.raises(PolicyError) as caught:
        reading.read_policy(text, 'p.yaml')
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize('cores', [8, 8.0])
@pytest.mark.parametrize('written', ['8', '8.0', '8.00'])
def test_number_is_the_same_however_it_is_written(
    cores: float, written: str
) -> None:
    text = f'slices: [{{name: a, match: {{cores: {written}}}}}]'
    policy = reading.read_policy(text, 'p.yaml')
    assert site_name(policy, {'cores': cores}) == 'a'
    assert site_name(policy, {'cores': 80}) == ''


def test_name_in_any_script_is_a_text() -> None:
    name = '東京\u3000本社\u200d'
    text = f'slices: [{{name: a, match: {{site: "{name}"}}}}]'
    policy = reading.read_policy(text)
    assert site_name(policy, {'site': name}) == 'a'


@pytest.mark.parametrize('name', ['gold-1', 'gold-02', 'gold-101', 'gold-x'])
def test_name_that_no_part_has_may_stand_beside_the_whole(name: str) -> None:
    text = (
        'slices: [{name: gold, match: {t: x}}, '
        f'{{name: {name}, match: {{t: y}}}}]'
    )
    assert reading.read_policy(text).names == ('gold', name)


def test_file_that_is_too_long_or_no_text_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'policy.yaml'
    for content, message in (
        (bytes(reading.TEXT_BYTES + 1), 'has more than 262144 bytes'),
        (b'slices:\n- \xff', 'policy.yaml:2: is no text in UTF-8'),
        ('slices: []'.encode('utf-16'), 'policy.yaml:1: is no text in UTF'),
    ):
        path.write_bytes(content)
        with pytest.raises(PolicyError, match=message):
            reading.load_text(path)
    with pytest.raises(PolicyError, match='has more than'):
        reading.load_text(pathlib.Path('/dev/zero'))


def test_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'policy.yaml'
    with pytest.raises(PolicyError, match=f'^{path}: No such file or [a-z]+$'):
        reading.load_text(path)
    path.write_text(TIERS)
    read = reading.read_policy(reading.load_text(path), str(path))
    assert read.names == ('gold', 'rome-2', 'rest')


def test_examples_are_policies() -> None:
    """Those that operators read, with what they may put in their place."""
    document = (ROOT / 'doc' / 'policies.rst').read_text()
    blocks = re.findall(
        r'^ {4}version: .*\n(?:(?: {4}.*)?\n)+', document, re.MULTILINE
    )
    example = (ROOT / 'etc' / 'p2pcs' / 'policy.yaml').read_text()
    _, sites, after = example.partition('# sites:\n')
    commented = sites + after.partition('#\n')[0]
    instead = re.sub('^# ', '', commented, flags=re.MULTILINE)
    texts = [*map(textwrap.dedent, blocks), example, instead]
    slices = [reading.read_policy(text, 'p').names for text in texts]
    assert [len(names) for names in slices] == [2, 4, 2, 4]


@given(st.text())
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    try:
        reading.read_policy(text, 'p')
    except PolicyError:
        return
