#!/usr/bin/env python3
"""Runs SIPp and baresip against the program and prints one line per case.

usage: run.py [--binary PATH] [--limit SECONDS] [--keep] [WORD...]    only the cases whose name holds one of the words
"""

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

import cases_phones as phones  # noqa: E402
import cases_raw as raw  # noqa: E402
import cases_sipp as sipp  # noqa: E402
from bench import Bench  # noqa: E402
from program import HELD_BY_CALLS, HELD_BY_TIMERS  # noqa: E402

CASES = [
    ("sipp udp: OPTIONS answered", sipp.options, {}),
    ("sipp tcp: OPTIONS answered", sipp.options, {"tcp": True}),
    ("sipp udp: unknown method refused", sipp.unknown_method, {}),
    ("raw tcp: a message in pieces, two in one", raw.stream_in_pieces, {}),
    ("raw: garbage to both SIP ports", raw.garbage, {}),
    ("raw udp: register and leave", raw.register, {}),
    ("raw tcp: register and leave", raw.register, {"tcp": True}),
    ("raw udp: register with SHA-256 or MD5", raw.register_with_sha256, {}),
    ("raw udp: wrong password and replay refused", raw.register_refused, {}),
    ("sipp udp: echo PCMU", sipp.echo, {}),
    ("sipp udp: echo PCMA", sipp.echo, {"payload_type": 8}),
    ("sipp tcp: echo PCMU", sipp.echo, {"tcp": True}),
    ("sipp udp: play looped", sipp.play, {}),
    ("sipp tcp: play looped", sipp.play, {"tcp": True}),
    ("sipp udp: play once hangs up", sipp.play_once, {}),
    ("sipp tcp: play once hangs up", sipp.play_once, {"tcp": True}),
    ("sipp udp: reject", sipp.reject, {}),
    ("sipp tcp: reject", sipp.reject, {"tcp": True}),
    ("sipp udp: no route", sipp.no_route, {}),
    ("sipp udp: late offer", sipp.late_offer, {}),
    ("sipp udp: hold and resume", sipp.hold_and_resume, {}),
    ("sipp udp: Record-Route from the caller", sipp.record_route_from_caller, {}),
    ("sipp udp: dial", sipp.dial, {}),
    ("sipp tcp: dial", sipp.dial, {"tcp": True}),
    ("sipp udp: dial with digits", sipp.dial, {"digits": "159#"}),
    ("sipp udp: dial PCMU to PCMA", sipp.dial, {"codecs": ("0", "8")}),
    ("sipp udp: dial with late offer", sipp.dial, {"caller_scenario": "call_late_offer"}),
    ("sipp udp: dial, callee hangs up", sipp.dial_hung_up_by_callee, {}),
    ("sipp udp: dial busy", sipp.busy, {}),
    ("sipp tcp: dial busy", sipp.busy, {"tcp": True}),
    ("sipp udp: dial cancelled", sipp.cancel, {}),
    ("sipp tcp: dial cancelled", sipp.cancel, {"tcp": True}),
    ("sipp udp: 200 crosses the CANCEL", sipp.cancel_crosses_answer, {}),
    ("sipp udp: early media", sipp.early_media, {}),
    ("sipp udp: Record-Route from the callee", sipp.record_route_from_callee, {}),
    ("sipp udp: conference of three", sipp.conference, {}),
    ("sipp udp: 60 calls echoed", sipp.many_echoed, {}),
    ("sipp tcp: 60 calls echoed", sipp.many_echoed, {"tcp": True}),
    ("sipp udp: 40 calls dialled", sipp.many_dialled, {}),
    ("sipp tcp: 40 calls dialled", sipp.many_dialled, {"tcp": True}),
    ("sipp udp: 60 calls echoed, 5 % of signalling lost", sipp.many_echoed, {"lost": 5}),
    ("sipp udp: 40 calls dialled, 5 % of signalling lost", sipp.many_dialled, {"lost": 5}),
    ("baresip: registered phone hears echo", phones.phone_hears_echo, {}),
    ("baresip: registered over TCP, hears echo", phones.phone_hears_echo, {"transport": "tcp"}),
    ("baresip: hears echo over SRTP", phones.phone_hears_echo, {"encrypts": True}),
    ("baresip: SRTP and plain phone talk, hold", phones.phones_talk_where_one_encrypts, {}),
    ("baresip: unregistered phone hears a prompt", phones.phone_hears_prompt, {}),
    ("baresip: wrong password refused", phones.phone_with_wrong_password, {}),
    ("baresip: two phones talk, digits arrive", phones.phones_talk, {}),
    ("baresip: hold, resume, callee hangs up", phones.phone_holds_and_resumes, {}),
    ("baresip: early media", phones.phone_hears_early_media, {}),
    ("baresip: callee declines", phones.phone_declines, {}),
    ("baresip: caller gives up", phones.phone_gives_up, {}),
]  # fmt: skip

