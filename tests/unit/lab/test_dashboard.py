# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from devstack.lab.dashboard.wsgi import with_static_files


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response('200 OK', [])
    return [b'the dashboard']


def get(root: pathlib.Path, path: str) -> tuple[str, bytes]:
    environ: dict[str, Any] = {'PATH_INFO': path}
    setup_testing_defaults(environ)
    answer: list[str] = []
    serve: Any = with_static_files(application, root)
    body = serve(environ, lambda status, headers: answer.append(status))
    return answer[0], b''.join(body)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / 'static'
    (root / 'css').mkdir(parents=True)
    (root / 'css' / 'a.css').write_text('body {}')
    (tmp_path / 'secret').write_text('secret')
    return root


def test_files_are_served_and_the_rest_is_the_applications(
    root: pathlib.Path,
) -> None:
    assert get(root, '/static/css/a.css') == ('200 OK', b'body {}')
    assert get(root, '/auth/login/') == ('200 OK', b'the dashboard')


@pytest.mark.parametrize(
    'path',
    ['/static/../secret', '/static//etc/passwd', '/static/css', '/static/'],
)
def test_nothing_outside_the_folder_is_served(
    root: pathlib.Path, path: str
) -> None:
    assert get(root, path) == ('404 Not Found', b'')
