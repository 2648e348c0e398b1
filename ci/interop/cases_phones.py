"""baresip against the program: real softphones that register, call, press digits, hold and hang up."""

import time

import expect
from bench import PROMPT_HZ as PROMPT
from bench import USERS

ALICE = 450  # Hz, spoken by alice
BOB = 800  # Hz, spoken by bob
RING = 950  # Hz, early media of a callee


def phone_hears_echo(bench, transport="udp", encrypts=False):
    """a registered phone hears its echo, over SRTP where it encrypts"""
    alice = bench.phone("alice", ALICE, password=USERS["alice"], transport=transport, encrypts=encrypts)
    alice.wait_for_log("200 OK (offhook) [1 binding]")
    alice.order("dial", f"sip:echo@127.0.0.1:{bench.program.sip(transport == 'tcp')};transport={transport}")
    alice.wait_for("CALL_ESTABLISHED")
    time.sleep(4)
    alice.order("hangup")
    alice.wait_for("CALL_CLOSED")
    expect.tone("alice", alice.heard(), ALICE, seconds=3.0, gap=0.06)


def phones_talk_where_one_encrypts(bench):
    """a phone that encrypts its media and one that does not hear each other, also after a hold"""
    alice = bench.phone("alice", ALICE, password=USERS["alice"], encrypts=True)
    bob = bench.phone("bob", BOB, password=USERS["bob"])
    alice.wait_for_log("200 OK (offhook) [1 binding]")
    bob.wait_for_log("200 OK (offhook) [1 binding]")
    alice.order("dial", f"sip:bob@127.0.0.1:{bench.program.udp}")
    bob.wait_for("CALL_ESTABLISHED")
    alice.wait_for("CALL_ESTABLISHED")
    time.sleep(3)
    alice.order("hold")
    time.sleep(1)
    alice.order("resume")
    time.sleep(2.5)
    alice.order("hangup")
    alice.wait_for("CALL_CLOSED")
    bob.wait_for("CALL_CLOSED")
    expect.tone("alice before the hold", alice.heard(), BOB, seconds=2.3, gap=0.06)
    expect.tone("bob after the hold", bob.heard()[-8000 * 2 :], ALICE, seconds=1.8, gap=0.06)


def phone_hears_prompt(bench):
    """a phone without registration hears a prompt"""
    visitor = bench.phone("visitor", ALICE)
    visitor.order("dial", f"sip:loop@127.0.0.1:{bench.program.udp}")
    visitor.wait_for("CALL_ESTABLISHED")
    time.sleep(3)
    visitor.order("hangup")
    visitor.wait_for("CALL_CLOSED")
    expect.tone("the visitor", visitor.heard(), PROMPT, seconds=2.3, gap=0.06)


def phone_with_wrong_password(bench):
    """a wrong password does not register"""
    alice = bench.phone("alice", ALICE, password="wrong")
    alice.wait_for_log("401 Unauthorized")


def phones_talk(bench):
    """two registered phones hear each other, digits arrive"""
    alice, bob = _registered(bench)
    alice.order("dial", f"sip:bob@127.0.0.1:{bench.program.udp}")
    bob.wait_for("CALL_ESTABLISHED")
    alice.wait_for("CALL_ESTABLISHED")
    time.sleep(4)
    for digit in "15#":
        alice.order("sndcode", digit)
        time.sleep(0.5)
    time.sleep(0.5)
    alice.order("hangup")
    alice.wait_for("CALL_CLOSED")
    bob.wait_for("CALL_CLOSED")
    at_alice, at_bob = alice.heard(), bob.heard()
    expect.tone("alice", at_alice, BOB, seconds=5.0, gap=0.06)
    expect.no_tone("alice", at_alice, ALICE)
    # A digit takes the place of the voice while it is held, for some 200 ms.
    expect.tone("bob", at_bob, ALICE, seconds=4.0, gap=0.5)
    expect.tone("bob before the digits", at_bob[: 8000 * 3], ALICE, seconds=2.7, gap=0.06)
    expect.no_tone("bob", at_bob, BOB)
    if bob.digits() != "15#":
        raise AssertionError(f"bob should have received the digits 15#: {bob.digits()!r}\n{bob.log()}")


