# SPDX-License-Identifier: Apache-2.0
"""Fuzz the reading of requests, guided by coverage.

Run as ``python -m tests.support.fuzz_requests [FOLDER] -runs=N`` with
atheris on the path: which type an input is read as, is told by its first byte.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=['p2pcs_nova']):
    from starlette.requests import Request

    from p2pcs_nova import errors, run_right, wire
    from p2pcs_nova.identity import ca, token
    from p2pcs_nova.transport import handling

BODIES = (
    wire.Claim, wire.BuildRequest, wire.ActionRequest, wire.Tombstone,
    wire.SpawnRequest, wire.JoinRequest, wire.TokenRequest,
    wire.DrainRequest, wire.LeaveRequest,
)  # fmt: skip
KEY = bytes(32)


def request(name: str, value: bytes) -> Request:
    """A request with one header."""
    headers = [(name.encode(), value)]
    return Request({'type': 'http', 'headers': headers})


def read(how: int, data: bytes) -> None:
    """Read an input as one of the things that callers send."""
    readers: tuple[Any, ...] = (
        *(
            lambda kind=kind: handling.decode_json(data, kind)
            for kind in BODIES
        ),
        lambda: handling.command(request(wire.COMMAND_HEADER, data)),
        lambda: handling.run_right(request(wire.RUN_RIGHT_HEADER, data)),
        lambda: handling.request_id(request(wire.REQUEST_ID_HEADER, data)),
        lambda: ca.request_to_key(data),
        lambda: run_right.open_run_right(
            wire.Signed(data, '0' * 32, bytes(64)), KEY
        ),
        lambda: token.text_to_token(data.decode('latin-1')),
    )
    readers[how % len(readers)]()


def try_input(data: bytes) -> None:
    """Raises for nothing but a bug."""
    with contextlib.suppress(errors.P2PcsError, token.BadToken):
        read(data[0] if data else 0, data[1:])


if __name__ == '__main__':
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
