# SPDX-License-Identifier: Apache-2.0
"""What a user wishes, read from a flavor's extra specs and from hints.

=====================  ================================================
``p2pcs:slice``        in this slice
``p2pcs:query``        on a PC of which this query is true
``p2pcs:not_owner``    on no PC that belongs to this owner
=====================  ================================================

A flavor is its operator's word, a hint the user's; all that is said must
hold.  So a hint adds to what the flavor says, and never replaces it: of two
queries both are to be true, of two owners none is to have the PC, and two
slices are one too many.  Neither is checked before it comes here: hints
never are, and extra specs only by new versions of Nova's API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from p2pcs_nova import errors, texts, wire

PREFIX = 'p2pcs:'
KEYS = tuple(PREFIX + name for name in ('slice', 'query', 'not_owner'))


def read_wishes(
    extra_specs: Mapping[str, str],
    hints: Mapping[str, str | Sequence[str]],
) -> wire.Wishes:
    """All wishes of a request.

    :raises Malformed: a wish has not the form of its kind, is not known,
        or flavor and hint name two slices
    """
    found = _ours(extra_specs)
    for name, text in _ours(hints).items():
        first = found.setdefault(name, text)
        if first != text:
            if name == 'slice':
                raise errors.Malformed(
                    f'p2pcs:slice: the flavor says {first}, the hint {text}'
                )
            found[f'hint_{name}'] = text
    return wire.Wishes(**found)


def _ours(said: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """By name, without the prefix."""
    found = {}
    for key, value in said.items():
        if key.startswith(PREFIX):
            if key not in KEYS:
                raise errors.Malformed(
                    f'{texts.printable(key)} is not known; known: '
                    f'{", ".join(KEYS)}'
                )
            # Nova keeps a hint as a list.
            values = [value] if isinstance(value, str) else list(value)
            if len(values) != 1:
                raise errors.Malformed(f'{key} must have one value')
            name, text = key.removeprefix(PREFIX), values[0]
            _check(key, name, text)
            found[name] = text
    return found


def _check(key: str, name: str, text: str) -> None:
    if not text:
        raise errors.Malformed(f'{key} is empty')
    try:
        msgspec.convert({name: text}, wire.Wishes)
        text.encode()
    except UnicodeEncodeError:
        raise errors.Malformed(f'{key} holds half a character') from None
    except msgspec.ValidationError as error:
        reason = str(error).partition(' - at ')[0]
        raise errors.Malformed(f'{key}: {reason}') from None
