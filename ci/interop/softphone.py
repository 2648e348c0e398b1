"""baresip without a screen or a sound card: speaks a WAV file, keeps what it hears, takes orders over TCP."""

import json
import random
import re
import socket
import subprocess
import time
from pathlib import Path

import sound
from party import free_port

MODULES = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/local/lib/baresip/modules")

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip}
net_interface 127.0.0.1
call_local_timeout 120
call_max_calls 4
audio_path {folder}
audio_source aufile,{folder}/said.wav
audio_player aubridge,heard
audio_alert aubridge,alert
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_txmode thread
jitter_buffer_delay 5-10
rtp_ports {rtp}-{rtp_end}
snd_path {folder}
statmode_default off
module_path {modules}
module g711.so
module srtp.so
module sndfile.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


class Softphone:
    """Speaks `frequency`; `answer` is `auto` or `manual`; with a password it registers; `encrypts`: over SRTP only."""

    def __init__(self, folder, user, frequency, server, *, password=None, answer="auto", transport="udp", encrypts=False):
        self._folder = Path(folder) / user
        self._folder.mkdir()
        control = free_port()
        rtp = random.randrange(10000, 19000, 100)
        modules = next((path for path in MODULES if Path(path).is_dir()), MODULES[0])
        (self._folder / "config").write_text(
            CONFIG.format(sip=free_port(), folder=self._folder, rtp=rtp, rtp_end=rtp + 98, control=control, modules=modules)
        )
        # Encrypted or not at all: RTP/SAVP with keys in SDP.
        encryption = ";mediaenc=srtp-mand" if encrypts else ""
        registers = f"auth_user={user};auth_pass={password};regint=60" if password else "regint=0"
        (self._folder / "accounts").write_text(
            f"<sip:{user}@127.0.0.1:{server};transport={transport}>;{registers};answermode={answer};audio_codecs=PCMU,PCMA{encryption}\n"
        )
        (self._folder / "contacts").write_text("")
        sound.write_wav(self._folder / "said.wav", sound.tone(frequency, 60))
        self._events = []
        self._buffer = b""
        self._log = open(self._folder / "log", "wb")
        self._process = subprocess.Popen(
            ["baresip", "-f", str(self._folder), "-v"], stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        until = time.monotonic() + 10
        while True:
            try:
                self._control = socket.create_connection(("127.0.0.1", control), timeout=1)
                break
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    self.stop()
                    raise AssertionError(f"{user}: baresip did not start\n{self.log()}") from None
                time.sleep(0.05)

    def order(self, command, parameters=""):
        message = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._control.sendall(b"%d:%s," % (len(message), message))

    def wait_for(self, kind, timeout=10.0):
        """The next event of this kind that nobody waited for yet."""
        until = time.monotonic() + timeout
        while True:
            for index, event in enumerate(self._events):
                if event.get("type") == kind:
                    return self._events.pop(index)
            left = until - time.monotonic()
            if left <= 0:
                seen = [event.get("type") for event in self._events]
                raise AssertionError(f"{self._folder.name}: no {kind} within {timeout:.0f} s, only {seen}\n{self.log()}")
            self._receive(left)

    def wait_for_log(self, text, timeout=10.0):
        """For what happens at the start: registrations may come before anybody listens for events."""
        until = time.monotonic() + timeout
        while text not in self.log(None):
            if time.monotonic() > until or self._process.poll() is not None:
                raise AssertionError(f"{self._folder.name}: {text!r} was never logged\n{self.log()}")
            time.sleep(0.05)

    def digits(self):
        """Digits received, each once, in order."""
        return "".join(re.findall(r"received event: '(.)' \(end=1\)", self.log(None)))

    def heard(self):
        """What came in during the last call, decoded by baresip; complete once the call is closed."""
        recordings = sorted(self._folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime_ns)
        if not recordings:
            raise AssertionError(f"{self._folder.name}: recorded nothing\n{self.log()}")
        return sound.read_wav(recordings[-1])

    def log(self, last=2500):
        text = (self._folder / "log").read_text(errors="replace")
        return text if last is None else text[-last:]

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()  # unregisters first
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if hasattr(self, "_control"):
            self._control.close()
        self._log.close()

    def _receive(self, timeout):
        self._control.settimeout(max(0.01, min(timeout, 0.5)))
        try:
            received = self._control.recv(65536)
        except TimeoutError:
            return
        if not received:
            raise AssertionError(f"{self._folder.name}: baresip ended\n{self.log()}")
        self._buffer += received
        while True:  # netstrings: length, colon, JSON, comma
            length, colon, rest = self._buffer.partition(b":")
            if not colon or len(rest) <= int(length):
                return
            message, self._buffer = rest[: int(length)], rest[int(length) + 1 :]
            decoded = json.loads(message)
            if decoded.get("event"):
                self._events.append(decoded)
