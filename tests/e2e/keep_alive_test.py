#!/usr/bin/env python3
"""Connections that tasks keep, against nginx: it answers with the number of the request on its
connection, says `Connection: close` after so many, and closes idle ones when it likes."""
import authority
import harness

NGINX = """
  access_log off;
  server {{
    listen 127.0.0.1:{plain};
    keepalive_timeout 60s;
    location /few {{ keepalive_requests 3; return 200 "$connection_requests\\n"; }}
    location /short {{ keepalive_timeout 100ms; return 200 "$connection_requests\\n"; }}
    location /edge {{ keepalive_timeout 200ms; return 200 "$connection_requests\\n"; }}
    location /bad {{ return 503 "$connection_requests\\n"; }}
    location / {{ return 200 "$connection_requests\\n"; }}
  }}
  server {{
    listen 127.0.0.1:{secure} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 "$connection_requests\\n"; }}
  }}
"""
# Task, and what each of its runs must find in the body.
TASKS = """
modules:
  kept: {{prober: http, timeout: 10s, http: {{keep_alive: true, tls_config: {{ca_file: {ca}}}}}}}
  first: {{prober: http, timeout: 10s, http: {{}}}}
  young: {{prober: http, timeout: 10s, http: {{keep_alive: true, keep_alive_max_age: 550ms}}}}
tasks:
  - {{name: kept, type: http, target: '{http}/', module: kept, interval: 100ms}}
  - {{name: tls, type: http, target: '{https}/', module: kept, interval: 100ms}}
  - {{name: few, type: http, target: '{http}/few', module: kept, interval: 100ms, expect: {{body_matches: '^[1-3]\\n$'}}}}
  - {{name: short, type: http, target: '{http}/short', module: kept, interval: 500ms, expect: {{body_matches: '^1\\n$'}}}}
  - {{name: edge, type: http, target: '{http}/edge', module: kept, interval: 200ms}}
  - {{name: bad, type: http, target: '{http}/bad', module: kept, interval: 100ms, expect: {{status: 200}}}}
  - {{name: young, type: http, target: '{http}/', module: young, interval: 100ms, expect: {{body_matches: '^[1-8]\\n$'}}}}
  - {{name: plain, type: http, target: '{http}/', module: first, interval: 100ms, expect: {{body_matches: '^1\\n$'}}}}
"""


class KeepAliveTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        folder = box.folder
        plain, secure = harness.free_port(), harness.free_port()
        ours = authority.Authority(folder, "Our Root")
        good = ours.issue("good", "DNS:localhost,IP:127.0.0.1")
        box.nginx(NGINX.format(plain=plain, secure=secure, certificate=good.bundle, key=good.key),
                  [plain, secure])
        cls.not_after = good.not_after()
        cls.http, cls.https = f"http://127.0.0.1:{plain}", f"https://localhost:{secure}"
        cls.config = TASKS.format(ca=ours.certificate, http=cls.http, https=cls.https)
        cls.prober = box.sonde(cls.config, "--shards=1")

    def test_runs_share_connections(self):
        metrics = self.prober.until_runs(12)

        def reused(name):
            return metrics.value("probe_http_connection_reused", name=name)
        # No end of a connection is a failure, whenever it came.
        for name in ("kept", "tls", "few", "short", "edge", "young", "plain"):
            with self.subTest(name):
                self.assertEqual(metrics.value("health_check_results", name=name,
                                               status="failed"), 0)
        self.assertEqual([reused("kept"), reused("tls"), reused("bad")], [1, 1, 1])
        self.assertEqual(reused("short"), 0)
        self.assertIsNone(reused("plain"))
        phases = metrics.by("phase", "probe_http_duration_seconds", name="tls")
        self.assertEqual([phases[p] for p in ("resolve", "connect", "tls")], [0, 0, 0])
        self.assertGreater(phases["processing"], 0)
        self.assertEqual(metrics.value("probe_ssl_earliest_cert_expiry", name="tls"),
                         self.not_after)
        age = (metrics.value("probe_last_run_timestamp_seconds", name="tls") -
               metrics.value("probe_tls_last_full_handshake_timestamp_seconds", name="tls"))
        self.assertGreaterEqual(age, 0.5)  # of the first run, eleven tenths of a second ago
        self.assertEqual(metrics.value("probe_http_version", name="tls"), 1.1)
        self.assertEqual(metrics.value("probe_ip_protocol", name="kept"), 4)
        failures = metrics.all("probe_failures_total", name="bad")
        self.assertEqual([(l["phase"], l["reason"]) for l, _ in failures],
                         [("validation", "status")])
        closed = metrics.by("reason", "sonde_connections_closed_total")
        self.assertGreaterEqual(closed["peer"], 10)  # `short`, after each run
        self.assertGreaterEqual(closed["age"], 1, closed)    # `young`
        self.assertEqual(closed["descriptors"] + closed["changed"] + closed["unused"], 0)
        self.assertLessEqual(metrics.value("sonde_connections_idle"), 7)
        self.assertGreaterEqual(metrics.value("sonde_connections_reused_total"), 30)
        self.check_honest(metrics)

    # A handshake for the first run of `tls`, and no other.
    def test_one_handshake(self):
        metrics = self.prober.until_runs(5)
        self.assertEqual(metrics.value("sonde_tls_handshakes_total", result="full"), 1)

    def test_probe_command_opens_its_own(self):
        answer = harness.probe("http", self.http + "/", "--module", "kept", "--config.file",
                               self.prober.config)
        self.assertEqual(answer.json()["evidence"]["body"], "1\n", answer)


if __name__ == "__main__":
    harness.need("nginx", "openssl")
    harness.main()
