# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-peer``: the daemon, and the owner's commands on his PC."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import msgspec
from oslo_config import cfg

from p2pcs_nova import programs, version
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.daemon import conf as options
from p2pcs_nova.daemon import report

FAILURES = (cfg.Error, OSError)
"""What a person can act on, beside the errors of our own: told in a line.
Anything else is a bug, and has a traceback."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    arguments = _parser().parse_args(argv)
    failed: list[BaseException] = []
    try:
        conf = programs.load_conf(
            arguments.config_file, options.register, debug=arguments.debug
        )
        return int(arguments.command(conf, arguments))
    except* KeyboardInterrupt:
        return_code = 130
    except* Exception as group:
        told, bugs = group.split(_is_told)
        if bugs is not None:
            raise bugs from None
        return_code = 1
        failed.extend(programs.leaves(told))
    for error in dict.fromkeys(str(error) for error in failed):
        print(f'p2pcs-peer: {error}', file=sys.stderr)
    return return_code


def _is_told(error: BaseException) -> bool:
    ours = type(error).__module__.startswith('p2pcs_nova.')
    return ours or isinstance(error, FAILURES)


def _run(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> int:
    import trio

    from p2pcs_nova.daemon import main as daemon

    logging.getLogger(__name__).info('p2pcs-peer %s', version.release())
    trio.run(daemon.serve, conf)
    return 0


def _join(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> int:
    import trio

    from p2pcs_nova.daemon import joining as this_pc

    typed = arguments.token
    if typed == '-':
        typed = sys.stdin.readline()
    print(trio.run(this_pc.join, conf, typed, arguments.force))
    return 0


def _status(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> int:
    with LocalClient(conf.socket) as client:
        status = client.status()
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(status)).decode())
    else:
        print(report.status_to_text(status), end='')
    return 0


def _drain(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> int:
    with LocalClient(conf.socket) as client:
        client.drain(arguments.draining)
    if arguments.draining:
        print('This PC takes nothing new; what runs on it runs on.')
    else:
        print('This PC takes instances again.')
    return 0


def _leave(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> int:
    from p2pcs_nova.daemon import leaving

    print(leaving.this_pc(conf, arguments.force))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='p2pcs-peer',
        description='This PC in a cloud of PCs: join it, run the daemon, '
        'see what it does here, close it to new work.',
    )
    parser.add_argument(
        '--version', action='version', version=version.release()
    )
    commands = parser.add_subparsers(
        title='commands', metavar='COMMAND', required=True
    )
    common = argparse.ArgumentParser(add_help=False)
    programs.add_options(common)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=f'{text[0].upper()}{text[1:]}.',
            parents=[common],
        )

    join = add('join', 'make this PC a member, by a token of the operator')
    join.add_argument(
        'token',
        help='what "p2pcs-manage token create" printed; "-" reads it from '
        'standard input, where no other user of this PC sees it',
    )
    join.add_argument(
        '--force',
        action='store_true',
        help='join even if this PC is a member already',
    )
    join.set_defaults(command=_join)
    add('run', 'run the daemon in the foreground').set_defaults(command=_run)
    status = add('status', 'say what runs here, what is offered and why')
    status.add_argument('--json', action='store_true', help='for programs')
    status.set_defaults(command=_status)
    drain = add('drain', 'take nothing new; what runs here runs on')
    drain.set_defaults(command=_drain, draining=True)
    undrain = add('undrain', 'take instances again')
    undrain.set_defaults(command=_drain, draining=False)
    leave = add('leave', 'leave the overlay for good: remove the identity')
    leave.add_argument(
        '--force',
        action='store_true',
        help='destroy the instances that are here',
    )
    leave.set_defaults(command=_leave)
    return parser
