# SPDX-License-Identifier: Apache-2.0
"""What the engine's page tells people to type, as it stands there."""

import json
import pathlib
import subprocess
import sys

import pytest

from gossip.simulator import __main__ as command
from gossip.simulator import measures
from tests.support import readme

LIMIT_S = 60.0
PAGE = pathlib.Path(__file__).resolve().parents[3] / 'doc' / 'gossip.rst'


@pytest.mark.parametrize(
    ('number', 'lines'),
    [
        (0, ['True', '10', '9 True']),
        (1, ['heard hello', 'attributes gpu=yes']),
    ],
)
def test_the_examples_of_a_library_print_what_is_said(
    number: int, lines: list[str]
) -> None:
    text = readme.section(PAGE.read_text(), 'As a library')

    done = subprocess.run(
        [sys.executable, '-c', readme.blocks(text, 'python')[number]],
        capture_output=True,
        timeout=LIMIT_S,
        text=True,
    )

    assert (done.stdout.splitlines(), done.stderr) == (lines, '')
    for line in lines:
        assert f'``{line}``' in text


@pytest.mark.parametrize('measure', list(measures.Measure))
def test_what_the_simulator_measures_is_explained(
    measure: measures.Measure, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(['--peers=3', '--cycles=1', f'--measure={measure}', '--json'])

    text = readme.section(PAGE.read_text(), 'Commands')
    for name in json.loads(capsys.readouterr().out):
        assert f'``{name}``' in text