def phone_holds_and_resumes(bench):
    """hold silences, resume brings both voices back, the callee hangs up"""
    alice, bob = _registered(bench)
    alice.order("dial", f"sip:bob@127.0.0.1:{bench.program.udp}")
    bob.wait_for("CALL_ESTABLISHED")
    alice.wait_for("CALL_ESTABLISHED")
    time.sleep(1.5)
    alice.order("hold")
    time.sleep(1.5)
    alice.order("resume")
    time.sleep(2.5)
    bob.order("hangup")
    alice.wait_for("CALL_CLOSED")
    bob.wait_for("CALL_CLOSED")
    # baresip 1.0 does not record itself again after a hold of its own: what alice hears then is SIPp's case.
    expect.tone("alice before the hold", alice.heard(), BOB, seconds=1.2, gap=0.06)
    at_bob = bob.heard()
    expect.tone("bob after the hold", at_bob[-8000 * 2 :], ALICE, seconds=1.8, gap=0.06)
    held = expect.tone("bob", at_bob, ALICE, seconds=3.0, gap=1.8)
    if held.longest_gap < 1.2:
        raise AssertionError(f"bob should have heard nothing during the hold: {held}")


def phone_hears_early_media(bench):
    """a phone hears the far end before it answers"""
    callee = bench.party(RING)
    answer = bench.answer("answer_early", callee, pause=3000)
    visitor = bench.phone("visitor", ALICE)
    visitor.order("dial", f"sip:{bench.dialled(answer)}@127.0.0.1:{bench.program.udp}")
    callee.talk_to(int(answer.logged("media")))
    visitor.wait_for("CALL_PROGRESS")
    visitor.wait_for("CALL_ESTABLISHED")
    time.sleep(1)
    visitor.order("hangup")
    visitor.wait_for("CALL_CLOSED")
    answer.finish()
    # The recording starts with the early media: more than the answered second must be in it.
    expect.tone("the visitor", visitor.heard(), RING, seconds=3.0, gap=0.1)


def phone_declines(bench):
    """a phone that hangs up while ringing makes the caller hear no answer"""
    alice = bench.phone("alice", ALICE, password=USERS["alice"])
    bob = bench.phone("bob", BOB, password=USERS["bob"], answer="manual")
    alice.wait_for_log("200 OK (offhook) [1 binding]")
    bob.wait_for_log("200 OK (offhook) [1 binding]")
    alice.order("dial", f"sip:bob@127.0.0.1:{bench.program.udp}")
    bob.wait_for("CALL_INCOMING")
    alice.wait_for("CALL_RINGING")
    bob.order("hangup")
    alice.wait_for("CALL_CLOSED")


def phone_gives_up(bench):
    """a phone that gives up stops the other from ringing"""
    alice = bench.phone("alice", ALICE, password=USERS["alice"])
    bob = bench.phone("bob", BOB, password=USERS["bob"], answer="manual")
    alice.wait_for_log("200 OK (offhook) [1 binding]")
    bob.wait_for_log("200 OK (offhook) [1 binding]")
    alice.order("dial", f"sip:bob@127.0.0.1:{bench.program.udp}")
    bob.wait_for("CALL_INCOMING")
    alice.order("hangup")
    bob.wait_for("CALL_CLOSED")


def _registered(bench):
    alice = bench.phone("alice", ALICE, password=USERS["alice"])
    bob = bench.phone("bob", BOB, password=USERS["bob"])
    alice.wait_for_log("200 OK (offhook) [1 binding]")
    bob.wait_for_log("200 OK (offhook) [1 binding]")
    return alice, bob
