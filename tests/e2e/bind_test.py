#!/usr/bin/env python3
"""BIND as a target, over UDP, TCP and TLS, and servers that answer wrongly. Verdict, phase, reason
and numbers must be right, both in /metrics of a prober that runs tasks and in `sonde probe`."""
import json
import socket
import threading

import authority
import harness

SERIAL = 2024010101
MANY = 60  # addresses: more than 512 bytes, less than 1232

NAMED = """
options {{
  directory "{folder}";
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  listen-on port {dns} {{ 127.0.0.1; }};
  listen-on port {good} tls good {{ 127.0.0.1; }};
  listen-on port {untrusted} tls untrusted {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnssec-validation no;
  minimal-responses no;
  notify no;
}};
controls {{ }};
tls good {{ cert-file "{folder}/good.pem"; key-file "{folder}/good.key"; }};
tls untrusted {{ cert-file "{folder}/untrusted.pem"; key-file "{folder}/untrusted.key"; }};
zone "farm.example" {{ type primary; file "{folder}/zone"; }};
"""
ZONE = f"""
$TTL 60
@       SOA  ns host ( {SERIAL} 2 3 4 5 )
        NS   ns
        MX   10 Mail
ns      A    127.0.0.1
www     A    192.0.2.7
alias   CNAME www
text    TXT  "v=spf1 -all" "say \\"hi\\"\\007"
secure  HTTPS 1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.7"
""" + "".join(f"many A 192.0.2.{i}\n" for i in range(1, MANY + 1))


class Case:
    """A task, what it must come to, and numbers that must stand (None: must be absent)."""

    def __init__(self, target, options, outcome="ok", expect="", **facts):
        self.target, self.options, self.outcome, self.expect = target, options, outcome, expect
        self.facts = {f"probe_{name}": value for name, value in facts.items()}
        self.verdict = "success" if outcome == "ok" else "failed"
        self.phase, self.reason = ("none", "ok") if outcome == "ok" else outcome.split("/")


class WrongServer:
    """Answers every question, wrongly: `make(query)` gives what it says; from another port when
    `foreign`."""

    def __init__(self, make, foreign=False):
        self.socket, self.other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                                   for _ in range(2))
        self.socket.bind(("127.0.0.1", 0))
        self.other.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.make, self.foreign = make, foreign
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            answer = self.make(query)
            if answer:
                (self.other if self.foreign else self.socket).sendto(answer, peer)


def answer_to(query):
    return query[:2] + b"\x81\x80" + query[4:]


WRONG_SERVERS = {
    "silent": ("first_byte/timeout", lambda query: None, False),
    "wrong-id": ("first_byte/wrong_id",
                 lambda query: bytes([query[0] ^ 1]) + answer_to(query)[1:], False),
    "wrong-question": ("first_byte/wrong_question",
                       lambda query: answer_to(query).replace(b"www", b"xxx"), False),
    "foreign": ("first_byte/foreign", answer_to, True),
    "garbage": ("body/malformed", lambda query: query[:2] + b"\xff" * 30, False),
    "echo": ("body/malformed", lambda query: query, False),
    "large": ("body/too_large", lambda query: answer_to(query) + bytes(600), False),
}


