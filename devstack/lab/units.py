# SPDX-License-Identifier: Apache-2.0
"""Which systemd units are enabled: symbolic links, systemd or not."""

from __future__ import annotations

import json
import pathlib

FOLDERS = ('etc/systemd/system', 'etc/systemd/user')


def enabled(root: pathlib.Path) -> set[str]:
    """All links that enable a unit or give it an alias, from the root.

    :param root: ``/``, or a folder that plays it
    """
    return {
        str(path.relative_to(root))
        for folder in FOLDERS
        for path in (root / folder).rglob('*')
        if path.is_symlink()
    }


class Guard:
    """Keeps an installation from enabling units, even one cut short.

    What was enabled before is written down first: when an earlier run did
    not come to its end, its list counts.
    """

    def __init__(self, root: pathlib.Path, record: pathlib.Path) -> None:
        self._root = root
        self._record = record

    @property
    def pending(self) -> bool:
        """Whether an earlier installation was cut short."""
        return self._record.exists()

    def begin(self) -> None:
        """Write down what is enabled now."""
        if not self.pending:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            new = self._record.with_suffix('.new')
            new.write_text(json.dumps(sorted(enabled(self._root))))
            new.replace(self._record)

    def end(self) -> list[str]:
        """Disable what is enabled now and was not then; gives its links."""
        before = set(json.loads(self._record.read_text()))
        added = sorted(enabled(self._root) - before)
        for name in added:
            (self._root / name).unlink()
        self._record.unlink()
        return added
