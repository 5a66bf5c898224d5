"""Peers that misbehave on purpose, scripted: HTTP answers by path, and line dialogues by port."""
import gzip
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


class Drain:  # pylint: disable=too-few-public-methods
    """A port nothing listens on that stays ours."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]


__all__ = ["CLOSE", "Drain", "HttpPeer", "LINE", "Listener", "RESET", "STALL", "STARTTLS", "answer",
           "lines", "play"]
