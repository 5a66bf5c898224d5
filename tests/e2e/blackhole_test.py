#!/usr/bin/env python3
"""A fleet that fell silent: 5,000 targets whose packets are dropped, with time-outs of 10 s, beside
200 that answer. Runs in a network namespace of its own, which needs root."""
import shutil
import time

import harness
import netns

SILENT = 5000
ANSWERING = 200
TIMEOUT = 10
INTERVAL = 15
SECONDS = 45
MEGABYTE = 1 << 20
RULES = """
table inet hole {
  chain in { type filter hook input priority 0; policy accept; ip daddr 127.66.0.0/16 drop; }
}
"""


class BlackholeTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0")
        port = cls.farm.ports[0]
        lines = [f"- {{name: answering-{i}, type: http, "
                 f"target: 'http://127.0.1.{i + 1}:{port}/', "
                 f"interval: 1s, timeout: 5s}}" for i in range(ANSWERING)]
        lines += [f"- {{name: silent-{i}, type: http, "
                  f"target: 'http://127.66.{i // 250}.{i % 250 + 1}:{port}/', "
                  f"interval: {INTERVAL}s, timeout: {TIMEOUT}s}}" for i in range(SILENT)]
        cls.idle = box.sonde("metrics: {families: []}\ntasks: []\n", name="idle")
        cls.idle_bytes = cls.idle.resident_bytes()
        cls.idle.stop()
        text = "metrics: {families: [core]}\ntasks:\n  " + "\n  ".join(lines) + "\n"
        cls.prober = box.sonde(text)

    def test_silent_fleet(self):
        most_bytes = most_flight = 0
        end = time.monotonic() + SECONDS
        metrics = None

        def over():
            nonlocal most_bytes, most_flight, metrics
            metrics = self.prober.metrics("health_check_results", "probe_failures_total", "sonde_")
            most_bytes = max(most_bytes, self.prober.resident_bytes())
            most_flight = max(most_flight, metrics.value("sonde_runs_in_flight"))
            return time.monotonic() >= end
        harness.until("it ran long enough", over, SECONDS + harness.PATIENCE, every=2)
        per_flight = (most_bytes - self.idle_bytes) / (SILENT + ANSWERING)
        lateness = metrics.quantile_bound("sonde_schedule_lateness_seconds", 0.99)
        harness.report(
            f"resident {self.idle_bytes / MEGABYTE:.1f} MB idle, "
            f"{most_bytes / MEGABYTE:.1f} MB at most, {per_flight / 1024:.1f} KiB a task; "
            f"in flight {most_flight:.0f} at most; lateness p99 at most {lateness} s")
        self.check_silent(metrics)
        self.check_answering(metrics)
        # Two thirds of the silent ones hang at any time.
        self.assertGreater(most_flight, SILENT * TIMEOUT / INTERVAL * 0.8)
        self.assertEqual(metrics.sum("sonde_runs_inconclusive_total"), 0)
        self.assertEqual(metrics.sum("sonde_runs_skipped_total"), 0)
        self.assertEqual(metrics.sum("sonde_runs_blocked_total"), 0)
        self.assertEqual(metrics.value("sonde_runs_started_total"),
                         metrics.value("sonde_runs_finished_total") +
                         metrics.value("sonde_runs_in_flight"))
        self.assertLessEqual(lateness, 1 if harness.sanitized() else 0.05)
        if not harness.sanitized():
            self.assertLess(most_bytes, 200 * MEGABYTE)

    def check_silent(self, metrics):
        failed = {labels["name"]: value for labels, value in
                  metrics.all("health_check_results", status="failed")
                  if labels["name"].startswith("silent")}
        self.assertEqual(len(failed), SILENT)
        self.assertGreaterEqual(min(failed.values()), (SECONDS - TIMEOUT) // INTERVAL - 1)
        kinds = {(labels["phase"], labels["reason"])
                 for labels, _ in metrics.all("probe_failures_total")}
        self.assertEqual(kinds, {("connect", "timeout")})

    def check_answering(self, metrics):
        rows = [(labels["name"], labels["status"], value)
                for labels, value in metrics.all("health_check_results")
                if labels["name"].startswith("answering")]
        passed = [value for _, status, value in rows if status == "success"]
        self.assertEqual(sum(value for _, status, value in rows if status == "failed"), 0)
        self.assertEqual(len(passed), ANSWERING)
        # One run a second each, give or take the first and the last.
        self.assertGreaterEqual(min(passed), SECONDS - 3)


if __name__ == "__main__":
    shutil.which("sh") or harness.skip("there is no sh")
    netns.enter_alone(RULES)
    harness.main()
