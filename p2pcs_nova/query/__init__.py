# SPDX-License-Identifier: Apache-2.0
"""The query language: which PCs a user wishes.

It is CEL (https://cel.dev), by ``cel-expr-python``: Google's own engine,
small wheels without dependencies, types checked and faults placed before
anything is evaluated, 4 µs for one PC.  ``cel-python`` takes 70 times as
long and brings RE2 and pendulum; ``common-expression-language`` checks no
types and brings a command line's libraries.

Pure: no clock, nothing is asked.  Of CEL there is what is in
:mod:`p2pcs_nova.query.language`: nothing that loops or makes texts longer,
so that a hostile query costs no more than its length.
"""

from p2pcs_nova.query.faults import QueryError
from p2pcs_nova.query.parsing import Matcher, Query, parse

__all__ = ['Matcher', 'Query', 'QueryError', 'parse']
