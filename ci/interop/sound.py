"""Tones, G.711 and what can be said about recorded audio. Everything is mono at 8 kHz."""

import array
import math
import wave
from dataclasses import dataclass

RATE = 8000
FRAME = 160  # samples in 20 ms
HEARD_DBFS = -30.0  # a tone at or above this level counts as heard


def tone(frequency, seconds, amplitude=8000, rate=RATE):
    """A sine as 16-bit samples. Multiples of 50 Hz fit whole periods into a frame."""
    step = 2 * math.pi * frequency / rate
    return array.array("h", (round(amplitude * math.sin(step * i)) for i in range(int(seconds * rate))))


def write_wav(path, samples, rate=RATE):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())


def read_wav(path):
    with wave.open(str(path), "rb") as source:
        if (source.getnchannels(), source.getsampwidth(), source.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{path}: not 16-bit mono at {RATE} Hz")
        return array.array("h", source.readframes(source.getnframes()))


def _ulaw_sample(code):
    # ITU-T G.711, section 3.2: inverted bits, three bits of segment, four of step.
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _alaw_sample(code):
    # ITU-T G.711, section 3.1: even bits inverted.
    code ^= 0x55
    segment = (code >> 4) & 7
    magnitude = ((code & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


DECODE = {
    0: [_ulaw_sample(code) for code in range(256)],
    8: [_alaw_sample(code) for code in range(256)],
}


def _nearest(table):
    order = sorted(range(256), key=lambda code: table[code])
    values = [table[code] for code in order]
    encoded = bytearray(65536)
    at = 0
    for sample in range(-32768, 32768):
        while at + 1 < 256 and abs(values[at + 1] - sample) <= abs(values[at] - sample):
            at += 1
        encoded[sample & 0xFFFF] = order[at]
    return bytes(encoded)


ENCODE = {payload_type: _nearest(table) for payload_type, table in DECODE.items()}


def encode(payload_type, samples):
    table = ENCODE[payload_type]
    return bytes(table[sample & 0xFFFF] for sample in samples)


def decode(payload_type, payload):
    table = DECODE[payload_type]
    return array.array("h", (table[code] for code in payload))


def level(samples, frequency):
    """How loud one frequency is in these samples, in dBFS (Goertzel)."""
    if not samples:
        return -120.0
    coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
    previous = before = 0.0
    for sample in samples:
        previous, before = sample + coefficient * previous - before, previous
    power = previous * previous + before * before - coefficient * previous * before
    amplitude = 2 * math.sqrt(max(power, 0.0)) / len(samples)
    return max(-120.0, 20 * math.log10(amplitude / 32768)) if amplitude > 0 else -120.0


@dataclass
class Hearing:
    """What a recording says about one frequency."""

    frequency: int
    first: float  # seconds from the start of the recording to the first frame that holds the tone; -1 if none
    heard: float  # seconds of frames that hold the tone
    longest_gap: float  # seconds without it between its first and its last frame
    to_end: float  # seconds from its last frame to the end of the recording

    def __str__(self):
        if self.first < 0:
            return f"{self.frequency} Hz not heard"
        return (
            f"{self.frequency} Hz for {self.heard:.2f} s from {self.first:.2f} s, "
            f"longest gap {self.longest_gap * 1000:.0f} ms, ends {self.to_end:.2f} s before the recording"
        )


def listen(samples, frequency):
    frames = [
        level(samples[at : at + FRAME], frequency) >= HEARD_DBFS for at in range(0, len(samples) - FRAME + 1, FRAME)
    ]
    heard = [index for index, present in enumerate(frames) if present]
    if not heard:
        return Hearing(frequency, -1.0, 0.0, 0.0, len(frames) * 0.02)
    gaps = [later - earlier - 1 for earlier, later in zip(heard, heard[1:])]
    return Hearing(
        frequency, heard[0] * 0.02, len(heard) * 0.02, max(gaps, default=0) * 0.02, (len(frames) - 1 - heard[-1]) * 0.02
    )