def make_cases(ports, folder):
    dns = f"127.0.0.1:{ports['dns']}"
    www = "query_name: www.farm.example, query_type: A"
    many = "query_name: many.farm.example, query_type: A"
    tls = "transport_protocol: tcp, dns_over_tls: true, preferred_ip_protocol: ip4"
    trusted = f"tls_config: {{ca_file: {folder}/ca.pem}}"

    def rule(section, kind, pattern):
        return f"{www}, validate_{section}_rrs: {{fail_if_{kind}_regexp: ['{pattern}']}}"

    cases = {
        "www": Case(dns, www, dns_answer_rrs=1, dns_authority_rrs=1, dns_additional_rrs=1,
                    dns_query_succeeded=1, dns_rcode=0, dns_truncated=0, ip_protocol=4,
                    dns_serial=None),
        "soa": Case(dns, "query_name: farm.example, query_type: SOA", dns_serial=SERIAL,
                    dns_answer_rrs=1),
        "nxdomain": Case(dns, "query_name: no.farm.example", "validation/rcode", dns_rcode=3,
                         dns_query_succeeded=1, dns_authority_rrs=1),
        "nxdomain-wanted": Case(dns, "query_name: no.farm.example, valid_rcodes: [NXDOMAIN]",
                                dns_rcode=3),
        "nxdomain-expected": Case(dns, "query_name: no.farm.example", expect="{rcode: NXDOMAIN}"),
        "refused": Case(dns, "query_name: other.example", "validation/rcode", dns_rcode=5),
        "chaos": Case(dns, "query_name: version.bind, query_type: TXT, query_class: CH",
                      dns_answer_rrs=1),
        "rule": Case(dns, rule("answer", "not_matches",
                               r"^www\.farm\.example\.\t60\tIN\tA\t192\.0\.2\.7$")),
        "rule-answer": Case(dns, rule("answer", "matches", r"192\.0\.2"), "validation/answer"),
        "rule-authority": Case(dns, rule("authority", "matches", "ns"), "validation/authority"),
        "rule-additional": Case(dns, rule("additional", "none_matches", "AAAA"),
                                "validation/additional"),
        "mail": Case(dns, "query_name: farm.example, query_type: MX", expect="{answer_contains: "
                     '"farm.example.\\t60\\tIN\\tMX\\t10 Mail.farm.example."}'),
        "text": Case(dns, "query_name: text.farm.example, query_type: TXT",
                     expect="{answer_contains: '\"v=spf1 -all\" \"say \\\"hi\\\"\\007\"'}"),
        "https": Case(dns, "query_name: secure.farm.example, query_type: HTTPS",
                      expect="{answer_contains: '1 . alpn=\"h2,h3\" port=\"8443\" "
                             "ipv4hint=\"192.0.2.7\"'}"),
        "empty": Case(dns, "query_name: www.farm.example, query_type: AAAA", "validation/answer",
                      expect="{min_answers: 1}", dns_answer_rrs=0),
        "cut": Case(dns, many, dns_truncated=1),
        "cut-not-wanted": Case(dns, f"{many}, fail_if_truncated: true", "validation/truncated"),
        "cut-again": Case(dns, f"{many}, retry_over_tcp: true, fail_if_truncated: true",
                          dns_truncated=1, dns_answer_rrs=MANY),
        "edns": Case(dns, f"{many}, edns_size: 1232", dns_truncated=0, dns_answer_rrs=MANY,
                     dns_additional_rrs=2),
        "tcp": Case(dns, f"{many}, transport_protocol: tcp", dns_answer_rrs=MANY,
                    dns_truncated=None),
        "tls": Case(f"localhost:{ports['good']}", f"{www}, {tls}, {trusted}", dns_answer_rrs=1,
                    ssl_earliest_cert_expiry=None),
        "tls-untrusted": Case(f"localhost:{ports['untrusted']}", f"{www}, {tls}, {trusted}",
                              "tls/untrusted", dns_query_succeeded=0),
        "name": Case("www.farm.example", f"server: '{dns}'", expect="{answer_contains: 192.0.2.7}"),
        "name-alias": Case("alias.farm.example", f"server: '{dns}'", dns_answer_rrs=2),
        "nobody": Case(f"127.0.0.1:{ports['nobody']}", www, "connect/refused",
                       dns_query_succeeded=0, ip_protocol=4, dns_rcode=None),
        "nobody-tcp": Case(f"127.0.0.1:{ports['nobody']}", f"{www}, transport_protocol: tcp",
                           "connect/refused"),
        "no-such-server": Case("no-such-name.invalid.", www, "dns/not_found", ip_protocol=0),
    }
    for name, (outcome, _, _) in WRONG_SERVERS.items():
        cases[name] = Case(f"127.0.0.1:{ports[name]}", www, outcome, dns_query_succeeded=0)
    return cases


def configuration(cases):
    lines = ["modules:"]
    for name, case in cases.items():
        timeout = "1500ms" if case.phase == "first_byte" else "20s"
        lines.append(f"  {name}: {{prober: dns, timeout: {timeout}, dns: {{{case.options}}}}}")
    lines.append("tasks:")
    for name, case in cases.items():
        expect = f", expect: {case.expect}" if case.expect else ""
        lines.append(f"  - {{name: {name}, type: dns, target: {json.dumps(case.target)}, "
                     f"module: {name}, interval: 2s{expect}}}")
    return "\n".join(lines) + "\n"


class BindTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.folder = box.folder
        names = ("dns", "good", "untrusted", "nobody")
        ports = {}
        while len(set(ports.values())) < len(names):
            ports = {name: harness.free_port() for name in names}
        for name, (_, make, foreign) in WRONG_SERVERS.items():
            ports[name] = WrongServer(make, foreign).port
        cls.ports = ports
        cls.make_certificates(box)
        box.write("zone", ZONE)
        config = box.write("named.conf", NAMED.format(folder=box.folder, **ports))
        box.start("named", [harness.need("named"), "-g", "-c", config],
                  lambda: all(harness.accepts(ports[name]) for name in names[:3]))
        cls.cases = make_cases(ports, box.folder)
        cls.prober = box.sonde(configuration(cls.cases))

    @staticmethod
    def make_certificates(box):
        ours = authority.Authority(box.folder, "Our Root")
        theirs = authority.Authority(box.folder, "Their Root")
        box.write("ca.pem", ours.certificate.read_text())
        for name, issuer in (("good", ours), ("untrusted", theirs)):
            made = issuer.issue(name)
            box.write(f"{name}.pem", made.bundle.read_text())
            box.write(f"{name}.key", made.key.read_text())

    def check_facts(self, case, fact):
        """`fact(name)` gives a number or None."""
        for name, wanted in case.facts.items():
            self.assertEqual(fact(name), wanted, name)
        self.assertEqual(fact("probe_success"), 1 if case.verdict == "success" else 0)

    def check_phases(self, phases, duration):
        self.assertEqual(len(phases), 3)  # there on every path
        self.assertTrue(all(seconds >= 0 for seconds in phases), phases)
        self.assertLessEqual(sum(phases), duration * 1.000001 + 1e-3, phases)

    def test_metrics(self):
        metrics = self.prober.until_runs(2)
        for name, case in self.cases.items():
            with self.subTest(name):
                runs = metrics.by("status", "health_check_results", name=name)
                self.assertGreaterEqual(runs[case.verdict], 2)
                failures = [(l["phase"], l["reason"])
                            for l, _ in metrics.all("probe_failures_total", name=name)]
                self.assertEqual(failures,
                                 [] if case.outcome == "ok" else [(case.phase, case.reason)])
                self.check_facts(case, lambda fact: metrics.value(fact, name=name))
                phases = metrics.all("probe_dns_duration_seconds", name=name)
                self.check_phases([v for _, v in phases],
                                  metrics.value("probe_duration_seconds", name=name))
        self.check_honest(metrics)

    def test_probe_command(self):
        for name, case in self.cases.items():
            with self.subTest(name):
                more = ["--expect", case.expect] if case.expect else []
                answer = harness.probe("dns", case.target, "--module", name, "--config.file",
                                       self.prober.config, *more)
                self.assertEqual(answer.code, 0 if case.verdict == "success" else 1, answer)
                result = answer.json()
                self.assertEqual((result["phase"], result["reason"]), (case.phase, case.reason),
                                 answer)
                self.check_facts(case, result["facts"].get)
                self.check_phases([v for k, v in result["facts"].items()
                                   if k.startswith("probe_dns_duration_seconds")],
                                  result["duration_seconds"])

    def test_shortcuts_and_evidence(self):
        server = f"127.0.0.1:{self.ports['dns']}"
        answer = harness.probe("dns", "alias.farm.example", "--server", server)
        self.assertEqual(answer.code, 0, answer)
        evidence = answer.json()["evidence"]
        self.assertEqual(evidence["body"].splitlines()[:2],
                         ["alias.farm.example.\t60\tIN\tCNAME\twww.farm.example.",
                          "www.farm.example.\t60\tIN\tA\t192.0.2.7"])
        self.assertIn(": NOERROR aa rd; answer 2,", evidence["head"])
        self.assertEqual(evidence["address"], server)
        answer = harness.probe("dns", "farm.example", "--server", server, "--query-type", "SOA")
        self.assertEqual(answer.json()["facts"]["probe_dns_serial"], SERIAL)
        answer = harness.probe("dns", server)
        self.assertEqual(answer.code, 2)
        self.assertIn("is a server, and the target is the name to ask for", answer.err)
        answer = harness.probe("dns", "a", "--server", server, "--options", "{}")
        self.assertEqual(answer.code, 2, answer)


if __name__ == "__main__":
    harness.need("named", "openssl")
    harness.main()
