#!/usr/bin/env python3
"""Reloads of the configuration, by SIGHUP and by POST /-/reload: what changes, what stays, what a
bad file does, and fifty thousand tasks coming and going while others are probed."""
import re
import signal

import harness

RUNS = "health_check_results"


def task(name, port, **more):
    fields = {"name": name, "type": "http", "target": f"'http://127.0.0.1:{port}/'",
              "interval": "500ms", "timeout": "20s", **more}
    return "  - {" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}\n"


def names(metrics):
    return {labels["name"] for labels, _ in metrics.all(RUNS)}


def count(metrics, name):
    return metrics.sum(RUNS, name=name)


class ReloadTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0", "--listen=http:0:error")
        cls.good, cls.bad = cls.farm.ports

    def setUp(self):
        """A prober of its own for each test, of four tasks that ran."""
        self.tasks = {name: task(name, self.good) for name in ("stays", "changes", "goes", "rests")}
        self.prober = self.box.sonde(self.text(), name=self.id().split(".")[-1])
        self.addCleanup(self.prober.stop)
        self.before = self.prober.until_runs(2, self.tasks)

    def text(self):
        return "tasks:\n" + "".join(self.tasks.values())

    def write(self, text=None):
        self.prober.config.write_text(self.text() if text is None else text)

    def hang_up(self):
        """SIGHUP; returns when the prober has said what came of it."""
        said = len(self.prober.text())
        self.prober.signal(signal.SIGHUP)
        harness.until(lambda: f"SIGHUP is answered: {self.prober.text()[said:]}",
                      lambda: re.search("configuration loaded|reload failed",
                                        self.prober.text()[said:]))

    def check_difference(self, reload):
        self.tasks["changes"] = task("changes", self.good, interval="600ms", labels="{team: web}")
        self.tasks["rests"] = task("rests", self.good, enabled="false")
        self.tasks["comes"] = task("comes", self.bad)
        del self.tasks["goes"]
        self.write()
        reload()
        after = self.prober.metrics()
        # At the next scrape already: the removed one is gone, the new one is there, the changed
        # one has its label, and nobody's counters went back.
        self.assertEqual(names(after), {"stays", "changes", "rests", "comes"})
        self.assertFalse([name for name, samples in after.samples.items()
                          for labels, _ in samples if labels.get("name") == "goes"])
        changed = after.all("probe_success", name="changes")
        self.assertEqual({labels["team"] for labels, _ in changed}, {"web"})
        for name in ("stays", "changes", "rests"):
            self.assertGreaterEqual(count(after, name), count(self.before, name), name)
        self.assertEqual(after.value("sonde_tasks", state="disabled"), 1)
        self.assertEqual(after.all("probe_success", name="rests"), [])
        self.assertEqual(after.value("sonde_config_last_reload_successful"), 1)
        # They go on, with one failing from now on; the disabled one rests.
        wanted = {"stays": count(after, "stays") + 3, "changes": count(after, "changes") + 3,
                  "comes": 3}

        def ran():
            metrics = self.prober.metrics()
            return metrics if all(count(metrics, n) >= c for n, c in wanted.items()) else None
        later = harness.until(f"runs {wanted}", ran)
        self.assertEqual(later.sum(RUNS, name="comes", status="success"), 0)
        for name in ("stays", "changes"):
            self.assertEqual(later.sum(RUNS, name=name, status="failed"), 0)
        self.assertEqual(count(later, "rests"), count(self.stable("rests"), "rests"))
        # Enabled again it goes on where it was.
        rested = count(later, "rests")
        self.tasks["rests"] = task("rests", self.good)
        self.write()
        reload()
        again = harness.until("it runs again", lambda: self.at_least("rests", rested + 1))
        self.assertEqual(again.value("sonde_tasks", state="disabled"), 0)

    def at_least(self, name, runs):
        metrics = self.prober.metrics()
        return metrics if count(metrics, name) >= runs else None

    def stable(self, name):
        """A scrape after others have run thrice more: time enough for `name` to show itself."""
        others = count(self.prober.metrics(), "stays") + 3
        return harness.until("others run", lambda: self.at_least("stays", others))

    def test_hang_up(self):
        self.check_difference(self.hang_up)

    def test_post(self):
        def reload():
            self.assertEqual(self.prober.reload(), (200, ""))
        self.check_difference(reload)

    BAD = ("tasks:\n"
           "  - {name: stays, type: http, target: 'http://127.0.0.1/', intervall: 5s}\n"
           "  - {name: stays, type: tcp, target: '127.0.0.1:1', timeout: 5}\n"
           "  - name: other\n"
           "    type: carrier-pigeon\n"
           "    target: x\n"
           "modules: {m: {prober: http, http: {valid_status_codes: [one]}}}\n"
           "engine: {max_in_flight: -3}\n")
    # What of it is wrong, and a word of what is said about it.
    WRONG = {"intervall": "did you mean 'interval'", "stays, type: tcp": "already used in line 2",
             "5}\n  - name": "unit is missing", "type: carrier": "no type 'carrier-pigeon'",
             "one": "valid_status_codes", "-3": "max_in_flight"}

    @classmethod
    def place(cls, part):
        at = cls.BAD.index(part)
        return cls.BAD.count("\n", 0, at) + 1, at - cls.BAD.rfind("\n", 0, at)

    def check_refused(self, said):
        for part, word in self.WRONG.items():
            line, column = self.place(part)
            pattern = rf"sonde\.yml:{line}:{column}: .*{word}"
            self.assertTrue(re.search(pattern, said), f"{pattern} is not in:\n{said}")
        after = self.prober.metrics()
        self.assertEqual(after.value("sonde_config_last_reload_successful"), 0)
        self.assertEqual(after.value("sonde_config_last_reload_success_timestamp_seconds"),
                         self.before.value("sonde_config_last_reload_success_timestamp_seconds"))
        self.assertEqual(names(after), set(self.tasks))
        wanted = count(after, "goes") + 2
        later = harness.until("the running set runs on", lambda: self.at_least("goes", wanted))
        self.assertEqual(later.sum(RUNS, status="failed"), 0)
        # And a good file heals it.
        self.write()
        self.assertEqual(self.prober.reload()[0], 200)
        healed = self.prober.metrics()
        self.assertEqual(healed.value("sonde_config_last_reload_successful"), 1)
        self.assertGreaterEqual(count(healed, "stays"), count(after, "stays"))

    def test_bad_file_by_post(self):
        self.write(self.BAD)
        code, said = self.prober.reload()
        self.assertEqual(code, 500)
        self.check_refused(said)

    def test_bad_file_by_signal(self):
        self.write(self.BAD)
        self.hang_up()
        harness.until("all of it is said", lambda: "max_in_flight" in self.prober.text())
        self.check_refused(self.prober.text())

    def test_missing_and_broken_files(self):
        for text in (None, "", "tasks: [", "\x00\x01", "tasks: &a [*a]\n", "- 1\n"):
            with self.subTest(repr(text)):
                if text is None:
                    self.prober.config.unlink()
                else:
                    self.write(text)
                code, said = self.prober.reload()
                self.assertEqual(code, 500, said)
                self.assertIn("sonde.yml", said)
                self.assertEqual(names(self.prober.metrics(RUNS)), set(self.tasks))

    def test_task_of_another_type(self):
        """The same name with another type is another task: its counters start anew."""
        self.tasks["changes"] = task("changes", self.good, type="tcp",
                                     target=f"'127.0.0.1:{self.good}'", interval="1h")
        self.write()
        self.prober.reload()
        after = self.prober.metrics()
        self.assertEqual({l["type"] for l, _ in after.all(RUNS, name="changes")}, {"tcp"})
        self.assertLessEqual(count(after, "changes"), 1)
        self.assertEqual(after.all("probe_http_status_code", name="changes"), [])

    def test_settings(self):
        """Families and the probe policy are in force at once; who is refused is not blamed."""
        self.write("policy: {deny: [loopback]}\nmetrics: {families: [core]}\n" + self.text())
        self.prober.reload()
        refused = harness.until("runs are refused", lambda: self.refused(3))
        self.assertEqual(refused.sum(RUNS, status="failed"), 0)
        self.assertEqual(refused.all("probe_success_ratio"), [])
        self.assertTrue(refused.all("probe_success"))
        self.write()
        self.prober.reload()
        wanted = count(self.prober.metrics(), "stays") + 2
        again = harness.until("runs again", lambda: self.at_least("stays", wanted))
        self.assertEqual(again.sum(RUNS, status="failed"), 0)
        self.assertTrue(again.all("probe_success_ratio"))

    def test_settings_that_wait_for_a_restart_are_named(self):
        self.write("engine: {shards: 3, max_descriptors: 777, max_in_flight: 50}\n" + self.text())
        self.prober.reload()
        line = 'msg="this change needs a restart" key='
        said = harness.until("both are named", lambda: self.lines_with(line, 2))
        keys = sorted(text.split(line)[1].strip() for text in said)
        self.assertEqual(keys, ["engine.max_descriptors", "engine.shards"])

    def lines_with(self, text, least):
        found = [line for line in self.prober.output.read_text().splitlines() if text in line]
        return found if len(found) >= least else None

    def refused(self, runs):
        metrics = self.prober.metrics()
        counted = metrics.value("sonde_runs_inconclusive_total", reason="policy")
        return metrics if counted >= runs else None

    def test_every_request_is_answered_by_a_later_reading(self):
        """What was written before a signal or a request is in force after it, however many come at
        once."""
        for i in range(20):
            self.tasks[f"new-{i}"] = task(f"new-{i}", self.good, interval="1h")
            self.write()
            for _ in range(3):
                self.prober.signal(signal.SIGHUP)
            if i % 5 == 4:
                self.assertEqual(self.prober.reload(), (200, ""))
                self.assertEqual(names(self.prober.metrics(RUNS)), set(self.tasks))
        del self.tasks["new-7"]
        self.write()
        self.prober.signal(signal.SIGHUP)
        harness.until("the last one counts",
                      lambda: names(self.prober.metrics(RUNS)) == set(self.tasks))

    def test_reload_is_for_post(self):
        self.assertEqual(self.prober.get("/-/reload")[0], 405)
        self.assertEqual(self.prober.request("POST", "/-/reload",
                                             {"Sec-Fetch-Site": "cross-site"})[0], 403)


