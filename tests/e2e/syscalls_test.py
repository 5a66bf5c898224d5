"""What a probe costs in system calls, counted by strace while sonde runs.

A plain TCP probe is socket, connect, epoll_ctl, getsockopt (TCP_INFO), close; an HTTP probe adds
setsockopt (kernel stamps of what arrives), send and recvmsg, which are all it takes over a connection that
was kept. With `close: reset` the socket of the last run is there: connect, getsockopt, (send, recvmsg) and a
connect to nobody. TLS adds a send, TCP_NODELAY for it, and one or two recvmsg, full or resumed alike. A DNS
question over UDP and an ICMP echo have none of their own: sendmmsg and recvmmsg carry up to 64 of them. What the
loop itself needs (epoll_pwait2) is shared by all probes of a turn: the tasks here are due all at once, each second.
"""

import pathlib
import re
import signal

import harness

STRACE = harness.need("strace")

OWN = ("socket", "connect", "epoll_ctl", "sendto", "recvfrom", "recvmsg", "close", "setsockopt", "getsockopt",
       "bind", "getsockname", "getpeername", "fcntl", "ioctl", "shutdown")
SHARED_BOUND = 2
# The sanitizer's allocator, and OpenSSL's random numbers, which ask whether the process was forked.
OF_LIBRARIES = ("madvise", "mmap", "munmap", "brk", "getpid")


class Strace(harness.Program):
    """Counts the system calls of one thread until it is ended."""

    def __init__(self, box, thread):
        self.summary = box.folder / "strace.txt"
        super().__init__("strace", [STRACE, "-c", "-o", self.summary, "-p", thread], box.folder)
        box.add(self)

    def attached(self):
        if not self.running():
            harness.skip(f"strace may not trace here: {self.text()[-200:]}")
        return self.text().count("attached") > 0

    def counts(self):
        self.signal(signal.SIGINT)
        self.wait()
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$",
                          self.summary.read_text(), re.MULTILINE)
        return {name: int(count) for count, name in rows if name != "total"}


class SyscallsTest(harness.TestCase):
    TASKS = 200

    @staticmethod
    def at_rest(sonde):
        """How many runs have finished; None while some are in flight."""
        metrics = sonde.metrics("sonde_runs_finished_total", "sonde_runs_in_flight")
        resting = metrics.value("sonde_runs_in_flight") == 0
        return metrics.value("sonde_runs_finished_total") if resting else None

    def after(self, sonde, runs):
        """Waits until the second's runs are over, at least `runs` in all; returns how many."""
        def enough():
            finished = self.at_rest(sonde)
            return finished if finished and finished >= runs else None
        return harness.until(f"{runs} runs", enough)

    @staticmethod
    def shard_thread(pid):
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            if (thread / "comm").read_text().startswith("sonde-shard"):
                return thread.name
        raise AssertionError("no thread of that name")

    def trace(self, box, sonde):
        """System calls and runs of five seconds; None when runs fell between two looks."""
        before = self.after(sonde, 1 + (self.at_rest(sonde) or 0))
        trace = Strace(box, self.shard_thread(sonde.pid))
        harness.until("strace attached", trace.attached)
        if self.at_rest(sonde) != before:
            trace.counts()
            return None
        after = self.after(sonde, before + 5 * self.TASKS)
        counts = trace.counts()
        return (counts, after - before) if self.at_rest(sonde) == after else None

    def count(self, line, engine):
        """System calls per probe: {name: calls}."""
        with harness.Sandbox() as box:
            ports = {name: harness.free_port() for name in ("TLS", "HTTP", "TCP", "DNS")}
            box.farm(f"--listen=http:{ports['HTTP']}", f"--listen=https:{ports['TLS']}:tickets",
                     f"--listen=tcp:{ports['TCP']}", f"--listen=dns:{ports['DNS']}")
            for name, port in ports.items():
                line = line.replace(name, str(port))
            sonde = box.sonde(f"{engine}tasks:\n" + "".join(
                f"  - {{name: t{i}, cron: \"* * * * * *\", spread: 0s, {line}}}\n"
                for i in range(self.TASKS)), "--shards=1")
            sonde.until_runs(3)
            counts, runs = harness.until("an undisturbed trace", lambda: self.trace(box, sonde))
            failed = sonde.metrics("sonde_runs").sum("sonde_runs_total", outcome="failed")
            self.assertEqual(failed, 0)
        return {name: count / runs for name, count in counts.items()}

    def check(self, line, own_bound, io="epoll", entries=0, reads=0):
        """`entries`: of io_uring that are a probe's own. `reads`: so many may find what another brought."""
        per_probe = self.count(line, f"engine: {{io: {io}}}\n")
        own = sum(per_probe.get(name, 0) for name in OWN)
        shared = sum(count for name, count in per_probe.items()
                     if name not in OWN and name not in OF_LIBRARIES)
        print(f"\n{line}: {own:.2f} own, {shared:.2f} shared: " +
              ", ".join(f"{name} {count:.2f}" for name, count in
                        sorted(per_probe.items(), key=lambda item: -item[1]) if count >= 0.01))
        self.assertLessEqual(own, own_bound + 0.05)
        self.assertGreaterEqual(own, own_bound - reads - 0.05)  # else something was not counted
        self.assertLessEqual(shared, SHARED_BOUND + entries)
        self.assertGreaterEqual(per_probe.get("io_uring_enter", 0), entries)

    def test_tcp(self):
        self.check("type: tcp, target: '127.0.0.1:TCP'", 5)

    def test_tcp_half_open(self):
        # TCP_QUICKACK besides.
        self.check("type: tcp, target: '127.0.0.1:TCP', tcp: {half_open: true}", 4)

    def test_tcp_with_reset(self):
        self.check("type: tcp, target: '127.0.0.1:TCP', tcp: {close: reset}", 3)

    def test_http_with_reset(self):
        self.check("type: http, target: 'http://127.0.0.1:HTTP/', http: {close: reset}", 5)

    def test_http(self):
        self.check("type: http, target: 'http://127.0.0.1:HTTP/'", 8)

    def test_http_kept(self):
        """Send and recvmsg; connections of the first runs were opened before we look."""
        self.check("type: http, target: 'http://127.0.0.1:HTTP/', http: {keep_alive: true}", 2)

    def test_https(self):
        """A send for the hello, another for the end of the handshake and the request together; the server's
        tickets come by themselves or with the answer. And TCP_NODELAY, for those two sends."""
        https = "type: http, target: 'https://127.0.0.1:TLS/', http: "
        self.check(https + "{tls_config: {insecure_skip_verify: true}}", 12, reads=1)
        self.check(https + "{close: reset, tls_config: {insecure_skip_verify: true, "
                   "full_handshake_every: 1000}}", 9, reads=1)

    def test_io_uring(self):
        """One io_uring_enter opens and connects; what follows shares others."""
        harness.need_io_uring()
        http = "type: http, target: 'http://127.0.0.1:HTTP/'"
        self.check("type: tcp, target: '127.0.0.1:TCP'", 0, "io_uring", 1)
        self.check(http, 0, "io_uring", 1)
        self.check(http + ", http: {keep_alive: true}", 0, "io_uring", 0)

    def test_dns(self):
        self.check("type: dns, target: www.farm.test, dns: {server: '127.0.0.1:DNS'}", 0)

    def test_icmp(self):
        self.check("type: icmp, target: 127.0.0.1", 0)


if __name__ == "__main__":
    harness.main()
