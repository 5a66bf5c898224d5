#!/usr/bin/env python3
"""The `sonde` command as its users meet it: exit codes, texts, flags, variables, signals, logs."""
import json
import re
import signal
import socket
import subprocess
import time

import harness

GOOD = "tasks:\n  - {name: a, type: tcp, target: '127.0.0.1:9', interval: 1h}\n"
BAD = ("tasks:\n  - {name: a, type: tcp, target: '127.0.0.1:9', intervall: 1h}\n"
       "  - {name: a, type: x}\n")
COMMANDS = ("serve", "probe", "plan", "check", "import", "bench", "version")
NOWHERE = "--web.listen-address=127.0.0.1:0"


class CommandTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.good = box.write("good.yml", GOOD)
        cls.bad = box.write("bad.yml", BAD)
        cls.worse = box.write("worse.yml", "tasks: [\n")
        cls.farm = box.farm("--listen=http:0", "--listen=tcp:0:silent")
        cls.http, cls.silent = cls.farm.ports

    def expect(self, answer, code, out="", err=""):
        """Patterns that must be found; an empty one means nothing may be said there."""
        self.assertEqual(answer.code, code, answer)
        for text, pattern in ((answer.out, out), (answer.err, err)):
            if pattern:
                self.assertRegex(text, pattern, answer)
            else:
                self.assertEqual(text, "", answer)
        return answer

    # Help and versions

    def test_help_everywhere(self):
        for arguments in (["--help"], ["-h"], ["--help-all"],
                          *([c, flag] for c in COMMANDS for flag in ("--help", "-h"))):
            with self.subTest(arguments):
                answer = self.expect(harness.sonde(*arguments), 0, "Usage: sonde")
                lines = answer.out.splitlines()
                self.assertLessEqual(max(map(len, lines)), 120)
        for command in COMMANDS:
            self.assertIn(command, harness.sonde("--help").out)

    def test_help_names_flags_and_variables(self):
        out = harness.sonde("serve", "--help").out
        for flag in ("--config.file", "--config.check", "--web.listen-address", "--log.level",
                     "--log.format"):
            self.assertIn(flag, out)
            self.assertIn("SONDE_" + re.sub(r"[.-]", "_", flag[2:]).upper(), out)

    def test_version(self):
        pattern = r"^sonde \d+\.\d+\.\d+ \(revision [0-9a-f]{12}.*\)\n$"
        self.expect(harness.sonde("version"), 0, pattern)
        self.expect(harness.sonde("--version"), 0, pattern)

    # Bad usage

    def test_bad_flags(self):
        for arguments, code, said in (
                (["frobnicate"], 1, "frobnicate"),
                (["--frobnicate"], 1, "--frobnicate"),
                (["serve", "--frobnicate"], 1, "--frobnicate"),
                (["serve", "surplus"], 1, "surplus"),
                (["serve", "--shards=-1"], 1, "--shards"),
                (["serve", "--shards=many"], 1, "--shards"),
                (["serve", "--shards=100000"], 1, "--shards"),
                (["check"], 1, "files"),
                (["plan"], 1, "file"),
                (["plan", self.good, "surplus"], 1, "surplus"),
                (["plan", self.good, "--next=-1"], 1, "--next"),
                (["plan", self.good, "--next=1001"], 1, "--next"),
                (["plan", self.good, "--from=yesterday"], 1, "--from"),
                (["plan", self.good, "--from=infinite-past"], 1, "--from"),
                (["plan", self.good, "--task=b"], 1, "no task 'b'"),
                (["version", "surplus"], 1, "surplus"),
                (["probe"], 2, "type"),
                (["probe", "http"], 2, "target"),
                (["probe", "http", "http://127.0.0.1/", "surplus"], 2, "surplus"),
                (["probe", "--frobnicate", "tcp", "127.0.0.1:1"], 2, "--frobnicate")):
            with self.subTest(arguments):
                self.expect(harness.sonde(*arguments), code, "", said)

    def test_bad_values_of_serve(self):
        for flag, said in (("--log.level=loud", "debug, info, warn or error"),
                           ("--log.format=xml", "logfmt or json"),
                           ("--web.listen-address=nowhere", "port is missing"),
                           ("--web.listen-address=127.0.0.1:99999", "99999"),
                           ("--web.listen-address=192.0.2.1:80", "192.0.2.1:80")):
            with self.subTest(flag):
                self.expect(harness.sonde("serve", f"--config.file={self.good}", flag), 1, "", said)

    # Configuration files

    def test_check(self):
        self.expect(harness.sonde("check", self.good), 0, "good.yml: good, 1 tasks")
        answer = self.expect(harness.sonde("check", self.bad, self.good, self.worse), 1,
                             r"^\S*good.yml: good[^\n]*\n$", "worse.yml:")
        # Every line has a place, in whichever file it is.
        for line in answer.err.splitlines():
            if line == "error parsing config file:":
                continue
            self.assertRegex(line, r"^\S+/(bad|worse)\.yml:\d+:\d+: \S", answer)
        for found in (r"bad\.yml:2:\d+: .*intervall.*did you mean 'interval'",
                      r"bad\.yml:3:\d+: .*already used in line 2", r"bad\.yml:3:\d+: .*'x'",
                      r"bad\.yml:3:\d+: .*target"):
            self.assertRegex(answer.err, found)

    def test_check_of_standard_input_and_of_no_file(self):
        self.expect(harness.sonde("check", "-", stdin=GOOD), 0, "good, 1 tasks")
        self.expect(harness.sonde("check", "-", stdin=BAD), 1, "", r"-:2:\d+: ")
        self.expect(harness.sonde("check", "/nowhere.yml"), 1, "", "/nowhere.yml.*No such file")
        self.expect(harness.sonde("check", self.box.folder), 1, "", "directory")

    def test_config_check(self):
        for first in ([], ["serve"]):
            flags = [*first, "--config.check"]
            self.expect(harness.sonde(*flags, f"--config.file={self.good}"), 0, "good, 1 tasks")
            answer = harness.sonde(*flags, f"--config.file={self.bad}")
            self.expect(answer, 1, "", r"(?m)^\S+/bad\.yml:2:\d+: ")
            self.assertEqual(answer.err, "sonde: " + harness.sonde("check", self.bad).err)

    def test_serve_of_a_bad_file(self):
        answer = harness.sonde(f"--config.file={self.bad}", NOWHERE)
        self.expect(answer, 1, "", r"bad\.yml:2:\d+: ")
        empty = self.box.folder / "empty"
        empty.mkdir()
        self.expect(harness.sonde("serve", NOWHERE, cwd=empty), 1, "", "'sonde.yml': No such file")

    # Imports

    def test_import_prometheus(self):
        """What is made is taken by `check`; the modules are found from where it stands."""
        folder = self.box.folder / "imports"
        (folder / "out").mkdir(parents=True)
        (folder / "black[box].yml").write_text("modules: {mine: {prober: tcp, timeout: 2s}}\n")
        (folder / "list.json").write_text('[{"targets": ["127.0.0.1:2"], "labels": {"a": "b"}}]')
        prometheus = folder / "prometheus.yml"
        prometheus.write_text("""
scrape_configs:
  - job_name: ports
    metrics_path: /probe
    params: {module: [mine]}
    static_configs: [{targets: ["127.0.0.1:1"]}]
    file_sd_configs: [{files: ["*.json"]}]
    relabel_configs:
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [__param_target], target_label: instance}
      - {target_label: __address__, replacement: "127.0.0.1:9115"}
""")
        made = folder / "out" / "sonde.yml"
        self.expect(harness.sonde("import", "prometheus", prometheus,
                                  "--modules", "black[box].yml", "--output", "out/sonde.yml",
                                  cwd=folder), 0, "", r"2 tasks of 1 jobs\n$")
        self.expect(harness.sonde("check", made, cwd=folder), 0, "good, 2 tasks, 1 modules")
        text = prometheus.read_text()
        answer = self.expect(harness.sonde("import", "prometheus", "-", stdin=text, cwd=folder), 1,
                             "honor_labels", r"-:3:5: job 'ports' needs module 'mine': name the file")
        self.expect(harness.sonde("check", "-", stdin=answer.out), 0, "good, 0 tasks")
        stock = text.replace("[mine]", "[tcp_connect]")
        answer = harness.sonde("import", "prometheus", "-", stdin=stock, cwd=folder)
        self.expect(answer, 0, "honor_labels", "(?m)^-:7:5: warning: .*file_sd_configs: ")
        self.expect(harness.sonde("check", "-", stdin=answer.out), 0, "good, 2 tasks")

    def test_imports_that_write_nothing(self):
        for arguments, message in ((["/nowhere.yml"], "/nowhere.yml.*No such file"),
                                   ([self.worse], r"worse\.yml:\d+:\d+: "),
                                   ([self.good], "there are no scrape_configs"),
                                   ([self.good, "--modules", "/nowhere.yml"], "No such file"),
                                   ([self.good, "--modules", self.good], "unknown key 'tasks'"),
                                   ([], "required"), ([self.good, "--outptu", "x"], "outptu")):
            with self.subTest(arguments):
                self.expect(harness.sonde("import", "prometheus", *arguments), 2, "", message)
        self.expect(harness.sonde("import"), 2, "", "subcommand")
        good = self.box.write("prometheus.yml", "scrape_configs: []\n")
        self.expect(harness.sonde("import", "prometheus", good, "--output", "/nowhere/x"), 2, "",
                    "cannot write '/nowhere/x'")

    # Plans

    def test_plan(self):
        answer = self.expect(harness.sonde("plan", self.good), 0, "good.yml: 1 task, planned from 2")
        self.assertRegex(answer.out, r"\n    20\d\d-\S+Z\n")
        self.expect(harness.sonde("plan", "-", stdin=GOOD), 0, "^-: 1 task, ")
        self.expect(harness.sonde("plan", self.bad), 1, "", r"(?m)^\S+/bad\.yml:2:\d+: ")
        self.expect(harness.sonde("plan", "/nowhere.yml"), 1, "", "/nowhere.yml.*No such file")
        self.assertEqual(harness.sonde("plan", self.bad).err, harness.sonde("check", self.bad).err)

    def test_plan_of_named_tasks(self):
        flags = ("--task", "b", "--task", "a", "--next", "2", "--from", "2026-03-28T13:00:00+01:00")
        file = self.box.write("two.yml", "tasks:\n" + "".join(
            f"  - {{name: {name}, type: tcp, target: 'x:1', cron: '0 0 * * *', spread: 0}}\n"
            for name in "abc"))
        answer = harness.sonde("plan", *flags, file, "--json")
        self.assertEqual(answer.out.count("\n"), 1)
        plan = answer.json()
        self.assertEqual(plan["from"], "2026-03-28T12:00:00Z")
        self.assertEqual([due["task"] for due in plan["due"]], ["b", "a"])
        self.assertEqual([time["utc"] for time in plan["due"][0]["times"]],
                         ["2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"])
        self.assertEqual((plan["load"]["starts"], plan["load"]["peak"]), (3, 3))

    def test_plan_counts_the_series_there_are(self):
        """As many as the tasks of a running sonde have, once each of them ran."""
        mail, store = self.box.farm("--listen=tcp:0:smtp", "--listen=tcp:0:redis", name="more").ports
        prober = self.box.sonde(
            "tasks:\n"
            f"  - {{name: web, type: http, target: 'http://127.0.0.1:{self.http}/', interval: 1s}}\n"
            f"  - {{name: port, type: tcp, target: '127.0.0.1:{self.http}', interval: 1s}}\n"
            f"  - {{name: mail, target: '127.0.0.1:{mail}', interval: 1s, tcp: {{preset: smtp}}}}\n"
            f"  - {{name: store, target: '127.0.0.1:{store}', interval: 1s, "
            "tcp: {preset: redis}}\n"
            "  - {name: off, type: tcp, target: '127.0.0.1:1', enabled: false}\n", name="planned")
        plan = harness.sonde("plan", prober.config, "--json").json()["series"]

        def told():
            metrics = prober.until_runs(1, ["web", "port", "mail", "store"])
            return metrics if metrics.all("probe_expect_info", name="mail") else None
        samples = harness.until("labels of mail", told).samples
        tasks = sum(1 for family in samples.values() for labels, _ in family if "name" in labels)
        self.assertEqual(tasks, plan["health_check_results"] + sum(plan["groups"].values()))

    # Probes

    def test_probe_exit_codes(self):
        url = f"http://127.0.0.1:{self.http}/"
        self.expect(harness.sonde("probe", "http", url), 0, "^success +http .*\n.*ok:")
        self.expect(harness.sonde("probe", "http", url + "status/503"), 1, "validation/status")
        self.expect(harness.sonde("probe", "tcp", f"127.0.0.1:{self.http}"), 0, "^success")
        self.expect(harness.sonde("probe", "tcp", f"127.0.0.1:{harness.free_port()}"), 1,
                    "connect/refused")
        self.expect(harness.sonde("probe", "http", f"http://127.0.0.1:{self.silent}/",
                                  "--timeout", "300ms"), 1, "first_byte/timeout")

    def test_probe_refused_by_the_policy_is_inconclusive(self):
        policy = self.box.write("policy.yml", "policy: {deny: [loopback]}\n")
        answer = harness.sonde("probe", "tcp", "127.0.0.1:1", "--json", "--config.file", policy)
        self.assertEqual(answer.code, 2, answer)
        self.assertEqual(answer.json()["outcome"], "prober/policy")
        self.assertEqual(answer.json()["verdict"], "inconclusive")

    def test_probe_usage(self):
        target = "127.0.0.1:1"
        for arguments, said in (
                (["pigeon", "x"], "no type 'pigeon'"),
                (["http", ""], "target"),
                (["http", "not a url"], "not a url"),
                (["tcp", "127.0.0.1"], "port"),
                (["tcp", target, "--timeout", "5"], "timeout"),
                (["tcp", target, "--module", "m"], "--config.file is missing"),
                (["tcp", target, "--config.file", "/nowhere.yml"], "/nowhere.yml"),
                (["tcp", target, "--options", "{sound: loud}"], "sound"),
                (["tcp", target, "--options", "{tls"], "sonde probe: "),
                (["tcp", target, "--expect", "{status: 200}"], "status")):
            with self.subTest(arguments):
                answer = self.expect(harness.sonde("probe", *arguments), 2, "", said)
                self.assertFalse(answer.err.endswith("\n\n"), answer)

    def test_probe_warns(self):
        answer = harness.sonde("probe", "http", "ftp://127.0.0.1/")
        self.expect(answer, 1, "dns/not_found", "^sonde probe: warning: target: .*'ftp'")

    def test_probe_with_a_file(self):
        """What is wrong in the file has its place there; what is only odd elsewhere is not told."""
        target = f"127.0.0.1:{self.http}"
        file = self.box.write("modules.yml", "modules:\n  fine: {prober: tcp}\n"
                              "  later: {prober: grpc}\n")
        flags = ["--config.file", file, "--module", "fine"]
        self.expect(harness.sonde("probe", "tcp", target, *flags), 0, "^success")
        self.box.write("modules.yml", "modules:\n  fine: {prober: tcp}\n  bad: {probe: tcp}\n")
        self.expect(harness.sonde("probe", "tcp", target, *flags), 2, "",
                    r"^\S+modules\.yml:3:\d+: ")

    def test_probe_json_is_one_line(self):
        url = f"http://127.0.0.1:{self.http}/"
        answer = harness.sonde("probe", "http", url, "--json", "--expect", "{body_contains: ok}")
        self.assertEqual(answer.out.count("\n"), 1)
        result = answer.json()
        self.assertEqual((result["type"], result["target"]), ("http", url))
        self.assertGreater(result["duration_seconds"], 0)
        self.assertEqual(result["facts"]["probe_http_status_code"], 200)

    def test_terminal_is_safe(self):
        """What a target sends cannot move the cursor of whoever looks."""
        port = self.box.farm(name="evil", config="listeners: [{kind: http, port: 0, "
                             'body: "\\e[31mred\\a"}]').ports[0]
        answer = harness.sonde("probe", "http", f"http://127.0.0.1:{port}/")
        self.assertNotIn("\x1b", answer.out)
        self.assertIn("red", answer.out)

    # Serving

    def test_flags_without_a_command_serve(self):
        program = self.box.start("bare", [harness.binaries() / "sonde",
                                          f"--config.file={self.good}", NOWHERE])
        program.until_ready(lambda: "configuration loaded" in program.text())
        self.check_ends(program, signal.SIGTERM)

    def check_ends(self, program, number):
        begun = time.monotonic()
        program.signal(number)
        self.assertEqual(program.wait(), 0, program.text())
        self.assertLess(time.monotonic() - begun, 30 if harness.sanitized() else 3)
        self.assertIn("stopping", program.text())

    def test_signals_end_it_even_while_probes_hang(self):
        config = ("tasks:\n" + "".join(
            f"  - {{name: t{i}, type: http, target: 'http://127.0.0.1:{self.silent}/', "
            f"interval: 1s, timeout: 60s}}\n" for i in range(50)))
        for number in (signal.SIGTERM, signal.SIGINT):
            prober = self.box.sonde(config, name=f"hanging-{number}")
            harness.until("probes hang",
                          lambda p=prober: p.metrics().value("sonde_runs_in_flight") > 20)
            self.check_ends(prober, number)

    def test_signal_while_somebody_reads_slowly(self):
        prober = self.box.sonde(GOOD, name="read")
        host, port = prober.address.split(":")
        with socket.create_connection((host, int(port))) as idle, \
                socket.create_connection((host, int(port))) as half:
            half.sendall(b"GET /metrics HT")
            self.assertEqual(prober.get("/-/healthy")[0], 200)
            self.check_ends(prober, signal.SIGTERM)
            self.assertEqual(idle.recv(1), b"")

    def test_address_in_use(self):
        prober = self.box.sonde(GOOD, name="first")
        answer = harness.sonde("serve", f"--config.file={self.good}",
                               f"--web.listen-address={prober.address}")
        self.expect(answer, 1, "", rf"sonde: .*{prober.address}.*in use")
        self.assertEqual(prober.get("/-/healthy"), (200, "Healthy"))

    def test_several_addresses(self):
        prober = self.box.sonde(GOOD, "--web.listen-address=127.0.0.2:0", name="both")
        found = set(re.findall(r"127\.0\.0\.[12](?=:\d+)", prober.text()))
        self.assertEqual(found, {"127.0.0.1", "127.0.0.2"})

    def test_routes(self):
        prober = self.box.sonde(GOOD, name="routes")
        self.assertEqual(prober.get("/-/healthy"), (200, "Healthy"))
        self.assertEqual(prober.get("/-/ready"), (200, "Ready"))
        self.assertRegex(prober.get("/version")[1], r"^sonde \d")
        build = json.loads(prober.get("/version", {"Accept": "application/json"})[1])
        self.assertEqual(build["name"], "sonde")
        self.assertIn("<html", prober.get("/")[1].lower())
        self.assertEqual(prober.get("/nowhere")[0], 404)
        self.assertEqual(prober.request("DELETE", "/-/reload")[0], 405)
        self.assertEqual(prober.get("/metrics", {"Host": "evil.example"})[0], 421)
        info = prober.metrics().all("sonde_build_info")
        self.assertEqual(info[0][0]["version"], build["version"])

    # Logs and variables

    def lines(self, prober):
        return [line for line in prober.text().splitlines() if line]

    def failing(self):
        return (f"tasks:\n  - {{name: 'a \"b\" = c', type: tcp, interval: 500ms, "
                f"target: '127.0.0.1:{harness.free_port()}'}}\n")

    def test_log_json(self):
        prober = self.box.sonde(self.failing(), "--log.format=json", name="json")
        harness.until("a failure", lambda: "refused" in prober.text())
        prober.stop()
        records = [json.loads(line) for line in self.lines(prober)]
        self.assertTrue(all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", r["ts"])
                            and r["level"] in ("debug", "info", "warn", "error") and r["msg"]
                            for r in records), records)
        failed = next(r for r in records if r.get("outcome"))
        self.assertEqual((failed["task"], failed["level"], failed["outcome"]),
                         ('a "b" = c', "warn", "connect/refused"))

    def test_log_logfmt(self):
        prober = self.box.sonde(self.failing(), name="logfmt")
        harness.until("a failure", lambda: "refused" in prober.text())
        prober.stop()
        for line in self.lines(prober):
            self.assertRegex(line, r'^ts=\S+Z level=(info|warn|error) msg=("[^"]+"|\S+)( \w+=.*)?$')
        self.assertIn(r'task="a \"b\" = c"', prober.text())

    def test_log_level(self):
        quiet = self.box.sonde(self.failing(), "--log.level=info", name="info")
        harness.until("a failure", lambda: "refused" in quiet.text())
        talkative = self.box.sonde(
            f"tasks: [{{name: fine, type: tcp, target: '127.0.0.1:{self.http}', interval: 200ms}}]",
            "--log.level=debug", name="debug")
        harness.until("a success is logged", lambda: "run succeeded" in talkative.text())

    def test_log_stays_small_when_everything_fails(self):
        port = harness.free_port()
        tasks = "tasks:\n" + "".join(
            f"  - {{name: t{i}, type: tcp, target: '127.0.0.1:{port}', interval: 200ms}}\n"
            for i in range(500))
        prober = self.box.sonde(tasks, name="flood")
        harness.until("thousands of runs", lambda: prober.metrics().sum("sonde_runs_total") > 5000)
        prober.stop()
        runs = prober.text().count("run did not succeed")
        seconds = len(set(re.findall(r"ts=(\S{19})", prober.text())))
        self.assertLess(runs, 25 * (seconds + 2))
        self.assertIn("runs not logged", prober.text())

    def test_environment(self):
        env = {"SONDE_CONFIG_FILE": str(self.good), "SONDE_CONFIG_CHECK": "true"}
        self.expect(harness.sonde(env=env), 0, "good, 1 tasks")
        self.expect(harness.sonde("serve", env=env), 0, "good, 1 tasks")
        # A flag wins over its variable.
        self.expect(harness.sonde(f"--config.file={self.bad}", env=env), 1, "", "bad.yml")
        self.expect(harness.sonde(f"--config.file={self.good}",
                                  env={"SONDE_LOG_LEVEL": "loud"}), 1, "", "loud")
        prober = self.box.sonde(self.failing(), name="variables",
                                env={"SONDE_LOG_FORMAT": "json", "SONDE_SHARDS": "1"})
        json.loads(prober.text().splitlines()[0])
        shards = prober.metrics().all("sonde_loop_utilization_ratio")
        self.assertEqual(len(shards), 1)

    def test_closed_output(self):
        """`sonde probe ... | head -0` ends."""
        done = subprocess.run(
            ["sh", "-c", f"'{harness.binaries()}/sonde' probe tcp 127.0.0.1:{self.http} | true"],
            timeout=harness.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    harness.main()
