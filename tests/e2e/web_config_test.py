#!/usr/bin/env python3
"""--web.config.file: TLS, client certificates, passwords, headers and limits, asked by curl and by a
real Prometheus, beside Debian's blackbox_exporter with the same file."""
import contextlib
import json
import re
import signal
import ssl
import socket
import subprocess
import urllib.request

import authority
import harness

OTHER, PROMETHEUS, PROMTOOL, CURL = harness.need("prometheus-blackbox-exporter", "prometheus",
                                                 "promtool", "curl")
MODULES = "modules: {tcp: {prober: tcp, timeout: 5s}}\n"
TASKS = MODULES + "tasks: [{name: self, type: tcp, target: '127.0.0.1:1', interval: 1s}]\n"
# Of the words "right" and "changed".
RIGHT = "$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC"
CHANGED = "$2y$05$abcdefghijklmnopqrstuuZHDdPPl57vGSi2Jpi.TeOSHlzyP0rb6"
USERS = f"basic_auth_users: {{ann: {RIGHT}}}\n"
PAIR = "cert_file: server.pem, key_file: server.key"
VERIFY = f"{PAIR}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert"


def tls(block=PAIR):
    return f"tls_server_config: {{{block}}}\n"


def curl(address, path="/-/healthy", *flags, scheme="https", folder=None):
    """(status, body, headers); status 0 when there is no HTTP answer at all."""
    flags = ["--cacert", "ca.pem", *flags] if scheme == "https" else flags
    done = subprocess.run([CURL, "-sS", "-i", "--max-time", "30", *flags,
                           f"{scheme}://{address}{path}"], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    head, _, body = done.stdout.partition("\n\n")  # text mode: CRLF is LF
    match = re.match(r"HTTP/1\.[01] (\d+)|HTTP/2 (\d+)", head)
    if done.returncode != 0 or not match:
        return 0, done.stderr, ""
    return int(match.group(1) or match.group(2)), body, head


class Server(harness.Program):
    """Either exporter with a web configuration; `address` of the first of its sockets."""

    def __init__(self, box, kind, web, *flags, name=None, addresses=1, ready=True,
                 modules=None):
        name = name or kind
        config = box.write(f"{name}.modules.yml", modules or (MODULES if kind == "theirs" else TASKS))
        self.web = box.write(f"{name}.web.yml", web)
        self.addresses = [f"127.0.0.1:{harness.free_port()}" for _ in range(addresses)]
        program = OTHER if kind == "theirs" else harness.binaries() / "sonde"
        super().__init__(name, [program, f"--config.file={config}",
                                f"--web.config.file={self.web}",
                                *(f"--web.listen-address={a}" for a in self.addresses), *flags],
                         box.folder)
        self.address = self.addresses[0]
        box.add(self)
        if ready:
            port = int(self.address.split(":")[1])
            self.until_ready(lambda: harness.accepts(port))

    def end(self):
        self.signal(signal.SIGTERM)
        return self.wait()


class WebConfigTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        folder = box.folder
        ca = authority.Authority(folder, "ours")
        other = authority.Authority(folder, "theirs")
        cls.ca = ca
        (folder / "ca.pem").write_text(ca.certificate.read_text())
        made = {
            "server": ca.issue("server"),
            "renewed": ca.issue("renewed"),
            "client": ca.issue("client", "DNS:scraper.example,email:ops@example.com,"
                                         "URI:spiffe://example/scraper,IP:192.0.2.7"),
            "stranger": other.issue("stranger", "DNS:scraper.example"),
            "expired": ca.issue("expired", "DNS:scraper.example", authority.days(-20),
                                authority.days(-10)),
        }
        for name, certificate in made.items():
            (folder / f"{name}.pem").write_text(certificate.bundle.read_text())
            (folder / f"{name}.key").write_text(certificate.key.read_text())

    def ask(self, server, path="/-/healthy", *flags, scheme="https"):
        return curl(server.address, path, *flags, scheme=scheme, folder=self.box.folder)

    @contextlib.contextmanager
    def both(self, web):
        """The two exporters with that file, each asked the same."""
        name = self.id().rsplit(".", 1)[1]
        servers = [Server(self.box, kind, web, name=f"{name}.{kind}") for kind in ("ours", "theirs")]
        yield servers
        self.assertEqual(servers[0].end(), 0)
        servers[1].stop()

    def check_same(self, web, rows):
        """rows: (status, scheme, path, curl's flags)."""
        with self.both(web) as servers:
            for status, scheme, path, *flags in rows:
                got = [self.ask(s, path, *flags, scheme=scheme)[0] for s in servers]
                self.assertEqual(got, [status, status], (web, scheme, path, flags))

    CLIENT = ("--cert", "client.pem", "--key", "client.key")
    STRANGER = ("--cert", "stranger.pem", "--key", "stranger.key")
    EXPIRED = ("--cert", "expired.pem", "--key", "expired.key")

    # Beside blackbox_exporter

    def test_tls(self):
        self.check_same(tls(), [
            (200, "https", "/-/healthy"), (200, "https", "/metrics"),
            (200, "https", "/config"), (400, "https", "/probe"),
            (200, "https", "/probe?module=tcp&target=127.0.0.1:1"),
            (200, "https", "/-/healthy", "--tlsv1.3"),
            (200, "https", "/-/healthy", "--tls-max", "1.2"),
            (0, "https", "/-/healthy", "--tls-max", "1.1"),
            (400, "http", "/-/healthy"), (400, "http", "/metrics", "-X", "POST"),
            (200, "https", "/-/healthy", *self.STRANGER),
        ])

    def test_plain_http_on_a_tls_port_is_told_so(self):
        with self.both(tls()) as servers:
            said = [self.ask(s, scheme="http")[1] for s in servers]
            self.assertEqual(said[0], said[1])
            self.assertIn("HTTPS server", said[0])

    def test_client_certificates(self):
        rows = {  # type: none, good, of another authority, expired
            "NoClientCert": (200, 200, 200, 200),
            "RequestClientCert": (200, 200, 200, 200),
            "RequireAnyClientCert": (0, 200, 200, 200),
            "RequireClientCert": (0, 200, 200, 200),
            "VerifyClientCertIfGiven": (200, 200, 0, 0),
            "RequireAndVerifyClientCert": (0, 200, 0, 0),
        }
        for number, (kind, expected) in enumerate(rows.items()):
            web = tls(PAIR + f", client_auth_type: {kind}" +
                      (", client_ca_file: ca.pem" if kind != "NoClientCert" else ""))
            servers = [Server(self.box, of, web, name=f"clients{number}.{of}")
                       for of in ("ours", "theirs")]
            for flags, status in zip(((), self.CLIENT, self.STRANGER, self.EXPIRED), expected):
                got = [self.ask(s, "/-/healthy", *flags)[0] for s in servers]
                self.assertEqual(got, [status, status], (kind, flags))
            self.assertEqual([s.end() for s in servers], [0, 0])

    def test_passwords(self):
        self.check_same(USERS, [
            (401, "http", "/-/healthy"), (401, "http", "/"), (401, "http", "/-/reload", "-XPOST"),
            (200, "http", "/-/healthy", "-u", "ann:right"),
            (200, "http", "/-/healthy", "-u", "ann:right"),
            (401, "http", "/-/healthy", "-u", "ann:wrong"),
            (401, "http", "/-/healthy", "-u", "ann:"), (401, "http", "/-/healthy", "-u", ":"),
            (401, "http", "/-/healthy", "-u", "eve:right"),
            (401, "http", "/-/healthy", "-u", "Ann:right"),
            (200, "http", "/metrics", "-u", "ann:right"),
            (401, "http", "/metrics", "-H", "Authorization: Bearer right"),
            (401, "http", "/metrics", "-H", "Authorization: Basic ????"),
            (200, "http", "/metrics", "-H", "Authorization: bAsIc YW5uOnJpZ2h0"),
            (200, "http", "/-/reload", "-XPOST", "-u", "ann:right"),
        ])
        with self.both(USERS) as servers:
            for server in servers:
                status, body, head = self.ask(server, scheme="http")
                self.assertEqual((status, body), (401, "Unauthorized\n"))
                self.assertRegex(head, r"(?im)^www-authenticate: Basic$")

    def test_tls_and_passwords_and_certificates(self):
        self.check_same(tls(VERIFY) + USERS, [
            (0, "https", "/-/healthy", "-u", "ann:right"),
            (401, "https", "/-/healthy", *self.CLIENT),
            (401, "https", "/-/healthy", "-u", "ann:wrong", *self.CLIENT),
            (200, "https", "/-/healthy", "-u", "ann:right", *self.CLIENT),
        ])

    def test_headers(self):
        web = ("http_server_config: {headers: {X-Frame-Options: deny, X-XSS-Protection: '1', "
               "Content-Security-Policy: 'default-src https:', X-Content-Type-Options: nosniff, "
               "Strict-Transport-Security: max-age=60}}\n") + USERS
        with self.both(web) as servers:
            for flags in ((), ("-u", "ann:right")):
                for server in servers:
                    head = self.ask(server, "/metrics", *flags, scheme="http")[2]
                    lines = sorted(line.lower() for line in head.splitlines() if re.match(
                        r"(?i)(x-|content-security|strict)", line))
                    self.assertEqual(lines, [
                        "content-security-policy: default-src https:",
                        "strict-transport-security: max-age=60", "x-content-type-options: nosniff",
                        "x-frame-options: deny", "x-xss-protection: 1"], server.name)

    def test_a_file_that_becomes_bad_lets_nobody_in(self):
        with self.both(tls() + USERS) as servers:
            for server in servers:
                good = server.web.read_text()

                def status(*flags, of=server):
                    return self.ask(of, "/-/healthy", *flags)[0]
                self.assertEqual(status("-u", "ann:right"), 200)
                server.web.write_text(good.replace(RIGHT, CHANGED))
                harness.until("the new password is taken",
                              lambda: status("-u", "ann:changed") == 200)
                self.assertEqual(status("-u", "ann:right"), 401)
                server.web.write_text(good + "nonsense: 1\n")
                # There, TLS fails as well; here, clients are told.
                wanted = 500 if server is servers[0] else 0
                harness.until("nobody gets in", lambda: status("-u", "ann:changed") == wanted)
                self.assertEqual(status(), wanted)
                server.web.write_text(good)
                harness.until("the door opens", lambda: status("-u", "ann:right") == 200)
                self.assertEqual(status("-u", "ann:changed"), 401)
            self.assertIn("unknown key 'nonsense'", servers[0].text())

    def test_tls_taken_back_before_a_restart_locks_nobody_out(self):
        server = Server(self.box, "ours", "{}\n", name="taken-back")
        server.web.write_text(tls())
        harness.until("it says so", lambda: "needs a restart" in server.text())
        self.assertEqual(self.ask(server, scheme="http")[0], 200)
        server.web.write_text("rate_limit: {interval: 1s, burst: 1}\n")
        harness.until("it is read", lambda: 429 in [
            self.ask(server, "/version", scheme="http")[0] for _ in range(3)])
        self.assertNotIn("500", server.text())
        self.assertEqual(server.end(), 0)

    def test_without_tls_a_bad_file_is_500_in_both(self):
        with self.both(USERS) as servers:
            for server in servers:
                server.web.write_text("basic_auth_users: [")
                harness.until("500", lambda s=server: self.ask(s, scheme="http")[0] == 500)

    FILES = [  # text, good, what Debian's toolkit (0.8) says when it differs
        ("{}", True), ("", True), ("# nothing\n", True), ("[]", False), ("x: 1\n", False),
        (tls(), True), (tls(""), True), (tls("min_version: TLS13"), True),
        (tls("cert_file: server.pem"), False), (tls("key_file: server.key"), False),
        (tls("client_auth_type: RequestClientCert"), False),
        (tls("cert_file: none.pem, key_file: server.key"), False),
        (tls("cert_file: server.pem, key_file: none.key"), False),
        (tls("cert_file: server.pem, key_file: client.key"), False),
        (tls("cert_file: server.key, key_file: server.pem"), False),
        (tls(PAIR + ", client_ca_file: ca.pem"), False),
        (tls(PAIR + ", client_ca_file: ca.pem, client_auth_type: NoClientCert"), False),
        (tls(PAIR + ", client_ca_file: none.pem, client_auth_type: RequestClientCert"), False),
        (tls(PAIR + ", client_auth_type: Never"), False),
        *((tls(PAIR + f", client_ca_file: ca.pem, client_auth_type: {kind}"), True) for kind in (
            "RequestClientCert", "RequireAnyClientCert", "RequireClientCert",
            "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")),
        *((tls(PAIR + f", min_version: {v}"), True) for v in ("TLS10", "TLS11", "TLS12", "TLS13")),
        (tls(PAIR + ", min_version: SSL30"), False), (tls(PAIR + ", max_version: TLS14"), False),
        (tls(PAIR + ", min_version: TLS13, max_version: TLS12"), False, True),
        (tls(PAIR + ", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"), True),
        (tls(PAIR + ", cipher_suites: [TLS_CHACHA20_POLY1305_SHA256]"), True),
        (tls(PAIR + ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"), False),
        (tls(PAIR + ", cipher_suites: [AES128-SHA]"), False),
        (tls(PAIR + ", cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"), False, True),
        (tls(PAIR + ", curve_preferences: [X25519, CurveP256, CurveP384, CurveP521]"), True),
        (tls(PAIR + ", curve_preferences: [P256]"), False),
        (tls(PAIR + ", prefer_server_cipher_suites: false"), True),
        (tls(PAIR + ", prefer_server_cipher_suites: perhaps"), False),
        (tls(PAIR + ", unknown: 1"), False),
        (tls(VERIFY + ", client_allowed_sans: [a]"), True, False),
        ("http_server_config: {http2: true}\n", True),
        ("http_server_config: {http2: false}\n", True),
        ("http_server_config: {http2: 2}\n", False),
        ("http_server_config: {headers: {X-Frame-Options: deny}}\n", True),
        ("http_server_config: {headers: {X-Frame-Options: allow}}\n", False),
        ("http_server_config: {headers: {X-Content-Type-Options: sniff}}\n", False),
        ("http_server_config: {headers: {Server: x}}\n", False),
        ("http_server_config: {header: {}}\n", False),
        (USERS, True), ("basic_auth_users: {ann: right}\n", False),
        ("basic_auth_users: {ann: }\n", False), ("basic_auth_users: [ann]\n", False),
        ("rate_limit: {interval: 1s, burst: 1}\n", True, False),
        ("rate_limit: {interval: 0}\n", True, False),
        ("rate_limit: {interval: often}\n", False),
    ]

    def test_files_good_and_bad(self):
        for number, (text, good, *other) in enumerate(self.FILES):
            with self.subTest(text):
                path = self.box.write(f"file{number}.yml", text)
                ours = harness.sonde("check", f"--web.config.file={path}", cwd=self.box.folder)
                self.assertEqual(ours.code, 0 if good else 1, ours)
                if not good:
                    # Every finding names file, line, column; and the process does not start.
                    for line in ours.err.splitlines()[1:]:
                        self.assertRegex(line, rf"^{re.escape(str(path))}:\d+:\d+: ")
                theirs = subprocess.run([PROMTOOL, "check", "web-config", path],
                                        cwd=self.box.folder, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, check=False)
                self.assertEqual(theirs.returncode == 0, other[0] if other else good,
                                 theirs.stdout)

    def test_a_bad_file_ends_the_start(self):
        for number, text in enumerate(("nonsense: 1\n", tls("cert_file: none.pem"), USERS + "x: y\n")):
            for kind in ("ours", "theirs"):
                server = Server(self.box, kind, text, name=f"bad{number}.{kind}", ready=False)
                self.assertEqual(server.wait(), 1, server.text())
        self.assertRegex(self.box.folder.joinpath("bad0.ours.log").read_text(),
                         r"bad0\.ours\.web\.yml:1:1: unknown key 'nonsense'")
        missing = harness.sonde("--web.config.file=/no/such/file", "--web.listen-address=127.0.0.1:0",
                                f"--config.file={self.box.write('m.yml', MODULES)}")
        self.assertEqual(missing.code, 1, missing)
        self.assertIn("/no/such/file", missing.err)
        # --config.check does not look at it.
        checked = harness.sonde("--web.config.file=/no/such/file", "--config.check",
                                f"--config.file={self.box.folder / 'm.yml'}")
        self.assertEqual(checked.code, 0, checked)

    # Ours alone

    def test_an_address_in_use_ends_the_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            config = self.box.write("taken.yml", TASKS)
            web = self.box.write("taken.web.yml", tls())
            ended = harness.sonde(f"--config.file={config}", f"--web.config.file={web}",
                                  f"--web.listen-address=127.0.0.1:{taken.getsockname()[1]}")
        self.assertEqual(ended.code, 1, ended)
        self.assertIn("address already in use", ended.err)

    def test_allowed_names(self):
        server = Server(self.box, "ours", tls(VERIFY + ", client_allowed_sans: [x]"), name="sans")
        for name, status in (("scraper.example", 200), ("ops@example.com", 200),
                             ("'spiffe://example/scraper'", 200), ("192.0.2.7", 200),
                             ("client", 0), ("other.example", 0)):
            server.web.write_text(tls(VERIFY + f", client_allowed_sans: [{name}]"))
            harness.until(f"{name}: {status}",
                          lambda: self.ask(server, "/-/healthy", *self.CLIENT)[0] == status)
        self.assertEqual(server.end(), 0)

    def test_a_renewed_certificate_is_shown(self):
        folder = self.box.folder
        for part in ("pem", "key"):
            folder.joinpath(f"live.{part}").write_text(folder.joinpath(f"server.{part}").read_text())
        server = Server(self.box, "ours", tls("cert_file: live.pem, key_file: live.key"),
                        name="renew")

        def shown():
            host, port = server.address.split(":")
            return ssl.get_server_certificate((host, int(port))).strip()
        old, new = (folder.joinpath(f"{n}.pem").read_text().strip() for n in ("server", "renewed"))
        self.assertEqual(shown(), old)
        # Half of it: what was there stays in force, and somebody is told.
        folder.joinpath("live.pem").write_text(new)
        harness.until("it is noticed", lambda: "does not belong" in server.text())
        self.assertEqual(shown(), old)
        self.assertEqual(self.ask(server)[0], 200)
        metrics = self.ask(server, "/metrics")[1]
        self.assertIn("\nsonde_web_config_last_reload_successful 0\n", metrics)
        folder.joinpath("live.key").write_text(folder.joinpath("renewed.key").read_text())
        harness.until("the new one is shown", lambda: shown() == new)
        harness.until("all is well", lambda: "\nsonde_web_config_last_reload_successful 1\n" in
                      self.ask(server, "/metrics")[1])
        # The lock is not taken off by a file that is being written.
        server.web.write_text("")
        harness.until("it is noticed", lambda: "is empty now" in server.text())
        self.assertEqual(self.ask(server)[0], 500)
        server.web.write_text("{}")
        harness.until("it is noticed", lambda: "by a restart only" in server.text())
        self.assertEqual(self.ask(server)[0], 500)
        self.assertEqual(server.end(), 0)

    def test_a_limit_on_requests(self):
        server = Server(self.box, "ours", "rate_limit: {interval: 1h, burst: 3}\n", name="limit")
        statuses = [self.ask(server, scheme="http")[0] for _ in range(5)]
        self.assertEqual(statuses, [200, 200, 200, 429, 429])
        self.assertEqual(server.end(), 0)

    def test_every_address(self):
        server = Server(self.box, "ours", tls() + USERS, name="addresses", addresses=3)
        for address in server.addresses:
            self.assertEqual(curl(address, folder=self.box.folder)[0], 401)
            self.assertEqual(curl(address, "/-/healthy", "-u", "ann:right",
                                  folder=self.box.folder)[0], 200)
        self.assertEqual(server.end(), 0)

    def test_sockets_of_systemd(self):
        web = self.box.write("systemd.web.yml", tls())
        config = self.box.write("systemd.yml", MODULES)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            script = ("import os,sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); "
                      "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
                      "os.execv(sys.argv[2], sys.argv[2:])")
            with open(self.box.folder / "systemd.log", "wb") as log, subprocess.Popen(
                    ["python3", "-c", script, str(listener.fileno()),
                     str(harness.binaries() / "sonde"), f"--config.file={config}",
                     f"--web.config.file={web}", "--web.systemd-socket",
                     f"--web.external-url=https://{address}/"],
                    pass_fds=[listener.fileno()], stdout=log, stderr=log,
                    env=harness.clean_environment()) as program:
                try:
                    self.assertEqual(curl(address, folder=self.box.folder)[:2], (200, "Healthy"))
                finally:
                    program.terminate()
                self.assertEqual(program.wait(harness.PATIENCE), 0)

    def test_a_large_scrape_over_tls_is_whole(self):
        tasks = "\n".join(f"  - {{name: t{i}, type: tcp, target: '127.0.0.1:1', interval: 10s}}"
                          for i in range(3000))
        server = Server(self.box, "ours", tls(), name="large", modules=f"tasks:\n{tasks}\n")
        harness.until("every task is there", lambda: len(set(re.findall(
            r'name="(t\d+)"', self.ask(server, "/metrics")[1]))) == 3000)
        self.assertEqual(server.end(), 0)

    def test_prometheus_scrapes(self):
        folder = self.box.folder
        server = Server(self.box, "ours", tls(VERIFY) + USERS, name="scraped")
        at = f"127.0.0.1:{harness.free_port()}"
        target = [{"targets": [server.address]}]
        mutual = {"ca_file": str(folder / "ca.pem"), "cert_file": str(folder / "client.pem"),
                  "key_file": str(folder / "client.key")}
        jobs = {
            "good": {"tls_config": mutual, "basic_auth": {"username": "ann", "password": "right"}},
            "wrong": {"tls_config": mutual, "basic_auth": {"username": "ann", "password": "no"}},
            "bare": {"tls_config": {"ca_file": str(folder / "ca.pem")},
                     "basic_auth": {"username": "ann", "password": "right"}},
        }
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                  "scrape_configs": [{"job_name": name, "scheme": "https",
                                      "static_configs": target, **job}
                                     for name, job in jobs.items()]}
        path = self.box.write("prometheus.json", json.dumps(config))
        self.box.start("prometheus", [
            PROMETHEUS, f"--config.file={path}", f"--web.listen-address={at}",
            f"--storage.tsdb.path={folder / 'tsdb'}"])

        def ups():
            try:
                with urllib.request.urlopen(f"http://{at}/api/v1/query?query=up",
                                            timeout=10) as answer:
                    rows = json.load(answer)["data"]["result"]
            except OSError:
                return {}
            return {row["metric"]["job"]: row["value"][1] for row in rows}
        harness.until(lambda: f"up: {ups()}", lambda: ups() == {"good": "1", "wrong": "0",
                                                                "bare": "0"})

        def refused():
            body = self.ask(server, "/metrics", "-u", "ann:right", *self.CLIENT)[1]
            metrics = harness.Metrics(body.splitlines())
            return (metrics.sum("http_requests_total", status="401") > 0 and
                    metrics.value("sonde_http_tls_handshake_failures_total",
                                  reason="certificate") > 0)
        harness.until("both refusals are counted", refused)
        self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    harness.main()
