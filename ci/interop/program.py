"""The program under test: its configuration, its life, and the gauges that must come back to zero."""

import json
import random
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from party import free_port

# What calls occupy and give back at their end.
HELD_BY_CALLS = ("calls", "legs", "invites", "dialogs", "sessions", "rtp_ports")
# What stays for a while: transactions for 32 s (RFC 3261, timers B to L), RTP ports in quarantine.
HELD_BY_TIMERS = ("client_transactions", "server_transactions", "timers", "bindings", "rtp_ports_quarantined")
NEVER = ("continuity_violations_total", "queue_full_total")


class Program:
    def __init__(self, binary, folder, routes, users, sip=None):
        self.udp = free_port()
        self.tcp = free_port()
        self.http = free_port()
        low = random.randrange(20000, 31000, 100)  # below the ports that the kernel gives away
        self._folder = Path(folder)
        self._folder.mkdir(exist_ok=True)
        config = self._folder / "offhook.toml"
        config.write_text(_toml(routes, users, sip or {}))
        command = [
            binary, "serve", "--config", config, "--sip", f"udp:127.0.0.1:{self.udp}", "--sip", f"tcp:127.0.0.1:{self.tcp}",
            "--http", f"127.0.0.1:{self.http}", "--rtp-ports", f"{low}-{low + 999}", "--advertise", "127.0.0.1",
            "--data", self._folder / "data",
        ]  # fmt: skip
        self._lines = []
        self._process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until = time.monotonic() + 20
        while not any(line.strip().lower().endswith("ready") for line in self._lines):
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError("no ready line from the program:\n" + self.output())
            time.sleep(0.02)

    def sip(self, tcp=False):
        return self.tcp if tcp else self.udp

    def gauges(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/api/v1/gauges", timeout=5) as answer:
            return json.load(answer)

    def wait_until_idle(self, names=HELD_BY_CALLS, limit=8.0):
        """All gauges of these names at zero within the limit, and nothing counted that must never happen."""
        until = time.monotonic() + limit
        while True:
            self.check_alive()
            gauges = self.gauges()
            left = {name: gauges[name] for name in names if gauges[name]}
            if not left:
                break
            if time.monotonic() > until:
                raise AssertionError(f"left over after {limit:.0f} s: {left}")
            time.sleep(0.1)
        wrong = {name: gauges[name] for name in NEVER if gauges[name]}
        if wrong:
            raise AssertionError(f"counted what must never happen: {wrong}")

    def check_alive(self):
        if self._process.poll() is not None:
            raise AssertionError(f"the program ended with {self._process.returncode}:\n{self.output()}")
        panic = next((line for line in self._lines if "panicked at" in line), None)
        if panic:
            raise AssertionError(f"the program panicked: {panic.strip()}")

    def stop(self, limit=15.0):
        """SIGTERM drains; the exit status must be 0."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {limit:.0f} s after SIGTERM:\n{self.output()}") from None
        if status != 0:
            raise AssertionError(f"exit status {status} after SIGTERM:\n{self.output()}")

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def output(self):
        return "".join(self._lines[-60:])

    def _read(self):
        for line in self._process.stdout:
            self._lines.append(line.decode(errors="replace"))


def _toml(routes, users, sip):
    lines = ["[sip]", *(f"{key} = {json.dumps(value)}" for key, value in sip.items()), ""]
    for name, password in users.items():
        lines += ["[[user]]", f'name = "{name}"', f'password = "{password}"', ""]
    for route in routes:
        lines.append("[[route]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in route.items()]
        lines.append("")
    return "\n".join(lines)
