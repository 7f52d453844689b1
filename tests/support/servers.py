# SPDX-License-Identifier: Apache-2.0
"""Servers that a test makes in the lab, and takes away again."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from openstack import exceptions

from devstack.lab.errors import LabError
from devstack.lab.names import IMAGE, KEY_NAME, NETWORK
from devstack.lab.shell import tail
from tests.support.lab import ROOT, Lab
from tests.support.waiting import until

GENEROUS_S = 180.0
POLL_S = 0.3
NO_STATE, RUNNING = 0, 1
"""Power states of Nova."""
FORCED_HOST = '2.73'
"""The last API version that takes a host by its zone."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A server with one port on the office LAN."""

    id: str
    name: str
    address: str
    mac: str
    port: str


class Bench:
    """Makes servers; leaving it deletes those that are left."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._mine: dict[str, Any] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete(*self._mine)

    def create(
        self,
        name: str,
        flavor: str = 'm1.tiny',
        *,
        image: str = IMAGE,
        slice_name: str = '',
        hints: Mapping[str, str] | None = None,
        **more: Any,
    ) -> str:
        """Ask for a server; gives its id.

        :param slice_name: only the administrator may choose one: it is
            then his server, without a key
        :param hints: for the scheduler
        :param more: of the API's request
        """
        cloud = self.lab.admin if slice_name else self.lab.demo
        wish: dict[str, Any] = {
            'name': name,
            'flavorRef': cloud.compute.find_flavor(
                flavor, ignore_missing=False
            ).id,
            'imageRef': cloud.image.find_image(image, ignore_missing=False).id,
            'networks': [
                {
                    'uuid': cloud.network.find_network(
                        NETWORK, ignore_missing=False
                    ).id
                }
            ],
        }
        if slice_name:
            wish['availability_zone'] = f'nova:{slice_name}'
        else:
            wish['key_name'] = KEY_NAME
        answer = cloud.compute.post(
            '/servers',
            json={
                'server': {**wish, **more},
                'os:scheduler_hints': dict(hints or {}),
            },
            microversion=FORCED_HOST,
        )
        exceptions.raise_from_response(answer)
        found = str(answer.json()['server']['id'])
        self._mine[found] = cloud
        return found

    def adopt(self, server_id: str) -> None:
        """Delete this one of demo's too at the end."""
        self._mine[server_id] = self.lab.demo

    def show(self, server_id: str) -> Any:
        """A server as its owner sees it."""
        return self._mine[server_id].compute.get_server(server_id)

    def wait(
        self,
        server_id: str,
        status: str = 'ACTIVE',
        timeout_s: float = GENEROUS_S,
    ) -> Any:
        """The server, once it has the status.

        :raises AssertionError: it is in ERROR instead, or not in time
        """
        seen: list[Any] = []

        def arrived() -> bool:
            seen[:] = [self.show(server_id)]
            assert status == 'ERROR' or seen[0].status != 'ERROR', (
                f'server {seen[0].name}: {seen[0].fault}'
            )
            return seen[0].status == status and seen[0].task_state is None

        until(arrived, timeout_s, POLL_S)
        return seen[0]

    def get(self, server_id: str) -> Server:
        """What one needs to reach an ACTIVE server."""
        server = self.wait(server_id)
        cloud = self._mine[server_id]
        (port,) = cloud.network.ports(device_id=server_id)
        return Server(
            server_id,
            server.name,
            port.fixed_ips[0]['ip_address'],
            port.mac_address,
            port.id,
        )

    def delete(self, *server_ids: str) -> None:
        """Delete them all at once, and wait until Nova knows none."""
        for server_id in server_ids:
            self._mine[server_id].compute.delete_server(server_id)
        for server_id in server_ids:
            gone = functools.partial(self._gone, server_id)
            until(gone, GENEROUS_S, POLL_S)
            del self._mine[server_id]

    def _gone(self, server_id: str) -> bool:
        try:
            server = self.show(server_id)
        except exceptions.NotFoundException:
            return True
        assert server.status != 'ERROR' or server.task_state, (
            f'server {server.name} is not deleted: {server.fault}'
        )
        return False


def power_states(
    lab: Lab, slice_name: str, *uuids: str
) -> tuple[dict[str, list[int]], float]:
    """What Nova's power sync would hear, and the longest call's seconds."""
    layout = lab.layout
    told = (layout.compute_conf(), layout.slice_conf(slice_name))
    said = lab.inside(
        lab.control,
        'env', f'PYTHONPATH={ROOT}',
        str(layout.cloud_venv / 'bin' / 'python'),
        '-m', 'tests.support.power_sync', *map(str, told), *uuids,
    )  # fmt: skip
    answer = json.loads(said)
    return answer['states'], max(answer['seconds'])


def wait_for_login(lab: Lab, server: Server) -> None:
    """Wait until ssh lets the key's owner in.

    :raises AssertionError: not in time; the text ends with what the
        console said
    """

    def logged_in() -> bool:
        try:
            return lab.ssh(server.address, 'hostname').strip() == server.name
        except LabError:
            return False

    try:
        until(logged_in, GENEROUS_S, POLL_S)
    except AssertionError as error:
        answer = lab.demo.compute.get_server_console_output(server.id)
        raise AssertionError(
            f'no login at {server.name}: {error}\n{tail(answer["output"])}'
        ) from None
