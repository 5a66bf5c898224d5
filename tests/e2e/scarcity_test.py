#!/usr/bin/env python3
"""A prober short of descriptors or ports waits and says so: no target is blamed for it."""
import os
import subprocess
import sys

import harness

INSIDE = "E2E_NAMESPACE"
COUNT = 300


def tasks(port, address, path):
    # A reset at the end leaves no port waiting, so that ports come back.
    return "metrics: {families: [core]}\ntasks:\n" + "".join(
        f"  - {{name: t{i}, type: http, interval: 1s, timeout: 20s, http: {{close: reset}}, "
        f"target: 'http://{address(i)}:{port}{path}'}}\n" for i in range(COUNT))


class Base(harness.TestCase):
    def check_scarce(self, prober, reason):
        """Everybody runs, in turn, and what they waited for is counted."""
        metrics = prober.until_runs(2)
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0)
        self.assertEqual(metrics.sum("probe_failures_total"), 0)
        self.assertGreater(metrics.value("sonde_runs_blocked_total", reason=reason), 0)
        self.assertEqual(metrics.value("sonde_runs_started_total"),
                         metrics.value("sonde_runs_finished_total") +
                         metrics.value("sonde_runs_in_flight"))
        runs = [value for _, value in metrics.all("health_check_results", status="success")]
        self.assertEqual(len(runs), COUNT)
        inconclusive = {labels["reason"]: value for labels, value in
                        metrics.all("sonde_runs_inconclusive_total") if value}
        harness.report(f"blocked {metrics.value('sonde_runs_blocked_total', reason=reason):.0f}, "
                       f"skipped {metrics.sum('sonde_runs_skipped_total'):.0f}, "
                       f"inconclusive {inconclusive}, runs {min(runs):.0f} to {max(runs):.0f}")
        self.assertLessEqual(set(inconclusive), {"late", reason})
        return metrics


class DescriptorsTest(Base):
    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0")
        cls.prober = box.sonde(
            tasks(cls.farm.ports[0], lambda i: f"127.1.{i // 250}.{i % 250 + 1}", "/delay/500ms"),
            under=["sh", "-c", 'ulimit -n 128; exec "$@"', "sh"])

    def test_descriptors(self):
        metrics = self.check_scarce(self.prober, "descriptors")
        self.assertLessEqual(metrics.value("process_open_fds"), 128)
        self.assertEqual(metrics.value("process_max_fds"), 128)


class IoUringTest(Base):
    """Over io_uring the process's limit of descriptors is none; one that is set in the file is."""

    @classmethod
    def set_up(cls, box):
        harness.need_io_uring()
        cls.farm = box.farm("--listen=http:0")
        text = tasks(cls.farm.ports[0], lambda i: f"127.1.{i // 250}.{i % 250 + 1}", "/delay/500ms")
        under = ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh"]
        cls.free = box.sonde("engine: {io: io_uring}\n" + text, under=under)
        cls.bound = box.sonde("engine: {io: io_uring, max_descriptors: 60}\n" + text)

    def test_bound_of_the_file(self):
        self.check_scarce(self.bound, "descriptors")

    def test_no_bound_of_the_process(self):
        metrics = self.free.until_runs(2)
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0)
        self.assertEqual(metrics.value("sonde_runs_blocked_total", reason="descriptors"), 0)
        self.assertLessEqual(metrics.value("process_open_fds"), 128)


class PortsTest(Base):
    """A namespace whose clients may use sixty ports, and one destination for all tasks."""

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:9000")
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as ports:
            ports.write("40000 40059")
        cls.prober = box.sonde(tasks(9000, lambda i: "127.0.0.1", "/delay/500ms"))

    def test_ports(self):
        self.check_scarce(self.prober, "ports")


def enter_namespace():
    """Runs this script again in a network namespace that ends with it. False: that is not to be."""
    if os.environ.get(INSIDE):
        subprocess.run([harness.need("ip"), "link", "set", "lo", "up"], check=True)
        return True
    unshare = harness.need("unshare")
    if os.geteuid() != 0 or subprocess.run([unshare, "-n", "true"], check=False).returncode != 0:
        return False
    os.environ[INSIDE] = "1"
    os.execv(unshare, [unshare, "-n", sys.executable, *sys.argv])


if __name__ == "__main__":
    if not enter_namespace():
        print("not root: nothing about ports is shown", file=sys.stderr)
        del PortsTest
    harness.main()
