#!/usr/bin/env python3
"""Over io_uring a prober has more connections in flight than it may have descriptors: 60,000 targets
whose packets are dropped, beside 100 that answer. Runs in a network namespace of its own, which
needs root."""
import os
import time

import harness
import netns

SILENT = int(os.environ.get("SONDE_E2E_SILENT", "60000"))
ANSWERING = 100
TIMEOUT = 14
INTERVAL = 15
SECONDS = 40
DESCRIPTORS = 20000
RULES = """
table inet hole {
  chain in { type filter hook input priority 0; policy accept; ip daddr 127.64.0.0/10 drop; }
}
"""


class DescriptorWallTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        harness.need_io_uring()
        cls.farm = box.farm("--listen=tcp:0")
        port = cls.farm.ports[0]
        lines = [f"- {{name: answering-{i}, type: tcp, target: '127.0.1.{i + 1}:{port}', "
                 f"interval: 1s, timeout: 5s}}" for i in range(ANSWERING)]
        lines += [f"- {{name: silent-{i}, type: tcp, "
                  f"target: '127.{64 + i // 62500}.{i // 250 % 250}.{i % 250 + 1}:{port}', "
                  f"interval: {INTERVAL}s, timeout: {TIMEOUT}s}}" for i in range(SILENT)]
        cls.prober = box.sonde(
            "engine: {io: io_uring, max_in_flight: 80000}\nmetrics: {families: [core]}\ntasks:\n  "
            + "\n  ".join(lines) + "\n", "--shards=1",
            under=["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh"])

    def test_more_connections_than_descriptors(self):
        most_flight = most_files = 0
        end = time.monotonic() + SECONDS
        metrics = None

        def over():
            nonlocal most_flight, most_files, metrics
            metrics = self.prober.metrics("sonde_", "process_", "health_check_results",
                                          "probe_failures_total")
            most_flight = max(most_flight, metrics.value("sonde_runs_in_flight"))
            most_files = max(most_files, metrics.value("process_open_fds"))
            return time.monotonic() >= end
        harness.until("it ran long enough", over, SECONDS + harness.PATIENCE, every=2)
        harness.report(f"in flight {most_flight:.0f} at most, with {most_files:.0f} descriptors of "
                       f"{metrics.value('process_max_fds'):.0f}; resident "
                       f"{self.prober.resident_bytes() / (1 << 20):.0f} MB")
        self.assertEqual(metrics.value("process_max_fds"), DESCRIPTORS)
        self.assertLess(most_files, 1000)
        self.assertGreater(most_flight, SILENT * TIMEOUT / INTERVAL * 0.9)
        self.assertEqual(metrics.sum("sonde_runs_inconclusive_total"), 0)
        self.assertEqual(metrics.sum("sonde_runs_blocked_total"), 0)
        kinds = {(labels["phase"], labels["reason"])
                 for labels, value in metrics.all("probe_failures_total") if value}
        self.assertEqual(kinds, {("connect", "timeout")})
        answering = [(labels["status"], value) for labels, value in
                     metrics.all("health_check_results") if labels["name"].startswith("answering")]
        self.assertEqual(sum(value for status, value in answering if status == "failed"), 0)
        self.assertEqual(sum(1 for status, value in answering if status == "success" and value),
                         ANSWERING)


if __name__ == "__main__":
    netns.enter_alone(RULES)
    harness.main()
