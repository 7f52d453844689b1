# SPDX-License-Identifier: Apache-2.0
"""Images and flavors of a test's own."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

from openstack import exceptions

from tests.support.lab import Lab


@contextlib.contextmanager
def image(
    lab: Lab, name: str, path: pathlib.Path, kind: str, **properties: str
) -> Iterator[str]:
    """An image of demo's own; its name."""
    service = lab.demo.image
    answer = service.post(
        '/images',
        json={
            'name': name,
            'disk_format': kind,
            'container_format': 'bare',
            'visibility': 'private',
            **properties,
        },
    )
    exceptions.raise_from_response(answer)
    made = answer.json()
    answer = service.put(
        f'/images/{made["id"]}/file',
        data=path.read_bytes(),
        headers={'Content-Type': 'application/octet-stream'},
    )
    exceptions.raise_from_response(answer)
    try:
        yield name
    finally:
        lab.demo.image.delete_image(made['id'])


@contextlib.contextmanager
def flavor(
    lab: Lab,
    name: str,
    specs: Mapping[str, str],
    **shape: int,
) -> Iterator[str]:
    """A flavor; its name."""
    compute = lab.admin.compute
    whole = {'vcpus': 1, 'ram': 128, 'disk': 1, **shape}
    made = compute.create_flavor(name=name, **whole)
    try:
        compute.create_flavor_extra_specs(made, dict(specs))
        yield name
    finally:
        compute.delete_flavor(made)
