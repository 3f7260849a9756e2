#!/usr/bin/env python3
"""Reads published repositories from a directory with python-tuf, the reference implementation of TUF.

usage: read_with_python_tuf.py STORE ROOT_JSON WORK DEVICE TARGET [TARGET ...]

Prints one JSON object: the SHA-256 of each target's content, as the client verified it.
Exit codes: 0 everything was read, 1 the client refused something (its message is on standard error).
"""

import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator
from urllib.parse import unquote, urlparse

from tuf.api import exceptions
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig


class DirectoryFetcher(FetcherInterface):
    """Serves file: URLs, with a missing file as the 404 that it would be over HTTP."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = pathlib.Path(unquote(urlparse(url).path))
        if not path.is_file():
            raise exceptions.DownloadHTTPError(f"there is no {path}", 404)
        return iter([path.read_bytes()])


def main() -> int:
    store, root_json, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    device, targets = sys.argv[4], sys.argv[5:]
    metadata_dir, target_dir = work / "metadata", work / "targets"
    for folder in (metadata_dir, target_dir):
        folder.mkdir(parents=True, exist_ok=True)
    updater = Updater(
        metadata_dir=str(metadata_dir),
        metadata_base_url=f"{(store / 'devices' / device).as_uri()}/",
        target_dir=str(target_dir),
        target_base_url=f"{(store / 'targets').as_uri()}/",
        fetcher=DirectoryFetcher(),
        config=UpdaterConfig(prefix_targets_with_hash=True),
        bootstrap=root_json.read_bytes(),
    )
    try:
        updater.refresh()
        found = {}
        for name in targets:
            info = updater.get_targetinfo(name)
            if info is None:
                print(f"{name} is not listed for {device}", file=sys.stderr)
                return 1
            content = pathlib.Path(updater.download_target(info)).read_bytes()
            found[name] = hashlib.sha256(content).hexdigest()
    except exceptions.RepositoryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
