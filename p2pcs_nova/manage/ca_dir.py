# SPDX-License-Identifier: Apache-2.0
"""The option that says where the offline root is."""

from __future__ import annotations

import argparse
import pathlib

ITS_KEY_SIGNS = 'folder of `ca init`: its key signs'


def add_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Have ``--ca-dir``.

    :param text: its help
    """
    parser.add_argument(
        '--ca-dir',
        metavar='DIR',
        type=pathlib.Path,
        required=True,
        help=text,
    )
