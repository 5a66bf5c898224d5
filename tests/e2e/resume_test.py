#!/usr/bin/env python3
"""TLS sessions resumed at nginx: what the server counts as reused is what we say was resumed."""
import collections

import authority
import harness

EVERY = 5
NGINX = """
  log_format reuse "$server_port $ssl_session_reused";
  access_log {folder}/access.log reuse;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
{servers}
"""
SERVER = """
  server {{ listen 127.0.0.1:{port} ssl; {more} return 200 "ok\\n"; }}
"""
# What the server does; whether its sessions can be resumed.
SERVERS = {
    "tls13": ("ssl_protocols TLSv1.3;", True),
    "tls13-no-tickets": ("ssl_protocols TLSv1.3; ssl_session_tickets off;", False),
    "tls12": ("ssl_protocols TLSv1.2;", True),
    "tls12-ids": ("ssl_protocols TLSv1.2; ssl_session_tickets off; "
                  "ssl_session_cache shared:ids:1m;", True),
    "tls12-none": ("ssl_protocols TLSv1.2; ssl_session_tickets off; ssl_session_cache none;",
                   False),
}


class ResumeTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.box = box
        ours = authority.Authority(box.folder, "ours")
        cls.certificate = ours.issue("good")
        cls.ca = ours.certificate
        cls.ports = {name: harness.free_port() for name in SERVERS}
        servers = "".join(SERVER.format(port=cls.ports[name], more=more)
                          for name, (more, _) in SERVERS.items())
        box.nginx(NGINX.format(folder=box.folder, certificate=cls.certificate.bundle,
                               key=cls.certificate.key, servers=servers), cls.ports.values())

    def serve(self, every):
        tls = f"tls_config: {{ca_file: {self.ca}, full_handshake_every: {every}}}"
        tasks = "".join(f"  - {{name: {name}, type: http, module: web, interval: 200ms, "
                        f"target: 'https://localhost:{port}/'}}\n"
                        for name, port in self.ports.items())
        return self.box.sonde(
            "modules:\n  web:\n    prober: http\n    timeout: 2s\n"
            f"    http: {{preferred_ip_protocol: ip4, {tls}}}\ntasks:\n{tasks}", "--shards=1")

    def reused(self):
        """Per server, what nginx said of its handshakes so far, in their order: r or a dot."""
        seen = collections.defaultdict(str)
        for line in (self.box.folder / "access.log").read_text().splitlines():
            port, reused = line.split()
            seen[int(port)] += reused
        return {name: seen[port] for name, port in self.ports.items()}

    def test_most_runs_resume_where_the_server_lets_them(self):
        before = {name: len(seen) for name, seen in self.reused().items()}
        sonde = self.serve(EVERY)
        metrics = sonde.until_runs(2 * EVERY + 2)
        self.assertEqual(metrics.sum("health_check_results", status="failed"), 0)
        self.check_honest(metrics)
        # Whoever asks sees the peer as it is.
        _, page = sonde.get(f"/probe?target=https://localhost:{self.ports['tls13']}/&module=web")
        self.assertIn("\nprobe_success 1\n", page)
        self.assertNotIn("probe_tls_resumed", page)
        metrics = sonde.metrics()
        sonde.stop()
        for name, (_, resumable) in SERVERS.items():
            with self.subTest(name):
                seen = self.reused()[name][before[name]:]
                wanted = ("." + "r" * (EVERY - 1)) * 20 if resumable else "." * 100
                if name == "tls13":
                    self.assertEqual(seen.count("."), wanted[:len(seen) - 1].count(".") + 1)
                else:
                    self.assertEqual(seen, wanted[:len(seen)])
                self.assertGreater(len(seen), 2 * EVERY)
                resumed = metrics.value("probe_tls_resumed", name=name)
                self.assertIn(resumed, (0, 1) if resumable else (0,))
                self.assertEqual(metrics.value("probe_ssl_earliest_cert_expiry", name=name),
                                 self.certificate.not_after())
                self.assertGreater(metrics.value("probe_ssl_last_chain_expiry_timestamp_seconds",
                                                 name=name), 0)
                self.assertEqual(metrics.all("probe_ssl_last_chain_info", name=name)[0][0]
                                 ["fingerprint_sha256"],
                                 self.certificate.labels()["fingerprint_sha256"])
        # The last full handshake is some runs old where sessions are resumed, never of the future.
        for labels, at in metrics.all("probe_tls_last_full_handshake_timestamp_seconds"):
            self.assertIn(labels["name"], SERVERS)
            self.assertGreater(at, 1_700_000_000)
        said = metrics.value("sonde_tls_handshakes_total", result="resumed")
        counted = sum(seen[before[name]:].count("r") for name, seen in self.reused().items())
        self.assertGreaterEqual(counted, said)
        self.assertLessEqual(counted, said + 2 * len(SERVERS))  # since the scrape
        harness.report(f"resumed {said:.0f}, at the server {counted}")

    def test_off_unless_asked(self):
        before = {name: len(seen) for name, seen in self.reused().items()}
        sonde = self.serve(1)
        metrics = sonde.until_runs(4)
        sonde.stop()
        for name, seen in self.reused().items():
            self.assertEqual(set(seen[before[name]:]), {"."}, name)
        self.assertEqual(metrics.value("sonde_tls_handshakes_total", result="resumed"), 0)
        self.assertEqual(metrics.all("probe_tls_resumed"), [])

    def test_a_changed_authority_is_met_with_a_full_handshake(self):
        name = "tls13"
        copy = self.box.write("authority.pem", self.ca.read_text())
        tls = f"tls_config: {{ca_file: {copy}, full_handshake_every: 1000}}"
        sonde = self.box.sonde(
            f"tasks:\n  - {{name: one, type: http, interval: 200ms, timeout: 2s, "
            f"target: 'https://localhost:{self.ports[name]}/', "
            f"http: {{preferred_ip_protocol: ip4, {tls}}}}}\n", "--shards=1")
        sonde.until_runs(3)
        other = authority.Authority(self.box.folder, "other")
        copy.write_text(other.certificate.read_text())
        metrics = harness.until("a refusal", lambda: (
            lambda page: page if page.sum("probe_failures_total", reason="untrusted") else None)(
                sonde.metrics()))
        self.assertGreater(metrics.value("sonde_tls_handshakes_total", result="resumed"), 0)
        sonde.stop()


if __name__ == "__main__":
    harness.main()
