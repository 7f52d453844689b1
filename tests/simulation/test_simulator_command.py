# SPDX-License-Identifier: Apache-2.0
"""The simulator as a command: what it measures, and bad input."""

import json
import pathlib
import random

import pytest

from gossip import errors, simulator
from gossip.simulator import __main__ as command
from gossip.simulator import churn

ALWAYS = {
    'peers',
    'cycles',
    'seconds',
    'node_cycles_per_second',
    'bytes_per_peer_second',
}


def measure(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, float]:
    command.main([*arguments, '--json'])
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= ALWAYS
    assert isinstance(found, dict)
    return found


def test_detection(capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(capsys, '--peers=12', '--cycles=60')

    assert (found['peers'], found['cycles']) == (12, 60)
    assert 0 < found['detect_median_s'] <= found['detect_p95_s'] < 30
    assert found['false_dead'] == 0
    assert (found['deaths'], found['undetected']) == (3, 0)
    assert 0 < found['peer_days'] < 12 * 60 / 86400


def test_who_comes_after_a_death_does_not_say_how_soon_it_was_known(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    trace = tmp_path / 'trace'
    trace.write_text('a 0 99\nb 0 99\nc 0 99\nd 0 10\ne 70 99\n')

    found = measure(capsys, '--cycles=90', f'--churn={trace}')

    assert found['deaths'] == 1
    assert 0 < found['detect_p95_s'] < 30


def test_deaths_that_nobody_knows_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = measure(capsys, '--peers=20', '--cycles=20', '--churn=massacre')

    assert (found['deaths'], found['undetected']) == (18, 18)


def test_nobody_tells_news_in_the_moment_of_his_death(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """Half of them are off when the sixth piece of news is told."""
    trace = tmp_path / 'trace'
    trace.write_text(
        ''.join(f'{n} 0 {30 if n % 2 else 1000}\n' for n in range(20))
    )
    found = measure(
        capsys,
        '--peers=20',
        '--cycles=60',
        f'--churn={trace}',
        '--measure=dissemination',
    )

    assert found['missed'] == 0


def test_a_machine_may_be_on_twice_within_a_second(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    trace = tmp_path / 'trace'
    trace.write_text('a 0 9\nb 0 9\nb 9.1 9.2\nb 9.3 9.4\n')

    found = measure(capsys, '--cycles=12', f'--churn={trace}',
                    '--measure=dissemination')  # fmt: skip

    assert found['peers'] == 2
    assert found['bytes_per_peer_second'] > 0


def test_records(capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(
        capsys, '--peers=12', '--cycles=60', '--measure=records', '--loss=0.2'
    )

    assert 0 <= found['staleness_p99_s'] < 10


def test_dissemination(capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(
        capsys, '--peers=12', '--cycles=60', '--measure=dissemination'
    )

    assert 0 < found['rounds_all'] < 1
    assert 1 < found['datagrams_per_peer'] < 3
    assert found['missed'] == 0


def test_news_where_all_are_off_for_a_while(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    trace = tmp_path / 'trace'
    trace.write_text('a 0 5\nb 0 5\na 30 60\nb 30 60\n')

    found = measure(
        capsys,
        '--peers=2',
        '--cycles=60',
        '--measure=dissemination',
        f'--churn={trace}',
    )

    assert found['missed'] == 0


def test_same_seed_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        measure(capsys, '--peers=8', '--cycles=40', '--churn=volunteer')
        for _ in range(2)
    ]

    for run in runs:
        del run['seconds'], run['node_cycles_per_second']
    assert runs[0] == runs[1]


@pytest.mark.parametrize('model', list(churn.Model))
def test_every_model_ends_whole(
    capsys: pytest.CaptureFixture[str], model: churn.Model
) -> None:
    if model is churn.Model.NONE:
        pytest.skip('it ends while a machine is off')
    found = measure(capsys, '--peers=12', '--cycles=300', f'--churn={model}')

    assert found['whole_at_end']


def test_without_json_it_is_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command.main(['--peers=4', '--cycles=5'])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['peers', '4']
    assert 'nothing happened' in '\n'.join(lines)


def test_trace_is_followed(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    trace = tmp_path / 'trace'
    trace.write_text('# a comment\na 0 100\nb 0 100\nc 0 10\nc 20 100\n')

    found = measure(capsys, '--cycles=60', f'--churn={trace}')

    assert found['peers'] == 3
    assert found['peer_days'] == pytest.approx(170 / 86400, rel=0.02)


@pytest.mark.parametrize(
    'text',
    ['', 'a 0 1\n', 'a 0 1\nb x 1\n', 'a 0 1\nb 2 1\n', 'a 0 1\nb 0\n'],
)
def test_bad_trace_is_named(tmp_path: pathlib.Path, text: str) -> None:
    trace = tmp_path / 'trace'
    trace.write_text(text)

    with pytest.raises(SystemExit, match='trace'):
        command.main([f'--churn={trace}'])


@pytest.mark.parametrize(
    'argument',
    ['--peers=1', '--peers=x', '--cycles=0', '--loss=1', '--measure=x'],
)
def test_bad_arguments_are_refused(
    capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([argument])

    assert ended.value.code == 2
    assert argument.split('=')[0] in capsys.readouterr().err


def test_an_unknown_measure_is_answered_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command.main(['--measure=x'])

    assert "'records'" in capsys.readouterr().err


def test_numbers_that_no_peer_has_are_refused() -> None:
    many = simulator.Simulation(1)
    many.add()

    for misuse in (
        lambda: many.add([5]),
        lambda: many.kill(-1),
        lambda: many.restart(0, [1]),
    ):
        with pytest.raises(errors.Misuse):
            misuse()

    assert [peer.boot for peer in many.peers] == [1]
    assert many.is_whole()


@pytest.mark.parametrize('model', list(churn.Model))
def test_stays_are_within_the_run_and_do_not_overlap(
    model: churn.Model,
) -> None:
    stays = churn.draw(model, 50, 2 * 86400.0, random.Random(1))

    last: dict[int, float] = {}
    for stay in stays:
        assert last.get(stay.number, -1.0) < stay.start < stay.end
        assert stay.end <= 2 * 86400.0
        last[stay.number] = stay.end
    assert len(last) <= 50
