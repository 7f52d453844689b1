# SPDX-License-Identifier: Apache-2.0
"""The guest's JSON reader, run by the busybox it runs on."""

import json
import pathlib
import re
import shutil
import subprocess

import hypothesis
import pytest
from hypothesis import strategies

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / 'devstack/guest/rootfs/lib/guest/json.awk'
_ESCAPES = {'b': 8, 't': 9, 'n': 10, 'f': 12, 'r': 13, '\\': 92}

pytestmark = pytest.mark.skipif(
    not shutil.which('busybox'), reason='busybox is not installed'
)


def run(document: bytes) -> 'subprocess.CompletedProcess[bytes]':
    return subprocess.run(
        ['busybox', 'awk', '-f', PROGRAM],
        input=document,
        capture_output=True,
        timeout=30,
        check=False,
    )


def restored(text: bytes) -> str:
    """Undo the escapes, as printf's %b does."""

    def byte(match: re.Match[bytes]) -> bytes:
        escape = match[1].decode()
        if escape.startswith('0'):
            return bytes([int(escape, 8)])
        return bytes([_ESCAPES[escape]])

    return re.sub(rb'\\(0[0-7]{3}|.)', byte, text).decode()


def flat(document: bytes) -> dict[str, str]:
    done = run(document)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split(b'\n')
    assert lines.pop() == b''
    pairs = [line.split(b'\t') for line in lines]
    return {restored(path): restored(value) for path, value in pairs}


def flattened(value: object, path: str = '') -> dict[str, str]:
    """What is to be expected, by Python's own reader."""
    if isinstance(value, dict):
        parts = {
            f'{path}/' + k.replace('~', '~0').replace('/', '~1'): v
            for k, v in value.items()
        }
    elif isinstance(value, list):
        parts = {f'{path}/{n}': v for n, v in enumerate(value)}
    elif isinstance(value, str):
        return {path: value}
    else:
        return {path: json.dumps(value)}
    return {k: v for p, x in parts.items() for k, v in flattened(x, p).items()}


_TEXT = strategies.text(
    strategies.characters(exclude_categories=['Cs']), max_size=12
)
_LEAVES = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
_VALUES = strategies.recursive(
    _LEAVES,
    lambda inner: (
        strategies.lists(inner, max_size=4)
        | strategies.dictionaries(_TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)


@hypothesis.settings(deadline=None, max_examples=80)
@hypothesis.given(_VALUES, strategies.booleans(), strategies.booleans())
def test_any_value_is_read_as_python_reads_it(
    value: object, ascii_only: bool, indented: bool
) -> None:
    text = json.dumps(
        value, ensure_ascii=ascii_only, indent=2 if indented else None
    )
    assert flat(text.encode()) == flattened(value)


@hypothesis.settings(deadline=None, max_examples=80)
@hypothesis.given(_VALUES, strategies.data())
def test_damaged_document_is_judged_as_python_judges_it(
    value: object, data: strategies.DataObject
) -> None:
    text = json.dumps(value)
    at = data.draw(strategies.integers(0, len(text)))
    put = data.draw(strategies.sampled_from(['', *'{}[]:,"\\0 t\n']))
    text = text[:at] + put + text[at + 1 :]
    try:
        expected: object = flattened(json.loads(text))
        text.encode()
    except ValueError:
        expected = None
    if 'NaN' in text or 'Infinity' in text or _half_a_character(text):
        return
    done = run(text.encode())
    assert (done.returncode == 0) == (expected is not None), text
    if expected is None:
        assert done.stdout == b''
        assert done.stderr.startswith(b'json: ')


def _half_a_character(text: str) -> bool:
    return bool(re.search(r'\\u[dD][89a-fA-F]', text))


@pytest.mark.parametrize(
    'document',
    [
        '',
        ' ',
        '{',
        '[1 2]',
        '{"a" 1}',
        '{"a":1,}',
        '[1,]',
        '"a',
        '"a\\"',
        '"a\\x"',
        '"\\u12"',
        '"\\ud800"',
        '"\\ud800\\u0041"',
        '01',
        '1.',
        'nul',
        '[1] 2',
        ']',
        '[}',
        '"a\tb"',
        '[' * 65 + ']' * 65,
    ],
)
def test_what_is_not_json_gives_no_line(document: str) -> None:
    done = run(document.encode())
    assert done.returncode == 1
    assert done.stdout == b''
    assert done.stderr.startswith(b'json: ')


def test_public_keys_keep_names_and_line_ends() -> None:
    document = {
        'uuid': 'fa1e0000-0000-4000-8000-00000000000a',
        'public_keys': {
            "it's/my.key~1 \u00e9": 'ssh-ed25519 AAAA me@home\n',
            'other': 'ssh-rsa BBBB\\slash "quoted"',
        },
        'admin_pass': 'x"y\\',
        'keys': [],
        'meta': {},
    }
    assert flat(json.dumps(document).encode()) == flattened(document)
