#!/usr/bin/env python3
"""Judges speech through the playout with PESQ (ITU-T P.862, narrow band).

    pip install pesq && apt-get install espeak-ng sox
    ci/speech_quality.py

Optional, and no part of ci/test.sh. Sentences spoken by espeak-ng go through the example `bad_network`: loss and
jitter as below, with several seeds each. Fails when a mean is below its bar.
"""

import os
import subprocess
import sys
import tempfile
import wave

import numpy
from pesq import pesq

SENTENCES = [
    ("en-us", "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background."),
    ("en-us+f3", "It is easy to tell the depth of a well. These days a chicken leg is a rare dish."),
    ("en-us", "Rice is often served in round bowls. The juice of lemons makes fine punch."),
    ("en-us+f3", "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage."),
]
# Percent lost, jitter in ms, least mean score.
CASES = [(0, 0, 4.0), (0, 20, 4.0), (0, 60, 4.0), (3, 20, 3.5), (10, 20, 2.5)]
SEEDS = range(1, 6)


def samples(path):
    with wave.open(path) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def speak(folder, number, voice, text):
    wide, narrow = (os.path.join(folder, f"{name}{number}.wav") for name in ("wide", "narrow"))
    subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", wide, text], check=True)
    convert = ["sox", wide, "-r", "8000", "-b", "16", "-c", "1", narrow, "gain", "-n", "-6", "pad", "0.5", "0.5"]
    subprocess.run(convert, check=True)
    return narrow


def program():
    build = ["cargo", "build", "--quiet", "-p", "offhook-media", "--example", "bad_network"]
    subprocess.run(build, check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "debug/examples/bad_network")


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    bad_network, failed = program(), False
    with tempfile.TemporaryDirectory() as folder:
        spoken = [speak(folder, number, *sentence) for number, sentence in enumerate(SENTENCES)]
        heard = os.path.join(folder, "heard.wav")
        for loss, jitter, bar in CASES:
            scores = []
            for path in spoken:
                for seed in SEEDS:
                    command = [bad_network, path, heard, str(loss), str(jitter), str(seed)]
                    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                    scores.append(pesq(8000, samples(path), samples(heard), "nb"))
            mean = sum(scores) / len(scores)
            failed |= mean < bar
            print(f"loss {loss:2} %, jitter {jitter:2} ms: mean {mean:.2f}, least {min(scores):.2f}, bar {bar}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
