"""Peers that misbehave on purpose, scripted: HTTP answers by path, and line dialogues by port."""
import gzip
import select
import socket
import ssl
import struct
import threading
import zlib

RESET = object()   # tear the connection down
STALL = object()   # say nothing more until the client goes
CLOSE = object()   # an orderly end, now
STARTTLS = object()


class LINE:  # pylint: disable=too-few-public-methods
    """Wait for a line that begins with this."""

    def __init__(self, begin=b""):
        self.begin = begin


class Listener:
    """Accepts on 127.0.0.1 and hands each connection to `serve(connection)` on a thread."""

    def __init__(self, serve, tls=None, address="127.0.0.1"):
        self.serve = serve
        self.tls = tls
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, 0), family=family, backlog=128)
        self.port = self.socket.getsockname()[1]
        self.open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self.open:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            connection.settimeout(60)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.serve(connection)
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def stop(self):
        self.open = False
        self.socket.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def wait_for_end(connection):
    while connection.recv(4096):
        pass


def play(connection, steps, tls=None):
    """Bytes are sent, LINE() awaits one; see the words above."""
    reader = connection.makefile("rb")
    for step in steps:
        if step is RESET:
            reader.close()
            return reset(connection)
        if step is STALL:
            return wait_for_end(connection)
        if step is CLOSE:
            break
        if step is STARTTLS:
            connection = tls.wrap_socket(connection, server_side=True)
            reader = connection.makefile("rb")
        elif isinstance(step, LINE):
            line = reader.readline()
            while line and not line.startswith(step.begin):
                line = reader.readline()
        else:
            connection.sendall(step)
    return finish(connection)


def finish(connection):
    """Our end, then theirs: a close with unread bytes would be a reset."""
    if not isinstance(connection, ssl.SSLSocket):
        connection.shutdown(socket.SHUT_WR)
        wait_for_end(connection)
    return None


def lines(*texts):
    return b"".join(text.encode() + b"\r\n" for text in texts)


def answer(status="200 OK", *headers, body=b"", length=True):
    """One answer of HTTP/1.1."""
    head = [f"HTTP/1.1 {status}", *headers]
    if length:
        head.append(f"Content-Length: {len(body)}")
    return lines(*head, "") + body


def chunked(body, *headers):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                      for part in (body[i:i + 7] for i in range(0, len(body), 7)))
    return lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "") + chunks + \
        b"0\r\n\r\n"


HELLO = b"hello sonde\n"
GZIPPED = gzip.compress(b"zipped sonde " * 50)
DEFLATED = zlib.compress(b"deflated sonde " * 50)[2:-4]
BROTLI = b"\x0b\x02\x80hello\x03"


def redirect(status, location):
    return answer(f"{status} Moved", f"Location: {location}", body=b"elsewhere\n")


