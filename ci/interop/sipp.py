"""SIPp as a caller or as a callee, one scenario file each, with its own counters read back."""

import csv
import os
import re
import subprocess
import time
from pathlib import Path

from party import free_port

SCENARIOS = Path(__file__).parent / "scenarios"


class Sipp:
    """A running SIPp. Placeholders `{{NAME}}` of the scenario are filled from `values`."""

    def __init__(self, folder, scenario, *, remote=None, user="echo", tcp=False, calls=1, rate=1, limit=60, extra=(), **values):
        self.port = free_port()
        self.name = f"{scenario}-{self.port}"
        self.calls = calls
        self._folder = folder
        self._limit = limit
        source = (SCENARIOS / f"{scenario}.xml").read_text()
        for key, value in values.items():
            source = source.replace("{{%s}}" % key.upper(), str(value))
        left = re.search(r"\{\{\w+\}\}", source)
        if left:
            raise ValueError(f"{scenario}.xml: {left.group()} has no value")
        self._path("xml").write_text(source)
        command = ["sipp", "-sf", self._path("xml"), "-i", "127.0.0.1", "-p", str(self.port), "-m", str(calls)]
        command += ["-r", str(rate), "-l", str(max(calls, 1)), "-t", "t1" if tcp else "u1", "-mi", "127.0.0.1"]
        command += ["-nostdin", "-skip_rlimit", "-timeout", f"{limit}s", "-timeout_error", "-recv_timeout", "20000"]
        command += ["-trace_stat", "-stf", self._path("csv"), "-fd", "600", "-trace_err", "-error_file", self._path("err")]
        command += ["-trace_logs", "-log_file", self._path("log"), "-trace_msg", "-message_file", self._path("msg")]
        command += list(extra)
        if remote is not None:
            command += ["-s", user, f"127.0.0.1:{remote}"]
        self._screen = open(self._path("out"), "wb")
        self._process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=self._screen, stderr=subprocess.STDOUT,
            env={**os.environ, "TERM": "dumb"},
        )
        if remote is None:
            self._wait_until_listening(tcp)

    def logged(self, key, timeout=10.0):
        """The value of a `<log message="key=value"/>` line, once it is there."""
        until = time.monotonic() + timeout
        pattern = re.compile(rf"\b{key}=(\S+)")
        while time.monotonic() < until:
            found = pattern.search(self._read("log"))
            if found:
                return found.group(1)
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{self.name}: nothing logged for {key}\n{self.trouble()}")

    def has_logged(self, key):
        return re.search(rf"\b{key}=", self._read("log")) is not None

    def finish(self):
        """Waits for the end of the scenario and fails unless every call went as written."""
        try:
            status = self._process.wait(timeout=self._limit + 5)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"{self.name}: still running after {self._limit} s\n{self.trouble()}") from None
        self._screen.close()
        succeeded = self._count("SuccessfulCall(C)")
        if status != 0 or succeeded != self.calls:
            raise AssertionError(f"{self.name}: exit {status}, {succeeded} of {self.calls} calls as written\n{self.trouble()}")

    def count(self, column):
        return self._count(column)

    def stop(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._screen.close()

    def trouble(self):
        """The end of what SIPp complained about, or of its messages if it did not."""
        errors = self._read("err").strip()
        messages = self._read("msg")
        return (errors[-2500:] if errors else "") + "\n--- last messages\n" + messages[-5000:]

    def _path(self, kind):
        return Path(self._folder) / f"{self.name}.{kind}"

    def _read(self, kind):
        try:
            return self._path(kind).read_text(errors="replace")
        except OSError:
            return ""

    def _count(self, column):
        rows = list(csv.DictReader(self._read("csv").splitlines(), delimiter=";"))
        try:
            return int(rows[-1][column])
        except (IndexError, KeyError, TypeError, ValueError):
            return -1

    def _wait_until_listening(self, tcp):
        table = Path("/proc/net/tcp" if tcp else "/proc/net/udp")
        wanted = f"0100007F:{self.port:04X}"
        until = time.monotonic() + 5
        while time.monotonic() < until and wanted not in table.read_text():
            if self._process.poll() is not None:
                raise AssertionError(f"{self.name}: ended before it listened\n{self._read('out')[-1500:]}")
            time.sleep(0.02)
