# SPDX-License-Identifier: Apache-2.0
"""Horizon with its static files, for one web server process."""

from __future__ import annotations

import mimetypes
import os
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = '/static/'


def find(root: pathlib.Path, path: str) -> pathlib.Path | None:
    """The file that a path below :data:`PREFIX` names, if it is one."""
    found = (root / path.removeprefix(PREFIX)).resolve()
    if found.is_file() and found.is_relative_to(root):
        return found
    return None


def with_static_files(
    application: WSGIApplication, root: pathlib.Path
) -> WSGIApplication:
    """The application, with the files under a folder at /static/."""
    root = root.resolve()

    def serve(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        path = environ.get('PATH_INFO', '')
        if not path.startswith(PREFIX):
            return application(environ, start_response)
        file = find(root, path)
        if file is None:
            start_response('404 Not Found', [('Content-Length', '0')])
            return []
        content = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0]
        start_response(
            '200 OK',
            [
                ('Content-Type', kind or 'application/octet-stream'),
                ('Content-Length', str(len(content))),
            ],
        )
        return [content]

    return serve


def make_application() -> Any:
    """Horizon; gunicorn calls this in its worker."""
    os.environ.setdefault(
        'DJANGO_SETTINGS_MODULE', 'openstack_dashboard.settings'
    )
    from openstack_dashboard.wsgi import (  # type: ignore[import-not-found]
        application,
    )

    root = pathlib.Path(os.environ['P2PCS_HORIZON_STATIC'])
    return with_static_files(application, root)
