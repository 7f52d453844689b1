# SPDX-License-Identifier: Apache-2.0
"""What a run of the suite tells at its end."""

from __future__ import annotations

from tests.support.figures import Figures


def test_run_that_measured_nothing_tells_nothing() -> None:
    assert list(Figures().sections()) == []


def test_figures_are_told_in_their_order() -> None:
    figures = Figures()
    figures.note('second', 0.25)
    figures.note('first', 12.0)
    figures.note('third', 4.5, '%')
    [(title, lines)] = figures.sections()
    assert title == 'figures'
    assert lines == [
        '    0.250 s  second',
        '   12.000 s  first',
        '    4.500 %  third',
    ]


def test_convergence_is_told_by_fault() -> None:
    figures = Figures()
    for seconds in (1.0, 9.0, 2.0):
        figures.note_convergence('power cut', seconds)
    figures.note_convergence('full disk', 4.0)
    [(_, lines)] = figures.sections()
    assert lines == [
        ' samples   median    worst  fault',
        '       1    4.0 s    4.0 s  full disk',
        '       3    2.0 s    9.0 s  power cut',
    ]


def test_inputs_of_several_tests_are_added() -> None:
    figures = Figures()
    figures.count_inputs('requests')
    figures.count_inputs('requests', 300)
    [(title, lines)] = figures.sections()
    assert (title, lines) == ('inputs fuzzed', ['      301  requests'])
