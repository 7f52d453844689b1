# SPDX-License-Identifier: Apache-2.0
"""Programs of the lab that need OpenStack's libraries.

They run in ``.venvs/cloud``, started by the rest of the package.
"""
