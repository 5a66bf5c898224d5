#!/usr/bin/env python3
"""DNS probes of real name servers (bind9, unbound) and of the farm's, which are wrong in every way.
Verdict, phase, reason and numbers must be right, both in /metrics of a prober that runs tasks and
in `sonde probe --json`; dig says what the servers answered."""
import re
import socket

import harness
import name_servers
from name_servers import ADDRESSES, LONG, NAME, SERIAL

RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
SLOW = 0.2  # seconds
HURRIED = "1500ms"  # the time-out of those that must run out of time


class Case:
    """A task, what it must come to, and numbers that must stand (None: must be absent)."""

    def __init__(self, target, options, outcome="ok", hurried=False, expect="", **facts):
        self.target, self.options, self.outcome, self.expect = target, options, outcome, expect
        self.timeout = HURRIED if hurried else "20s"
        self.facts = {f"probe_{name}": value for name, value in facts.items()}
        self.verdict = "success" if outcome == "ok" else "failed"
        self.phase, self.reason = ("none", "ok") if outcome == "ok" else outcome.split("/")


def reply(rcode, answers, **more):
    return {"dns_rcode": RCODES[rcode], "dns_answer_rrs": answers, "dns_query_succeeded": 1, **more}


NO_REPLY = {"dns_rcode": None, "dns_answer_rrs": 0, "dns_query_succeeded": 0}


def server_cases(server):
    """What any good name server comes to."""
    at = f"{server.address}:{server.port}"
    over_tls = (f"server: '{server.address}:{server.tls_port}', transport_protocol: tcp, "
                "dns_over_tls: true")
    trusted = f"tls_config: {{ca_file: {server.ca}, server_name: {NAME}}}"

    def ask(name, kind, outcome="ok", more="", to=f"server: '{at}'", **rest):
        return Case(name, f"{{{to}, query_type: {kind}{', ' if more else ''}{more}}}", outcome,
                    **rest)

    def rule(section, which, pattern):
        return f"validate_{section}_rrs: {{fail_if_{which}_regexp: ['{pattern}']}}"

    return {
        "udp": ask("shop.test", "A", **reply("NOERROR", 1, dns_truncated=0, ip_protocol=4,
                                             dns_serial=None, kernel_timestamps=1)),
        "tcp": ask("shop.test", "A", more="transport_protocol: tcp",
                   **reply("NOERROR", 1, dns_truncated=None)),
        "tls": ask("shop.test", "A", more=trusted, to=over_tls, **reply("NOERROR", 1)),
        "udp-v6": ask("v6.shop.test", "AAAA", to=f"server: '[::1]:{server.port}'",
                      **reply("NOERROR", 1, ip_protocol=6)),
        "tcp-v6": ask("v6.shop.test", "AAAA", more="transport_protocol: tcp",
                      to=f"server: '[::1]:{server.port}'",
                      **reply("NOERROR", 1, ip_protocol=6)),
        "tls-v6": ask("v6.shop.test", "AAAA", more=trusted,
                      to=f"server: '[::1]:{server.tls_port}', transport_protocol: tcp, "
                         "dns_over_tls: true", **reply("NOERROR", 1, ip_protocol=6)),
        "many": ask("many.shop.test", "A", expect="{min_answers: 3}",
                    **reply("NOERROR", len(ADDRESSES))),
        "few": ask("many.shop.test", "A", "validation/answer", expect="{min_answers: 4}",
                   **reply("NOERROR", len(ADDRESSES))),
        "contains": ask("shop.test", "MX", expect="{answer_contains: mail.shop.test}",
                        **reply("NOERROR", 1)),
        "contains-not": ask("shop.test", "MX", "validation/answer",
                            expect="{answer_contains: post.shop.test}", **reply("NOERROR", 1)),
        # The target is the server, as for blackbox_exporter.
        "serial": Case(at, "{query_name: shop.test, query_type: SOA}",
                       **reply("NOERROR", 1, dns_serial=SERIAL)),
        "rule": ask("shop.test", "MX", more=rule(
            "answer", "not_matches", r"^shop\.test\.\t60\tIN\tMX\t10 mail\.shop\.test\.$"),
            **reply("NOERROR", 1)),
        "rule-broken": ask("shop.test", "TXT", "validation/answer",
                           more=rule("answer", "matches", "v=spf1"), **reply("NOERROR", 1)),
        "authority": ask("nobody.shop.test", "A",
                         more="valid_rcodes: [NXDOMAIN], " +
                              rule("authority", "none_matches", rf"\tSOA\t.* {SERIAL} "),
                         **reply("NXDOMAIN", 0, dns_authority_rrs=1))
        if server.kind == "bind" else
        ask("nobody.shop.test", "A", more="valid_rcodes: [NXDOMAIN]", **reply("NXDOMAIN", 0)),
        "nxdomain": ask("nobody.shop.test", "A", "validation/rcode", **reply("NXDOMAIN", 0)),
        "no-data": ask("shop.test", "AAAA", **reply("NOERROR", 0)),
        "refused": ask("elsewhere.test", "A", "validation/rcode", **reply("REFUSED", 0)),
        "refused-wanted": ask("elsewhere.test", "A", expect="{rcode: REFUSED}",
                              **reply("REFUSED", 0)),
        "servfail": ask("broken.test", "A", "validation/rcode", **reply("SERVFAIL", 0)),
        "servfail-tcp": ask("broken.test", "A", "validation/rcode",
                            more="transport_protocol: tcp", **reply("SERVFAIL", 0)),
        # 512 bytes do not hold it; a truncated answer is one, unless told otherwise.
        "cut": ask("long.shop.test", "TXT", **{**reply("NOERROR", 0, dns_truncated=1),
                                               "dns_answer_rrs": ...}),
        "cut-fails": ask("long.shop.test", "TXT", "validation/truncated",
                         more="fail_if_truncated: true", dns_truncated=1, dns_rcode=0),
        "cut-again": ask("long.shop.test", "TXT", more="retry_over_tcp: true",
                         **reply("NOERROR", LONG, dns_truncated=1)),
        "cut-edns": ask("long.shop.test", "TXT", more="edns_size: 1232, fail_if_truncated: true",
                        outcome="validation/truncated", dns_truncated=1),
        "whole-edns": ask("long.shop.test", "TXT", more="edns_size: 4096, fail_if_truncated: true",
                          **reply("NOERROR", LONG, dns_truncated=0)),
        "tls-untrusted": ask("shop.test", "A", "tls/untrusted", to=over_tls, **NO_REPLY),
        "tls-wrong-name": ask("shop.test", "A", "tls/wrong_name", to=over_tls,
                              more=f"tls_config: {{ca_file: {server.ca}, server_name: x.test}}",
                              **NO_REPLY),
        # It takes what opens TLS for the length of a message, and waits for it.
        "tls-not": ask("shop.test", "A", "tls/timeout", hurried=True, to=f"server: '{at}', "
                       "transport_protocol: tcp, dns_over_tls: true", **NO_REPLY),
        "nobody-udp": ask("shop.test", "A", "connect/refused",
                          to=f"server: '{server.address}:{server.nobody}'", **NO_REPLY),
        "nobody-tcp": ask("shop.test", "A", "connect/refused", more="transport_protocol: tcp",
                          to=f"server: '{server.address}:{server.nobody}'", **NO_REPLY),
    }