def pages(port, other):
    """path -> steps. `port`: of this server; `other`: ports of others by name."""
    return {
        "/ok": [answer(body=HELLO)],
        "/empty": [answer()],
        "/no-content": [lines("HTTP/1.1 204 No Content", "")],
        "/until-close": [answer(body=HELLO, length=False)],
        "/chunked": [chunked(HELLO * 5)],
        "/http10": [lines("HTTP/1.0 200 OK", "") + HELLO],
        "/404": [answer("404 Not Found", body=HELLO)],
        "/500": [answer("500 Broken", body=HELLO)],
        "/299": [answer("299 Odd", body=HELLO)],
        "/continue": [lines("HTTP/1.1 100 Continue", "") + answer(body=HELLO)],
        "/early-hints": [lines("HTTP/1.1 103 Early Hints", "Link: x", "") + answer(body=HELLO)],
        "/moved": [redirect(302, "/ok")],
        "/moved-301": [redirect(301, "/ok")],
        "/moved-303": [redirect(303, "/echo")],
        "/moved-307": [redirect(307, "/echo")],
        "/moved-308": [redirect(308, "/echo")],
        "/moved-host": [redirect(302, f"http://localhost:{port}/ok")],
        "/moved-address": [redirect(302, f"http://127.0.0.1:{port}/ok")],
        "/moved-twice": [redirect(302, "/moved")],
        "/moved-to-404": [redirect(302, "/404")],
        "/moved-to-refused": [redirect(302, f"http://127.0.0.1:{other['closed']}/")],
        "/moved-to-short": [redirect(302, "/short")],
        "/moved-to-tls": [redirect(302, f"https://localhost:{other['tls']}/ok")],
        "/moved-to-http2": [redirect(302, f"https://localhost:{other.get('http2', 1)}/ok")],
        "/moved-nowhere": [answer("302 Found", body=HELLO)],
        "/moved-badly": [redirect(302, "http://[::1/")],
        "/moved-relative": [redirect(302, "ok")],
        "/moved-query": [redirect(302, "?x=1")],
        "/moved-with-gzip": [answer("302 Found", "Location: /gzip", "Content-Encoding: gzip",
                                    body=GZIPPED)],
        "/circle": [redirect(302, "/circle")],
        "/300": [answer("300 Choices", "Location: /ok", body=HELLO)],
        "/304": [lines("HTTP/1.1 304 Not Modified", "")],
        "/gzip": [answer("200 OK", "Content-Encoding: gzip", body=GZIPPED)],
        "/gzip-cut": [answer("200 OK", "Content-Encoding: gzip", body=GZIPPED[:-12])],
        "/gzip-no-header": [answer("200 OK", "Content-Encoding: gzip", body=b"not gzip at all")],
        "/deflate": [answer("200 OK", "Content-Encoding: deflate", body=DEFLATED)],
        "/zlib": [answer("200 OK", "Content-Encoding: deflate", body=zlib.compress(HELLO))],
        "/brotli": [answer("200 OK", "Content-Encoding: br", body=BROTLI)],
        "/short": [lines("HTTP/1.1 200 OK", "Content-Length: 100", "") + HELLO],
        "/long": [lines("HTTP/1.1 200 OK", "Content-Length: 5", "") + HELLO],
        "/chunks-cut": [lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "") + b"c\r\n" +
                        HELLO],
        "/chunks-bad": [lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "") + b"zz\r\n"],
        "/silent": [STALL],
        "/half-head": [b"HTTP/1.1 200 OK\r\nContent-Le", STALL],
        "/slow-body": [lines("HTTP/1.1 200 OK", "Content-Length: 100", "") + HELLO, STALL],
        "/closes": [CLOSE],
        "/closes-in-head": [b"HTTP/1.1 200 OK\r\nContent-"],
        "/resets": [RESET],
        "/garbage": [b"\x00\x01\x02 this is no HTTP\r\n\r\n"],
        "/bad-status": [lines("HTTP/1.1 abc OK", "")],
        "/bad-version": [lines("HTTP/9.9 200 OK", "Content-Length: 0", "")],
        "/no-reason": [lines("HTTP/1.1 200", "Content-Length: 0", "")],
        "/line-feeds": [b"HTTP/1.1 200 OK\nContent-Length: 12\n\n" + HELLO],
        "/modified": [answer("200 OK", "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT", body=HELLO)],
        "/modified-850": [answer("200 OK", "Last-Modified: Tuesday, 14-Nov-23 22:13:20 GMT",
                                 body=HELLO)],
        "/modified-asctime": [answer("200 OK", "Last-Modified: Tue Nov 14 22:13:20 2023",
                                     body=HELLO)],
        "/modified-badly": [answer("200 OK", "Last-Modified: yesterday", body=HELLO)],
        "/headers": [answer("200 OK", "X-Team: web", "X-Team: shop", "X-Empty:", body=HELLO)],
        "/large": [answer(body=b"0123456789abcdef" * 4096)],
        "/cookie": [answer("302 Found", "Set-Cookie: taste=sweet", "Location: /wants-cookie")],
    }


class HttpPeer:
    """Answers by path; one request per connection. /echo gives the request back."""

    def __init__(self, other, tls=None):
        self.listener = Listener(self.serve, tls)
        self.port = self.listener.port
        self.pages = pages(self.port, other)

    def serve(self, connection):
        reader = connection.makefile("rb")
        head = b""
        line = reader.readline()
        while line.strip():
            head += line
            line = reader.readline()
        words = head.split(b" ")
        path = words[1].decode().split("?")[0] if len(words) > 1 else ""
        lower = head.lower()
        body = b""
        for header in lower.split(b"\r\n"):
            if header.startswith(b"content-length:"):
                body = reader.read(int(header.split(b":")[1]))
        if path == "/echo":
            steps = [answer(body=head + b"\r\n" + body)]
        elif path == "/wants-cookie":
            steps = [answer("200 OK" if b"taste=sweet" in head else "403 No", body=HELLO)]
        elif path == "/wants-password":
            good = b"authorization: basic dtpw" in lower  # u:p
            steps = [answer("200 OK" if good else "401 No", body=HELLO)]
        else:
            steps = self.pages.get(path, [answer("404 Not Found", body=b"nothing here\n")])
        if words[0] == b"HEAD" and isinstance(steps[0], bytes):
            steps = [steps[0].split(b"\r\n\r\n")[0] + b"\r\n\r\n"]
        play(connection, steps)

    def stop(self):
        self.listener.stop()


def pump(one, other):
    """Passes on what either says until one of them ends."""
    while True:
        ready = [s for s in (one, other) if isinstance(s, ssl.SSLSocket) and s.pending()]
        for end in ready or select.select([one, other], [], [], 60)[0]:
            data = end.recv(65536)
            if not data:
                return
            (other if end is one else one).sendall(data)


