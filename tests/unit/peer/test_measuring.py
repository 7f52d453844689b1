# SPDX-License-Identifier: Apache-2.0
"""What a PC measures of itself, over restarts and years."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import files, wire
from p2pcs_nova.peer import machine, measuring
from p2pcs_nova.peer.presence import MEMORY_S, ON_S, Presence

DAY_S = 86400.0
gaps = st.floats(-1e9, 1e9) | st.floats(0, 2 * ON_S)


def seen(presence: Presence, seconds: float, *, on: bool) -> Presence:
    step = ON_S if on else seconds
    for _ in range(round(seconds / step)):
        presence = presence.look(presence.at_s + step)
    return presence


def test_new_pc_is_between_good_and_bad_and_proves_itself() -> None:
    presence = Presence(0.0)
    assert presence.reliability == 0.5
    found = []
    for _ in range(4):
        presence = seen(presence, 10 * DAY_S, on=True)
        found.append(presence.reliability)
    assert found == sorted(found)
    assert found[0] > 0.9
    assert found[-1] > 0.97


def test_pc_that_is_off_at_night_is_as_good_as_its_days_are_long() -> None:
    presence = Presence(0.0)
    for _ in range(90):
        presence = seen(presence, DAY_S / 3, on=True)
        presence = seen(presence, 2 * DAY_S / 3, on=False)
    assert 0.28 < presence.reliability < 0.38


def test_months_that_are_past_count_no_more() -> None:
    presence = seen(Presence(0.0), 60 * DAY_S, on=True)
    presence = seen(presence, 200 * DAY_S, on=False)
    assert presence.reliability < 0.05
    assert seen(presence, 60 * DAY_S, on=True).reliability > 0.8


@given(st.lists(gaps, max_size=40))
def test_reliability_is_a_share_whatever_the_clock_does(
    steps: list[float],
) -> None:
    presence = Presence(1e9)
    for step in steps:
        presence = presence.look(presence.at_s + step)
        assert 0.0 <= presence.reliability <= 1.0
        assert 0.0 <= presence.on_s <= presence.known_s + 1e-6
        assert presence.known_s <= MEMORY_S + 1e-6


class Pc:
    """A PC that measures, its clock and its benchmark in a test's hand."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.now_s = 1e9
        self.scores = iter(range(40, 1000))
        self.changed = trio.Event()
        self.places = machine.Places(folder / 'proc', folder / 'sys')
        self.places.proc.mkdir()
        self.name('one CPU')

    def name(self, name: str) -> None:
        (self.places.proc / 'cpuinfo').write_text(f'model name : {name}\n')

    async def look(self, until: Callable[[wire.Attributes], bool]) -> None:
        """Start a daemon, and end it when it says so."""
        self.measuring = measuring.Measuring(
            self.folder,
            self.folder / 'measured.json',
            lambda: datetime.datetime.fromtimestamp(self.now_s, datetime.UTC),
            self.on_change,
            places=self.places,
            score=lambda: next(self.scores),
        )
        assert self.measuring.said() == {}
        with trio.fail_after(60.0):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.measuring.run)
                while not until(self.measuring.said()):
                    await self.changed.wait()
                nursery.cancel_scope.cancel()

    def on_change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


async def score(pc: Pc) -> wire.Attribute:
    await pc.look(lambda said: 'cpu_score' in said)
    return pc.measuring.said()['cpu_score']


@pytest.mark.trio
async def test_processor_is_measured_once_and_again_if_it_is_another(
    tmp_path: pathlib.Path,
) -> None:
    pc = Pc(tmp_path)
    assert [await score(pc), await score(pc)] == [40, 40]
    pc.name('a better CPU')
    assert [await score(pc), await score(pc)] == [41, 41]


@pytest.mark.trio
@pytest.mark.parametrize('rubbish', [b'', b'{"presence": 1}', b'\xff'])
async def test_file_that_is_damaged_is_begun_anew(
    tmp_path: pathlib.Path, rubbish: bytes
) -> None:
    pc = Pc(tmp_path)
    (tmp_path / 'measured.json').write_bytes(rubbish)
    assert await score(pc) == 40


@pytest.mark.trio
async def test_what_was_seen_outlives_the_daemon(
    tmp_path: pathlib.Path,
) -> None:
    pc = Pc(tmp_path)
    await score(pc)
    first = pc.measuring.said()['reliability']
    for _ in range(2000):
        pc.now_s += ON_S
        pc.measuring.look()
    await pc.look(lambda said: said.get('reliability', first) != first)
    assert pc.measuring.said()['reliability'] == pytest.approx(0.87, abs=0.02)


@pytest.mark.trio
async def test_disk_that_is_full_stops_no_measuring(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: pathlib.Path, data: bytes) -> None:
        raise OSError('no space left')

    monkeypatch.setattr(files, 'replace', full)
    assert await score(Pc(tmp_path)) == 40
