# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-manage explain``: one table from the story and Nova's logs."""

from __future__ import annotations

import datetime
import pathlib
import uuid

import msgspec
import pytest

from p2pcs_nova import wire
from p2pcs_nova.gateway import story as stories
from p2pcs_nova.manage import cli, explain

MINE, OTHER = (str(uuid.UUID(int=n)) for n in (1, 2))
CREATE = f'req-{uuid.UUID(int=3)}'
AT = datetime.datetime(2026, 11, 26, 12, 0, 0, 250_000)
AT_S = AT.timestamp()


def story(*lines: tuple[float, str, str]) -> wire.Story:
    return wire.Story(
        MINE,
        'running on pc1, slice gold, epoch 1.7',
        (wire.StoryLine(AT_S, 'pc2', 'its part is missing: cut off'),),
        tuple(wire.StoryLine(*line) for line in lines),
    )


def test_the_first_line_says_where_it_is_now() -> None:
    found = story((0.25, 'gw1', 'first'), (1.0, 'pc1', 'second'))
    header, lines = explain.story_to_table(found, 2.0, 'gw1')
    assert tuple(header) == ('Time', 'Machine', 'What')
    first, remark, *rest = lines
    assert first == (
        '1970-01-01 00:00:02.000Z',
        'gw1',
        f'{MINE}: running on pc1, slice gold, epoch 1.7',
    )
    assert remark[1:] == ('pc2', 'its part is missing: cut off')
    assert rest == [
        ('1970-01-01 00:00:00.250Z', 'gw1', 'first'),
        ('1970-01-01 00:00:01.000Z', 'pc1', 'second'),
    ]


def test_of_a_server_on_no_pc_each_slice_and_each_pc_tells_why() -> None:
    found = msgspec.structs.replace(
        story((1.0, 'gw1', 'a slice is looked for')),
        fits=(
            wire.PeerFit('gold', 'pc1', 0, 'full'),
            wire.PeerFit('gold', 'pc2', 3),
            wire.PeerFit('', 'pc9', 0, 'in no slice'),
        ),
    )
    told = explain.with_nova(found, [])
    _, lines = explain.story_to_table(told, 2.0, 'gw1')
    assert [line[1:] for line in lines][1:6] == [
        ('gw1', 'slice gold, now: 2 PCs: 1 full, 1 with room'),
        ('pc1', 'slice gold, now: full'),
        ('pc2', 'slice gold, now: room for 3 such'),
        ('gw1', 'no slice, now: 1 PC: 1 in no slice'),
        ('pc9', 'no slice, now: in no slice'),
    ]


def test_novas_lines_on_it_are_put_in_by_time(tmp_path: pathlib.Path) -> None:
    log = tmp_path / 'nova-compute.log'
    head = f'{AT:%Y-%m-%d %H:%M:%S}.250 17 INFO nova.compute.manager'
    log.write_text(
        f'{head} [None {CREATE} u p - - - -] claimed\n'
        f'{head} [None {CREATE} u p] [instance: {OTHER}] another\n'
        f'{head} [-] [instance: {MINE}] Took 1 second\n'
        'Traceback (most recent call last):\n'
        f'{head} [-] nothing of it\n'
    )
    found = explain.with_nova(
        story(
            (AT_S - 1, 'gw1', f'[{CREATE}] instance {MINE}: builds'),
            (AT_S + 1, 'pc1', 'after'),
        ),
        [log],
    )
    assert [(x.machine, x.at_s - AT_S) for x in found.lines] == [
        ('gw1', -1),
        ('nova-compute', 0),
        ('nova-compute', 0),
        ('pc1', 1),
    ]
    assert found.lines[1].text.endswith('claimed')
    assert found.lines[2].text.endswith('Took 1 second')


def test_help_says_what_is_told_and_for_how_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(['explain', '--help']) == 0
    told = ' '.join(capsys.readouterr().out.split())
    assert '--nova-log FILE' in told
    assert 'a server that is deleted or has failed too' in told


@pytest.mark.parametrize(
    ('at_s', 'clock_s'),
    [(1.7e308, 2e9), (-1.7e308, 2e9), (2e9, 1.7e308), (1.7e308, -1.7e308)],
)
def test_time_that_no_calendar_has_can_be_shown(
    at_s: float, clock_s: float
) -> None:
    said = wire.Chapter(
        'pc1', clock_s, (wire.StoryLine(at_s, 'pc1', 'right-stored'),)
    )
    [shown] = stories.shifted(said, 'pc1', clock_s - 2e9).lines
    assert explain.at_to_text(shown.at_s).endswith('Z')
