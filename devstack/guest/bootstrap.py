# SPDX-License-Identifier: Apache-2.0
"""A whole Debian 12 in a folder, made by mmdebstrap as root.

Its packages come from where apt on this machine gets Debian's, with apt's
own settings for that.
"""

import pathlib
from collections.abc import Sequence

from devstack.guest import command

SUITE = 'bookworm'
TOOLS = ('apt-get', 'apt-config', 'mmdebstrap')
TIMEOUT_S = 1800.0
_FORMAT = '$(REPO_URI) $(CODENAME) $(COMPONENT)'


def sources() -> str:
    """What a sources.list says to reach Debian as apt here does.

    :raises command.BuildError: apt has no lists of Debian's packages yet
    """
    listing = command.run(
        [
            'apt-get', 'indextargets', '--format', _FORMAT,
            'Created-By: Packages', 'Origin: Debian',
        ]
    )  # fmt: skip
    if not listing.strip():
        raise command.BuildError('apt knows no packages: apt-get update?')
    return ''.join(f'deb {line}\n' for line in listing.splitlines())


def parse_settings(dump: str) -> list[str]:
    """How apt fetches, out of what ``apt-config dump`` says.

    What sorts of lists there are is left out: that is each Debian's own.
    """
    return [
        line
        for line in dump.splitlines()
        if line.startswith('Acquire::')
        and not line.startswith('Acquire::IndexTargets')
        and not line.endswith(' "";')
    ]


def make_tree(tree: pathlib.Path, names: Sequence[str], *options: str) -> None:
    """Install these packages and what they depend on into a new folder.

    :param options: more of mmdebstrap's
    :raises command.BuildError: the folder may be there, incomplete
    """
    settings = parse_settings(command.run(['apt-config', 'dump']))
    command.run(
        [
            'mmdebstrap', '--mode=root', '--format=directory',
            '--variant=minbase', f'--include={",".join(names)}',
            *(f'--aptopt={line}' for line in settings),
            *options, SUITE, tree, '-',
        ],
        stdin=sources(),
        timeout_s=TIMEOUT_S,
    )  # fmt: skip
