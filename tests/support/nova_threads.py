# SPDX-License-Identifier: Apache-2.0
"""Loaded first (``pytest -p``): Nova on native threads, as nova-compute.

Importing Nova's tests would patch the interpreter for eventlet otherwise.
"""

from nova import monkey_patch

monkey_patch.patch('threading')
