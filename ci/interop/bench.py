"""What a case works with: the program, and parties, SIPp and phones that are taken down after the case."""

import random
import shutil
import socket
import tempfile
from pathlib import Path

import sound
from party import Party
from program import Program
from sipp import Sipp
from softphone import Softphone

PROMPT_HZ = 600
STREAM_HZ = 500
USERS = {"alice": "wonderland", "bob": "builder", "carol": "fish"}


class Bench:
    def __init__(self, binary, keep=False):
        self._binary = binary
        self._keeps = keep
        self.folder = Path(tempfile.mkdtemp(prefix="offhook-interop-"))
        self._open = []
        self._tone = self.folder / "tone.ulaw"
        self._tone.write_bytes(sound.encode(0, sound.tone(STREAM_HZ, 2)))
        looped, once = self.folder / "loop.wav", self.folder / "once.wav"
        sound.write_wav(looped, sound.tone(PROMPT_HZ, 1, rate=16000), rate=16000)
        sound.write_wav(once, sound.tone(PROMPT_HZ, 2))
        self.program = Program(binary, self.folder, _routes(looped, once), USERS)

    def party(self, frequency, payload_type=0):
        return self._keep(Party(frequency, payload_type))

    def call(self, scenario, user, party, *, tcp=False, **values):
        """SIPp as a caller of the program."""
        return self._sipp(scenario, party, tcp=tcp, remote=self.program.sip(tcp), user=user, **values)

    def answer(self, scenario, party, *, tcp=False, **values):
        """SIPp as a callee behind `dial`."""
        return self._sipp(scenario, party, tcp=tcp, **values)

    def dialled(self, answer, tcp=False):
        """The user part that the program routes to this callee."""
        return f"{'tcp' if tcp else 'out'}-{answer.port}"

    def phone(self, user, frequency, **options):
        transport = options.get("transport", "udp")
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return self._keep(Softphone(folder, user, frequency, self.program.sip(transport == "tcp"), **options))

    def other_program(self, **sip):
        """A second program without routes, with these settings of SIP."""
        return self._keep(Program(self._binary, tempfile.mkdtemp(dir=self.folder), [], USERS, sip))

    def media_port(self):
        """A port for SIPp's RTP echo, which also takes the three that follow."""
        for _ in range(200):
            port = random.randrange(8000, 9900, 4)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                try:
                    sock.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        raise RuntimeError("no free port for RTP echo")

    def clear(self):
        """Ends what the case left."""
        for open_thing in reversed(self._open):
            (open_thing.hang_up if isinstance(open_thing, Party) else open_thing.stop)()
        self._open = []

    def close(self):
        self.clear()
        self.program.kill()
        if self._keeps:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _sipp(self, scenario, party, *, codecs="0", pause=1000, linger=200, user="echo", **rest):
        folder = tempfile.mkdtemp(dir=self.folder)
        rtp_port = party.port if party else 9
        values = {"codecs": codecs, "pause": pause, "linger": linger, "tone": self._tone, "rtp_port": rtp_port}
        return self._keep(Sipp(folder, scenario, user=user, **values, **rest))

    def _keep(self, thing):
        self._open.append(thing)
        return thing


def _routes(looped, once):
    return [
        {"to": "echo", "app": "echo"},
        {"to": "loop", "app": "play", "file": str(looped), "loop": True},
        {"to": "once", "app": "play", "file": str(once), "loop": False},
        {"to": "refused", "app": "reject", "code": 603},
        {"to": "room-.*", "app": "conference"},
        {"to": "out-(\\d+)", "app": "dial", "target": "sip:callee@127.0.0.1:$1"},
        {"to": "tcp-(\\d+)", "app": "dial", "target": "sip:callee@127.0.0.1:$1;transport=tcp"},
    ]
