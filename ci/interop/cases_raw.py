"""Requests over plain sockets: digests that SIPp cannot compute, and bytes that no telephone would send."""

import hashlib
import random
import re
import socket

from bench import USERS

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

REGISTER = (
    "REGISTER sip:127.0.0.1:{server} SIP/2.0\r\n"
    "Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK{branch};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:carol@127.0.0.1:{server}>;tag={token}\r\n"
    "To: <sip:carol@127.0.0.1:{server}>\r\n"
    "Call-ID: {token}@raw\r\n"
    "CSeq: {number} REGISTER\r\n"
    "Contact: <sip:carol@127.0.0.1:{port}>\r\n"
    "Expires: {expires}\r\n"
    "{authorization}"
    "Content-Length: 0\r\n\r\n"
)


def register_with_sha256(bench):
    """where both are offered, either registers"""
    program = bench.other_program(digest=["SHA-256", "MD5"])
    register(bench, "SHA-256", program=program)
    register(bench, "MD5", program=program)
    program.stop()


def register(bench, algorithm="MD5", tcp=False, program=None):
    """a digest registers, the contact is listed with its expiry and goes again"""
    with Registrant(program or bench.program, tcp) as carol:
        challenge = carol.request(60)
        nonce = _nonce(challenge, algorithm)
        listed = carol.request(60, _authorization(carol.server, nonce, algorithm, 1))
        if not listed.startswith("SIP/2.0 200") or not re.search(r"(?im)^Contact:.*carol@.*expires=\d+", listed):
            raise AssertionError(f"not registered:\n{listed}")
        gone = carol.request(0, _authorization(carol.server, nonce, algorithm, 2))
        if not gone.startswith("SIP/2.0 200") or re.search(r"(?im)^Contact:", gone):
            raise AssertionError(f"the contact is still there:\n{gone}")


def register_refused(bench):
    """a wrong password is refused, and so is an answer that was used before"""
    with Registrant(bench.program, False) as carol:
        nonce = _nonce(carol.request(60), "MD5")
        wrong = carol.request(60, _authorization(carol.server, nonce, "MD5", 1, password="wrong"))
        if not wrong.startswith(("SIP/2.0 401", "SIP/2.0 403")):
            raise AssertionError(f"a wrong password should be refused:\n{wrong}")
        nonce = _nonce(carol.request(60), "MD5")
        first = carol.request(0, _authorization(carol.server, nonce, "MD5", 1))
        if not first.startswith("SIP/2.0 200"):
            raise AssertionError(f"the right password should be accepted:\n{first}")
        again = carol.request(0, _authorization(carol.server, nonce, "MD5", 1))
        if not again.startswith("SIP/2.0 401"):
            raise AssertionError(f"a replayed answer should be challenged:\n{again}")


class Registrant:
    """carol, who asks one thing after the other."""

    def __init__(self, program, tcp):
        self.server = program.sip(tcp)
        self._tcp = tcp
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self._socket.settimeout(5)
        self._socket.connect(("127.0.0.1", self.server))
        self._token = f"{random.getrandbits(48):x}"
        self._number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def request(self, expires, authorization=""):
        """The final answer."""
        self._number += 1
        text = REGISTER.format(
            server=self.server, transport="TCP" if self._tcp else "UDP", port=self._socket.getsockname()[1], token=self._token,
            branch=f"{random.getrandbits(48):x}", number=self._number, expires=expires, authorization=authorization,
        )  # fmt: skip
        self._socket.sendall(text.encode())
        answer = self._socket.recv(65536).decode()
        if f"CSeq: {self._number} REGISTER" not in answer:
            raise AssertionError(f"an answer to something else:\n{answer}")
        return answer


def _nonce(challenge, algorithm):
    found = re.search(rf'(?im)^WWW-Authenticate:.*nonce="([^"]+)".*algorithm={algorithm}\b', challenge)
    if not challenge.startswith("SIP/2.0 401") or not found:
        raise AssertionError(f"no challenge for {algorithm}:\n{challenge}")
    return found.group(1)


def _authorization(server, nonce, algorithm, count, password=USERS["carol"]):
    def hashed(*parts):
        return hashlib.new(algorithm.replace("-", "").lower(), ":".join(parts).encode()).hexdigest()

    uri, number = f"sip:127.0.0.1:{server}", f"{count:08x}"
    # RFC 7616 section 3.4.1 with qop=auth; RFC 8760 for SIP.
    response = hashed(hashed("carol", "offhook", password), nonce, number, "c0ffee", "auth", hashed("REGISTER", uri))
    return (
        f'Authorization: Digest username="carol", realm="offhook", nonce="{nonce}", uri="{uri}", response="{response}", '
        f'algorithm={algorithm}, qop=auth, nc={number}, cnonce="c0ffee"\r\n'
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
