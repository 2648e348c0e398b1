#!/usr/bin/env python3
"""What a call costs: the server under load, in CPU ms per call and second, beside the floor of the machine.

    benches/speed.py --callload PATH [--seconds 20] [--scale 1.0] [ROW ...]

The server runs on the first core, the load generator (callload, which speaks SIP and RTP on loopback) on the second, and
the floor, a plain loop over as many sockets, like the server. Each row is one run; words choose rows. Prints a
table in Markdown. Fails when a call failed or more than 0.1 % of the expected packets are missing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIP, HTTP, CALLEE = 15060, 18088, 15080

CONFIG = f"""\
[[route]]
to = "echo"
app = "echo"
[[route]]
to = "play"
app = "play"
file = "prompt.wav"
loop = true
[[route]]
to = "room.*"
app = "conference"
[[route]]
to = "callee"
app = "dial"
target = "sip:callee@127.0.0.1:{CALLEE}"
"""


@dataclass
class Row:
    """One kind of work: callload's mode and options for so many calls."""

    name: str
    mode: str
    calls: int
    must: float
    goal: float
    options: list = field(default_factory=list)

    def target(self):
        return {"pair": "callee", "uac": self.options[0] if self.options else "echo"}[self.mode]


ROWS = [
    Row("prompt", "uac", 1000, 0.40, 0.28, ["play"]),
    Row("echo", "uac", 1000, 0.40, 0.28, ["echo"]),
    Row("bridge PCMU", "pair", 500, 0.65, 0.50),
    Row("bridge PCMU-PCMA", "pair", 500, 0.75, 0.55, ["--b-codec", "pcma"]),
    Row("bridge PCMU-G722", "pair", 300, 1.5, 1.0, ["--b-codec", "g722pt"]),
    Row("bridge PCMU-Opus", "pair", 50, 15.0, 15.0, ["--b-codec", "opus-canned"]),
    Row("room of 3", "uac", 600, 0.45, 0.30, ["room{room}", "--conf", "3"]),
    Row("room of 100", "uac", 500, 0.45, 0.30, ["room{room}", "--conf", "100", "--check", "4"]),
    Row("room of 500", "uac", 500, 0.45, 0.30, ["room{room}", "--conf", "500", "--check", "4"]),
    Row("room of 2000", "uac", 2000, 0.45, 0.30, ["room{room}", "--conf", "2000", "--check", "4", "--rx-sample", "20"]),
]


class Server:
    """`offhook serve` on one core."""

    def __init__(self, program, folder):
        command = [
            "taskset", "-c", "0", program, "serve", "--config", "speed.toml", "--sip", f"udp:127.0.0.1:{SIP}",
            "--http", f"127.0.0.1:{HTTP}", "--rtp-ports", "16384-32767", "--data", "data",
        ]  # fmt: skip
        self._log = open(folder / "server.log", "wb")
        self.process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT)
        until = time.monotonic() + 20
        while "ready" not in (folder / "server.log").read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit("no server:\n" + (folder / "server.log").read_text(errors="replace"))
            time.sleep(0.05)

    def gauges(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/api/v1/gauges", timeout=10) as answer:
            return json.load(answer)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


def floor(program, calls):
    """CPU ms per call and second of a plain loop, woken by each packet."""
    text = subprocess.run([program, "--calls", str(calls)], check=True, capture_output=True, text=True).stdout
    line = next(line for line in text.splitlines() if line.startswith("floor, woken"))
    return float(re.findall(r"\d+\.\d+", line)[0])


def measure(row, arguments, programs, folder):
    calls = max(1, round(row.calls * arguments.scale))
    server = Server(programs["offhook"], folder)
    try:
        report, options = folder / "report.json", [option for option in row.options if option != row.target()]
        command = [
            "taskset", "-c", "1", arguments.callload, row.mode, "--fifo", "--quiet", "--json", report,
            "--target", f"sip:{row.target()}@127.0.0.1:{SIP}", "--server-pid", server.process.pid, "--calls", calls,
            "--rate", max(20, calls // 5), "--duration", arguments.seconds, *options,
        ]  # fmt: skip
        if row.mode == "pair":
            command += ["--port", CALLEE]
        with open(folder / "callload.log", "wb") as log:
            subprocess.run([str(part) for part in command], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        if not report.exists():
            raise SystemExit((folder / "callload.log").read_text(errors="replace"))
        answer = json.loads(report.read_text())
        report.unlink()
        return calls, answer, server.gauges()
    finally:
        server.stop()


def judge(row, calls, answer, gauges, least):
    sides = [answer[side] for side in ("uac", "uas") if side in answer]
    rtp = [side["rtp"] for side in sides]
    expected = sum(each["expected_by_time"] for each in rtp)
    received = sum(min(each["received"], each["expected_by_time"]) for each in rtp)
    failed = sum(side["calls"]["failed"] for side in sides)
    checked = [side["content"] for side in sides if side.get("content", {}).get("checked")]
    cost = answer["steady"]["server_cpu_ms_per_call_second"]
    deviation = [max(each["deviation_from_ptime_ms"].get(key, 0) for each in rtp) for key in ("p99", "p999")]
    share = received / max(1, expected)
    content = ", ".join(f"{each['passed']} of {each['checked']}" for each in checked) or "–"
    print(
        f"| {row.name} | {calls} | {cost:.3f} | {cost / least:.2f} | {row.must:.2f} | {row.goal:.2f} | {failed}"
        f" | {share * 100:.3f} % | {deviation[0]:.2f} / {deviation[1]:.2f} | {content} |",
        flush=True,
    )
    return failed == 0 and share >= 0.999 and gauges.get("continuity_violations_total", 0) == 0


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "offhook"], check=True, cwd=ROOT)
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "offhook-benches", "--bin", "floor"], check=True, cwd=ROOT)
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    return {name: str(folder / name) for name in ("offhook", "floor")}


def prompt(path):
    """Ten seconds; a prompt costs the same whatever it says."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(((n * 37) % 8000 - 4000).to_bytes(2, "little", signed=True) for n in range(80_000)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callload", required=True, help="the load generator's program")
    parser.add_argument("--seconds", type=int, default=20, help="length of each call")
    parser.add_argument("--scale", type=float, default=1.0, help="factor to the number of calls")
    parser.add_argument("rows", nargs="*", help="words of the rows to run; all when there are none")
    arguments = parser.parse_args()
    programs = build()
    rows = [row for row in ROWS if not arguments.rows or any(word in row.name for word in arguments.rows)]
    if not rows:
        parser.error("no such row; there are: " + ", ".join(row.name for row in ROWS))
    least = floor(programs["floor"], 1000)
    print(f"floor: {least:.3f} CPU ms per call and second\n")
    print("| work | calls | CPU ms per call and second | x floor | must | goal | failed | packets | deviation p99 / p99.9, ms | content |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    fine = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "speed.toml").write_text(CONFIG)
        prompt(folder / "prompt.wav")
        for row in rows:
            fine &= judge(row, *measure(row, arguments, programs, folder), least)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
