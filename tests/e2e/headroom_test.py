#!/usr/bin/env python3
"""What a node can carry: `check` and `plan` say it ahead, a running prober measures it, and warns of
more than there is."""
import json
import signal

import harness


def over_tls(count, port, how):
    return "engine: {shards: 1}\nmetrics: {families: []}\ntasks:\n" + "".join(
        f"  - {{name: t{i}, type: http, interval: 1s, timeout: 900ms, "
        f"target: 'https://127.1.{i // 250}.{i % 250 + 1}:{port}/', http: {{{how}}}}}\n"
        for i in range(count))


def tasks(count, port, interval, kind="tcp"):
    return "engine: {shards: 1, max_in_flight: 200}\nmetrics: {families: []}\ntasks:\n" + "".join(
        f"  - {{name: t{i}, type: {kind}, interval: {interval}, timeout: 50ms, "
        f"target: '127.0.{i // 250}.{i % 250 + 1}:{port}'}}\n" for i in range(count))


class HeadroomTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=tcp:0")
        cls.port = cls.farm.ports[0]

    def test_ahead(self):
        # 5,000 tasks ten times a second: some two cores, and shards: 1.
        much = self.box.write("much.yml", tasks(5000, self.port, "100ms"))
        little = self.box.write("little.yml", tasks(10, self.port, "1s"))
        checked = harness.sonde("check", much, little)
        self.assertEqual(checked.code, 0, checked)
        self.assertRegex(checked.err, r"much\.yml: warning: asks for about \S+ of \S+ runs in flight|"
                         r"much\.yml: warning: asks for about \S+ of 1 cores")
        self.assertNotIn("little.yml: warning", checked.err)
        self.assertIn("This node cannot carry it", harness.sonde("plan", much).out)
        self.assertIn("Headroom ", harness.sonde("plan", little).out)
        plan = json.loads(harness.sonde("plan", much, "--json").out)
        self.assertLess(plan["headroom"]["ratio"], 0)
        self.assertEqual(plan["headroom"]["limits"]["in_flight"]["has"], 200)

    def test_handshakes_that_are_spared_are_not_asked_for(self):
        """2,500 full handshakes a second are more than a core; as many resumed ones less than one, and
        over kept connections there are hardly any."""
        use = {}
        for how in ("", "tls_config: {full_handshake_every: 1000}", "keep_alive: true"):
            plan = json.loads(harness.sonde("plan", "--json", self.box.write(
                "tls.yml", over_tls(2500, 1, how))).out)
            use[how] = plan["headroom"]["limits"]["cpu"]["asked"]
        full, resumed, kept = use.values()
        self.assertGreater(full, 1)
        self.assertLess(resumed, 0.6 * full)
        self.assertLess(kept, 0.2 * full)

    def test_live(self):
        prober = self.box.sonde(tasks(100, self.port, "1s"))
        before = prober.until_runs(3)
        self.assertGreater(before.value("sonde_headroom_ratio"), 0)
        self.assertNotIn("more than this process can carry", prober.text())

        def use():
            return prober.metrics("sonde_").value("sonde_capacity_use_ratio", limit="cpu")
        little = use()
        prober.config.write_text(tasks(1000, self.port, "1s"))
        prober.reload()
        self.assertGreater(use(), 3 * little)
        self.assertNotIn("more than this process can carry", prober.text())
        # What runs cost is measured: the gauges move away from what was assumed.
        self.assertNotEqual(prober.metrics("sonde_").value("sonde_probe_cost_seconds", kind="tcp"),
                            37e-6)
        prober.config.write_text(tasks(5000, self.port, "100ms"))
        prober.reload()
        self.assertLess(prober.metrics("sonde_").value("sonde_headroom_ratio"), 0)
        self.assertIn("more than this process can carry", prober.text())
        # Beyond capacity nobody is blamed, and when the load goes all is well again.
        prober.config.write_text(tasks(100, self.port, "1s"))
        prober.signal(signal.SIGHUP)
        harness.until("headroom again",
                      lambda: prober.metrics("sonde_").value("sonde_headroom_ratio") > 0)
        after = prober.metrics()
        self.assertEqual(after.sum("sonde_runs_total", outcome="failed"), 0)


if __name__ == "__main__":
    harness.main()