LIMIT = 100  # seconds for one case, clean-up included
LOSSY_LIMIT = 40.0  # a lost BYE answer keeps a dialog for up to 64 * T1


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--binary", default="target/release/offhook")
    arguments.add_argument("--limit", type=float, default=1200, help="seconds for all cases together")
    arguments.add_argument("--keep", action="store_true", help="keep the messages and recordings")
    arguments.add_argument("words", nargs="*")
    chosen = arguments.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    signal.signal(signal.SIGALRM, _too_long)
    cases = [case for case in CASES if not chosen.words or any(word in case[0] for word in chosen.words)]
    passed, failed = 0, []
    bench = None
    until = time.monotonic() + chosen.limit
    try:
        bench = Bench(Path(chosen.binary).resolve(), chosen.keep)
        closing = [
            ("all gauges are zero after the last transaction", lambda bench: _all_idle(bench), {}),
            ("SIGTERM ends the program with status 0", lambda bench: bench.program.stop(), {}),
        ]
        for name, case, options in [*cases, *closing]:
            began = time.monotonic()
            if began > until:
                failed.append(f"everything from {name!r} on: {chosen.limit:.0f} s are over")
                break
            trouble = _run(bench, case, options, idle=case is not closing[1][1])
            took = time.monotonic() - began
            if trouble is None:
                passed += 1
                print(f"ok    {name} ({took:.1f} s)", flush=True)
            else:
                failed.append(name)
                print(f"FAIL  {name} ({took:.1f} s)\n{_indented(trouble)}", flush=True)
                try:
                    bench.program.check_alive()
                except AssertionError:
                    if name != closing[1][0]:
                        print("the program is gone: the remaining cases are not run", flush=True)
                    break
        if failed:
            print("the program's last lines:\n" + _indented(bench.program.output()))
    finally:
        signal.alarm(0)
        if bench is not None:
            bench.close()
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


def _run(bench, case, options, idle):
    """What went wrong, or nothing."""
    signal.alarm(LIMIT)
    try:
        case(bench, **options)
        bench.clear()
        if idle:
            bench.program.wait_until_idle(HELD_BY_CALLS, LOSSY_LIMIT if options.get("lost") else 8.0)
        return None
    except AssertionError as trouble:
        return str(trouble)
    except Exception:  # a case that stumbles must not take the others with it
        return traceback.format_exc()
    finally:
        signal.alarm(0)
        bench.clear()


def _all_idle(bench):
    bench.program.wait_until_idle(HELD_BY_CALLS + HELD_BY_TIMERS, 45.0)


def _too_long(*_):
    raise AssertionError(f"still not finished after {LIMIT} s")


def _indented(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if len(lines) > 80:
        lines = [*lines[:30], "[...]", *lines[-50:]]
    return "\n".join("      " + line for line in lines)


if __name__ == "__main__":
    sys.exit(main())
