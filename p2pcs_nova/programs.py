# SPDX-License-Identifier: Apache-2.0
"""What the programs that run on every machine have in common."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_log import log

from p2pcs_nova import layout, version


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is, and how much is logged."""
    parser.add_argument(
        '--config-file',
        action='append',
        default=[],
        help='file of options; of several, the later go before; default: '
        f'{layout.CONFIG_FILE}, if it is there',
    )
    parser.add_argument('--debug', action='store_true', help='log in detail')


def load_conf(
    paths: Sequence[str],
    *register: Callable[[cfg.ConfigOpts], None],
    debug: bool,
) -> cfg.ConfigOpts:
    """The options of this machine, and its logging set up.

    :param paths: none: the default file, if it is there
    :param register: what else the files may say
    :raises cfg.Error: a file is missing or wrong; the message names it
    """
    conf = cfg.ConfigOpts()
    for options in (*register, log.register_options):
        options(conf)
    if not paths and pathlib.Path(layout.CONFIG_FILE).exists():
        paths = [layout.CONFIG_FILE]
    conf(
        [word for path in paths for word in ('--config-file', path)],
        project='p2pcs',
        default_config_files=[],
        default_config_dirs=[],
    )
    if debug:
        conf.set_override('debug', True)
    conf.set_default('use_stderr', True)
    log.set_defaults(default_log_levels=['httpx=WARNING', 'httpcore=WARNING'])
    log.setup(conf, 'p2pcs', version.release())
    return conf


def check_readable(option: str, path: str) -> None:
    """Whether a file that an option names is there for us.

    :raises cfg.Error: it is not; names the option
    :raises OSError: that cannot be said now
    """
    try:
        with open(path, 'rb'):
            pass
    except (
        FileNotFoundError,
        IsADirectoryError,
        NotADirectoryError,
        PermissionError,
    ) as error:
        raise cfg.Error(f'{option}: {path}: {error.strerror}') from None


def leaves(
    group: BaseExceptionGroup[BaseException] | None,
) -> list[BaseException]:
    """The errors themselves, however deep tasks have wrapped them."""
    found: list[BaseException] = []
    for error in group.exceptions if group else ():
        if isinstance(error, BaseExceptionGroup):
            found += leaves(error)
        else:
            found.append(error)
    return found
