#!/usr/bin/env python3
"""Who reads gets no shard to do anything: neither a message nor a lock of a reader's reaches one. Counted on
a prober whose tasks rest: all that is left of a shard's turns and sleeps is its heartbeat."""
import http.client
import pathlib
import re
import time

import harness

HEARTBEAT = 0.1  # seconds, Shard::kHeartbeat


def tasks(count, port, interval):
    return "tasks:\n" + "".join(
        f"  - {{name: t{i}, type: http, interval: {interval}, timeout: 20s, "
        f"target: 'http://127.1.0.{1 + i}:{port}/', http: {{close: reset}}}}\n"
        for i in range(count))


class ScrapeTest(harness.TestCase):
    COUNT = 250
    LINES = 20  # of a task, at least
    PATHS = ("/metrics", *["/federate?match[]=%7Bname%3D%22t1%22%7D", "/"] * 30)
    ROUNDS = 5

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0")
        cls.prober = box.sonde(tasks(cls.COUNT, cls.farm.ports[0], "1s"), "--shards=1")

    def rest(self):
        """No run is due for hours, or under way."""
        self.prober.until_runs(1)
        self.prober.config.write_text(tasks(self.COUNT, self.farm.ports[0], "10d"))
        self.assertEqual(self.prober.reload()[0], 200)

        def resting():
            before = self.prober.metrics("sonde_runs_started_total", "sonde_runs_in_flight")
            time.sleep(2 * HEARTBEAT)
            after = self.prober.metrics("sonde_runs_started_total", "sonde_runs_in_flight")
            return (after.value("sonde_runs_in_flight") == 0 and
                    before.value("sonde_runs_started_total") ==
                    after.value("sonde_runs_started_total"))
        harness.until("nothing is due", resting)

    def shard(self):
        """The folder of the shard's thread in /proc."""
        for thread in pathlib.Path(f"/proc/{self.prober.pid}/task").iterdir():
            if (thread / "comm").read_text().startswith("sonde-shard"):
                return thread
        raise AssertionError("no thread of a shard")

    def sleeps(self, thread):
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (thread / "status").read_text(),
                             re.MULTILINE).group(1))

    def read(self, connection, path):
        """The lines of an answer."""
        connection.request("GET", path)
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        return answer.read().count(b"\n")

    def test_nobody_wakes_a_shard(self):
        self.rest()
        thread = self.shard()
        host, port = self.prober.address.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=harness.PATIENCE)
        turns = self.prober.metrics("sonde_loop").value("sonde_loop_turns_total")
        sleeps, began = self.sleeps(thread), time.monotonic()
        most = requests = lines = 0
        while requests < 1.5 * most or requests < self.ROUNDS * len(self.PATHS):
            lines = max(lines, *[self.read(connection, path) for path in self.PATHS])
            requests += len(self.PATHS)
            most = (time.monotonic() - began) / HEARTBEAT + 5
            self.assertLess(time.monotonic() - began, harness.PATIENCE)
        sleeps = self.sleeps(thread) - sleeps
        turns = self.prober.metrics("sonde_loop").value("sonde_loop_turns_total") - turns
        most = (time.monotonic() - began) / HEARTBEAT + 5
        connection.close()
        harness.report(f"{requests} requests, the longest answer of {lines} lines, in "
                       f"{time.monotonic() - began:.1f} s: {turns:.0f} turns of the shard, "
                       f"{sleeps} sleeps")
        self.assertGreater(lines, self.LINES * self.COUNT)
        self.assertLessEqual(turns, most)
        self.assertLessEqual(sleeps, most)


if __name__ == "__main__":
    harness.main()
