#!/usr/bin/env python3
"""More than there is: tasks that ask for three times the processor, a core taken away, a storm of
readers, a fleet that goes silent or refuses as one. The prober does less and says so; no target is
blamed for it. Times are reported, counts are judged."""
import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
import time

import harness
import netns
from soak_test import address

CORES = sorted(os.sched_getaffinity(0))
PROBER_CORE = CORES[-1]


def task(name, kind, at, port, interval, timeout, path="/"):
    target = {"http": f"http://{at}:{port}{path}", "tcp": f"{at}:{port}", "icmp": at,
              "dns": "www.farm.test"}[kind]
    rest = {"http": ", http: {close: reset}", "tcp": ", tcp: {close: reset}",
            "dns": f", dns: {{server: '{at}:{port}'}}"}.get(kind, "")
    return (f"  - {{name: {name}, type: {kind}, interval: {interval}, timeout: {timeout}, "
            f"target: '{target}'{rest}}}\n")


class Base(harness.TestCase):
    def page(self):
        """(began, ended, metrics): the numbers are of a moment between the two."""
        began = time.monotonic()
        metrics = self.prober.metrics("health_check_results", "probe_failures_total", "sonde_")
        return began, time.monotonic(), metrics

    def check_accounts(self, before, after, tasks, interval):
        """Every slot that fell due had its run, waits for it, or was counted as skipped. A task has
        one slot more or less, by where its phase lies."""
        def told(page):
            return (page.value("sonde_runs_started_total") + page.sum("sonde_runs_skipped_total") +
                    page.value("sonde_runs_waiting"))
        counted = told(after[2]) - told(before[2])
        least = (after[0] - before[1]) * tasks / interval - tasks
        most = (after[1] - before[0]) * tasks / interval + tasks
        self.assertGreaterEqual(counted, least)
        self.assertLessEqual(counted, most)
        return counted

    def check_nobody_blamed(self, metrics, *, own=("late", "receive_queue")):
        """`own`: reasons why runs may be inconclusive. Silence is the prober's own when it did not
        look, or its queue was full."""
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0)
        self.assertEqual(metrics.sum("sonde_runs_total", outcome="failed"), 0)
        self.assertEqual(metrics.sum("probe_failures_total"), 0)
        self.assertLessEqual({labels["reason"] for labels, value in
                              metrics.all("sonde_runs_inconclusive_total") if value}, set(own))

    def grown(self, before, after, family, **labels):
        return after[2].sum(family, **labels) - before[2].sum(family, **labels)

    def runs_of_each(self, before, after):
        old = before[2].by("name", "health_check_results", status="success")
        new = after[2].by("name", "health_check_results", status="success")
        return [count - old.get(name, 0) for name, count in new.items()]

    def report_lateness(self, what, metrics):
        bounds = [metrics.quantile_bound("sonde_schedule_lateness_seconds", q) for q in (0.5, 0.99)]
        harness.report(f"{what}: runs were late by at most {bounds[0]:g} s (half of them), "
                       f"{bounds[1]:g} s (99 of 100)")


