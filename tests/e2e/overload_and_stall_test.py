#!/usr/bin/env python3
"""The prober's own trouble is never a failure of a target: a few thousand tasks on the farm, the
prober stopped for five seconds, and a prober that may run far less at a time than it should."""
import signal
import time

import harness

STALL_SECONDS = 5


def tasks(name, count, port, interval, timeout, path="/"):
    """Targets of their own address each, so that they are destinations of their own."""
    return "".join(
        f"  - {{name: {name}-{i}, type: http, interval: {interval}, timeout: {timeout}, "
        f"target: 'http://127.1.{i // 250}.{i % 250 + 1}:{port}{path}'}}\n" for i in range(count))


class Base(harness.TestCase):
    def check_balance(self, metrics):
        self.assertEqual(metrics.value("sonde_runs_started_total"),
                         metrics.value("sonde_runs_finished_total") +
                         metrics.value("sonde_runs_in_flight"))
    def runs(self, metrics):
        """Passed runs of every task that passed at all."""
        return {labels["name"]: value for labels, value in
                metrics.all("health_check_results", status="success") if value}


class StallTest(Base):
    """Some targets answer at once, some after a while, some never: so that runs of every kind are
    under way when the prober stands still."""
    QUICK = 1800
    SLOW = 200
    MUTE = 100
    INTERVAL = 2  # seconds

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0", "--listen=http:0:silent")
        good, silent = cls.farm.ports
        cls.prober = box.sonde(
            "metrics: {families: [core]}\ntasks:\n" +
            tasks("quick", cls.QUICK, good, f"{cls.INTERVAL}s", "1500ms") +
            tasks("slow", cls.SLOW, good, f"{cls.INTERVAL}s", "1500ms", "/delay/700ms") +
            tasks("mute", cls.MUTE, silent, f"{cls.INTERVAL}s", "1s"))

    def scrape(self):
        return self.prober.metrics("health_check_results", "probe_failures_total", "sonde_")

    def check_failures(self, metrics):
        """Only those that never answer failed, and of what they did."""
        failed = [l for l, v in metrics.all("health_check_results", status="failed") if v]
        self.assertEqual({l["name"].split("-")[0] for l in failed}, {"mute"})
        reasons = {(l["phase"], l["reason"]) for l, _ in metrics.all("probe_failures_total")}
        self.assertEqual(reasons, {("first_byte", "timeout")})
        self.assertFalse([n for n in self.runs(metrics) if n.startswith("mute")])

    def stand_still(self):
        self.prober.signal(signal.SIGSTOP)
        end = time.monotonic() + STALL_SECONDS
        harness.until("the stall is over", lambda: time.monotonic() >= end, STALL_SECONDS + 1)
        self.prober.signal(signal.SIGCONT)

    def test_stall(self):
        count = self.QUICK + self.SLOW + self.MUTE
        self.prober.until_runs(2)
        before = self.scrape()
        begun = time.monotonic()
        self.check_balance(before)
        self.stand_still()
        wanted = {name: runs + 2 for name, runs in self.runs(before).items()}
        after = None

        def ran():
            nonlocal after
            after = self.scrape()
            runs = self.runs(after)
            return all(runs.get(name, 0) >= least for name, least in wanted.items())
        harness.until("every task runs again", ran, every=0.2)
        elapsed = time.monotonic() - begun
        self.check_balance(after)
        self.check_failures(after)

        def grown(family, **labels):
            return after.sum(family, **labels) - before.sum(family, **labels)
        # Each task missed two or three slots; at most the one that fell due last is made up for.
        skipped = grown("sonde_runs_skipped_total")
        self.assertGreaterEqual(skipped, count * (STALL_SECONDS / self.INTERVAL - 1.5))
        self.assertEqual(skipped, grown("sonde_runs_skipped_total", reason="stall") +
                         grown("sonde_runs_skipped_total", reason="overlap"))
        self.assertGreater(grown("sonde_loop_gaps_total"), 0)
        # Who never answered while nobody looked is not blamed; who answered passed, only how long
        # that took is not known.
        inconclusive = grown("sonde_runs_inconclusive_total")
        self.assertGreater(inconclusive, 0)
        self.assertLessEqual(inconclusive, self.MUTE * (elapsed / self.INTERVAL + 1))
        self.assertEqual(inconclusive, grown("sonde_runs_inconclusive_total", reason="late"))
        self.assertEqual(inconclusive, grown("sonde_runs_total", outcome="inconclusive"))
        unrecorded = grown("sonde_latencies_unrecorded_total")
        self.assertGreater(unrecorded, 0)
        # No burst: every slot gave one run or was skipped, not both.
        started = grown("sonde_runs_started_total")
        self.assertLessEqual(started + skipped, count * (elapsed / self.INTERVAL + 1))
        harness.report(f"skipped {skipped:.0f}, inconclusive {inconclusive:.0f}, "
                       f"latencies not recorded {unrecorded:.0f}")


class OverloadTest(Base):
    """A thousand tasks a second, each answered after 100 ms, and room for twenty at a time: a fifth
    of what is wanted."""
    COUNT = 1000

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0")
        cls.prober = box.sonde("metrics: {families: []}\nengine: {max_in_flight: 20}\n" +
                               "tasks:\n" + tasks("t", cls.COUNT, cls.farm.ports[0], "1s", "20s",
                                                  "/delay/100ms"))

    def test_overload(self):
        metrics = self.prober.until_runs(2)
        self.check_balance(metrics)
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0)
        self.assertLessEqual(metrics.value("sonde_runs_in_flight"), 20)
        self.assertGreater(metrics.value("sonde_runs_blocked_total", reason="in_flight"), 0)
        self.assertGreater(metrics.value("sonde_runs_skipped_total", reason="overlap"), self.COUNT)
        self.assertGreater(metrics.value("sonde_runs_waiting"), self.COUNT / 2)
        self.assertLessEqual(metrics.value("sonde_runs_waiting"), self.COUNT)
        self.assertEqual(metrics.sum("sonde_runs_inconclusive_total"), 0)
        # Nobody starves: the queue is first in first out, so rates fall evenly.
        runs = self.runs(metrics)
        self.assertEqual(len(runs), self.COUNT)
        self.assertLessEqual(max(runs.values()) - min(runs.values()), 2)
        # The lateness is told: most runs waited for seconds.
        self.assertGreaterEqual(metrics.quantile_bound("sonde_schedule_lateness_seconds", 0.9), 1)


if __name__ == "__main__":
    harness.main()