def farm_cases(port):
    """Servers that are wrong: their name says how."""
    def ask(label, outcome, more="", transport="udp", **rest):
        return Case(f"{label}.farm.test", f"{{server: '127.0.0.1:{port}', query_type: TXT, "
                    f"transport_protocol: {transport}{', ' if more else ''}{more}}}",
                    outcome, **rest)

    def over_udp(label, outcome, more="", **rest):
        return ask(f"do-{label}", outcome, more, **rest)

    def over_tcp(label, outcome, more="", **rest):
        return ask(f"do-{label}", outcome, more, "tcp", **rest)

    late = {"hurried": True, **NO_REPLY}
    return {
        "silent": over_udp("silent", "first_byte/timeout", **late),
        "wrong-id": over_udp("wrong_id", "first_byte/wrong_id", **late),
        "wrong-question": over_udp("wrong_question", "first_byte/wrong_question", **late),
        "other-port": over_udp("other_port", "first_byte/foreign", **late),
        "other-address": over_udp("other_address", "first_byte/foreign", **late),
        "cut-off": over_udp("cut", "body/malformed", **NO_REPLY),
        "loop": over_udp("loop", "body/malformed", **NO_REPLY),
        "false-counts": over_udp("false_counts", "body/malformed", **NO_REPLY),
        "large": over_udp("large", "body/too_large", **NO_REPLY),
        "twice": over_udp("twice", "ok", **reply("NOERROR", 1)),
        "formerr": over_udp("formerr", "validation/rcode", **reply("FORMERR", 0)),
        "notimp": over_udp("notimp", "validation/rcode", **reply("NOTIMP", 0)),
        "empty": over_udp("empty", "ok", **reply("NOERROR", 0, dns_authority_rrs=1)),
        "truncated": over_udp("truncated", "ok", "retry_over_tcp: true",
                              **reply("NOERROR", 1, dns_truncated=1)),
        "slow": ask(f"delay-{SLOW * 1000:.0f}ms", "ok", **reply("NOERROR", 1)),
        "tcp-silent": over_tcp("silent", "first_byte/timeout", **late),
        "tcp-closed": over_tcp("closed", "first_byte/closed", **NO_REPLY),
        "tcp-reset": over_tcp("reset", "first_byte/reset", **NO_REPLY),
        "tcp-cut-off": over_tcp("cut", "body/closed", **NO_REPLY),
        "tcp-reset-body": over_tcp("reset_body", "body/reset", **NO_REPLY),
        "tcp-stall": over_tcp("stall", "body/timeout", **late),
        "tcp-stall-length": over_tcp("stall_headers", "body/timeout", **late),
        "tcp-wrong-id": over_tcp("wrong_id", "first_byte/wrong_id", **NO_REPLY),
        "tcp-wrong-question": over_tcp("wrong_question", "first_byte/wrong_question", **NO_REPLY),
        "tcp-loop": over_tcp("loop", "body/malformed", **NO_REPLY),
        "tcp-drip": over_tcp("drip", "ok", **reply("NOERROR", 1)),
        "tcp-twice": over_tcp("twice", "ok", **reply("NOERROR", 1)),
        "tcp-large": over_tcp("large", "ok", **reply("NOERROR", 236)),
    }