class ProcessorTest(Base):
    """One shard, and tasks that ask for three times what its core can do."""
    FEW = 1000
    TIMES = 3
    INTERVAL = 0.2
    SECONDS = 3
    RUNS = 3  # that every task has to have, however long that takes
    QUIET = 0.3

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0", "--listen=tcp:0")
        cls.prober = box.sonde(cls.tasks(cls.FEW), "--shards=1",
                               under=("taskset", "-c", str(PROBER_CORE)))

    @classmethod
    def tasks(cls, count):
        """The time-out is long: a kernel without room for a connection asks for it again."""
        kinds = ("http", "tcp", "icmp") if os.geteuid() == 0 else ("http", "tcp")
        ports = [*cls.farm.ports, 0]
        return "metrics: {families: []}\ntasks:\n" + "".join(
            task(f"t{i}", kinds[i % len(kinds)], address(i), ports[i % len(kinds)],
                 f"{cls.INTERVAL * 1e3:.0f}ms", "30s") for i in range(count))

    def load(self, count):
        self.prober.config.write_text(self.tasks(count))
        self.assertEqual(self.prober.reload()[0], 200)

    def until_each(self, count, tasks, before, seconds=0):
        """A page, so long after `before`, in which all tasks have `count` runs more."""
        after = None

        def there():
            nonlocal after
            after = self.page()
            runs = self.runs_of_each(before, after)
            return (len(runs) == tasks and min(runs) >= count and
                    after[0] - before[1] >= seconds)
        harness.until(f"{count} runs of each", there, every=0.2)
        return after

    def cost(self, before, after):
        """Processor seconds of the shard for a run, turns and all else included."""
        return (self.grown(before, after, "sonde_shard_cpu_seconds_total") /
                self.grown(before, after, "sonde_runs_finished_total"))

    def test_three_times_too_much(self):
        count = self.FEW
        # Runs cost less the more of them share a turn: found out in two steps.
        for _ in range(2):
            before = self.until_each(1, count, self.page())
            cost = self.cost(before, self.until_each(1, count, before, 0.5))
            count = round(self.TIMES * self.INTERVAL / cost)
            self.load(count)
        before = self.until_each(1, count, self.page())
        after = self.until_each(self.RUNS, count, before, self.SECONDS)
        due = self.check_accounts(before, after, count, self.INTERVAL)
        started = self.grown(before, after, "sonde_runs_started_total")
        runs = self.runs_of_each(before, after)
        harness.report(f"{count} tasks, {self.cost(before, after) * count / self.INTERVAL:.1f} times a "
                       f"core: {started / due:.2f} of {due:.0f} slots ran in "
                       f"{after[0] - before[0]:.1f} s; runs of a task {min(runs):.0f} to "
                       f"{max(runs):.0f}")
        self.report_lateness("three times too much", after[2])
        # It was too much, and what did not run is counted by its reason.
        self.assertLess(started, due * 0.6)
        skipped = self.grown(before, after, "sonde_runs_skipped_total")
        self.assertGreater(skipped, due * 0.4)
        self.assertEqual(skipped, sum(self.grown(before, after, "sonde_runs_skipped_total",
                                                 reason=reason) for reason in ("stall", "overlap")))
        self.check_nobody_blamed(after[2], own=("late", "receive_queue", "cancelled"))
        # Nobody starves, and nobody is preferred.
        mean = sum(runs) / len(runs)
        self.assertLessEqual(mean, 3 * min(runs) + 1)
        self.assertLessEqual(max(runs), 3 * mean + 3)
        self.check_recovery()

    def check_recovery(self):
        self.load(self.FEW)
        gone = time.monotonic()
        last = self.page()

        def quiet():
            """A while without a slot that was not run."""
            nonlocal last
            time.sleep(self.QUIET)
            before, last = last, self.page()
            return self.grown(before, last, "sonde_runs_skipped_total") == 0
        harness.until("no slot is skipped any more", quiet)
        harness.report("the last slot was skipped "
                       f"{max(0, time.monotonic() - gone - self.QUIET):.2f} s at most after the load went")
        harness.until("headroom again", lambda: self.prober.metrics("sonde_headroom").value(
            "sonde_headroom_ratio") > 0, every=0.1)
        before = self.page()
        after = self.until_each(5, self.FEW, before)
        self.check_accounts(before, after, self.FEW, self.INTERVAL)
        # Runs of tasks that are taken away end with them.
        self.check_nobody_blamed(after[2], own=("late", "receive_queue", "cancelled"))


THIEF = """
import sys, time
work, rest, seconds = map(float, sys.argv[1:])
end = time.monotonic() + seconds
print("ready", flush=True)
while (now := time.monotonic()) < end:
    while time.monotonic() < min(now + work, end): pass
    time.sleep(rest)
"""


