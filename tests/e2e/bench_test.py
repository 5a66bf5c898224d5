#!/usr/bin/env python3
"""`sonde bench`: it finds a rate, says what ended the search, ends at Ctrl-C with what there is,
and predicts what a file's tasks will need. Counts and shapes; how fast this machine is, is not
judged.

    bench_test.py            the short ones
    bench_test.py --slow     every type; and what --plan predicts beside a sonde that really probes:
                             within 15 %, judged on a machine that is not busy
"""
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import unittest

import harness

WITHIN = 0.15
WAITING_BOUND = 0.03  # as soak_test.py
TRIES = 5  # of a prediction: their median is judged

# Loose, so that a busy machine under sanitizers still holds some rate.
LOOSE = ("--lateness=5s", "--skipped=100", "--failed=100", "--inconclusive=100")


def bench(*arguments, **more):
    return harness.sonde("bench", *arguments, **more)


class BenchTest(harness.TestCase):
    def ok(self, answer):
        self.assertEqual(answer.code, 0, answer)
        return answer

    def test_a_table_of_two_types(self):
        answer = self.ok(bench("--types=icmp,tcp", "--seconds=0.2", "--repeats=1", "--budget=12",
                               "--max-rate=400", *LOOSE))
        lines = answer.out.splitlines()
        for title in ("TCP connect", "ICMP echo"):
            rates = [line for line in lines if line.startswith(title + "  ")]
            self.assertTrue(rates, answer)
            self.assertIn("400", rates[0])
            self.assertIn("24,000", rates[0])  # targets at 60 s
            self.assertIn(f"{title}: the highest rate allowed held", answer.out)
        # Progress, as lines where there is no terminal.
        self.assertIn("tcp: ", answer.err)
        self.assertNotIn("\r", answer.err)

    def test_over_io_uring(self):
        harness.need_io_uring()
        answer = self.ok(bench("--types=tcp", "--io=io_uring", "--seconds=0.2", "--repeats=1",
                               "--budget=12", "--max-rate=400", "--json", *LOOSE))
        self.assertIsNone(answer.json()["types"][0]["problem"])

    def test_json(self):
        answer = self.ok(bench("--types=http", "--seconds=0.2", "--repeats=2", "--budget=12",
                               "--max-rate=300", "--json", *LOOSE))
        found = answer.json()
        self.assertEqual([one["type"] for one in found["types"]], ["http"])
        self.assertEqual(found["shards"], 1)
        self.assertFalse(found["interrupted"])
        for one in found["types"]:
            with self.subTest(one["type"]):
                self.assertIsNone(one["problem"])
                self.assertEqual(one["ended_by"], "max_rate")
                self.assertAlmostEqual(one["rate"], 300, delta=15)
                self.assertGreater(one["microseconds_per_probe"], 0)
                self.assertAlmostEqual(one["targets"]["15s"], one["rate"] * 15, delta=1)
                for held in one["held"]:
                    self.assertGreater(held["runs"], 0)
                    self.assertEqual(held["runs"] + held["skipped"], held["due"])
                    self.assertEqual(held["failed"], 0)
                late, corrected = one["lateness_seconds"], one["latency_from_due_seconds"]
                self.assertLessEqual(late["p50"], late["p99"])
                if corrected["p50"] is not None:  # null: that many slots had no run
                    self.assertGreaterEqual(corrected["p50"],
                                            one["latency_from_start_seconds"]["p50"])

    def test_a_bound_that_cannot_be_kept_is_named(self):
        answer = bench("--types=tcp", "--seconds=0.1", "--budget=2", "--repeats=1", "--json",
                       "--lateness=1us", "--skipped=100", "--failed=100", "--inconclusive=100")
        one = answer.json()["types"][0]
        self.assertIn("ateness p99", one["ended"])
        self.assertIn("at most 0.001 ms", one["ended"])

    def test_a_search_that_time_cuts_short_says_how_far_it_came(self):
        one = self.ok(bench("--types=icmp", "--seconds=1.5", "--budget=1", "--json",
                            *LOOSE)).json()["types"][0]
        self.assertTrue(one["at_least"])
        self.assertFalse(one["complete"])
        self.assertAlmostEqual(one["rate"], 100)  # what it warms up with
        self.assertIn("time was up", one["ended"])

    def test_targets_of_the_users(self):
        farm = self.box.farm("--listen=http:0", "--listen=http:0:error")
        good, bad = farm.ports
        config = self.box.write("modules.yml", "modules:\n"
                                "  error: {prober: http, http: {valid_status_codes: [500]}}\n")
        common = ("--types=http", "--seconds=0.2", "--repeats=1", "--budget=6", "--max-rate=50",
                  "--lateness=5s", "--skipped=100", "--inconclusive=100", "--json")
        # What answers 500 fails, and that ends it; with a module that wants it, it does not.
        answer = bench(*common, f"--target=http://127.1.0.1:{good}/",
                       f"--target=http://127.1.0.2:{bad}/")
        self.assertEqual(answer.code, 1, answer)
        self.assertIn("validation/status", answer.json()["types"][0]["problem"])
        one = self.ok(bench(*common, f"--target=http://127.1.0.1:{bad}/",
                            f"--config.file={config}", "--module=error")).json()["types"][0]
        self.assertEqual(one["ended_by"], "max_rate")

    def test_a_target_that_is_down_ends_it_at_once(self):
        answer = bench("--types=tcp", f"--target=127.0.0.1:{harness.free_port()}", "--max-rate=1000",
                       "--seconds=0.2", "--json")
        self.assertEqual(answer.code, 1, answer)
        one = answer.json()["types"][0]
        self.assertEqual(one["tries"], 1)
        self.assertIn("mostly connect/refused", one["problem"])
        self.assertIn("no run passed", one["problem"])

    def test_a_low_rate_is_kept_to_and_takes_no_longer(self):
        farm = self.box.farm("--listen=tcp:0")
        one = self.ok(bench("--types=tcp", f"--target=127.1.0.1:{farm.ports[0]}", "--max-rate=1",
                            "--seconds=0.2", "--repeats=1", "--json", *LOOSE)).json()["types"][0]
        self.assertEqual(one["ended_by"], "max_rate")
        self.assertAlmostEqual(one["rate"], 1)

    def test_usage(self):
        for arguments, words in (
                (["--types=gopher"], "none of"),
                (["--types=http", "--target=http://127.0.0.1/"], "--max-rate"),
                (["--target=http://127.0.0.1/", "--max-rate=5"], "--types"),
                (["--module=a"], "--config.file"),
                (["--interval=1ms"], "--interval"),
                (["--verify"], "--plan"),
                (["--round-trip=1s"], "--plan"),
                (["--plan=a.yml", "--types=tcp"], "--types"),
                (["--plan=a.yml", "--target=127.0.0.1:1"], "--target"),
                (["--types=tcp", "--max-rate=0.5"], "--max-rate"),
                (["--plan=a.yml", "--round-trip=-1s"], "--round-trip"),
                (["--seconds=0"], "--seconds")):
            with self.subTest(arguments):
                answer = bench(*arguments)
                self.assertEqual(answer.code, 2, answer)
                self.assertIn(words, answer.err)
                self.assertEqual(answer.out, "")

    def test_without_a_farm_it_says_so(self):
        answer = bench("--types=tcp", "--farm=/nowhere/farm")
        self.assertEqual(answer.code, 1, answer)
        self.assertIn("/nowhere/farm (tools/build makes it", answer.err)

    def test_an_interrupt_ends_it_with_what_there_is(self):
        sonde = str(harness.binaries() / "sonde")
        with subprocess.Popen([sonde, "bench", "--types=icmp", "--seconds=0.1", "--max-rate=100",
                               "--repeats=100", "--json", *LOOSE],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                              env=harness.clean_environment()) as program:
            seen = [program.stderr.readline() for _ in range(4)]  # two tries at the least
            children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children")
            farms = children.read_text().split()
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=harness.PATIENCE)
        self.assertEqual(program.returncode, 0, (seen, err))
        found = json.loads(out)
        self.assertTrue(found["interrupted"])
        self.assertFalse(found["types"][0]["complete"])
        self.assertGreater(len(found["types"][0]["held"]), 0)
        self.assertEqual(len(farms), 1)  # and went with it
        self.assertFalse(pathlib.Path(f"/proc/{farms[0]}").exists())

    def test_a_plan(self):
        plan = self.box.write("plan.yml", "tasks:\n" + "".join(
            f"  - {{name: web-{i}, type: http, target: 'http://shop.example/', interval: 2s}}\n"
            for i in range(40)) + "engine: {max_in_flight: 30, shards: 1}\n")
        found = self.ok(bench("--plan", plan, "--seconds=0.5", "--json")).json()
        self.assertEqual(found["tasks"], 40)
        self.assertAlmostEqual(found["rate"], 20)
        self.assertEqual([one["type"] for one in found["kinds"]], ["http"])
        resources = found["resources"]
        self.assertGreater(resources["processor_cores"]["need"], 0)
        self.assertGreater(resources["bytes_per_second"]["need"], 0)
        self.assertEqual(resources["ports"]["need"], 20 * 60)  # all to one destination, by FIN
        self.assertEqual(resources["in_flight"]["limit"], 30)
        self.assertEqual(resources["in_flight"]["silent"], 40)
        self.assertEqual(found["first_limit_if_silent"]["resource"], "in_flight")
        self.assertLess(found["first_limit_if_silent"]["times"], 1)

    def test_a_plan_of_a_bad_file(self):
        bad = self.box.write("bad.yml", "tasks:\n  - {name: a, type: http}\n")
        answer = bench("--plan", bad)
        self.assertEqual(answer.code, 1, answer)
        self.assertIn("target", answer.err)


class BenchSlowTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        harness.PATIENCE = 180  # one of them takes a minute, when nothing else runs

    def test_every_type_can_be_probed(self):
        usual = bench("--types=nothing").err
        names = usual.split("none of ")[1].split()
        self.assertIn("https", names)
        answer = bench("--types=" + ",".join(names), "--seconds=0.1", "--repeats=1",
                       f"--budget={3 * len(names)}", "--max-rate=100", "--timeout=5s", "--json",
                       *LOOSE)
        found = answer.json()
        self.assertEqual([one["type"] for one in found["types"]], names)
        for one in found["types"]:
            self.assertIsNone(one["problem"], one)
            passed = sum(p["runs"] - p["failed"] - p["inconclusive"] for p in one["held"])
            self.assertGreater(passed, 0, one)
            self.assertEqual(sum(p["failed"] for p in one["held"]), 0, one)
            resumed = sum(p["handshakes_resumed"] for p in one["held"])
            self.assertEqual(resumed > 0, one["type"] == "https-resumed", one)

    def test_a_prediction_beside_a_sonde_that_really_probes(self):
        kinds = {"http": "http://shop.example/", "tcp": "shop.example:25", "icmp": "192.0.2.1",
                 "dns": "www.shop.example"}
        plan = self.box.write("plan.yml", "engine: {shards: 1}\ntasks:\n" + "".join(
            f"  - {{name: {kind}-{i}, type: {kind}, target: '{target}', interval: 5s, "
            f"labels: {{team: web}}}}\n"
            for kind, target in kinds.items() for i in range(5000)))
        # Predicted and taken are half a minute apart: a shared machine changes by a fifth meanwhile.
        checks = []
        for _ in range(TRIES):
            answer = bench("--plan", plan, "--verify", "--seconds=2", "--json", timeout=240)
            self.assertEqual(answer.code, 0, answer)
            checks.append(answer.json()["check"])
            harness.report(json.dumps(checks[-1]))
        waited = statistics.median(check["waited"] for check in checks)
        wrong = [what for what in ("processor_cores", "memory_bytes", "bytes_per_second")
                 if abs(statistics.median(check[what]["predicted"] / check[what]["took"]
                                          for check in checks) - 1) > WITHIN]
        if wrong and waited >= WAITING_BOUND:
            self.skipTest(f"the machine was too busy to judge {wrong} (load {os.getloadavg()})")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    SLOW = "--slow" in sys.argv
    unittest.main(argv=sys.argv[:1], verbosity=2,
                  defaultTest="BenchSlowTest" if SLOW else "BenchTest")
