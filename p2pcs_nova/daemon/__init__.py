# SPDX-License-Identifier: Apache-2.0
"""The peer daemon: overlay, listeners and roles put together."""

import sys

# httpx loads its own command line where click, rich and pygments happen to
# be installed, as they are beside anycorn: 4 MB of every PC's memory for
# nothing.  None means "not installed", and httpx is content.
sys.modules.setdefault('httpx._main', None)  # type: ignore[arg-type]
