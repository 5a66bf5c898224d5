#!/usr/bin/env python3
"""nginx as a target: HTTP and HTTPS with every kind of certificate. Verdict, phase, reason and
numbers must be right, both in /metrics of a prober that runs tasks and in `sonde probe --json`."""
import json
import os
import time

import authority
import harness

TEXT = "a line of a page that compresses well\n" * 200
MODIFIED = 1700000000

NGINX = """
  access_log off;
  server {{
    listen 127.0.0.1:{http};
    root {folder}/www;
    location = /ok {{ add_header X-Team web; return 200 "hello sonde\\n"; }}
    location = /moved {{ return 302 /ok; }}
    location = /away {{ return 301 https://localhost:{good}/ok; }}
    location = /to-http2 {{ return 302 https://localhost:{http2}/; }}
    location = /circle {{ return 302 /circle; }}
    location = /private {{ auth_basic "private"; auth_basic_user_file {folder}/users; }}
    location = /gzip {{ gzip on; gzip_types *; alias {folder}/www/page; }}
    location = /chunked {{ sub_filter_types *; sub_filter page PAGE; alias {folder}/www/page; }}
    location = /busy {{ return 503; }}
    location = /nothing {{ return 204; }}
    location = /hang-up {{ return 444; }}
    location = /slow {{ limit_rate 10; limit_rate_after 1k; alias {folder}/www/page; }}
  }}
{tls}
"""
TLS_SERVER = """
  server {{
    listen 127.0.0.1:{port} {kind};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {more}
    location / {{ return 200 "hello sonde\\n"; }}
  }}
"""


class Case:
    """A task, what it must come to, and numbers that must stand (None: must be absent)."""

    def __init__(self, target, options="", outcome="ok", code=0, certificate=None, expect="",
                 **facts):
        self.target, self.options, self.outcome, self.expect = target, options, outcome, expect
        self.certificate = certificate
        self.facts = {f"probe_{name}": value for name, value in facts.items()}
        if code:
            self.facts["probe_http_status_code"] = code
        if certificate:
            self.facts["probe_ssl_earliest_cert_expiry"] = certificate.not_after()
        self.verdict = "success" if outcome == "ok" else "failed"
        self.phase, self.reason = ("none", "ok") if outcome == "ok" else outcome.split("/")


