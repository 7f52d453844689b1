# SPDX-License-Identifier: Apache-2.0
"""Codes and statuses of errors are read by other releases too."""

from __future__ import annotations

from p2pcs_nova import errors

STABLE = {
    'bad-policy': 403,
    'bad-run-right': 403,
    'clock-skew': 409,
    'draining': 409,
    'forbidden': 403,
    'full': 409,
    'held': 409,
    'hypervisor-busy': 504,
    'hypervisor-failed': 502,
    'image-refused': 409,
    'internal': 500,
    'malformed': 400,
    'no-peer-fits': 409,
    'no-space': 507,
    'not-found': 404,
    'not-offered': 409,
    'other-slice': 409,
    'policy-refused': 409,
    'port-blocked': 409,
    'put-out': 409,
    'reservation-gone': 409,
    'revoked': 403,
    'stale-epoch': 409,
    'stale-policy': 409,
    'era-refused': 409,
    'stale-term': 409,
    'token-refused': 403,
    'too-large': 413,
    'unavailable': 503,
    'unreachable': 504,
    'unsupported': 400,
    'wrong-state': 409,
}
"""Only ever added to."""


def test_codes_and_statuses_have_not_changed() -> None:
    assert {
        code: kind.status for code, kind in errors.BY_CODE.items()
    } == STABLE
