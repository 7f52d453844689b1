# SPDX-License-Identifier: Apache-2.0
"""What is kept of the log, and what of it is about an instance."""

from __future__ import annotations

import logging
import pathlib
import uuid
from collections.abc import Iterator

import pytest

from p2pcs_nova import journal, wire

LOG = logging.getLogger(__name__)
MINE, OTHER = (str(uuid.UUID(int=n)) for n in (1, 2))
CREATE, LIST = (f'req-{uuid.UUID(int=n)}' for n in (3, 4))


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    """As a daemon logs."""
    caplog.set_level(logging.INFO)


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> Iterator[journal.Journal]:
    """A journal that writes."""
    found = journal.Journal(tmp_path / 'journal', 'pc1', lambda: 7.0)
    with found.kept():
        yield found


def texts(found: journal.Journal, instance: str = MINE) -> list[str]:
    return [line.text for line in found.chapter(instance).lines]


def test_lines_are_kept_with_machine_and_time(kept: journal.Journal) -> None:
    LOG.info('[instance %s] right-stored', MINE)
    chapter = kept.chapter(MINE)
    assert (chapter.machine, chapter.wall_clock_s) == ('pc1', 7.0)
    (line,) = chapter.lines
    assert line.machine == 'pc1'
    assert line.text == f'[instance {MINE}] right-stored'
    assert line.at_s > 1e9


def test_what_names_nothing_is_for_debugging_or_asks_is_not_kept(
    kept: journal.Journal, tmp_path: pathlib.Path
) -> None:
    LOG.info('the weather is fine')
    LOG.info('[-] GET /v1/instances/%s/story: not-found', MINE)
    LOG.debug('[instance %s] boring', MINE)
    assert (tmp_path / 'journal').read_bytes() == b''


def test_lines_of_its_requests_are_its_own_and_those_of_others_are_not(
    kept: journal.Journal,
) -> None:
    LOG.info('[%s] POST /v1/reservations', CREATE)
    LOG.info('[%s] PUT /v1/instances/%s', CREATE, MINE)
    LOG.info('[%s] PUT /v1/instances/%s', CREATE, OTHER)
    LOG.info('[instance %s] right-stored', OTHER)
    LOG.info('[%s] GET /v1/instances', LIST)
    assert texts(kept) == [
        f'[{CREATE}] POST /v1/reservations',
        f'[{CREATE}] PUT /v1/instances/{MINE}',
    ]


def test_known_requests_bring_lines_that_name_no_instance() -> None:
    line = wire.StoryLine(0.0, 'nova', f'[{CREATE}] scheduled')
    assert journal.select([line], MINE) == []
    assert journal.select([line], MINE, {CREATE}) == [line]


def test_a_line_is_one_line_whatever_was_logged(kept: journal.Journal) -> None:
    LOG.info('%s: \x1b[31mred\nand {"more": 1}', MINE)
    assert texts(kept) == [f'{MINE}:  [31mred and {{"more": 1}}']


def test_it_outlives_the_daemon(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'journal'
    for _ in range(2):
        with journal.Journal(path, 'pc1', lambda: 0.0).kept():
            LOG.info('%s lives', MINE)
    LOG.info('%s is not written down', MINE)
    assert texts(journal.Journal(path, 'pc1', lambda: 0.0)) == (
        [f'{MINE} lives'] * 2
    )
    assert path.stat().st_mode & 0o777 == 0o600


def test_torn_lines_are_left_out(
    kept: journal.Journal, tmp_path: pathlib.Path
) -> None:
    LOG.info('%s before', MINE)
    with (tmp_path / 'journal').open('a') as file:
        file.write(f'[17.0,"{MINE} to\n')
    LOG.info('%s after', MINE)
    assert texts(kept) == [f'{MINE} before', f'{MINE} after']


def test_line_that_is_torn_within_a_letter_is_left_out(
    kept: journal.Journal, tmp_path: pathlib.Path
) -> None:
    LOG.info('%s before', MINE)
    with (tmp_path / 'journal').open('ab') as file:
        file.write(f'[17.0,"{MINE} caf\u00e9'.encode()[:-1] + b'\n')
    LOG.info('%s after', MINE)
    assert texts(kept) == [f'{MINE} before', f'{MINE} after']


def test_two_files_of_bounded_size_are_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, 'FILE_BYTES', 2000)
    kept = journal.Journal(tmp_path / 'journal', 'pc1', lambda: 0.0)
    with kept.kept():
        for number in range(200):
            LOG.info('%s %d', MINE, number)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert all(file.stat().st_size <= 2000 for file in files)
    numbers = [int(text.split()[-1]) for text in texts(kept)]
    assert numbers == list(range(numbers[0], 200))
    assert len(numbers) > 20


def test_the_last_lines_are_told(
    kept: journal.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, 'CHAPTER_LINES', 2)
    for number in range(5):
        LOG.info('%s %d', MINE, number)
    assert texts(kept) == [f'{MINE} 3', f'{MINE} 4']


def test_a_journal_that_cannot_be_written_stops_nobody(
    kept: journal.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(
        logging.handlers.RotatingFileHandler, 'shouldRollover', full
    )
    LOG.info('%s is lost', MINE)
    assert texts(kept) == []


def test_nothing_is_known_without_a_file(tmp_path: pathlib.Path) -> None:
    assert not texts(journal.Journal(tmp_path / 'none', 'pc1', lambda: 0.0))


def test_only_its_owner_reads_either_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, 'FILE_BYTES', 200)
    with journal.Journal(tmp_path / 'journal', 'pc1', lambda: 7.0).kept():
        for _ in range(5):
            LOG.info('[instance %s] right-stored', MINE)
    modes = {
        one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()
    }
    assert modes == {'journal': 0o600, 'journal.1': 0o600}