def configuration(cases):
    lines = ["modules:"]
    for name, case in cases.items():
        lines.append(f"  {name}: {{prober: dns, timeout: {case.timeout}, dns: {case.options}}}")
    lines.append("tasks:")
    for name, case in cases.items():
        expect = f", expect: {case.expect}" if case.expect else ""
        lines.append(f"  - {{name: {name}, type: dns, target: '{case.target}', module: {name}, "
                     f"interval: 3s{expect}}}")
    return "\n".join(lines) + "\n"


class DnsTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.servers = [name_servers.bind(box, v6="::1"), name_servers.unbound(box, v6="::1")]
        farm = box.farm("--listen=dns:0")
        cls.cases = {f"{server.kind}-{name}": case for server in cls.servers
                     for name, case in server_cases(server).items()}
        cls.cases.update({f"farm-{name}": case
                          for name, case in farm_cases(farm.ports[0]).items()})
        cls.prober = box.sonde(configuration(cls.cases))

    def check_facts(self, case, fact):
        """`fact(name)` gives a number or None."""
        for name, wanted in case.facts.items():
            if wanted is not ...:
                self.assertEqual(fact(name), wanted, name)
        self.assertEqual(fact("probe_success"), 1 if case.verdict == "success" else 0)

    def check_phases(self, name, phases, duration):
        self.assertEqual(set(phases), {"resolve", "connect", "request"})
        self.assertTrue(all(seconds >= 0 for seconds in phases.values()), phases)
        self.assertLessEqual(sum(phases.values()), duration * 1.000001 + 1e-5, phases)
        if name == "farm-slow":
            self.assertGreaterEqual(phases["request"], SLOW)
            self.assertLess(phases["request"], SLOW + (1 if harness.sanitized() else 0.1))

    def test_metrics(self):
        metrics = self.prober.until_runs(2)
        for name, case in self.cases.items():
            with self.subTest(name):
                self.check_task(metrics, name, case)
        self.check_honest(metrics)

    def check_task(self, metrics, name, case):
        runs = metrics.by("status", "health_check_results", name=name)
        other = "failed" if case.verdict == "success" else "success"
        failures = [(l["phase"], l["reason"], v)
                    for l, v in metrics.all("probe_failures_total", name=name)]
        self.assertGreaterEqual(runs[case.verdict], 2, failures)
        self.assertEqual(runs[other], 0, failures)
        wanted = [(case.phase, case.reason, runs["failed"])] if case.verdict == "failed" else []
        self.assertEqual(failures, wanted)
        self.check_facts(case, lambda fact: metrics.value(fact, name=name))
        self.check_phases(name, metrics.by("phase", "probe_dns_duration_seconds", name=name),
                          metrics.value("probe_duration_seconds", name=name))

    def test_probe_command(self):
        for name, case in self.cases.items():
            with self.subTest(name):
                more = ["--expect", case.expect] if case.expect else []
                answer = harness.probe("dns", case.target, "--module", name, "--config.file",
                                       self.prober.config, *more)
                self.assertEqual(answer.code, 0 if case.verdict == "success" else 1, answer)
                result = answer.json()
                self.assertEqual((result["verdict"], result["phase"], result["reason"]),
                                 (case.verdict, case.phase, case.reason), answer)
                self.check_facts(case, result["facts"].get)
                phases = {k.split('"')[1]: v for k, v in result["facts"].items()
                          if k.startswith("probe_dns_duration_seconds")}
                self.check_phases(name, phases, result["duration_seconds"])

    def test_size_and_records_are_those_dig_got(self):
        for server in self.servers:
            for name, kind in (("shop.test", "MX"), ("many.shop.test", "A"), ("shop.test", "SOA"),
                               ("nobody.shop.test", "A")):
                with self.subTest(f"{server.kind} {name} {kind}"):
                    out = server.dig("-p", server.port, name, kind, "+noedns")
                    size = int(re.search(r"MSG SIZE\s+rcvd: (\d+)", out)[1])
                    counts = re.search(r"ANSWER: (\d+), AUTHORITY: (\d+), ADDITIONAL: (\d+)", out)
                    answer = harness.probe(
                        "dns", name, "--options",
                        f"{{server: '{server.address}:{server.port}', query_type: {kind}}}")
                    facts = answer.json()["facts"]
                    self.assertEqual(facts["probe_dns_response_bytes"], size, answer)
                    self.assertEqual([facts[f"probe_dns_{section}_rrs"] for section in
                                      ("answer", "authority", "additional")],
                                     [int(count) for count in counts.groups()])


if __name__ == "__main__":
    harness.need("named", "unbound", "dig", "openssl")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        harness.skip(f"no IPv6 here: {error}")
    harness.main()
