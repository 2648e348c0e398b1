"""One end of an RTP stream: speaks a tone on the 20 ms grid and keeps every packet that comes back."""

import array
import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import sound

EVENT_TYPE = 101  # telephone-event in every scenario of this folder
DIGITS = "0123456789*#ABCD"


@dataclass
class Packet:
    arrival: float
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    source: tuple


@dataclass
class Heard:
    """What came in, and whether it is one continuous stream."""

    packets: list = field(default_factory=list)

    def samples(self):
        """Decoded audio, placed by timestamp so that what is missing is silence."""
        spoken = [packet for packet in self.packets if packet.payload_type in sound.DECODE]
        if not spoken:
            return array.array("h")
        start = spoken[0].timestamp
        placed = {}
        for packet in spoken:
            at = _signed(packet.timestamp - start, 32)
            if 0 <= at < 8000 * 600:
                placed[at] = sound.decode(packet.payload_type, packet.payload)
        audio = array.array("h", bytes(2 * max(at + len(part) for at, part in placed.items())))
        for at, part in placed.items():
            audio[at : at + len(part)] = part
        return audio

    def digits(self):
        """RFC 4733 digits in the order they began."""
        pressed = {}
        for packet in self.packets:
            if packet.payload_type == EVENT_TYPE and len(packet.payload) >= 4 and packet.payload[0] < 16:
                pressed.setdefault(packet.timestamp, DIGITS[packet.payload[0]])
        return "".join(pressed.values())

    def discontinuities(self):
        """Everything a strict receiver would object to, as text."""
        found = []
        if len({packet.ssrc for packet in self.packets}) > 1:
            found.append("more than one SSRC")
        if len({packet.source for packet in self.packets}) > 1:
            found.append("more than one source port")
        previous = None
        for packet in self.packets:
            if previous is not None and packet.ssrc == previous.ssrc:
                step = _signed(packet.sequence - previous.sequence, 16)
                if step != 1:
                    found.append(f"sequence {previous.sequence} is followed by {packet.sequence}")
                moved = _signed(packet.timestamp - previous.timestamp, 32)
                if EVENT_TYPE in (packet.payload_type, previous.payload_type):
                    if moved < 0:
                        found.append(f"timestamp goes back by {-moved} around a telephone event")
                elif moved <= 0 or moved % sound.FRAME:
                    found.append(f"timestamp step {moved} at sequence {packet.sequence}")
            previous = packet
        return found


class Party:
    """Owns a pair of ports. `talk_to` starts the tone, `hang_up` ends it and gives what was heard."""

    def __init__(self, frequency, payload_type=0):
        self.payload_type = payload_type
        self.heard = Heard()
        self._frame = sound.encode(payload_type, sound.tone(frequency, 0.02))
        self._rtp, self._rtcp = _port_pair()
        self.port = self._rtp.getsockname()[1]
        self._remote = None
        self._digits = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def talk_to(self, port):
        self._remote = ("127.0.0.1", port)

    def press(self, digits):
        self._digits.extend(digits)

    def hang_up(self):
        if self._stop.is_set():
            return self.heard
        self._stop.set()
        self._thread.join(timeout=5)
        self._rtp.close()
        self._rtcp.close()
        return self.heard

    def _run(self):
        sequence = random.getrandbits(15)
        timestamp = random.getrandbits(31)
        ssrc = random.getrandbits(32)
        first = True
        event = None  # digit, its timestamp, packets sent of it
        pause = 0  # frames of tone before the next digit, so that one is told from the next
        due = time.monotonic()
        while not self._stop.is_set():
            wait = max(0.0, due - time.monotonic())
            if select.select([self._rtp, self._rtcp], [], [], wait)[0]:
                self._receive()
            if time.monotonic() < due:
                continue
            due += 0.02
            timestamp = (timestamp + sound.FRAME) & 0xFFFFFFFF
            if self._remote is None:
                continue
            pause = max(0, pause - 1)
            if event is None and self._digits and not pause:
                event = (self._digits.pop(0), timestamp, 0)
            if event is None:
                self._send(sequence, timestamp, ssrc, self.payload_type, first, self._frame)
            else:
                # RFC 4733 section 2.5: 100 ms of the event, the last packet three times.
                digit, began, sent = event
                ended = sent >= 5
                duration = min(sent + 1, 5) * sound.FRAME
                payload = struct.pack("!BBH", DIGITS.index(digit), 0x8A if ended else 0x0A, duration)
                self._send(sequence, began, ssrc, EVENT_TYPE, sent == 0, payload)
                event = (digit, began, sent + 1) if sent < 7 else None
                pause = 5
            sequence = (sequence + 1) & 0xFFFF
            first = False

    def _send(self, sequence, timestamp, ssrc, payload_type, marker, payload):
        header = struct.pack("!BBHII", 0x80, payload_type | (0x80 if marker else 0), sequence, timestamp, ssrc)
        try:
            self._rtp.sendto(header + payload, self._remote)
        except OSError:
            pass  # the far port may be closed already

    def _receive(self):
        for sock in (self._rtp, self._rtcp):
            while True:
                try:
                    datagram, source = sock.recvfrom(2048)
                except OSError:
                    break
                if sock is self._rtcp or len(datagram) < 12:
                    continue
                first, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", datagram[:12])
                if first >> 6 == 2 and not 64 <= second & 0x7F <= 95:
                    packet = Packet(
                        time.monotonic(), second >= 0x80, second & 0x7F, sequence, timestamp, ssrc, datagram[12:], source
                    )
                    self.heard.packets.append(packet)


def _signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _port_pair():
    for _ in range(200):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.bind(("127.0.0.1", 0))
        port = rtp.getsockname()[1]
        rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if port % 2:
                raise OSError("RTP takes the even port of a pair")
            rtcp.bind(("127.0.0.1", port + 1))
        except OSError:
            rtp.close()
            rtcp.close()
            continue
        rtp.setblocking(False)
        rtcp.setblocking(False)
        return rtp, rtcp
    raise RuntimeError("no free pair of ports")


_given = set()


def free_port():
    """A port that, like the next one, is free for UDP and TCP on the loopback address; given once in a run.

    Below the ports that the kernel gives to clients: between this check and the listener's own bind it could
    give away one of those. The next port is for programs that listen for TLS there, as SIP phones do.
    """
    for _ in range(1000):
        port = random.randrange(4000, 8000, 2)
        if port not in _given and all(_is_free(kind, each) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for each in (port, port + 1)):
            _given.add(port)
            return port
    raise RuntimeError("no free port")


def _is_free(kind, port):
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
