"""A real daemon for a test, on ports of its own, and what it counts.

Owns: `Daemon`. Law: it is drained at the end, which must be in order: exit 0 and no panic. The program
is `DAEMON_UNDER_TEST`, else the release build. Measures nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
#: Seconds within which everything that is waited for must come.
BOUND = 20


def program() -> str:
    """The daemon under test."""
    given = os.environ.get("DAEMON_UNDER_TEST", "target/release/linmemd")
    return str(ROOT / given)


def eventually(what, message="it never came true"):
    """Waits until `what()` is true, and returns that."""
    end = time.monotonic() + BOUND
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, message
        # The condition is asked again; this is not what is waited for.
        threading.Event().wait(0.005)


class Daemon:
    """A running daemon."""

    def __init__(self, listen="127.0.0.1:0", config=None, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="linmem-"))
        self.socket = self.folder / "socket"
        self.log = self.folder / "log"
        environment = {**os.environ, "NO_COLOR": "1"}
        environment |= {f"LINMEMD_{key}": str(value) for key, value in settings.items()}
        command = [program(), "--listen", listen, "--metrics-listen", "127.0.0.1:0"]
        if config is not None:
            (self.folder / "config.toml").write_text(config)
            command += ["--config", str(self.folder / "config.toml")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--unix-socket", str(self.socket)], stderr=log, env=environment
            )
        eventually(lambda: self._word("http") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        self.grpc, self.http = self._word("grpc"), self._word("http")
        self.endpoint = f"http://{self.grpc}"

    def _word(self, key):
        found = re.search(rf" {key}=(\S+)", self.log.read_text())
        return found and found[1]

    def metric(self, name, **labels):
        """The sum of a family's samples that bear these labels."""
        with urllib.request.urlopen(f"http://{self.http}/metrics") as page:
            lines = page.read().decode().splitlines()
        total = 0
        for line in lines:
            found = re.match(rf"linmemd_{name}(?:\{{(.*)\}})? (\S+)$", line)
            if found:
                worn = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
                if labels.items() <= worn.items():
                    total += float(found[2])
        return total

    def stop(self):
        """Drains it."""
        panics = self.metric("panics_total")
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(BOUND)
        assert (code, panics) == (0, 0), self.log.read_text()
        shutil.rmtree(self.folder)

    def kill(self):
        """Ends it without a word."""
        self.process.kill()
        self.process.wait(BOUND)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_failure):
        if kind is None and self.process.poll() is None:
            self.stop()
        else:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
