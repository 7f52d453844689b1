# SPDX-License-Identifier: Apache-2.0
"""Our errors as Nova's, mapped once.

While a server is built, Nova's manager distinguishes two kinds:

=============================  ==========================================
``ComputeResourcesUnavailable``  another slice is tried
``InvalidInput``, ``ImageUnacceptable``, ``BuildAbortException``,
``VirtualInterfaceCreateException``: the build is given up at once
=============================  ==========================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nova import exception

from p2pcs_nova import errors

_NO_ROOM = (
    errors.NoPeerFits,
    errors.Full,
    errors.Held,
    errors.NotOffered,
    errors.Draining,
    errors.OtherSlice,
    errors.NoSpace,
)
_ASKED_WRONGLY = (errors.Unsupported, errors.Malformed, errors.TooLarge)


def build_fault(error: errors.P2PcsError, image_id: str) -> Exception:
    """What ``spawn`` raises for an error of the gateway or a PC."""
    if isinstance(error, _NO_ROOM):
        return because(exception.ComputeResourcesUnavailable, error.message)
    if isinstance(error, _ASKED_WRONGLY):
        return because(exception.InvalidInput, error.message)
    if isinstance(error, errors.ImageRefused):
        fault: Exception = exception.ImageUnacceptable(
            image_id=image_id, reason=error.message
        )
        return fault
    return because(exception.InstanceDeployFailure, error.message)


def not_ready(error: errors.P2PcsError) -> Exception:
    """What Nova's periodic tasks forgive: the daemon does not answer."""
    fault: Exception = exception.VirtDriverNotReady(error.message)
    return fault


@contextlib.contextmanager
def told_as(kind: type[Exception]) -> Iterator[None]:
    """Tell an error of the gateway or a PC as this one of Nova's."""
    try:
        yield
    except errors.P2PcsError as error:
        if '%(reason)s' in getattr(kind, 'msg_fmt', ''):
            raise kind(reason=error.message) from error  # type: ignore[call-arg]
        raise kind(error.message) from error


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """What fails leaves the server in the state that it was in."""
    try:
        yield
    except exception.NovaException as error:
        raise exception.InstanceFaultRollback(error) from error


def because(kind: type[Exception], reason: str) -> Exception:
    """An error of Nova's, with its reason."""
    return kind(reason=reason)  # type: ignore[call-arg]