class StolenCoreTest(Base):
    """Somebody of higher priority takes the prober's core: whole, and in slices long and short."""
    COUNT = 400
    INTERVAL = 0.5
    SLICES = ((0.95, 0.05, 1.9), (0.03, 0.01, 0.6), (0.012, 0.004, 0.6))  # works, rests, lasts: s

    @classmethod
    def set_up(cls, box):
        if len(CORES) < 2:
            harness.skip("one core: targets would be taken away as well")
        cls.farm = box.farm("--listen=http:0", "--listen=tcp:0")
        cls.prober = box.sonde(
            "metrics: {families: [core]}\ntasks:\n" + "".join(
                task(f"t{i}", ("http", "tcp")[i % 2], address(i), cls.farm.ports[i % 2],
                     f"{cls.INTERVAL * 1e3:.0f}ms", "300ms", "/delay/100ms")
                for i in range(cls.COUNT)),
            "--shards=1", under=("taskset", "-c", str(PROBER_CORE)))

    def priority(self):
        """Words that run a program before everything else; real time where that is allowed."""
        for words in (["chrt", "--rr", "10"], ["nice", "-n", "-20"]):
            harness.need(words[0])
            if subprocess.run([*words, "true"], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0:
                return words
        harness.skip("no right to a higher priority")

    def test_stolen_core(self):
        before_all = self.prober.until_runs(1)
        gaps = before_all.value("sonde_loop_gaps_total")
        priority = self.priority()
        before = self.page()
        for i, slices in enumerate(self.SLICES):
            thief = self.box.start(
                f"thief{i}", ["taskset", "-c", PROBER_CORE, *priority, sys.executable, "-c", THIEF,
                              *slices], None)
            self.assertEqual(thief.wait(), 0)
        wanted = {}

        def ran_again():
            nonlocal wanted
            wanted = self.page()
            runs = self.runs_of_each(before, wanted)
            return len(runs) == self.COUNT and min(runs) >= 2
        harness.until("all ran", ran_again)
        self.check_accounts(before, wanted, self.COUNT, self.INTERVAL)
        self.check_nobody_blamed(wanted[2])
        self.assertGreater(wanted[2].value("sonde_loop_gaps_total"), gaps)
        harness.report(
            f"with {' '.join(priority)}: gaps {wanted[2].value('sonde_loop_gaps_total') - gaps:.0f}, "
            f"skipped {self.grown(before, wanted, 'sonde_runs_skipped_total'):.0f}, inconclusive "
            f"{self.grown(before, wanted, 'sonde_runs_inconclusive_total'):.0f} of "
            f"{self.grown(before, wanted, 'sonde_runs_started_total'):.0f}")
        self.report_lateness("a stolen core", wanted[2])


class Storm:
    """Readers of `paths` of a prober for a while. Quick ones ask again at once; slow ones take a
    little now and then and never come to an end."""
    SLOW_BYTES, SLOW_EVERY = 2048, 0.02

    def __init__(self, host, port):
        self.peer = (host, port)
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.complete = self.taken = 0
        self.wrong = []

    def connect(self, path, receive_bytes=None):
        link = socket.socket()
        if receive_bytes:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        link.settimeout(harness.PATIENCE)
        link.connect(self.peer)
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.peer[0]}\r\nConnection: close\r\n\r\n"
                     .encode())
        return link

    def quick(self, path):
        while not self.over.is_set():
            try:
                with self.connect(path) as link:
                    first = link.recv(1 << 16)
                    last = first
                    while piece := link.recv(1 << 20):
                        last = (last + piece)[-64:]
                whole = first.startswith(b"HTTP/1.1 200") and last.endswith(b"0\r\n\r\n")
                with self.lock:
                    self.complete += whole
                    if not whole:
                        self.wrong.append((path, first[:60], last[-20:]))
            except OSError as error:
                with self.lock:
                    self.wrong.append((path, error))

    def slow(self, paths):
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            for path in paths:
                link = stack.enter_context(self.connect(path, 4096))
                selector.register(link, selectors.EVENT_READ)
            while not self.over.is_set():
                for key, _ in selector.select(0.1):
                    if piece := key.fileobj.recv(self.SLOW_BYTES):
                        self.taken += len(piece)
                    else:
                        selector.unregister(key.fileobj)
                time.sleep(self.SLOW_EVERY)

    def rage(self, seconds, quick, slow):
        threads = [threading.Thread(target=self.quick, args=(path,)) for path in quick]
        threads.append(threading.Thread(target=self.slow, args=(slow,)))
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.over.set()
        for thread in threads:
            thread.join()


class ScrapeStormTest(Base):
    """Shard and exporter on one core, all families, and everybody wants to read them."""
    COUNT = 500
    INTERVAL = 0.5
    SECONDS = 3
    QUICK = ["/metrics"] * 8 + ["/federate?match[]=%7Bname%3D~%22t1.*%22%7D"] * 8
    SLOW = ["/metrics"] * 60 + ["/federate?match[]=%7Bname%3D~%22t.*%22%7D"] * 20

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0", "--listen=tcp:0")
        cls.prober = box.sonde(
            "tasks:\n" + "".join(
                task(f"t{i}", ("http", "tcp")[i % 2], address(i), cls.farm.ports[i % 2],
                     f"{cls.INTERVAL * 1e3:.0f}ms", "400ms") for i in range(cls.COUNT)),
            "--shards=1", under=("taskset", "-c", str(PROBER_CORE)))

    def test_scrape_storm(self):
        self.prober.until_runs(1)
        host, port = self.prober.address.split(":")
        storm = Storm(host, int(port))
        before = self.page()
        storm.rage(self.SECONDS, self.QUICK, self.SLOW)
        after = self.page()
        harness.report(f"{storm.complete} whole pages, and {storm.taken} bytes read slowly, in "
                       f"{self.SECONDS} s; skipped "
                       f"{self.grown(before, after, 'sonde_runs_skipped_total'):.0f}, inconclusive "
                       f"{self.grown(before, after, 'sonde_runs_inconclusive_total'):.0f}")
        self.report_lateness("a scrape storm", after[2])
        self.assertEqual(storm.wrong[:3], [])
        self.assertGreaterEqual(storm.complete, len(self.QUICK))
        self.assertGreater(storm.taken, len(self.SLOW) * Storm.SLOW_BYTES)
        self.check_accounts(before, after, self.COUNT, self.INTERVAL)
        self.check_nobody_blamed(after[2])
        runs = self.runs_of_each(before, after)
        self.assertEqual(len(runs), self.COUNT)
        self.assertGreater(min(runs), 0)


