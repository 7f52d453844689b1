# SPDX-License-Identifier: Apache-2.0
"""The lab's command line; the Makefile's targets call it."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable

from devstack.lab import down, up
from devstack.lab.errors import LabError
from devstack.lab.layout import DEFAULT_PCS, Layout
from devstack.lab.lock import exclusive
from devstack.lab.plan import Plan
from devstack.lab.progress import Progress

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command_up(
    arguments: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Bring the cloud up, or check and repair it."""
    plan = Plan()
    numbers = sorted({*layout.pcs(), *range(1, arguments.pcs + 1)})
    up.up(plan, layout, numbers)
    plan.run(progress)


def command_down(
    _: argparse.Namespace, layout: Layout, progress: Progress
) -> None:
    """Take the cloud away."""
    plan = Plan()
    down.down(plan, layout)
    plan.run(progress)


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    root = argparse.ArgumentParser(prog='devstack.lab', description=__doc__)
    commands = root.add_subparsers(required=True)

    def add(
        name: str,
        run: Callable[[argparse.Namespace, Layout, Progress], None],
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        return command

    add('up', command_up).add_argument(
        '--pcs', type=int, default=DEFAULT_PCS, metavar='N'
    )
    add('down', command_down)
    return root


def main(argv: list[str]) -> int:
    """Run one command; 0 when it did its work."""
    arguments = parser().parse_args(argv)
    layout = Layout(ROOT)
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
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
