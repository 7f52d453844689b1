# SPDX-License-Identifier: Apache-2.0
"""The config drive: an ISO 9660 image with the label ``config-2``.

Its files come from the gateway, made by Nova's own code; guests find them
by Rock Ridge or Joliet names.  ISO 9660's own names are only numbers.
"""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Sequence

import pycdlib

from p2pcs_nova import wire

LABEL = 'config-2'


def write_config_drive(
    path: pathlib.Path, files: Sequence[wire.ConfigFile]
) -> None:
    """Write the image and make it durable.

    Blocks: call it in a thread.

    :param files: their paths are relative; a later one of the same path
        replaces an earlier one
    """
    contents = {file.path: file.content for file in files}
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge='1.09', vol_ident=LABEL)
    folders: dict[str, str] = {'': ''}
    for number, name in enumerate(sorted(contents)):
        parent = _add_folders(iso, folders, name.rpartition('/')[0])
        leaf = name.rpartition('/')[2]
        content = contents[name]
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f'{parent}/F{number:07d}.;1',
            rr_name=leaf,
            joliet_path=f'/{name}',
        )
    # User data may hold secrets of the guest's owner.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, 'wb') as out:
        iso.write_fp(out)
        out.flush()
        os.fsync(out.fileno())
    iso.close()


def _add_folders(
    iso: pycdlib.PyCdlib, folders: dict[str, str], name: str
) -> str:
    """The ISO 9660 path of this folder, made with its parents if new."""
    if name not in folders:
        above, _, leaf = name.rpartition('/')
        parent = _add_folders(iso, folders, above)
        folders[name] = f'{parent}/D{len(folders):07d}'
        iso.add_directory(folders[name], rr_name=leaf, joliet_path=f'/{name}')
    return folders[name]
