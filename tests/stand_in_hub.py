"""A local server that speaks the part of the Hub's protocol that downloads, and uploads of models, use.

    with stand_in_hub(folder) as hub:               # folder/models/OWNER/NAME/..., folder/datasets/OWNER/NAME/...
        subprocess.run(..., env=hub.environment(home))

huggingface_hub reads its settings when it is imported, so a client belongs in a process of its own.
"""

from __future__ import annotations

import base64
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

UPLOAD = re.compile(r"/api/models/([^/]+/[^/]+?)/(preupload|commit)/([^/]+)")
LFS_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?")
ROOT = Path(__file__).parents[1]
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Hub:
    """The running server.

    Args:
        mood: what it does with requests: an HTTP status, "gated", "hang", "cut" (uploads break off), or None to serve.
        mood_at: the part of a path that the mood is for; everything by default.
        token: that uploads need.
        large: bytes from which on a file goes to large-file storage.
        stored: large files that were uploaded, by SHA-256.
        private: repositories that were made so.
        meddles: whether somebody else changes a repository just before each commit.
    """

    folder: Path
    url: str = ""
    mood: int | str | None = None
    mood_at: str = ""
    token: str = "hf_stand_in"
    large: int = 10_000
    stored: dict[str, bytes] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    meddles: bool = False
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
        elif isinstance(self.hub.mood, int) and self.hub.mood_at in path:
            self.reply(self.hub.mood, b"{}")
        elif match := API.fullmatch(path):
            self.describe(*match.groups())
        elif match := RESOLVE.fullmatch(path):
            self.serve(*match.groups())
        else:
            self.reply(404, b"{}")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.mood == "cut" and self.hub.mood_at in path:
            self.close_connection = True
            self.connection.close()
        elif isinstance(self.hub.mood, int) and self.hub.mood_at in path:
            self.reply(self.hub.mood, b"{}")
        elif path.startswith("/stored/"):
            self.store(path.removeprefix("/stored/"), body)
        elif self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.reply(401, b"{}")
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif match := LFS_BATCH.fullmatch(path):
            self.place_large(json.loads(body))
        elif match := UPLOAD.fullmatch(path):
            repo = self.hub.folder / "models" / match[1]
            if match[2] == "preupload":
                self.sort(json.loads(body))
            else:
                self.commit(repo, [json.loads(line) for line in body.splitlines()])
        else:
            self.reply(404, b"{}")

    do_PUT = do_POST

    def store(self, wanted: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != wanted:
            return self.reply(400, b"{}")
        self.hub.stored[wanted] = body
        return self.reply(200, b"{}")

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        repo = self.hub.folder / "models" / name
        if repo.is_dir():
            return self.answer({"url": f"{self.hub.url}/{name}", "id": name}, 409)
        repo.mkdir(parents=True)
        (repo / ".gitattributes").write_text("*.safetensors filter=lfs")
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(name)
        return self.answer({"url": f"{self.hub.url}/{name}", "id": name, "name": name})

    def sort(self, wanted: dict[str, Any]) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= self.hub.large else "regular",
                "shouldIgnore": False,
            }
            for file in wanted["files"]
        ]
        self.answer({"files": modes})

    def place_large(self, wanted: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/stored/{one['oid']}"}}} for one in wanted["objects"]
        ]
        self.answer({"transfer": "basic", "objects": objects})

    def commit(self, repo: Path, lines: list[dict[str, Any]]) -> None:
        contents = {}
        if self.hub.meddles:
            (repo / "meanwhile.txt").write_text("theirs")
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, self.hub.commit(repo)):
                return self.reply(412, b"{}")
            if line["key"] == "deletedFile":
                (repo / value["path"]).unlink()
            if line["key"] == "file":
                contents[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                contents[value["path"]] = self.hub.stored[value["oid"]]
        for name, content in contents.items():
            (repo / name).parent.mkdir(parents=True, exist_ok=True)
            (repo / name).write_bytes(content)
        oid = self.hub.commit(repo)
        name = repo.relative_to(self.hub.folder / "models").as_posix()
        return self.answer(
            {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "hookOutput": ""}
        )

    def answer(self, content: Any, status: int = 200) -> None:
        self.reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

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
            private = repo_id in self.hub.private
            answer = {"id": repo_id, "sha": self.hub.commit(repo), "private": private, "tags": [], "siblings": siblings}
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
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `Hub.requests` holds the log."""


def files(repo: Path) -> dict[str, bytes]:
    """Every file of a repository by its path in it."""
    return {path.relative_to(repo).as_posix(): path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file()}


def digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
