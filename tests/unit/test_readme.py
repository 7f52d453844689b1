# SPDX-License-Identifier: Apache-2.0
"""README's own lines can be found, so that tests can carry them out."""

from __future__ import annotations

import pytest

from tests.support import readme
from tests.support.readme import Command

TEXT = """\
First
=====

.. code-block:: console

   # echo one \\
         two

Words.

.. code-block:: console

   (PC)        # echo three
   (elsewhere) # echo four

.. code-block:: ini

   [owner]
   a = 1

Second
------

.. code-block:: console

   # echo five
"""


def test_commands_of_a_section_are_joined_and_know_their_machine() -> None:
    first, second = readme.blocks(readme.section(TEXT, 'First'), 'console')
    assert readme.commands(first) == [Command('echo one two')]
    assert readme.commands(second) == [
        Command('echo three', 'PC'),
        Command('echo four', 'elsewhere'),
    ]


def test_files_are_taken_as_they_are() -> None:
    body = readme.section(TEXT, 'First')
    assert readme.blocks(body, 'ini') == ['[owner]\na = 1\n']


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match='no section Third'):
        readme.section(TEXT, 'Third')
    with pytest.raises(ValueError, match='not a command of root: \\$ echo'):
        readme.commands('$ echo\n')


def test_owners_find_how_to_install_join_and_leave() -> None:
    text = readme.section(readme.README.read_text(), 'A PC')
    install, join, leave = map(readme.commands, readme.blocks(text, 'console'))
    assert install[0].line.startswith('apt install ')
    assert {line.where for line in join} == {'control plane', 'PC'}
    assert leave[-1].line.startswith('apt purge ')
