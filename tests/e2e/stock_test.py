#!/usr/bin/env python3
"""sonde put where blackbox_exporter was, nothing else changed: Debian's own module file, the scrape
job of everybody's prometheus.yml, and what dashboards and alerts ask."""
import pathlib

import harness
import prometheus_test
from blackbox_test import Bare, ask

MODULES = pathlib.Path("/etc/prometheus/blackbox.yml")

# Panels of the dashboards people import, for an instance; every one must have an answer.
PANELS = """
probe_success{{{of}}}
probe_duration_seconds{{{of}}}
avg(probe_duration_seconds{{{of}}})
sum(probe_duration_seconds{{{of}}}) by (instance)
avg_over_time(probe_success{{{of}}}[1m])
avg_over_time(probe_duration_seconds{{{of}}}[1m])
count(probe_success{{{of}}} == 1)
probe_dns_lookup_time_seconds{{{of}}}
avg(probe_dns_lookup_time_seconds{{{of}}})
probe_ip_protocol{{{of}}}
probe_ip_addr_hash{{{of}}}
max_over_time(scrape_duration_seconds{{{of}}}[1m])
""".split("\n")[1:-1]
HTTP_PANELS = """
probe_http_status_code{{{of}}}
probe_http_version{{{of}}}
probe_http_ssl{{{of}}}
probe_http_redirects{{{of}}}
probe_http_content_length{{{of}}}
probe_failed_due_to_regex{{{of}}}
sum(probe_http_duration_seconds{{{of}}}) by (instance)
sum(probe_http_duration_seconds{{{of}}}) by (phase)
avg(probe_http_duration_seconds{{{of},phase="connect"}})
probe_http_duration_seconds{{{of},phase="processing"}}
probe_http_duration_seconds{{{of},phase="resolve"}}
probe_http_duration_seconds{{{of},phase="tls"}}
probe_http_duration_seconds{{{of},phase="transfer"}}
""".split("\n")[1:-1]
ICMP_PANELS = ['probe_icmp_duration_seconds{{{of},phase="rtt"}}', "probe_icmp_reply_hop_limit{{{of}}}",
               "sum(probe_icmp_duration_seconds{{{of}}}) by (instance)"]
TLS_PANELS = ["(probe_ssl_earliest_cert_expiry{{{of}}} - time()) / 86400",
              "probe_ssl_last_chain_expiry_timestamp_seconds{{{of}}}",
              "probe_tls_version_info{{{of}}}"]


def job(name, module, address, targets):
    """As blackbox_exporter's README has it."""
    return {"job_name": name, "metrics_path": "/probe", "params": {"module": [module]},
            "static_configs": [{"targets": targets}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": address}]}


class StockTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        ports = {name: harness.free_port() for name in ("http", "https", "closed")}
        certificates = box.folder / "certificates"
        box.farm(f"--certificates={certificates}", config=f"""
listeners:
  - {{kind: http, port: {ports['http']}, address: loopback}}
  - {{kind: https, port: {ports['https']}}}
""")
        cls.good = f"http://localhost:{ports['http']}/"
        cls.secure = f"https://localhost:{ports['https']}/"
        cls.bad = f"http://127.0.0.1:{ports['http']}/status/500"
        # Only the certificates' authority is ours: the stock file trusts the machine's.
        text = MODULES.read_text() + f"""
  farm_https:
    prober: http
    http: {{tls_config: {{ca_file: {certificates / 'ca.pem'}}}}}
"""
        cls.address = f"127.0.0.1:{harness.free_port()}"
        config = box.write("blackbox.yml", text)
        cls.sonde = box.add(Bare(box.folder, f"--config.file={config}",
                                 f"--web.listen-address={cls.address}"))
        port = int(cls.address.split(":")[1])
        cls.sonde.until_ready(lambda: harness.accepts(port))
        jobs = [job("http", "http_2xx", cls.address, [cls.good, cls.bad]),
                job("tcp", "tcp_connect", cls.address, [f"127.0.0.1:{ports['http']}",
                                                        f"127.0.0.1:{ports['closed']}"]),
                job("https", "farm_https", cls.address, [cls.secure]),
                job("icmp", "icmp", cls.address, ["127.0.0.1"]),
                {"job_name": "itself", "static_configs": [{"targets": [cls.address]}]}]
        cls.prometheus = prometheus_test.Prometheus(box, jobs, every=2)

    def ask(self, panels, instance):
        for panel in panels:
            query = panel.format(of=f'instance=~"{instance}"')
            harness.until(f"an answer to {query}", lambda q=query: self.prometheus.query(q))

    def test_every_target_is_up_and_judged(self):
        expected = {self.good: 1, self.secure: 1, self.bad: 0}
        harness.until("all is scraped", lambda: len(self.prometheus.query("probe_success")) == 6)
        found = {row["instance"]: value for row, value in self.prometheus.query("probe_success")}
        self.assertEqual({name: found[name] for name in expected}, expected)
        self.assertEqual(sorted(found.values()), [0, 0, 1, 1, 1, 1])
        # A probe that failed is an answer, not a scrape that failed.
        self.assertEqual({value for _, value in self.prometheus.query("up")}, {1})
        log = self.prometheus.text()
        self.assertNotIn("Append failed", log)

    def test_dashboards_have_their_answers(self):
        self.ask(PANELS + HTTP_PANELS, self.good)
        self.ask(PANELS + HTTP_PANELS + TLS_PANELS, self.secure)
        self.ask(PANELS, "127.0.0.1:.*")
        self.ask(PANELS + ICMP_PANELS, "127.0.0.1")

    def test_alerts_have_their_answers(self):
        harness.until("ProbeFailed", lambda: len(self.prometheus.query("probe_success == 0")) == 2)
        harness.until("HttpStatusCode", lambda: [row["instance"] for row, _ in self.prometheus.query(
            "probe_http_status_code <= 199 or probe_http_status_code >= 400")] == [self.bad])
        harness.until("reload", lambda: self.prometheus.query(
            "blackbox_exporter_config_last_reload_successful == 1"))

    def test_every_module_of_debians_file_answers(self):
        """A module that cannot run yet says so; none is ignored."""
        names = [line.strip(" :") for line in MODULES.read_text().splitlines()
                 if line.startswith("  ") and not line.startswith("   ") and line.endswith(":")]
        self.assertGreaterEqual(len(names), 9)
        for name in names:
            status, text, _ = ask(self.address, f"/probe?module={name}&target=127.0.0.1:1")
            if name.startswith("grpc"):
                self.assertEqual(status, 400, (name, text))
                self.assertIn("grpc", text)
            else:
                self.assertEqual(status, 200, (name, text))
                self.assertIn("probe_success 0", text)


if __name__ == "__main__":
    harness.main()
