# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-gateway``: the program that keeps the slices' nova-computes."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import logging
import os
import pathlib
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import trio
from oslo_config import cfg

from p2pcs_nova import errors, etcd, notify, programs, version
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.hosts import nova
from p2pcs_nova.supervisor import compute, keeping, publishing
from p2pcs_nova.supervisor import conf as options
from p2pcs_nova.terms import conf as where
from p2pcs_nova.terms import shared, single
from p2pcs_nova.terms.holder import Holder, Lapsed

LOG = logging.getLogger(__name__)

ASK_TIMEOUT_S = 1.5
"""Silence of the daemon after which a question to it is given up: terms
are renewed meanwhile."""


class AnotherRuns(Exception):
    """Another p2pcs-gateway keeps the same folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Keep the slices until SIGTERM or SIGINT; the exit code.

    EX_CONFIG: an operator is needed, it makes no sense to try again.
    """
    arguments = _parser().parse_args(argv)
    try:
        conf = programs.load_conf(
            arguments.config_file,
            options.register,
            where.register,
            debug=arguments.debug,
        )
        kept = conf_to_options(conf)
        cluster = shared.conf_to_cluster(conf)
        with alone(kept.folder):
            LOG.info('p2pcs-gateway %s', version.release())
            while not _run(conf, kept, cluster):
                LOG.info('all terms are given up: begin anew')
    except (cfg.Error, errors.EraRefused) as error:
        return _fail(error, os.EX_CONFIG)
    except (OSError, AnotherRuns) as error:
        return _fail(error, 1)
    return 0


def _fail(error: Exception, code: int) -> int:
    print(f'p2pcs-gateway: {error}', file=sys.stderr)
    return code


def _run(
    conf: cfg.ConfigOpts, kept: compute.Options, cluster: etcd.Cluster | None
) -> bool:
    """One life; whether it was told to stop.

    :raises EraRefused: terms may not come from where they are to
    :raises OSError: the system does not give what it needs
    """
    refused: list[BaseException] = []
    lapsed = False
    try:
        trio.run(serve, conf, kept, cluster)
    except* (errors.EraRefused, OSError) as group:
        refused = programs.leaves(group)
    except* Lapsed as group:
        lapsed = True
        LOG.error('the terms are over: %s', programs.leaves(group)[0])
    for error in refused:
        raise error
    return not lapsed


def conf_to_options(conf: cfg.ConfigOpts) -> compute.Options:
    """How the nova-computes are started.

    :raises cfg.Error: what they are all told names no file of ours
    :raises OSError: it cannot be read now
    """
    group = conf.compute
    for name in group.config_files:
        programs.check_readable('[compute] config_files', name)
    return compute.Options(
        program=group.program,
        config_files=tuple(group.config_files),
        folder=pathlib.Path(group.folder),
        log_folder=pathlib.Path(group.log_folder)
        if group.log_folder
        else None,
        socket=conf.socket,
    )


@contextlib.contextmanager
def alone(folder: pathlib.Path) -> Iterator[None]:
    """Keep every other p2pcs-gateway from the same folder.

    :raises AnotherRuns: there is one
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'lock').open('wb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherRuns(f'another one runs in {folder}') from None
        yield


def make_holder(
    conf: cfg.ConfigOpts, client: LocalClient, cluster: etcd.Cluster | None
) -> Holder:
    """What gives us terms."""
    if cluster is None or conf.terms.alone:
        return single.OnlyGateway(_name(), client, boottime)
    return shared.OneOfSeveral(
        _name(),
        conf.terms.etcd_prefix,
        functools.partial(etcd.Etcd, cluster),
        boottime,
    )


def make_publisher(
    client: LocalClient, kept: compute.Options
) -> publishing.Publisher | None:
    """What has Nova's hosts follow the slices; None: we may not ask Nova."""
    try:
        apis = nova.connect(*map(pathlib.Path, kept.config_files))
    except cfg.Error as error:
        LOG.warning(
            "Nova's hosts do not follow the slices by themselves: %s; "
            '`p2pcs-manage slice publish` is left to the operator',
            error,
        )
        return None
    return publishing.Publisher(
        client.policy, functools.partial(nova.follow, apis), client.tell_hosts
    )


def _name() -> str:
    """Of this life of this gateway; no other one has it."""
    return f'{socket.gethostname()}-{secrets.token_hex(4)}'


async def serve(
    conf: cfg.ConfigOpts, kept: compute.Options, cluster: etcd.Cluster | None
) -> None:
    """Keep the slices until told to stop.

    In an ExceptionGroup:

    :raises Lapsed: a term was not renewed in time, or is over
    :raises EraRefused: terms may not come from where they are to
    """
    client = LocalClient(kept.socket, ASK_TIMEOUT_S)
    terms = make_holder(conf, client, cluster)
    make = functools.partial(compute.Compute, kept)
    keeper = keeping.Keeper(terms, client, make, boottime)
    publisher = make_publisher(client, kept)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, signals, keeper)
            nursery.start_soon(notify.stay_alive)
            if publisher is not None:
                nursery.start_soon(publisher.run)
            notify.tell('READY=1')
            await keeper.run()
            nursery.cancel_scope.cancel()


async def _stop_on_signal(
    signals: AsyncIterator[int], keeper: keeping.Keeper
) -> None:
    async for number in signals:
        LOG.info('stopping on %s', signal.Signals(number).name)
        notify.tell('STOPPING=1')
        keeper.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='p2pcs-gateway',
        description='Keep one stock nova-compute for each slice that this '
        'gateway commands.',
    )
    parser.add_argument(
        '--version', action='version', version=version.release()
    )
    programs.add_options(parser)
    return parser
