#!/usr/bin/env python3
"""What a started prober may do: send echo requests, and nothing else an ordinary user may not.
Runs in a network namespace of its own, so that it may take a port below 1024 and say who may ping.
"""
import os
import pathlib
import re
import subprocess
import sys

import harness

INSIDE = "E2E_NAMESPACE"
NET_RAW = 1 << 13
SETPCAP = 1 << 8
NOBODY = 65534
PINGS = ("tasks:\n"
         "  - {name: v4, type: icmp, target: 127.0.0.1, interval: 200ms, timeout: 1s}\n"
         "  - {name: v6, type: PING, target: '::1', interval: 200ms, timeout: 1s}\n")


def status_of(path):
    """Capability sets and no_new_privs out of a status file of /proc."""
    text = pathlib.Path(path).read_text()
    found = {name: int(value, 16) for name, value in re.findall(r"^(Cap\w+):\s+(\w+)$", text, re.M)}
    found["NoNewPrivs"] = int(re.search(r"^NoNewPrivs:\s+(\d)$", text, re.M).group(1))
    return re.search(r"^Name:\s+(.*)$", text, re.M).group(1), found


def threads_of(program):
    """[(name, sets)] of every thread. ThreadSanitizer has one of its own, older than main()."""
    tasks = sorted(pathlib.Path(f"/proc/{program.pid}/task").iterdir(), key=lambda t: int(t.name))
    found = [status_of(task / "status") for task in tasks]
    if b"__tsan_init" in (harness.binaries() / "sonde").read_bytes():
        del found[1]
    return found


class PrivilegesTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        os.chmod(box.folder, 0o755)
        cls.mine = status_of("/proc/thread-self/status")[1]

    def check_threads(self, program, least, kept, bounding):
        threads = threads_of(program)
        self.assertGreaterEqual(len(threads), least, threads)
        for name, found in threads:
            self.assertEqual(found, {"CapInh": 0, "CapPrm": kept, "CapEff": kept,
                                     "CapBnd": bounding, "CapAmb": 0, "NoNewPrivs": 1}, name)

    def check_pings(self, prober):
        metrics = prober.until_runs(2)
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0, prober.text())
        self.assertEqual(metrics.by("name", "probe_icmp_loss_ratio"), {"v4": 0, "v6": 0})
        return metrics

    def test_every_thread_has_given_up_all_but_raw_sockets(self):
        bounding = self.mine["CapBnd"]
        if self.mine["CapEff"] & SETPCAP:
            bounding &= NET_RAW
        prober = self.box.sonde(PINGS, "--shards=3", "--web.listen-address=127.0.0.1:80")
        self.check_pings(prober)
        # A reload needs a worker; by now every kind of thread there is has been started.
        prober.config.write_text(PINGS + "  - {name: more, type: icmp, target: 127.0.0.9}\n")
        self.assertEqual(prober.reload()[0], 200, prober.text())
        # Main, log, files, three shards, a worker of two.
        self.check_threads(prober, 7, self.mine["CapPrm"] & NET_RAW, bounding)
        self.assertIn("capabilities=cap_net_raw", prober.text())
        self.assertIn("address=127.0.0.1:80\n", prober.text())  # bound before
        self.assertTrue(harness.accepts(80))
        # Sockets for other options are opened now, without the privileges of the start.
        prober.config.write_text(PINGS + "  - {name: through, type: icmp, target: 127.0.0.1, "
                                 "interval: 200ms, icmp: {source_interface: lo, ttl: 3, dscp: 46}}\n")
        self.assertEqual(prober.reload()[0], 200, prober.text())
        metrics = prober.until_runs(2)
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0, prober.text())

    def test_files_of_others_are_not_read(self):
        prober = self.box.sonde(PINGS, name="files")
        own = prober.config.read_text() + "  - {name: own, type: icmp, target: 127.0.0.1}\n"
        self.addCleanup(os.chmod, prober.config, 0o644)  # other tests use it too
        self.addCleanup(os.chown, prober.config, 0, 0)
        prober.config.write_text(own)
        os.chmod(prober.config, 0o600)
        self.assertEqual(prober.reload()[0], 200)  # root's own
        os.chown(prober.config, NOBODY, NOBODY)
        status, text = prober.reload()
        self.assertEqual(status, 500, text)
        self.assertIn("Permission denied", text)
        # Not at a later start either, unless told so.
        flags = [f"--config.file={prober.config}", "--web.listen-address=127.0.0.1:0"]
        answer = harness.sonde("serve", *flags)
        self.assertEqual(answer.code, 1, answer)
        self.assertIn("Permission denied", answer.err)
        self.assertEqual(harness.sonde("serve", "--config.check", "--keep-capabilities",
                                       *flags).code, 0)

    def test_keeping_them(self):
        prober = self.box.sonde(PINGS, "--keep-capabilities", name="keeping")
        self.check_pings(prober)
        self.assertIn("capabilities=all", prober.text())
        for name, found in threads_of(prober):
            self.assertEqual(found, self.mine, name)

    def as_nobody(self, name, *more):
        return self.box.sonde(PINGS, name=name,
                              under=[harness.need("setpriv"), f"--reuid={NOBODY}",
                                     f"--regid={NOBODY}", "--clear-groups", *more])

    def test_one_capability_is_enough(self):
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as groups:
            groups.write("1 0")
        prober = self.as_nobody("one", "--inh-caps=+net_raw", "--ambient-caps=+net_raw")
        self.check_pings(prober)
        self.check_threads(prober, 4, NET_RAW, self.mine["CapBnd"])

    def test_none_is_enough_where_groups_may_ping(self):
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as groups:
            groups.write(f"{NOBODY} {NOBODY}")
        prober = self.as_nobody("none", "--inh-caps=-all")
        self.assertIn("capabilities=none", prober.text())
        self.check_pings(prober)
        self.check_threads(prober, 4, 0, self.mine["CapBnd"])

    def test_without_either_nobody_is_blamed(self):
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as groups:
            groups.write("1 0")
        prober = self.as_nobody("neither", "--inh-caps=-all")
        harness.until("inconclusive runs", lambda: prober.metrics().sum(
            "sonde_runs_inconclusive_total", reason="config") > 4)
        metrics = prober.metrics()
        self.assertEqual(metrics.sum("health_check_results"), 0)
        self.assertEqual(metrics.sum("probe_failures_total"), 0)


def enter_namespace():
    """Runs this script again in a network namespace that ends with it."""
    if os.environ.get(INSIDE):
        subprocess.run([harness.need("ip"), "link", "set", "lo", "up"], check=True)
        return
    unshare = harness.need("unshare")
    if os.geteuid() != 0 or subprocess.run([unshare, "-n", "true"], check=False).returncode != 0:
        harness.skip("not root, or no network namespaces here")
    os.environ[INSIDE] = "1"
    os.execv(unshare, [unshare, "-n", sys.executable, *sys.argv])


if __name__ == "__main__":
    enter_namespace()
    harness.main()
