"""What every case asks of what was heard."""

import sound

GAP = 0.04  # seconds a tone may be missing: two frames, for a scheduler that came late


def tone(name, samples, frequency, *, seconds=0.0, gap=GAP):
    """This tone, for at least so long, without a longer gap."""
    hearing = sound.listen(samples, frequency)
    if hearing.first < 0 or hearing.heard < seconds or hearing.longest_gap > gap + 1e-9:
        raise AssertionError(f"{name} should have heard {frequency} Hz for {seconds:.2f} s: {hearing}")
    return hearing


def no_tone(name, samples, frequency):
    hearing = sound.listen(samples, frequency)
    if hearing.heard > 0.04:
        raise AssertionError(f"{name} should not have heard {frequency} Hz: {hearing}")


def continuous(name, heard):
    """One SSRC, one source, no hole in the sequence, timestamps on the 20 ms grid."""
    if not heard.packets:
        raise AssertionError(f"{name} received no RTP")
    found = heard.discontinuities()
    if found:
        raise AssertionError(f"{name} received a broken stream: {'; '.join(found[:5])} ({len(found)} in all)")
