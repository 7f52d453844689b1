# SPDX-License-Identifier: Apache-2.0
"""Debian's packages: resolved, downloaded, unpacked; never installed."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Sequence

from devstack.guest import command

LISTS = pathlib.Path('/var/lib/apt/lists')
KERNEL = 'linux-image-cloud-amd64'
_NO_OPTIONAL = (
    '--no-recommends',
    '--no-suggests',
    '--no-conflicts',
    '--no-breaks',
    '--no-replaces',
    '--no-enhances',
)


@dataclasses.dataclass(frozen=True, order=True)
class Package:
    """One package at the version apt would install now."""

    name: str
    version: str


def lists_state() -> str:
    """Name all that apt knows now: while this stays, so do its answers."""
    files = sorted(LISTS.glob('*_Packages*'))
    found = [(path.name, path.stat()) for path in files]
    return ''.join(
        f'{name} {status.st_size} {status.st_mtime_ns}\n'
        for name, status in found
    )


def resolve(names: Sequence[str]) -> tuple[Package, ...]:
    """Find the versions of packages and of all they depend on.

    The kernel's package is an empty one that depends on the real one, so
    that it is not itself part of the answer.

    :raises command.BuildError: apt does not know a name
    """
    listing = command.run(
        ['apt-cache', 'depends', '--recurse', *_NO_OPTIONAL, *names]
    )
    # Packages stand at the start of a line, what they depend on is indented;
    # names in angle brackets are virtual.
    found = re.findall(r'^([a-z0-9][a-z0-9+.-]*)$', listing, re.MULTILINE)
    return candidates(sorted(set(found)))


def kernel() -> Package:
    """Find the kernel that Debian's cloud kernel package stands for now."""
    shown = command.run(['apt-cache', 'show', '--no-all-versions', KERNEL])
    match = re.search(
        r'^Depends:.*?\b(linux-image-[0-9][^ ,]*) \(= ([^)]+)\)',
        shown,
        re.MULTILINE,
    )
    if match is None:
        raise command.BuildError(f'{KERNEL} names no kernel: apt-get update?')
    return Package(match[1], match[2])


def candidates(names: Sequence[str]) -> tuple[Package, ...]:
    """Find the versions of packages alone.

    :raises command.BuildError: apt does not know a name
    """
    policy = command.run(['apt-cache', 'policy', *names])
    pairs = re.findall(
        r'^(\S+):\n.*\n  Candidate: (\S+)$', policy, re.MULTILINE
    )
    missing = set(names) - {n for n, version in pairs if version != '(none)'}
    if missing:
        words = ', '.join(sorted(missing))
        raise command.BuildError(f'apt knows no {words}: apt-get update?')
    return tuple(Package(*pair) for pair in pairs)


def fetch(packages: Iterable[Package], cache: pathlib.Path) -> None:
    """Make the cache hold these packages and no others.

    apt checks the digests of what it downloads.
    """
    cache.mkdir(parents=True, exist_ok=True)
    held = {p: _archive(p, cache) for p in packages}
    for path in cache.iterdir():
        if path not in held.values():
            path.unlink()
    wanted = [p for p, path in held.items() if path is None]
    if wanted:
        specs = [f'{p.name}={p.version}' for p in wanted]
        # Root's apt would change to a user who may not write here.
        unsandboxed = ['-o', 'APT::Sandbox::User=']
        command.run(['apt-get', *unsandboxed, 'download', *specs], cwd=cache)


def unpack(
    packages: Iterable[Package], cache: pathlib.Path, tree: pathlib.Path
) -> None:
    """Unpack packages into one tree."""
    for package in packages:
        archive = _archive(package, cache)
        if archive is None:
            raise command.BuildError(f'{package.name} was not downloaded')
        command.run(['dpkg-deb', '-x', archive, tree])


def _archive(package: Package, cache: pathlib.Path) -> pathlib.Path | None:
    # apt writes the colon of an epoch as %3a into the name of the file.
    version = package.version.replace(':', '%3a')
    for arch in ('amd64', 'all'):
        path = cache / f'{package.name}_{version}_{arch}.deb'
        if path.exists():
            return path
    return None
