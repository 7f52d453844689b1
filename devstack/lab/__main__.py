# SPDX-License-Identifier: Apache-2.0
"""The lab's command line; the Makefile's targets call it."""

from __future__ import annotations

import argparse
import functools
import pathlib
import signal
import sys
from collections.abc import Callable

from devstack.lab import (
    before,
    down,
    first_server,
    horizon,
    machines,
    operator,
    overlay,
    pcs,
    preflight,
    testing,
    up,
)
from devstack.lab.errors import LabError
from devstack.lab.layout import CONTROL, DEFAULT_PCS, MAX_PCS, Layout, pc_name
from devstack.lab.lock import exclusive
from devstack.lab.plan import Plan
from devstack.lab.progress import Progress

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command_up(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Bring the cloud up, or check and repair it."""
    preflight.check(layout, arguments.pcs)
    plan = Plan()
    numbers = sorted({*layout.pcs(), *range(1, arguments.pcs + 1)})
    dashboard = arguments.horizon or horizon.is_up(layout)
    up.up(plan, layout, numbers, dashboard=dashboard)
    plan.run(progress)
    progress.say(
        first_server.farewell(layout, progress.seconds, dashboard=dashboard)
    )


def command_down(
    _: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Take the cloud away; packages, venvs and caches stay."""
    plan = Plan()
    down.down(plan, layout)
    plan.run(progress)


def command_pc_off(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Cut the power of a PC: daemon, libvirtd and QEMU die at once."""
    pcs.known(layout, arguments.pc)
    with progress.step(f'pc{arguments.pc}: power cut'):
        if not machines.power_off(layout, pc_name(arguments.pc)):
            progress.say(f'pc{arguments.pc} was off')


def command_pc_on(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Boot a PC; what is on its disk is still there."""
    pcs.known(layout, arguments.pc)
    plan = Plan()
    up.join_pc(plan, layout, arguments.pc)
    plan.run(progress)


def command_pc_unplug(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Pull the network cable of a PC that is on."""
    with progress.step(f'pc{arguments.pc}: cable out'):
        pcs.set_link(layout, arguments.pc, up=False)


def command_pc_plug(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Put the network cable of a PC back."""
    with progress.step(f'pc{arguments.pc}: cable in'):
        pcs.set_link(layout, arguments.pc, up=True)


def command_pc_status(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Say what a PC's owner sees."""
    pcs.known(layout, arguments.pc)
    progress.close()
    operator.pc_status(layout, arguments.pc)


def command_pc_add(
    _: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """One more PC joins the running cloud; nothing is restarted."""
    machines.get(layout, CONTROL)
    number = max(layout.pcs(), default=0) + 1
    if number > MAX_PCS:
        raise LabError(f'there are {MAX_PCS} PCs: as many as there can be')
    plan = Plan()
    joined = up.join_pc(plan, layout, number)
    plan.add(
        f'the gateway sees pc{number}',
        functools.partial(overlay.wait_for_offers, layout, number),
        joined,
    )
    plan.run(progress)


def command_test(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Install what a suite needs; the tests run after it."""
    suite = testing.SUITES[arguments.suite]
    if suite.machines:
        preflight.check(layout)
        before.note(layout)
    plan = Plan()
    testing.prepare(plan, layout, suite)
    plan.run(progress)


Command = Callable[[argparse.Namespace, Layout, Progress], None]


def number_of_pcs(text: str) -> int:
    """How many PCs a lab shall have.

    :raises argparse.ArgumentTypeError: too many, none, or no number
    """
    if text.isdecimal() and 1 <= int(text) <= MAX_PCS:
        return int(text)
    raise argparse.ArgumentTypeError(
        f'a lab has 1 to {MAX_PCS} PCs, not {text}'
    )


def pc_number(text: str) -> int:
    """Which PC; its name will do.

    :raises argparse.ArgumentTypeError: no number
    """
    number = text.removeprefix('pc')
    if number.isdecimal():
        return int(number)
    raise argparse.ArgumentTypeError(
        f'PC=2 is the second PC, PC={text} is none'
    )


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    root = argparse.ArgumentParser(prog='devstack.lab', description=__doc__)
    commands = root.add_subparsers(required=True, metavar='command')

    def add(name: str, run: Command) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        return command

    bring_up = add('up', command_up)
    bring_up.add_argument(
        '--pcs', type=number_of_pcs, default=DEFAULT_PCS, metavar='N'
    )
    bring_up.add_argument('--horizon', action='store_true')
    add('down', command_down)
    add('pc-add', command_pc_add)
    for name, run in (
        ('pc-off', command_pc_off),
        ('pc-on', command_pc_on),
        ('pc-unplug', command_pc_unplug),
        ('pc-plug', command_pc_plug),
        ('pc-status', command_pc_status),
    ):
        add(name, run).add_argument('pc', type=pc_number, metavar='N')
    for name in testing.SUITES:
        add(name, command_test).set_defaults(suite=name)
    return root


def _interrupt(number: int, _: object) -> None:
    """What ends us ends as Ctrl-C does: steps under way are ended first."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(argv: list[str]) -> int:
    """Run one command; 0 when it did its work."""
    arguments = parser().parse_args(argv)
    layout = Layout(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    progress = Progress(sys.stdout)
    try:
        with exclusive(layout.cache / 'lab.lock'):
            arguments.run(arguments, layout, progress)
    except LabError as error:
        progress.close()
        print(f'\n{error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.close()
        print(
            '\nStopped. "make cloud" carries on, "make cloud-down" removes.',
            file=sys.stderr,
        )
        return 130
    progress.close()
    if 'suite' in arguments:
        testing.run(layout, testing.SUITES[arguments.suite])
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
