"""SIPp against the program. Each case is a function of the bench; its documentation says what must hold."""

import time

import expect
from bench import PROMPT_HZ as PROMPT

CALLER = 400  # Hz, spoken by the caller
CALLEE = 700  # Hz, spoken by the callee


def echo(bench, tcp=False, payload_type=0):
    """echo returns the caller's own tone"""
    caller = bench.party(CALLER, payload_type)
    call = bench.call("call", "echo", caller, tcp=tcp, codecs=str(payload_type), pause=2500)
    caller.talk_to(int(call.logged("media")))
    call.finish()
    heard = caller.hang_up()
    expect.continuous("the caller", heard)
    expect.tone("the caller", heard.samples(), CALLER, seconds=1.8)


def play(bench, tcp=False):
    """a looped prompt is heard without a gap"""
    caller = bench.party(CALLER)
    call = bench.call("call", "loop", caller, tcp=tcp, pause=4500)
    caller.talk_to(int(call.logged("media")))
    call.finish()
    heard = caller.hang_up()
    expect.continuous("the caller", heard)
    expect.tone("the caller", heard.samples(), PROMPT, seconds=4.0)
    expect.no_tone("the caller", heard.samples(), CALLER)


def play_once(bench, tcp=False):
    """a prompt that ends hangs up"""
    caller = bench.party(CALLER)
    call = bench.call("call_hung_up", "once", caller, tcp=tcp)
    caller.talk_to(int(call.logged("media")))
    call.finish()
    heard = caller.hang_up()
    expect.continuous("the caller", heard)
    expect.tone("the caller", heard.samples(), PROMPT, seconds=1.9)


def reject(bench, tcp=False):
    """reject refuses with its code"""
    bench.call("call_refused", "refused", bench.party(CALLER), tcp=tcp, code=603).finish()


def no_route(bench):
    """a number without a route is not found"""
    bench.call("call_refused", "nobody-has-this", bench.party(CALLER), code=404).finish()


def late_offer(bench):
    """INVITE without an offer: offer in the 200, answer in the ACK"""
    caller = bench.party(CALLER)
    call = bench.call("call_late_offer", "echo", caller, pause=2500)
    caller.talk_to(int(call.logged("media")))
    call.finish()
    heard = caller.hang_up()
    expect.continuous("the caller", heard)
    expect.tone("the caller", heard.samples(), CALLER, seconds=1.8)


def hold_and_resume(bench):
    """re-INVITE holds and resumes, and the echo comes back"""
    caller = bench.party(CALLER)
    call = bench.call("call_held", "echo", caller, pause=1500)
    caller.talk_to(int(call.logged("media")))
    call.logged("held")
    held_at = time.monotonic()
    call.logged("resumed")
    resumed_at = time.monotonic()
    call.finish()
    heard = caller.hang_up()
    expect.continuous("the caller", heard)
    before = _between(heard, 0, held_at - 0.1)
    during = _between(heard, held_at + 0.3, resumed_at - 0.1)
    after = _between(heard, resumed_at + 0.2, time.monotonic())
    expect.tone("the caller before the hold", before.samples(), CALLER, seconds=1.0)
    expect.no_tone("the caller during the hold", during.samples(), CALLER)
    expect.tone("the caller after the hold", after.samples(), CALLER, seconds=1.0)


def record_route_from_caller(bench):
    """Record-Route of a caller is repeated and followed"""
    caller = bench.party(CALLER)
    call = bench.call("call_through_proxies", "once", caller)
    caller.talk_to(int(call.logged("media")))
    call.finish()
    expect.tone("the caller", caller.hang_up().samples(), PROMPT, seconds=1.9)


def options(bench, tcp=False):
    """OPTIONS is answered with Allow"""
    bench.call("options", "echo", None, tcp=tcp).finish()


def unknown_method(bench):
    """an unknown method is refused with 501, RFC 3261 section 21.5.2"""
    bench.call("unknown_method", "echo", None, code=501).finish()


def dial(bench, tcp=False, codecs=("0", "0"), digits="", caller_scenario="call", callee_scenario="answer"):
    """dial connects two SIPp, each hears the other"""
    caller = bench.party(CALLER, int(codecs[0]))
    callee = bench.party(CALLEE, int(codecs[1]))
    answer = bench.answer(callee_scenario, callee, tcp=tcp, codecs=codecs[1], pause=500)
    call = bench.call(caller_scenario, bench.dialled(answer, tcp), caller, tcp=tcp, codecs=codecs[0], pause=3500)
    callee.talk_to(int(answer.logged("media")))
    caller.talk_to(int(call.logged("media")))
    if digits:
        time.sleep(0.5)
        caller.press(digits)
    call.finish()
    answer.finish()
    at_caller, at_callee = caller.hang_up(), callee.hang_up()
    expect.continuous("the caller", at_caller)
    expect.continuous("the callee", at_callee)
    expect.tone("the caller", at_caller.samples(), CALLEE, seconds=2.8)
    # A digit replaces the tone while it lasts.
    expect.tone("the callee", at_callee.samples(), CALLER, seconds=1.5, gap=0.3 if digits else expect.GAP)
    expect.no_tone("the caller", at_caller.samples(), CALLER)
    expect.no_tone("the callee", at_callee.samples(), CALLEE)
    if at_callee.digits() != digits:
        raise AssertionError(f"the callee should have received the digits {digits!r}: {at_callee.digits()!r}")


