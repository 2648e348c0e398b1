"""Bytes that no telephone would send, over plain sockets."""

import random
import socket

from party import free_port

OPTIONS = (
    "OPTIONS sip:ping@127.0.0.1:{server} SIP/2.0\r\n"
    "Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK{token};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:raw@127.0.0.1:{port}>;tag={token}\r\n"
    "To: <sip:ping@127.0.0.1:{server}>\r\n"
    "Call-ID: {token}@raw\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


def stream_in_pieces(bench):
    """a message that arrives byte by byte, then two in one segment, are each answered once"""
    with socket.create_connection(("127.0.0.1", bench.program.tcp), timeout=5) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in _options(bench.program.tcp, "TCP"):
            stream.sendall(bytes([byte]))
        _expect_answers(stream, 1)
        stream.sendall(_options(bench.program.tcp, "TCP") + b"\r\n\r\n" + _options(bench.program.tcp, "TCP"))
        _expect_answers(stream, 2)


def garbage(bench, seed=4475):
    """garbage to the SIP ports is survived, the next request is answered"""
    dice = random.Random(seed)
    good = _options(bench.program.udp, "UDP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(2000):
            sock.sendto(_broken(dice, good), ("127.0.0.1", bench.program.udp))
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", bench.program.tcp), timeout=5) as stream:
            try:
                for _ in range(dice.randrange(1, 20)):
                    stream.sendall(_broken(dice, good))
            except OSError:
                pass  # the program may hang up on garbage
    bench.program.check_alive()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.5)
        request = _options(bench.program.udp, "UDP", sock.getsockname()[1])
        for _ in range(10):  # a queue full of garbage may cost the first ones
            sock.sendto(request, ("127.0.0.1", bench.program.udp))
            try:
                if sock.recv(65536).startswith(b"SIP/2.0 200"):
                    return
            except TimeoutError:
                pass
    raise AssertionError("OPTIONS is not answered after garbage")


def _broken(dice, good):
    kind = dice.randrange(4)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 1400))
    if kind == 1:
        return good[: dice.randrange(1, len(good))]
    broken = bytearray(good)
    for _ in range(dice.randrange(1, 12)):
        broken[dice.randrange(len(broken))] = dice.randrange(256)
    if kind == 2:
        at = dice.randrange(len(broken))
        broken[at:at] = broken[dice.randrange(len(broken)) :] * dice.randrange(1, 8)
    return bytes(broken[:60000])


def _options(server, transport, port=None):
    text = OPTIONS.format(server=server, transport=transport, port=port or free_port(), token=f"{random.getrandbits(48):x}")
    return text.encode()


def _expect_answers(stream, count):
    stream.settimeout(5)
    received = b""
    while received.count(b"\r\n\r\n") < count:
        try:
            part = stream.recv(65536)
        except TimeoutError:
            part = b""
        if not part:
            break
        # A CRLF that answers a keep-alive stands between messages (RFC 5626, section 3.5.1).
        received = (received + part).lstrip(b"\r\n")
    found = received.count(b"SIP/2.0 200")
    if found != count:
        raise AssertionError(f"{count} requests had {found} answers:\n{received.decode(errors='replace')}")