class ProxyPeer:
    """An HTTP proxy: CONNECT, and whole URLs. `wanted`: a header line without which it answers 407.
    What is asked of the host seen.example it answers itself: with what it was asked."""

    def __init__(self, wanted=b"", tls=None):
        self.wanted = wanted.lower()
        self.listener = Listener(self.serve, tls)
        self.port = self.listener.port

    def serve(self, connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            if not byte:
                return
            head += byte
        method, target, _ = head.split(b" ", 2)
        if self.wanted not in head.lower():
            return play(connection, [answer("407 Proxy Authentication Required",
                                            "Proxy-Authenticate: Basic", body=HELLO)])
        if target.startswith(b"http://seen.example/"):
            return play(connection, [answer(body=head)])
        authority = target if method == b"CONNECT" else target.split(b"/")[2]
        host, _, port = authority.decode().rpartition(":")
        try:
            behind = socket.create_connection((host, int(port)), timeout=60)
        except OSError:
            return play(connection, [answer("502 Bad Gateway", body=HELLO)])
        with behind:
            if method == b"CONNECT":
                connection.sendall(lines("HTTP/1.1 200 Connection established", ""))
            else:
                behind.sendall(head.replace(b"http://" + authority, b"", 1))
            return pump(connection, behind)

    def stop(self):
        self.listener.stop()


class Drain:  # pylint: disable=too-few-public-methods
    """A port nothing listens on that stays ours."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]


def dns_name(text):
    """example.com. as it goes on the wire, uncompressed."""
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(owner, kind, data, ttl=60):
    kinds = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28}
    return dns_name(owner) + struct.pack("!HHIH", kinds[kind], 1, ttl, len(data)) + data


def soa(owner, serial):
    return record(owner, "SOA", dns_name("ns." + owner) + dns_name("root." + owner) +
                  struct.pack("!IIIII", serial, 1, 2, 3, 4))


V4 = socket.inet_aton
ADDRESS = record("a.test", "A", V4("127.0.0.1"))
# First label of the question -> rcode, answer, authority, additional records, flags besides.
DNS = {
    "a": (0, [ADDRESS], [], [], 0),
    "two": (0, [record("two.test", "A", V4("10.0.0.1")), record("two.test", "A", V4("10.0.0.2"))],
            [record("test", "NS", dns_name("ns.test"))], [record("ns.test", "A", V4("10.0.0.3"))],
            0),
    "soa": (0, [soa("soa.test", 2026112501)], [], [], 0),
    "nosoa": (0, [record("nosoa.test", "A", V4("10.0.0.1"))], [soa("test", 7)], [], 0),
    "mx": (0, [record("mx.test", "MX", struct.pack("!H", 10) + dns_name("mail.Test"))], [], [], 0),
    "txt": (0, [record("txt.test", "TXT", b"\x05hello\x07say \"x\"")], [], [], 0),
    "aaaa": (0, [record("aaaa.test", "AAAA", b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\1")], [], [],
             0),
    "cname": (0, [record("cname.test", "CNAME", dns_name("a.test")), ADDRESS], [], [], 0),
    "empty": (0, [], [], [], 0),
    "nxdomain": (3, [], [soa("test", 9)], [], 0),
    "servfail": (2, [], [], [], 0),
    "refused": (5, [], [], [], 0),
    "cut": (0, [ADDRESS], [], [], 0x0200),
    "authoritative": (0, [ADDRESS], [], [], 0x0400),
}


class DnsPeer:
    """Answers questions over UDP and TCP of one port, and over TLS of another, by their first
    label: also silent., garbage., wrong-id. and long."""

    def __init__(self, tls):
        self.tcp = Listener(self.serve)
        self.port = self.tcp.port
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tls = Listener(self.serve, tls)
        threading.Thread(target=self._answer, daemon=True).start()

    @staticmethod
    def reply(query):
        """None: nothing is said."""
        number, flags = struct.unpack("!HH", query[:4])
        end = query.index(b"\0", 12) + 5
        label = query[13:13 + query[12]].decode().lower()
        if label == "silent":
            return None
        if label == "garbage":
            return query[:2] + b"\xff" * 7
        rcode, answers, authority, additional, more = DNS.get(label, (0, [ADDRESS], [], [], 0))
        if label == "long":
            answers = [record("long.test", "TXT", b"\xfa" + b"x" * 250)] * 3
        if label == "wrong-id":
            number ^= 0x1234
        head = struct.pack("!HHHHHH", number, 0x8000 | (flags & 0x0100) | more | rcode, 1,
                           len(answers), len(authority), len(additional))
        return head + query[12:end] + b"".join((*answers, *authority, *additional))

    def _answer(self):
        while True:
            try:
                query, client = self.udp.recvfrom(4096)
                reply = self.reply(query)
                if reply:
                    self.udp.sendto(reply, client)
            except OSError:
                return

    def serve(self, connection):
        reader = connection.makefile("rb")
        size = reader.read(2)
        reply = self.reply(reader.read(struct.unpack("!H", size)[0]))
        if reply is None:
            return wait_for_end(connection)
        connection.sendall(struct.pack("!H", len(reply)) + reply)
        return wait_for_end(connection)

    def stop(self):
        self.tcp.stop()
        self.tls.stop()
        self.udp.close()


__all__ = ["CLOSE", "DnsPeer", "Drain", "HttpPeer", "LINE", "Listener", "RESET", "STALL", "STARTTLS", "answer",
           "lines", "play"]
