#!/usr/bin/env python3
"""TCP dialogues with real servers: SMTP with STARTTLS (aiosmtpd) and Redis."""
import subprocess
import sys

import authority
import harness

SMTP = r"""
      query_response:
        - expect: "^220 ([^ ]+) "
          labels: [{name: mail_host, value: "${1}"}]
        - send: "EHLO prober\r"
        - expect: "^250-STARTTLS"
        - expect: "^250 "
        - send: "STARTTLS\r"
        - expect: "^220"
        - starttls: true
        - send: "EHLO prober\r"
        - expect: "^250 "
        - send: "QUIT\r"
        - expect: "^221"
"""
MODULES = r"""
modules:
  smtp:
    prober: tcp
    timeout: 20s
    tcp:
      preferred_ip_protocol: ip4
      tls_config: {{ca_file: {folder}/ca.pem}}{smtp}
  smtp-other-name:
    prober: tcp
    timeout: 20s
    tcp:
      preferred_ip_protocol: ip4
      tls_config: {{ca_file: {folder}/ca.pem, server_name: mail.example}}{smtp}
  smtp-impatient:
    prober: tcp
    timeout: 20s
    tcp:
      preferred_ip_protocol: ip4
      query_response: [{{send: "QUIT\r"}}, {{expect: "^220 .* MIKROTIK"}}]
  smtp-tls-at-once:
    prober: tcp
    timeout: 20s
    tcp: {{preferred_ip_protocol: ip4, tls: true, tls_config: {{ca_file: {folder}/ca.pem}}}}
  redis:
    prober: tcp
    timeout: 20s
    tcp:
      query_response:
        - send: "PING\r"
        - expect: "^\\+(PONG)$"
          labels: [{{name: answer, value: "$1"}}]
  redis-bytes:
    prober: tcp
    timeout: 20s
    tcp: {{query_response: [{{send: "PING\r"}}, {{expect_bytes: "+PONG\r\n"}}]}}
  redis-quit:
    prober: tcp
    timeout: 20s
    tcp: {{query_response: [{{send: "PING\r\nQUIT\r"}}, {{expect: "^\\+PONG"}}]}}
  redis-waiting:
    prober: tcp
    timeout: 1s
    tcp: {{query_response: [{{send: "PING\r"}}, {{expect: "^\\+PONG"}}]}}
  redis-password:
    prober: tcp
    timeout: 20s
    tcp:
      query_response:
        - send: "AUTH secret\r"
        - expect: "^\\+OK"
        - send: "PING\r"
        - expect: "^\\+PONG"
  redis-tls:
    prober: tcp
    timeout: 20s
    tcp:
      tls: true
      preferred_ip_protocol: ip4
      tls_config: {{ca_file: {folder}/ca.pem}}
      query_response: [{{send: "PING\r"}}, {{expect: "^\\+PONG"}}]
tasks:
"""


class Case:
    def __init__(self, target, module, outcome="ok", certificate=None, **facts):
        self.target, self.module, self.outcome = target, module, outcome
        self.certificate, self.facts = certificate, facts
        self.verdict = "success" if outcome == "ok" else "failed"
        self.phase, self.reason = ("none", "ok") if outcome == "ok" else outcome.split("/")