def make_cases(ports, certificates, folder):
    http = f"http://127.0.0.1:{ports['http']}"
    trusted = f"tls_config: {{ca_file: {folder}/ca.pem}}"
    page = len(TEXT)

    def https(name, path="/"):
        return f"https://localhost:{ports[name]}{path}"

    def bad(name, outcome):
        return Case(https(name), trusted, outcome, certificate=certificates[name],
                    http_status_code=0, http_content_length=0)

    return {
        # HTTP
        "ok": Case(f"{http}/ok", code=200, http_content_length=12, http_uncompressed_body_length=12,
                   http_redirects=0, http_ssl=0, http_version=1.1, ip_protocol=4,
                   ssl_earliest_cert_expiry=None),
        "file": Case(f"{http}/page", code=200, http_content_length=page,
                     http_last_modified_timestamp_seconds=MODIFIED),
        "head": Case(f"{http}/page", "method: HEAD", code=200, http_content_length=page,
                     http_uncompressed_body_length=0),
        "no-content": Case(f"{http}/nothing", code=204, http_uncompressed_body_length=0),
        "chunked": Case(f"{http}/chunked", code=200, http_content_length=-1,
                        http_uncompressed_body_length=page),
        "gzip": Case(f"{http}/gzip", "compression: gzip\n      headers: {Accept-Encoding: gzip}",
                     code=200, http_content_length=-1, http_uncompressed_body_length=page),
        # `compression` says how to read the body, it does not ask for it.
        "gzip-not-asked": Case(f"{http}/gzip", "compression: gzip", "body/encoding", 200),
        "redirect": Case(f"{http}/moved", code=200, http_redirects=1, http_ssl=0),
        "redirect-to-tls": Case(f"{http}/away", trusted, code=200, http_redirects=1, http_ssl=1,
                                certificate=certificates["good"]),
        "redirect-kept": Case(f"{http}/moved", "follow_redirects: false", "validation/status", 302),
        "redirect-circle": Case(f"{http}/circle", "", "validation/redirect", 302),
        "missing": Case(f"{http}/missing", "", "validation/status", 404),
        "missing-wanted": Case(f"{http}/missing", "valid_status_codes: [404]", code=404),
        "busy": Case(f"{http}/busy", "", "validation/status", 503),
        "busy-wanted": Case(f"{http}/busy", expect="{status: 5xx}", code=503),
        "auth": Case(f"{http}/private", "basic_auth: {username: ann, password: pass word}",
                     code=200),
        "auth-wrong": Case(f"{http}/private", "basic_auth: {username: ann, password: other}",
                           "validation/status", 401),
        "auth-none": Case(f"{http}/private", "", "validation/status", 401),
        "body": Case(f"{http}/ok", expect="{body_contains: hello}", code=200),
        "body-other": Case(f"{http}/ok", "fail_if_body_not_matches_regexp: ['^good bye']",
                           "validation/body", 200, failed_due_to_regex=1),
        "header": Case(f"{http}/ok",
                       "fail_if_header_not_matches: [{header: X-Team, regexp: '^web$'}]", code=200),
        "header-other": Case(f"{http}/ok",
                             "fail_if_header_matches: [{header: X-Team, regexp: web}]",
                             "validation/header", 200, failed_due_to_regex=1),
        "not-tls": Case(f"{http}/ok", "fail_if_not_ssl: true", "validation/tls", 200),
        "hung-up": Case(f"{http}/hang-up", "", "first_byte/closed"),
        "slow": Case(f"{http}/slow", "", "body/timeout", 200),
        "too-long": Case(f"{http}/page", "body_size_limit: 1KB", "body/too_large", 200),
        "refused": Case(f"http://127.0.0.1:{ports['nobody']}/", "", "connect/refused",
                        http_status_code=0),
        "no-such-name": Case("http://no-such-name.invalid./", "", "dns/not_found",
                             ip_protocol=0),
        # HTTPS
        "tls-good": Case(https("good"), trusted, code=200, http_ssl=1,
                         certificate=certificates["good"],
                         ssl_last_chain_expiry_timestamp_seconds=certificates["good"].not_after()),
        "tls-chain": Case(https("chain"), trusted, code=200,
                          ssl_earliest_cert_expiry=certificates["middle"].not_after()),
        "tls-expired": bad("expired", "tls/expired"),
        "tls-not-yet-valid": bad("early", "tls/not_yet_valid"),
        "tls-self-signed": bad("self-signed", "tls/self_signed"),
        "tls-untrusted": bad("untrusted", "tls/untrusted"),
        "tls-wrong-name": bad("wrong-name", "tls/wrong_name"),
        "tls-any": Case(https("expired"), "tls_config: {insecure_skip_verify: true}", code=200,
                        certificate=certificates["expired"]),
        "tls-named": Case(https("wrong-name"), f"tls_config: {{ca_file: {folder}/ca.pem, "
                          "server_name: other.example}", code=200,
                          certificate=certificates["wrong-name"]),
        "tls-version": Case(https("modern"), f"tls_config: {{ca_file: {folder}/ca.pem, "
                            "max_version: TLS12}", "tls/version"),
        "tls-client": Case(https("client"), f"tls_config: {{ca_file: {folder}/ca.pem, "
                           f"cert_file: {certificates['good'].certificate}, "
                           f"key_file: {certificates['good'].key}}}", code=200),
        "tls-client-none": Case(https("client"), trusted, "validation/status", 400),
        "tls-to-http": Case(f"https://localhost:{ports['http']}/", trusted, "tls/protocol"),
        # HTTP/2, by ALPN
        "http2": Case(https("http2"), trusted, code=200, http_version=2, http_content_length=12,
                      http_uncompressed_body_length=12, certificate=certificates["good"]),
        "http2-off": Case(https("http2"), f"{trusted}\n      enable_http2: false", code=200,
                          http_version=1.1),
        "http2-wanted": Case(https("http2"), f"{trusted}\n      valid_http_versions: [HTTP/2.0]",
                             code=200, http_version=2),
        "http2-unwanted": Case(https("http2"), f"{trusted}\n      valid_http_versions: [HTTP/1.1]",
                               "validation/version", 200, http_version=2),
        "http2-not-spoken": Case(https("good"), f"{trusted}\n      valid_http_versions: [HTTP/2.0]",
                                 "validation/version", 200, http_version=1.1),
        "http2-redirect": Case(f"{http}/to-http2", trusted, code=200, http_redirects=1,
                               http_version=2, http_ssl=1),
        "http2-page": Case(https("http2", "/page"), trusted, code=200, http_version=2,
                           http_content_length=page, http_last_modified_timestamp_seconds=MODIFIED),
        "http2-header": Case(https("http2", "/team"), f"{trusted}\n      fail_if_header_matches: "
                             "[{header: X-Team, regexp: web}]", "validation/header", 200,
                             http_version=2, failed_due_to_regex=1),
        "http2-hung-up": Case(https("http2", "/hang-up"), trusted, "first_byte/reset"),
        "http2-slow": Case(https("http2", "/slow"), trusted, "body/timeout", 200, http_version=2),
        "http-to-tls": Case(f"http://localhost:{ports['good']}/", "", "validation/status", 400,
                            http_ssl=0),
    }