def dial_hung_up_by_callee(bench):
    """the callee hangs up, the caller is hung up"""
    caller, callee = bench.party(CALLER), bench.party(CALLEE)
    answer = bench.answer("answer_hanging_up", callee, pause=2000)
    call = bench.call("call_hung_up", bench.dialled(answer), caller)
    callee.talk_to(int(answer.logged("media")))
    caller.talk_to(int(call.logged("media")))
    call.finish()
    answer.finish()
    expect.tone("the caller", caller.hang_up().samples(), CALLEE, seconds=1.5)


def busy(bench, tcp=False):
    """a busy callee makes the caller busy"""
    answer = bench.answer("busy", None, tcp=tcp, status="486 Busy Here")
    bench.call("call_refused", bench.dialled(answer, tcp), bench.party(CALLER), tcp=tcp, code=486).finish()
    answer.finish()


def cancel(bench, tcp=False):
    """a caller who gives up cancels the callee"""
    answer = bench.answer("ring_until_cancelled", None, tcp=tcp)
    bench.call("call_cancelled", bench.dialled(answer, tcp), bench.party(CALLER), tcp=tcp, pause=700).finish()
    answer.finish()


def cancel_crosses_answer(bench):
    """a 200 that crosses the CANCEL is acknowledged and hung up"""
    answer = bench.answer("answer_as_cancelled", bench.party(CALLEE))
    bench.call("call_cancelled", bench.dialled(answer), bench.party(CALLER), pause=700).finish()
    answer.finish()


def early_media(bench):
    """media of a 183 is heard before the answer"""
    caller, callee = bench.party(CALLER), bench.party(CALLEE)
    answer = bench.answer("answer_early", callee, pause=2500)
    call = bench.call("call_early", bench.dialled(answer), caller, pause=1000)
    callee.talk_to(int(answer.logged("media")))
    caller.talk_to(int(call.logged("media")))
    call.logged("answered")
    answered_at = time.monotonic()
    call.finish()
    answer.finish()
    heard = caller.hang_up()
    expect.continuous("the caller", heard)
    expect.tone("the caller before the answer", _between(heard, 0, answered_at).samples(), CALLEE, seconds=1.8)
    expect.tone("the caller", heard.samples(), CALLEE, seconds=2.8)


def record_route_from_callee(bench):
    """Record-Route of a callee is followed backwards by ACK and BYE"""
    callee = bench.party(CALLEE)
    answer = bench.answer("answer_through_proxies", callee, pause=300)
    bench.call("call", bench.dialled(answer), bench.party(CALLER), pause=700).finish()
    answer.finish()


def conference(bench):
    """three in a room hear the other two and not themselves, one in the next room hears none of them"""
    spoken = (CALLER, 550, CALLEE)
    parties = [bench.party(frequency) for frequency in spoken]
    stranger = bench.party(850)
    rooms = [("room-1", party) for party in parties] + [("room-2", stranger)]
    calls = [bench.call("call", room, party, pause=4000) for room, party in rooms]
    for call, (_, party) in zip(calls, rooms):
        party.talk_to(int(call.logged("media")))
    for call in calls:
        call.finish()
    for frequency, party in zip(spoken, parties):
        heard = party.hang_up()
        expect.continuous(f"who speaks {frequency} Hz", heard)
        for other in spoken:
            if other == frequency:
                expect.no_tone(f"who speaks {frequency} Hz", heard.samples(), other)
            else:
                expect.tone(f"who speaks {frequency} Hz", heard.samples(), other, seconds=2.5)
    for frequency in spoken:
        expect.no_tone("the stranger", stranger.hang_up().samples(), frequency)


def many_echoed(bench, tcp=False, calls=60, lost=0):
    """many calls with SIPp's own RTP stream, echoed"""
    before = bench.program.gauges()
    loss = ("-lost", str(lost)) if lost else ()
    call = bench.call(
        "call_streaming", "echo", None, tcp=tcp, calls=calls, rate=15, pause=2500, linger=4500 if lost else 200, extra=loss
    )
    call.finish()
    _carried(bench, before, calls * 100)


def many_dialled(bench, tcp=False, calls=40, lost=0):
    """many calls through dial to SIPp's own RTP echo"""
    before = bench.program.gauges()
    loss = ("-lost", str(lost)) if lost else ()
    linger = 4500 if lost else 200
    media = bench.media_port()
    echoing = ("-rtp_echo", "-mp", str(media), *loss)
    answer = bench.answer("answer_echoing", None, tcp=tcp, calls=calls, pause=300, linger=linger, extra=echoing)
    call = bench.call(
        "call_streaming", bench.dialled(answer, tcp), None, tcp=tcp, calls=calls, rate=10, pause=3000, linger=linger, extra=loss
    )
    call.finish()
    answer.finish()
    _carried(bench, before, calls * 2 * 100)


def _between(heard, begin, end):
    return type(heard)([packet for packet in heard.packets if begin <= packet.arrival < end])


def _carried(bench, before, least):
    """The program received and sent at least so many RTP packets since then; it counts them once a second."""
    until = time.monotonic() + 3
    while True:
        now = bench.program.gauges()
        moved = {name: now[name] - before[name] for name in ("rtp_datagrams_total", "rtp_transmits_total")}
        if min(moved.values()) >= least:
            return
        if time.monotonic() > until:
            raise AssertionError(f"{moved} where at least {least} of each were expected")
        time.sleep(0.1)