def python_with_smtp():
    """aiosmtpd is Debian's, so another Python than ours may be the one that has it."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            if subprocess.run([python, "-c", "import aiosmtpd"], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0:
                return python
        except OSError:
            pass
    return harness.skip("aiosmtpd is not installed (tools/install-deps test installs it)")


class DialoguesTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        folder = box.folder
        ours = authority.Authority(folder, "Our Root")
        theirs = authority.Authority(folder, "Their Root")
        (folder / "ca.pem").write_text(ours.certificate.read_text())
        cls.certificates = {
            "good": ours.issue("good", "DNS:localhost,DNS:mx.sonde.test"),
            "expired": ours.issue("expired", start=authority.days(-20), end=authority.days(-10)),
            "untrusted": theirs.issue("untrusted"),
        }
        cls.ports = ports = {}
        for name in ("good", "expired", "untrusted", "redis", "locked"):
            ports[name] = harness.free_port()
        cls.start_smtp(box)
        cls.start_redis(box)
        cls.make_cases()
        cls.prober = box.sonde(cls.configuration(folder))

    @classmethod
    def start_smtp(cls, box):
        python = python_with_smtp()
        for name, certificate in cls.certificates.items():
            port = cls.ports[name]
            box.start(f"smtp-{name}",
                      [python, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", "-c",
                       "aiosmtpd.handlers.Sink", "--tlscert", certificate.bundle, "--tlskey",
                       certificate.key], lambda port=port: harness.accepts(port))

    @classmethod
    def start_redis(cls, box):
        redis = harness.need("redis-server")
        good = cls.certificates["good"]
        tls_port = cls.ports["tls"] = harness.free_port()
        more = {"redis": ["--tls-port", tls_port, "--tls-cert-file", good.bundle, "--tls-key-file",
                          good.key, "--tls-ca-cert-file", good.bundle, "--tls-auth-clients", "no"],
                "locked": ["--requirepass", "secret"]}
        for name, flags in more.items():
            port = cls.ports[name]
            box.start(name, [redis, "--bind", "127.0.0.1", "--port", port, "--save", "",
                             "--dir", box.folder, "--daemonize", "no", *flags],
                      lambda port=port: harness.accepts(port))

    @classmethod
    def make_cases(cls):
        ports, certificates = cls.ports, cls.certificates

        def smtp(name):
            return f"localhost:{ports[name]}"
        redis, locked = f"127.0.0.1:{ports['redis']}", f"127.0.0.1:{ports['locked']}"
        cls.cases = {
            "smtp": Case(smtp("good"), "smtp", certificate=certificates["good"],
                         probe_failed_due_to_regex=0),
            "smtp-expired": Case(smtp("expired"), "smtp", "tls/expired", certificates["expired"]),
            "smtp-untrusted": Case(smtp("untrusted"), "smtp", "tls/untrusted",
                                   certificates["untrusted"]),
            "smtp-wrong-name": Case(smtp("good"), "smtp-other-name", "tls/wrong_name",
                                    certificates["good"]),
            "smtp-mismatch": Case(smtp("good"), "smtp-impatient", "dialogue/mismatch",
                                  probe_failed_due_to_regex=1),
            "smtp-no-tls": Case(smtp("good"), "smtp-tls-at-once", "tls/protocol"),
            "redis": Case(redis, "redis", probe_failed_due_to_regex=0, probe_ip_protocol=4,
                          probe_ssl_earliest_cert_expiry=None),
            "redis-bytes": Case(redis, "redis-bytes", probe_failed_due_to_bytes=0),
            "redis-quit": Case(redis, "redis-quit"),
            "redis-tls": Case(f"localhost:{ports['tls']}", "redis-tls",
                              certificate=certificates["good"]),
            "locked": Case(locked, "redis-password"),
            # Redis says -NOAUTH and waits: wrong bytes are known at once, a line that might still
            # come is waited for, unless the peer closes.
            "locked-bytes": Case(locked, "redis-bytes", "dialogue/mismatch",
                                 probe_failed_due_to_bytes=1),
            "locked-quit": Case(locked, "redis-quit", "dialogue/mismatch",
                                probe_failed_due_to_regex=1),
            "locked-waiting": Case(locked, "redis-waiting", "dialogue/timeout"),
        }

    @classmethod
    def configuration(cls, folder):
        text = MODULES.format(folder=folder, smtp=SMTP)
        for name, case in cls.cases.items():
            text += (f"  - {{name: {name}, type: tcp, target: '{case.target}', "
                     f"module: {case.module}, interval: 2s}}\n")
        return text

    def check_facts(self, case, fact):
        for name, wanted in case.facts.items():
            self.assertEqual(fact(name), wanted, name)
        self.assertEqual(fact("probe_success"), 1 if case.verdict == "success" else 0)
        if case.certificate:
            self.assertEqual(fact("probe_ssl_earliest_cert_expiry"), case.certificate.not_after())

    def test_metrics(self):
        metrics = self.prober.until_runs(2)
        for name, case in self.cases.items():
            with self.subTest(name):
                self.check_task(metrics, name, case)
        self.check_honest(metrics)

    def check_task(self, metrics, name, case):
        runs = metrics.by("status", "health_check_results", name=name)
        self.assertGreaterEqual(runs[case.verdict], 2)
        self.assertEqual(sum(runs.values()), runs[case.verdict])
        failures = {(l["phase"], l["reason"]): v
                    for l, v in metrics.all("probe_failures_total", name=name)}
        wanted = {(case.phase, case.reason): runs["failed"]} if case.verdict == "failed" else {}
        self.assertEqual(failures, wanted)
        self.check_facts(case, lambda fact: metrics.value(fact, name=name))
        duration = metrics.value("probe_duration_seconds", name=name)
        phases = metrics.by("phase", "probe_tcp_duration_seconds", name=name)
        self.assertLessEqual(sum(phases.values()), duration * 1.000001 + 1e-5, phases)
        if case.certificate:
            info = metrics.all("probe_ssl_last_chain_info", name=name)
            self.assertEqual(len(info), 1)
            wanted = case.certificate.labels()
            self.assertEqual({k: v for k, v in info[0][0].items() if k in wanted}, wanted)
            self.assertGreater(phases["tls"], 0)
        if case.verdict == "success":
            self.assertGreater(phases["dialogue"], 0)

    def test_captured_labels(self):
        metrics = self.prober.until_runs(1)
        labels = metrics.all("probe_expect_info", name="redis")[0][0]
        self.assertEqual(labels["answer"], "PONG")
        labels = metrics.all("probe_expect_info", name="smtp")[0][0]
        self.assertTrue(labels["mail_host"])
        self.assertEqual(metrics.all("probe_tls_version_info", name="smtp")[0][0]["version"],
                         "TLS 1.3")

    def test_probe_command(self):
        for name, case in self.cases.items():
            with self.subTest(name):
                answer = harness.probe("tcp", case.target, "--module", case.module,
                                       "--config.file", self.prober.config)
                self.assertEqual(answer.code, 0 if case.verdict == "success" else 1, answer)
                result = answer.json()
                self.assertEqual((result["verdict"], result["phase"], result["reason"]),
                                 (case.verdict, case.phase, case.reason), answer)
                self.check_facts(case, result["facts"].get)
                if case.certificate:
                    self.assertEqual(result["texts"]["probe_ssl_last_chain_info"],
                                     case.certificate.labels())

    def test_failure_says_what_the_peer_said(self):
        answer = harness.sonde("probe", "tcp", self.cases["locked-bytes"].target, "--module",
                               "redis-quit", "--config.file", self.prober.config)
        self.assertEqual(answer.code, 1)
        self.assertIn("NOAUTH", answer.out)

    def test_short_form(self):
        """`expect: {contains: ...}` on the command line."""
        redis = self.cases["redis"].target
        for wanted, code in (("PONG", 0), ("PANG", 1)):
            answer = harness.sonde("probe", "tcp", redis, "--options",
                                   r'{query_response: [{send: "PING\r\nQUIT\r"}]}', "--expect",
                                   f"{{contains: {wanted}}}")
            self.assertEqual(answer.code, code, answer)


if __name__ == "__main__":
    harness.need("redis-server", "openssl")
    python_with_smtp()
    harness.main()
