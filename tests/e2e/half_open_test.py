#!/usr/bin/env python3
"""Half-open TCP checks: a peer that listens never gets a connection to accept, and is found all the
same; one that does not listen is refused."""
import pathlib
import select
import socket
import time

import harness

TASKS = 20


class HalfOpenTest(harness.TestCase):
    @staticmethod
    def listen_counters():
        """Connections that were dropped on their way into an accept queue, of the whole machine."""
        lines = [line.split() for line in
                 pathlib.Path("/proc/net/netstat").read_text().splitlines()
                 if line.startswith("TcpExt:")]
        return dict(zip(lines[0][1:], map(int, lines[1][1:])))

    def probe(self, box, port, options):
        return box.sonde("tasks:\n" + "".join(
            f"  - {{name: t{i}, type: tcp, target: '127.0.0.1:{port}', interval: 100ms, "
            f"timeout: 2s, tcp: {options}}}\n" for i in range(TASKS)), "--shards=1")

    def accepted(self, listener):
        """Empties the accept queue; how many connections were in it."""
        count = 0
        while select.select([listener], [], [], 0)[0]:
            connection, _ = listener.accept()
            connection.close()
            count += 1
        return count

    def test_the_peer_never_accepts(self):
        with harness.Sandbox() as box, socket.create_server(("127.0.0.1", 0), backlog=4096) as peer:
            port = peer.getsockname()[1]
            before = self.listen_counters()
            sonde = self.probe(box, port, "{half_open: true}")
            metrics = sonde.until_runs(10)
            runs = metrics.sum("health_check_results", status="success")
            self.assertGreaterEqual(runs, 10 * TASKS)
            self.assertEqual(metrics.sum("health_check_results", status="failed"), 0)
            self.assertEqual(metrics.sum("probe_tcp_syn_retransmits"), 0)
            self.assertGreater(metrics.sum("probe_tcp_rtt_seconds"), 0)
            sonde.stop()
            time.sleep(0.3)  # an ACK that was held back too long would have come by now
            self.assertEqual(self.accepted(peer), 0)
            self.assertEqual(self.listen_counters()["ListenOverflows"], before["ListenOverflows"])
            # The queue does fill when connections are whole.
            sonde = self.probe(box, port, "{close: reset}")
            sonde.until_runs(1)
            sonde.stop()
            self.assertGreaterEqual(self.accepted(peer), TASKS)

    def test_nobody_listens(self):
        with harness.Sandbox() as box:
            sonde = self.probe(box, harness.free_port(), "{half_open: true}")
            metrics = sonde.until_runs(2)
            self.assertEqual(metrics.sum("health_check_results", status="success"), 0)
            # The page is made family by family while the tasks run on.
            more = (metrics.sum("probe_failures_total", reason="refused") -
                    metrics.sum("health_check_results", status="failed"))
            self.assertTrue(0 <= more <= TASKS, more)

    def test_in_probe_only_where_the_module_says_so(self):
        with harness.Sandbox() as box, socket.create_server(("127.0.0.1", 0)) as peer:
            port = peer.getsockname()[1]
            sonde = box.sonde("modules:\n  half: {prober: tcp, tcp: {half_open: true}}\n"
                              "  whole: {prober: tcp}\n")
            for module, accepted in (("half", 0), ("whole", 1)):
                _, page = sonde.get(f"/probe?target=127.0.0.1:{port}&module={module}")
                self.assertIn("\nprobe_success 1\n", page)
                self.assertEqual(self.accepted(peer), accepted)

    def test_what_cannot_be_had_with_it(self):
        with harness.Sandbox() as box:
            path = box.write("bad.yml", "tasks:\n  - {name: a, type: tcp, target: 'h:1', "
                             "interval: 1s, tcp: {half_open: true, tls: true, close: fin}}\n")
            answer = harness.sonde("check", path)
            self.assertNotEqual(answer.code, 0)
            for key in ("tls", "close"):
                self.assertIn(f"tasks[0].tcp.{key}: half_open", answer.out + answer.err)


if __name__ == "__main__":
    harness.main()
