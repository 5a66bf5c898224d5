#!/usr/bin/env python3
"""sonde in blackbox_exporter's place: flags, endpoints, limits, lists of targets, as its users meet
them. What single probes say is compared in blackbox_diff_test.py."""
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import harness
from peers import Drain, HttpPeer, Listener, STALL, play

MODULES = """
modules:
  http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}
  tcp: {prober: tcp}
  secret: {prober: http, http: {basic_auth: {username: u, password: geheim}}}
  named: {prober: http, http: {bearer_token: geheim}, policy: {allow: [127.0.0.1]}}
  oauth: {prober: http, http: {oauth2: {client_id: a, client_secret: b, token_url: c}}}
  grpc: {prober: grpc}
"""


class Bare(harness.Program):
    """sonde started as blackbox_exporter is: flags alone."""

    def __init__(self, folder, *flags, name="bare", env=None, **more):
        super().__init__(name, [harness.binaries() / "sonde", *flags], folder, env, **more)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def ask(address, path, headers=None, method="GET"):
    """(status, text, headers); redirects are not followed."""
    request = urllib.request.Request(f"http://{address}{path}", headers=headers or {},
                                     method=method)
    opener = urllib.request.build_opener(NoRedirects)
    try:
        with opener.open(request, timeout=harness.PATIENCE) as reply:
            return reply.status, reply.read().decode(), reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


class BlackboxTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.closed = Drain()
        cls.peer = HttpPeer({"closed": cls.closed.port, "tls": 1})
        cls.silent = Listener(lambda c: play(c, [STALL]))
        box.callback(cls.peer.stop)
        box.callback(cls.silent.stop)
        cls.url = f"http://127.0.0.1:{cls.peer.port}"
        cls.file = box.write("blackbox.yml", MODULES)
        cls.plain = box.sonde(MODULES, name="plain")

    def bare(self, *flags, name="bare", env=None):
        """Started by flags alone, with a port of its own; (program, address)."""
        port = harness.free_port()
        program = self.box.add(Bare(self.box.folder, f"--config.file={self.file}",
                                    f"--web.listen-address=127.0.0.1:{port}", *flags, name=name,
                                    env=env))
        program.until_ready(lambda: harness.accepts(port))
        return program, f"127.0.0.1:{port}"

    def probe(self, prober, target, module="http_2xx", more="", headers=None):
        address = prober if isinstance(prober, str) else prober.address
        query = urllib.parse.urlencode({"module": module, "target": target})
        return ask(address, f"/probe?{query}{more}", headers)[:2]

    # The process

    def test_flags_alone_serve(self):
        program, address = self.bare("--history.limit=3", "--log.prober=debug",
                                     "--timeout-offset=1", "--log.format=json", name="flags")
        status, text = self.probe(address, self.url + "/ok",
                                  headers={"X-Prometheus-Scrape-Timeout-Seconds": "3"})
        self.assertEqual(status, 200)
        self.assertIn("\nprobe_timeout_seconds 2\n", text)
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0)
        self.assertIn('"msg":"Probe succeeded"', program.text())

    def test_exit_codes(self):
        good = f"--config.file={self.file}"
        taken = f"--web.listen-address={self.plain.address}"
        bad = self.box.write("bad.yml", "modules: {a: {prober: x}}\n")
        for arguments, code in (
                ([good, "--config.check"], 0),
                (["--config.file=/no/such/file", "--config.check"], 1),
                ([f"--config.file={bad}", "--config.check"], 1),
                ([good, "--no-such-flag"], 1),
                ([good, "stray"], 1),
                ([good, "--timeout-offset=x"], 1),
                ([good, "--history.limit=-1"], 1),
                ([good, "--log.level=loud"], 1),
                ([good, taken], 1),
                ([good, "--web.listen-address=nonsense"], 1),
                ([good, "--web.external-url='http://x'"], 1),
                ([good, "--web.systemd-socket"], 1),
                ([good, "--probe.deny=what is this"], 1),
                ([good, "--targets.file=/no/such/file", "--config.check"], 1),
                (["--version"], 0), ([good, "--version"], 0), (["-h"], 0), (["--help"], 0)):
            with self.subTest(arguments):
                answer = harness.sonde(*arguments)
                self.assertEqual(answer.code, code, answer)
                if code == 1:
                    self.assertEqual(answer.out, "")
                    self.assertIn("sonde", answer.err)
                else:
                    self.assertNotEqual(answer.out, "")

    def test_usage_errors_are_a_line(self):
        for arguments in (["--no-such-flag"], ["--timeout-offset=x"], ["--log.level=loud",
                                                                      f"--config.file={self.file}"]):
            answer = harness.sonde(*arguments)
            self.assertEqual(answer.err.count("\n"), 1, answer)

    def test_blackbox_yml_is_found(self):
        folder = self.box.folder / "found"
        folder.mkdir()
        (folder / "blackbox.yml").write_text("modules: {a: {prober: tcp}}\n")
        answer = harness.sonde("--config.check", cwd=folder)
        self.assertRegex(answer.out, r"^blackbox\.yml: good, 0 tasks, 1 modules")
        (folder / "sonde.yml").write_text("modules: {}\n")
        self.assertRegex(harness.sonde("--config.check", cwd=folder).out, r"^sonde\.yml: good")

    def test_negated_switch(self):
        answer = harness.sonde(f"--config.file={self.file}", "--no-config.check",
                               "--web.listen-address=nonsense")
        self.assertEqual(answer.code, 1)

    def test_bad_prober_level_warns_only(self):
        program, _ = self.bare("--log.prober=loud", name="loud")
        self.assertIn("--log.prober", program.text())

    def test_termination_does_not_wait_for_probes(self):
        program, address = self.bare(name="ends")
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /probe?target=127.0.0.1:{self.silent.port} HTTP/1.1\r\n"
                           f"Host: {address}\r\n\r\n".encode())
            harness.until("the probe hangs", lambda: "sonde_probe_requests_in_flight 1" in
                          ask(address, "/metrics")[1])
            begun = time.monotonic()
            program.signal(signal.SIGTERM)
            self.assertEqual(program.wait(), 0)
            self.assertLess(time.monotonic() - begun, 30 if harness.sanitized() else 5)
            self.assertIn(b" 503 ", client.recv(4096))

    def test_inherited_sockets(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            arguments = [str(harness.binaries() / "sonde"), f"--config.file={self.file}",
                         "--web.systemd-socket", f"--web.external-url=http://127.0.0.1:{port}/"]
            script = ("import os,sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); "
                      "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
                      "os.execv(sys.argv[2], sys.argv[2:])")
            with open(self.box.folder / "inherited.log", "wb") as log, subprocess.Popen(
                    ["python3", "-c", script, str(listener.fileno()), *arguments],
                    pass_fds=[listener.fileno()], stdout=log, stderr=log,
                    env=harness.clean_environment()) as program:
                try:
                    self.assertEqual(ask(f"127.0.0.1:{port}", "/-/healthy")[:2], (200, "Healthy"))
                finally:
                    program.terminate()
                self.assertEqual(program.wait(harness.PATIENCE), 0)

    # Endpoints

    def test_probe(self):
        status, text, headers = ask(self.plain.address, f"/probe?target={self.url}/ok")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        names = re.findall(r"^# TYPE (\S+) gauge$", text, re.M)
        self.assertEqual(names, sorted(names))
        self.assertEqual(len(names), len(re.findall(r"^# TYPE", text, re.M)))
        self.assertNotIn("probe_failure_info", text)
        for accept in ("application/openmetrics-text; version=1.0.0", "*/*"):
            self.assertEqual(ask(self.plain.address, f"/probe?target={self.url}/ok",
                                 {"Accept": accept})[2]["Content-Type"],
                             "text/plain; version=0.0.4; charset=utf-8")

    def test_any_method(self):
        for method in ("GET", "POST", "PUT", "DELETE"):
            for path in (f"/probe?target={self.url}/ok", "/-/healthy", "/metrics", "/config"):
                self.assertEqual(ask(self.plain.address, path, method=method)[0], 200, path)
        for method in ("GET", "PUT", "DELETE"):
            status, text, _ = ask(self.plain.address, "/-/reload", method=method)
            self.assertEqual((status, text.count("\n")), (405, 1))

    def test_details(self):
        target = f"127.0.0.1:{self.closed.port}"
        text = self.probe(self.plain, target, "tcp", "&details=true")[1]
        self.assertIn('\nprobe_failure_info{phase="connect",reason="refused"} 1\n', text)
        self.assertIn('\nprobe_tcp_duration_seconds{phase="connect"} ', text)
        self.assertNotIn("probe_failure_info", self.probe(self.plain, target, "tcp")[1])
        _, address = self.bare("--probe.details", name="details")
        self.assertIn("probe_failure_info", self.probe(address, target, "tcp")[1])

    def test_modules_that_do_not_work_yet(self):
        status, text = self.probe(self.plain, "x", "grpc")
        self.assertEqual((status, text), (400, 'Unknown prober "grpc"\n'))
        status, text = self.probe(self.plain, "x", "oauth")
        self.assertEqual(status, 400)
        self.assertIn("oauth2", text)
        for words in ("module=grpc is not usable|grpc.*not usable", "oauth2.*not supported"):
            self.assertRegex(self.plain.text(), words)

    def test_debug_and_secrets(self):
        status, text = self.probe(self.plain, self.url + "/wants-password", "secret",
                                  "&debug=true&hostname=a.example")
        self.assertEqual(status, 200)
        blocks = ["Logs for the probe:\n", "\nMetrics that would have been returned:\n",
                  "\nModule configuration:\n"]
        places = [text.index(block) for block in blocks]
        self.assertEqual(places, sorted(places))
        self.assertIn("password: <secret>", text)
        self.assertIn('Host: "a.example"', text)
        config = ask(self.plain.address, "/config")[1]
        self.assertIn("modules:\n  grpc:\n    prober: grpc\n", config)
        for shown in (text, config, self.plain.text()):
            self.assertNotIn("geheim", shown)

    def test_history(self):
        _, address = self.bare("--history.limit=3", name="history")
        ok, bad = self.url + "/ok", self.url + "/404"
        for target in (ok, ok, ok, bad, bad, bad, ok, ok, ok, ok):
            self.assertEqual(self.probe(address, target)[0], 200)
        page = ask(address, "/")[1]
        self.assertEqual(re.findall(r'href="logs\?id=(\d+)"', page), list("987543"))
        self.assertEqual(re.findall(r">(Success|Failure)<", page), ["Success"] * 3 +
                         ["Failure"] * 3)
        status, text, _ = ask(address, "/logs?id=4")
        self.assertEqual(status, 200)
        self.assertIn("reason=status", text)
        self.assertEqual(ask(address, "/logs?id=0")[0], 404)
        self.assertEqual(ask(address, "/logs")[0], 400)
        self.assertEqual(ask(address, f"/logs?target={bad}")[0], 200)

    def test_route_prefix(self):
        _, address = self.bare("--web.external-url=http://proxy.example/x/", name="prefix")
        for path, status, location in (
                ("/", 302, "http://proxy.example/x"), ("/x", 301, "/x/"), ("/x/", 200, None),
                ("/metrics", 404, None), ("/x/metrics", 200, None), ("/x/-/healthy", 200, None),
                ("/x/foo", 404, None), ("/foo", 404, None), ("/x/probe/", 404, None),
                (f"/x/probe?target={self.url}/ok", 200, None), ("/x/style.css", 200, None)):
            with self.subTest(path):
                answer = ask(address, path)
                self.assertEqual(answer[0], status)
                self.assertEqual(answer[2]["Location"], location)
        self.assertEqual(ask(address, "/x/-/healthy", {"Host": "proxy.example"})[0], 200)
        _, address = self.bare("--web.external-url=http://proxy.example/x/",
                               "--web.route-prefix=/", name="no-prefix")
        self.assertEqual(ask(address, "/metrics")[0], 200)

    def test_own_metrics(self):
        self.probe(self.plain, "x", "nowhere")
        metrics = self.plain.metrics("blackbox_", "sonde_probe_requests")
        self.assertGreaterEqual(metrics.value("blackbox_module_unknown_total"), 1)
        self.assertEqual(metrics.value("blackbox_exporter_config_last_reload_successful"), 1)
        self.assertGreater(
            metrics.value("blackbox_exporter_config_last_reload_success_timestamp_seconds"), 1e9)
        labels = metrics.all("blackbox_exporter_build_info")[0][0]
        self.assertLessEqual({"branch", "goarch", "goos", "goversion", "revision", "version"},
                             set(labels))

    def test_a_scraper_that_leaves_ends_its_probe(self):
        host, port = self.plain.address.split(":")
        gone = 'sonde_probe_requests_total{result="client_gone"} 1\n'
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /probe?target=127.0.0.1:{self.silent.port} HTTP/1.1\r\n"
                           f"Host: {self.plain.address}\r\n\r\n".encode())
            harness.until("the probe hangs", lambda: self.plain.metrics().value(
                "sonde_probe_requests_in_flight") == 1)
        harness.until("it was ended", lambda: gone in ask(self.plain.address, "/metrics")[1])
        harness.until("the engine has nothing to do", lambda: self.plain.metrics().value(
            "sonde_runs_in_flight") == 0)

    # Reload

    def test_reload(self):
        prober = self.box.sonde("modules: {a: {prober: tcp}}\n", name="reload")
        target = f"127.0.0.1:{self.peer.port}"
        self.assertEqual(self.probe(prober, target, "b")[0], 400)
        prober.config.write_text("modules: {b: {prober: tcp}}\n")
        self.assertEqual(prober.reload(), (200, ""))
        self.assertEqual(self.probe(prober, target, "b")[0], 200)
        before = prober.metrics().value(
            "blackbox_exporter_config_last_reload_success_timestamp_seconds")
        prober.config.write_text("modules: {c: {prober: gopher}}\n")
        status, text = prober.reload()
        self.assertEqual(status, 500)
        self.assertRegex(text, r"^failed to reload config: error parsing config file:")
        metrics = prober.metrics("blackbox_")
        self.assertEqual(metrics.value("blackbox_exporter_config_last_reload_successful"), 0)
        self.assertEqual(metrics.value(
            "blackbox_exporter_config_last_reload_success_timestamp_seconds"), before)
        self.assertEqual(self.probe(prober, target, "b")[0], 200)
        prober.config.write_text("modules: {b: {prober: tcp}}\n")  # what is in force
        self.assertEqual(prober.reload(), (200, ""))
        metrics = prober.metrics("blackbox_")
        self.assertEqual(metrics.value("blackbox_exporter_config_last_reload_successful"), 1)
        self.assertGreater(metrics.value(
            "blackbox_exporter_config_last_reload_success_timestamp_seconds"), before)

    def test_module_files_and_auto_reload(self):
        folder = self.box.folder / "conf.d"
        folder.mkdir()
        (folder / "1.yml").write_text("modules: {one: {prober: tcp}}\n")
        prober = self.box.sonde("modules: {}\nmodule_files: ['conf.d/*.yml']\n",
                                "--config.enable-auto-reload", "--config.auto-reload-interval=1",
                                name="files")
        target = f"127.0.0.1:{self.peer.port}"
        self.assertEqual(self.probe(prober, target, "one")[0], 200)
        (folder / "2.yml").write_text("modules: {two: {prober: tcp}}\n")
        harness.until("the new file is in force",
                      lambda: self.probe(prober, target, "two")[0] == 200)
        (folder / "3.yml").write_text("modules: {one: {prober: tcp}}\n")
        status, text = prober.reload()
        self.assertEqual(status, 500)
        self.assertRegex(text, r"conf\.d/3\.yml:1:\d+: modules\.one: .*conf\.d/1\.yml")

    # Safety

    def test_local_networks_are_refused(self):
        for target in ("http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/"):
            status, text = self.probe(self.plain, target)
            self.assertEqual(status, 403, text)
            self.assertRegex(text, "prober/policy: .*(link-local|metadata)")
        self.assertGreaterEqual(self.plain.metrics().value(
            "sonde_probe_requests_total", result="policy"), 2)
        _, address = self.bare("--probe.deny=loopback", name="denies")
        self.assertEqual(self.probe(address, self.url)[0], 403)
        self.assertEqual(self.probe(address, self.url.replace("127.0.0.1", "localhost"))[0], 403)
        _, address = self.bare("--probe.deny=none", "--probe.allow=127.0.0.1", name="allows")
        self.assertEqual(self.probe(address, self.url)[0], 200)
        self.assertEqual(self.probe(address, "http://127.0.0.2/")[0], 403)

    def test_modules_name_their_targets(self):
        self.assertEqual(self.probe(self.plain, self.url, "named")[0], 200)
        status, text = self.probe(self.plain, "http://127.0.0.2/", "named")
        self.assertEqual(status, 403, text)
        self.assertRegex(self.plain.text(), "credentials.*module=secret")
        _, address = self.bare("--probe.credentials=named", name="guarded")
        self.assertEqual(self.probe(address, self.url, "secret")[0], 403)
        self.assertEqual(self.probe(address, self.url, "named")[0], 200)

    def test_limits(self):
        _, address = self.bare("--probe.max-in-flight=2", "--probe.max-in-flight-per-client=1",
                               name="limits")
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /probe?target=127.0.0.1:{self.silent.port} HTTP/1.1\r\n"
                           f"Host: {address}\r\n\r\n".encode())
            harness.until("the probe hangs", lambda: "sonde_probe_requests_in_flight 1" in
                          ask(address, "/metrics")[1])
            status, text = self.probe(address, self.url)
            self.assertEqual(status, 429)
            self.assertIn("--probe.max-in-flight-per-client", text)

    # Lists of targets

    def test_targets(self):
        targets = self.box.folder / "targets.json"
        targets.write_text(json.dumps([{"targets": [self.url + "/ok"],
                                        "labels": {"team": "web", "__meta_x": "y"}}]))
        config = "modules: {http_2xx: {prober: http}, tcp: {prober: tcp}}\n" + \
            "tasks: [{name: own, type: tcp, target: '127.0.0.1:1', interval: 1h}]\n"
        prober = self.box.sonde(config, f"--targets.file={targets}", "--targets.interval=200ms",
                                name="targets")
        name = f"http_2xx {self.url}/ok"
        metrics = prober.until_runs(1, [name])
        self.assertEqual(metrics.value("probe_success", name=name, team="web"), 1)
        other = f"127.0.0.1:{self.peer.port}"
        targets.write_text(json.dumps([{"targets": [self.url + "/ok"], "labels": {"team": "web"}},
                                       {"targets": [other], "labels": {"module": "tcp"}}]))
        metrics = prober.until_runs(1, [f"tcp {other}"])
        self.assertEqual(metrics.value("sonde_targets_last_reload_successful"), 1)
        targets.write_text("[{]")
        harness.until("the bad list is noticed", lambda: prober.metrics().value(
            "sonde_targets_last_reload_successful") == 0)
        self.assertEqual(prober.metrics().value("sonde_config_last_reload_successful"), 1)
        prober.until_runs(3, [name, f"tcp {other}"])
        os.replace(self.box.write("new.json", "[]"), targets)
        harness.until("the targets are gone", lambda: not prober.metrics().all(
            "health_check_results", name=name))
        self.assertTrue(prober.metrics().all("health_check_results", name="own"))


if __name__ == "__main__":
    harness.main()
