"""A local server that speaks the part of the Hub's protocol that downloads of models and data sets use.

    with stand_in_hub(folder) as hub:               # folder/models/OWNER/NAME/..., folder/datasets/OWNER/NAME/...
        subprocess.run(..., env=hub.environment(home))

huggingface_hub reads its settings when it is imported, so a client belongs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?")
ROOT = Path(__file__).parents[1]
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Hub:
    """The running server. `mood` is what it does with requests: an HTTP status, "gated", "hang", or None to serve."""

    folder: Path
    url: str = ""
    mood: int | str | None = None
    claimed_sizes: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def environment(self, home: Path) -> dict[str, str]:
        """A client's environment with this server as its Hub and an empty or earlier cache in `home`."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
        }
        return kept | {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}

    def commit(self, repo: Path) -> str:
        listing = "".join(f"{name} {digest(content)}\n" for name, content in files(repo).items())
        return digest(listing.encode())


@contextmanager
def stand_in_hub(folder: Path) -> Iterator[Hub]:
    """Serve `folder` on a free local port until the block ends."""
    hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; `hub` is set on the class by `stand_in_hub`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.mood == "hang":
            self.hub.closing.wait()
            self.close_connection = True
        elif isinstance(self.hub.mood, int):
            self.reply(self.hub.mood, b"{}")
        elif match := API.fullmatch(path):
            self.describe(*match.groups())
        elif match := RESOLVE.fullmatch(path):
            self.serve(*match.groups())
        else:
            self.reply(404, b"{}")

    do_HEAD = do_GET

    def describe(self, kind: str, repo_id: str, question: str | None, revision: str | None) -> None:
        repo = self.hub.folder / kind / repo_id
        if not repo.is_dir():
            return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        contents = files(repo)
        if question == "tree":
            answer: Any = [
                {"type": "file", "path": name, "size": len(content), "oid": digest(content)}
                for name, content in contents.items()
            ]
        else:
            siblings = [
                {"rfilename": name, "size": self.hub.claimed_sizes.get(name, len(content))}
                for name, content in contents.items()
            ]
            answer = {"id": repo_id, "sha": self.hub.commit(repo), "private": False, "tags": [], "siblings": siblings}
        return self.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def serve(self, datasets: str | None, repo_id: str, revision: str, name: str) -> None:
        repo = self.hub.folder / ("datasets" if datasets else "models") / repo_id
        if self.hub.mood == "gated":
            return self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
        if not (repo / name).is_file():
            return self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.hub.commit(repo)})
        content = (repo / name).read_bytes()
        headers = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": self.hub.commit(repo), "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self.reply(200, content, headers)
        start, end = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return self.reply(206, content[start : end + 1], headers)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `Hub.requests` holds the log."""


def files(repo: Path) -> dict[str, bytes]:
    """Every file of a repository by its path in it."""
    return {path.relative_to(repo).as_posix(): path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file()}


def digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