# The whole fleet at once: the packet filter's words, what a run of each kind says then, and what runs
# that were under way at the first moment may say.
SILENT = "ip daddr 127.1.0.0/16 drop"
REFUSING = ("ip daddr 127.1.0.0/16 meta l4proto tcp reject with tcp reset; "
            "ip daddr 127.1.0.0/16 meta l4proto udp reject with icmp type port-unreachable; "
            "ip daddr 127.1.0.0/16 icmp type echo-request reject with icmp type host-unreachable")
SILENT_SAYS = {"http": ("connect", "timeout"), "tcp": ("connect", "timeout"),
               "dns": ("first_byte", "timeout"), "icmp": ("first_byte", "timeout")}
REFUSING_SAYS = {"http": ("connect", "refused"), "tcp": ("connect", "refused"),
                 "dns": ("connect", "refused"), "icmp": ("connect", "host_unreachable")}
UNDER_WAY = {("http", "first_byte", "timeout"), ("http", "first_byte", "reset")}


class WholeFleetTest(Base):
    """All targets fall silent, come back, refuse, come back: what is told is what they did."""
    COUNT = 600
    INTERVAL = 0.5
    KINDS = ("http", "tcp", "dns", "icmp")

    @classmethod
    def set_up(cls, box):
        netns.need("nft")
        cls.space = netns.namespace(box)
        box.enter_context(cls.space.entered())
        cls.farm = box.farm("--listen=http:0", "--listen=tcp:0", "--listen=dns:0")
        ports = dict(zip(cls.KINDS, [*cls.farm.ports, 0]))
        cls.prober = box.sonde("metrics: {families: [core]}\ntasks:\n" + "".join(
            task(f"{kind}-{i}", kind, address(i), ports[kind], f"{cls.INTERVAL * 1e3:.0f}ms",
                 "200ms")
            for i in range(cls.COUNT) for kind in [cls.KINDS[i % 4]]))

    def each(self, metrics, status):
        return metrics.by("name", "health_check_results", status=status)

    def until_all(self, status, more):
        """Until each task has `more` runs of that kind more than now; the page."""
        wanted = {name: value + more for name, value in self.each(self.page()[2], status).items()}
        found = None

        def there():
            nonlocal found
            found = self.page()
            now = self.each(found[2], status)
            return all(now.get(name, 0) >= value for name, value in wanted.items())
        harness.until(f"{more} runs of each: {status}", there, every=0.1)
        return found

    def failures(self, metrics):
        found = {}
        for labels, value in metrics.all("probe_failures_total"):
            if value:
                kind = (labels["type"], labels["phase"], labels["reason"])
                found[kind] = found.get(kind, 0) + value
        return found

    def play(self, rules, says):
        """What failed meanwhile, by kind."""
        before = self.until_all("success", 1)
        self.space.rules("chain in { type filter hook input priority 0; policy accept; " + rules +
                         "; }")
        self.until_all("failed", 2)
        self.space.no_rules()
        after = self.until_all("success", 1)  # what was in flight when the rules went is over
        old, new = self.failures(before[2]), self.failures(after[2])
        new = {kind: count - old.get(kind, 0) for kind, count in new.items()}
        self.assertEqual({kind for kind, count in new.items() if count} - UNDER_WAY,
                         {(kind, *says[kind]) for kind in self.KINDS})
        self.check_accounts(before, after, self.COUNT, self.INTERVAL)
        self.check_honest(after[2])
        # All is well again: nothing fails any more.
        failed = self.grown(before, after, "health_check_results", status="failed")
        last = self.until_all("success", 1)
        self.assertEqual(self.grown(before, last, "health_check_results", status="failed"), failed)
        harness.report(f"failed {failed:.0f}, skipped "
                       f"{self.grown(before, last, 'sonde_runs_skipped_total'):.0f}, inconclusive "
                       f"{self.grown(before, last, 'sonde_runs_inconclusive_total'):.0f}")

    def test_silent(self):
        self.play(SILENT, SILENT_SAYS)

    def test_refusing(self):
        self.play(REFUSING, REFUSING_SAYS)


if __name__ == "__main__":
    os.sched_setaffinity(0, set(CORES[:-1]) or {CORES[0]})  # all that we start but the prober
    harness.main()