class ManyTasksTest(harness.TestCase):
    """Fifty thousand tasks come, change and go, while two hundred others are probed."""
    MANY = 50_000
    FEW = 200

    @classmethod
    def set_up(cls, box):
        cls.farm = box.farm("--listen=http:0")
        cls.port = cls.farm.ports[0]
        cls.few = "".join(
            task(f"few-{i}", cls.port, interval="1s",
                 target=f"'http://127.0.1.{i % 250 + 1}:{cls.port}/'") for i in range(cls.FEW))
        cls.prober = box.sonde(cls.configuration([]))
        cls.prober.until_runs(2, [f"few-{i}" for i in range(cls.FEW)])

    @classmethod
    def configuration(cls, numbers, interval="10m"):
        many = (f"- {{name: many-{i}, type: http, interval: {interval}, timeout: 20s, "
                f"target: 'http://127.2.{i // 250}.{i % 250 + 1}:{cls.port}/'}}"
                for i in numbers)
        # Few families: a scrape of all would be large, and it is not what is tested here.
        return ("metrics: {families: []}\ntasks:\n" + cls.few +
                "".join(f"  {line}\n" for line in many))

    def reload(self, numbers, **more):
        self.prober.config.write_text(self.configuration(numbers, **more))
        self.assertEqual(self.prober.reload(), (200, ""))
        metrics = self.prober.metrics(RUNS, "sonde_")
        states = metrics.by("state", "sonde_tasks")
        self.assertEqual(sum(states.values()), len(numbers) + self.FEW, states)
        return metrics

    def check_going_on(self, metrics):
        """Nobody failed, nothing was lost, and the few run on."""
        self.assertEqual(metrics.sum(RUNS, status="failed"), 0)
        self.assertEqual(metrics.value("sonde_runs_started_total"),
                         metrics.value("sonde_runs_finished_total") +
                         metrics.value("sonde_runs_in_flight"))
        wanted = {f"few-{i}": count_of(metrics, f"few-{i}") + 2 for i in range(self.FEW)}
        last = {}

        def ran():
            last["metrics"] = self.prober.metrics(*(f'{RUNS}{{name="few-',), "sonde_")
            got = runs_by_name(last["metrics"])
            return all(got.get(name, 0) >= runs for name, runs in wanted.items())
        harness.until("the few run on", ran)
        return last["metrics"]

    def test_fifty_thousand(self):
        everyone = range(self.MANY)
        before = self.prober.metrics(RUNS)
        came = self.check_going_on(self.reload(everyone))
        # Every second one goes, the others change.
        half = self.reload(everyone[::2], interval="11m")
        self.assertEqual(sum(n.startswith("many-") for n in names(half)), self.MANY // 2)
        self.check_going_on(half)
        # All go, by a signal that comes while a larger file is read.
        self.prober.config.write_text(self.configuration(everyone))
        self.prober.signal(signal.SIGHUP)
        self.prober.config.write_text(self.configuration([]))
        self.prober.signal(signal.SIGHUP)
        harness.until("the last file is in force",
                      lambda: sum(self.prober.metrics("sonde_tasks").by(
                          "state", "sonde_tasks").values()) == self.FEW)
        gone = self.reload([])
        self.assertEqual(names(gone), {f"few-{i}" for i in range(self.FEW)})
        end = self.check_going_on(gone)
        was, now = runs_by_name(before), runs_by_name(end)
        self.assertTrue(all(now[name] > runs for name, runs in was.items()))
        self.assertEqual(end.sum("sonde_runs_total", outcome="failed"), 0)
        bound = 5 if harness.sanitized() else 1
        lateness = came.quantile_bound("sonde_schedule_lateness_seconds", 0.5)
        self.assertLessEqual(lateness, bound)


def runs_by_name(metrics):
    runs = {}
    for labels, value in metrics.all(RUNS):
        runs[labels["name"]] = runs.get(labels["name"], 0) + value
    return runs


def count_of(metrics, name):
    if not hasattr(metrics, "runs_by_name"):
        metrics.runs_by_name = runs_by_name(metrics)
    return metrics.runs_by_name.get(name, 0)


if __name__ == "__main__":
    harness.main()