def configuration(cases):
    lines = ["modules:"]
    for name, case in cases.items():
        lines.append(f"  {name}:\n    prober: http\n    timeout: {timeout(name)}\n    http:\n"
                     "      preferred_ip_protocol: ip4")
        if case.options:
            lines.append(f"      {case.options}")
    lines.append("tasks:")
    for name, case in cases.items():
        expect = f", expect: {case.expect}" if case.expect else ""
        lines.append(f"  - {{name: {name}, type: http, target: {json.dumps(case.target)}, "
                     f"module: {name}, interval: 2s, application: shop, "
                     f"labels: {{kind: {name}}}{expect}}}")
    return "\n".join(lines) + "\n"


def timeout(name):
    # Only a case that must run out of time has little of it.
    return "1500ms" if name.endswith("slow") else "20s"


class NginxTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.folder = folder = box.folder
        names = ("http", "nobody", "good", "chain", "expired", "early", "self-signed", "untrusted",
                 "wrong-name", "modern", "client", "http2")
        cls.ports = {}
        while len(set(cls.ports.values())) < len(names):
            cls.ports = {name: harness.free_port() for name in names}
        cls.certificates = cls.make_certificates(folder)
        cls.start_nginx(box)
        cls.cases = make_cases(cls.ports, cls.certificates, folder)
        cls.prober = box.sonde(configuration(cls.cases))

    @staticmethod
    def make_certificates(folder):
        days = authority.days
        ours = authority.Authority(folder, "Our Root")
        theirs = authority.Authority(folder, "Their Root")
        middle = authority.Authority(folder, "Middle", end=days(30), signed_by=ours)
        (folder / "ca.pem").write_text(ours.certificate.read_text())
        return {
            "good": ours.issue("good", "DNS:localhost,DNS:www.sonde.test,IP:127.0.0.1"),
            "chain": middle.issue("chain", chain=(middle.certificate,)),
            "middle": middle.own,
            "expired": ours.issue("expired", start=days(-20), end=days(-10)),
            "early": ours.issue("early", start=days(10), end=days(20)),
            "self-signed": ours.issue("self-signed", self_signed=True),
            "untrusted": theirs.issue("untrusted"),
            "wrong-name": ours.issue("wrong-name", "DNS:other.example"),
        }

    @classmethod
    def start_nginx(cls, box):
        www = box.folder / "www"
        www.mkdir()
        for name in ("page", "private"):
            (www / name).write_text(TEXT)
            os.utime(www / name, (MODIFIED, MODIFIED))
        box.write("users", "ann:{PLAIN}pass word\n")
        more = {"modern": "ssl_protocols TLSv1.3;",
                "client": f"ssl_client_certificate {box.folder}/ca.pem; ssl_verify_client on;",
                "http2": f"root {box.folder}/www; location = /page {{}} "
                         "location = /team { add_header X-Team web; return 200; } "
                         "location = /hang-up { return 444; } "
                         "location = /slow { limit_rate 10; limit_rate_after 1k; "
                         f"alias {box.folder}/www/page; }}"}
        tls = ""
        for name, port in cls.ports.items():
            if name in ("http", "nobody"):
                continue
            used = cls.certificates.get(name, cls.certificates["good"])
            tls += TLS_SERVER.format(port=port, certificate=used.bundle, key=used.key,
                                     more=more.get(name, ""),
                                     kind="ssl http2" if name == "http2" else "ssl")
        box.nginx(NGINX.format(folder=box.folder, tls=tls, **cls.ports),
                  [port for name, port in cls.ports.items() if name != "nobody"])

    def check_facts(self, case, fact):
        """`fact(name)` gives a number or None."""
        for name, wanted in case.facts.items():
            got = fact(name)
            self.assertEqual(got, wanted, name)
        self.assertEqual(fact("probe_success"), 1 if case.verdict == "success" else 0)

    def check_phases(self, phases, duration):
        """Those of blackbox_exporter leave nothing out twice: their sum is at most the duration."""
        self.assertGreaterEqual(duration, 0)
        self.assertTrue(all(seconds >= 0 for seconds in phases), phases)
        self.assertLessEqual(sum(phases), duration * 1.000001 + 1e-5, phases)

    def test_metrics(self):
        metrics = self.prober.until_runs(2)
        self.scraped = time.time()
        for name, case in self.cases.items():
            with self.subTest(name):
                self.check_task(metrics, name, case)
        bad = sum(case.verdict == "failed" for case in self.cases.values())
        self.assertEqual(metrics.value("sonde_tasks", state="down"), bad)
        self.assertEqual(metrics.value("sonde_tasks", state="up"), len(self.cases) - bad)
        self.check_honest(metrics)

    def check_task(self, metrics, name, case):
        runs = metrics.by("status", "health_check_results", name=name)
        other = "failed" if case.verdict == "success" else "success"
        self.assertGreaterEqual(runs[case.verdict], 2)
        self.assertEqual(runs[other], 0)
        for labels, _ in metrics.all("health_check_results", name=name):
            self.assertEqual(set(labels), {"name", "type", "status"})
        failures = [(l["phase"], l["reason"], v)
                    for l, v in metrics.all("probe_failures_total", name=name)]
        wanted = [(case.phase, case.reason, runs["failed"])] if case.verdict == "failed" else []
        self.assertEqual(failures, wanted)
        self.check_facts(case, lambda fact: metrics.value(fact, name=name))
        labels = metrics.all("probe_success", name=name)[0][0]
        self.assertEqual(labels, {"name": name, "type": "http", "target": case.target,
                                  "application": "shop", "kind": name})
        self.check_phases([v for _, v in metrics.all("probe_http_duration_seconds", name=name)],
                          metrics.value("probe_duration_seconds", name=name))
        if case.certificate:
            info = metrics.all("probe_ssl_last_chain_info", name=name)
            self.assertEqual(len(info), 1)
            ours = {k: v for k, v in info[0][0].items() if k in case.certificate.labels()}
            self.assertEqual(ours, case.certificate.labels())
        # A latency that a gap of our own may have spoiled is not recorded, and that is counted.
        recorded = metrics.value("probe_latency_seconds_count", name=name) or 0
        spoiled = metrics.value("sonde_latencies_unrecorded_total")
        self.assertLessEqual(recorded, runs["success"] + 1)  # made later than that: one may have ended
        self.assertGreaterEqual(recorded, runs["success"] - spoiled)
        age = self.scraped - metrics.value("probe_last_run_timestamp_seconds", name=name)
        self.assertLess(abs(age), harness.PATIENCE)

    def test_probe_command(self):
        for name, case in self.cases.items():
            with self.subTest(name):
                more = ["--expect", case.expect] if case.expect else []
                answer = harness.probe("http", case.target, "--module", name, "--config.file",
                                       self.prober.config, *more)
                self.assertEqual(answer.code, 0 if case.verdict == "success" else 1, answer)
                result = answer.json()
                self.assertEqual((result["verdict"], result["phase"], result["reason"]),
                                 (case.verdict, case.phase, case.reason), answer)
                self.check_facts(case, result["facts"].get)
                phases = [v for k, v in result["facts"].items()
                          if k.startswith("probe_http_duration_seconds")]
                self.check_phases(phases, result["duration_seconds"])
                self.check_phases(result["stages_seconds"].values(), result["duration_seconds"])
                if case.certificate:
                    self.assertEqual(result["texts"]["probe_ssl_last_chain_info"],
                                     case.certificate.labels())

    def test_body_is_what_nginx_sent(self):
        answer = harness.sonde("probe", "http", self.cases["ok"].target, "--json")
        self.assertEqual(answer.json()["evidence"]["body"], "hello sonde\n", answer)
        self.assertIn("HTTP/1.1 200 OK", answer.json()["evidence"]["head"])


if __name__ == "__main__":
    harness.need("nginx", "openssl")
    harness.main()
