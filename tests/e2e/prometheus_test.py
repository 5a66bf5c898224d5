"""A real Prometheus scrapes sonde, in OpenMetrics and in text.

    prometheus_test.py [--slide] [unittest's arguments]

The short form takes half a minute; its windows hold every run since the start. `--slide` goes on
for seven minutes with a target whose behaviour changes, so that the five-minute window slides.
"""

import http.server
import json
import math
import os
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse
import urllib.request

import harness

DEBIANS = "/usr/bin/python3"
try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError:
    # It is Debian's, so another Python than ours may be the one that has it.
    if sys.executable != DEBIANS and os.path.exists(DEBIANS):
        os.execv(DEBIANS, [DEBIANS, *sys.argv])
    harness.skip("python3-prometheus-client is not installed")

SLIDE = "--slide" in sys.argv
PROMETHEUS, PROMTOOL = harness.need("prometheus", "promtool")
SCRAPE_SECONDS = 0.5
BUCKET = 30 / 300  # share of one bucket in the five-minute window
EXTRAPOLATION = 0.01

# What Prometheus 2.42 asks for, and what a scraper of the old kind does.
OPEN_METRICS = ("application/openmetrics-text;version=1.0.0,"
                "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
TEXT = "text/plain;version=0.0.4"

# The one finding of promtool that stands: the name is fixed by contract.
ACCEPTED = {'health_check_results counter metrics should have "_total" suffix'}

# name, type, listener, line; success is what every run must come to (None: now one, now the other).
TASKS = [
    ("good", "http", "http", "interval: 100ms", True),
    ("good-tcp", "tcp", "tcp", "interval: 100ms", True),
    ("flaky", "http", "flaky", "interval: 100ms", None),
    ("flaky-tcp", "tcp", "flaky_tcp", "interval: 100ms, tcp: {query_response: [{expect: hello}]}",
     None),
    ("bad-status", "http", "http", "interval: 200ms, http: {valid_status_codes: [204]}", False),
    ("bad-body", "http", "http", "interval: 200ms, expect: {body_contains: nobody}", False),
    ("bad-silent", "http", "silent", "interval: 500ms, timeout: 300ms", False),
    ("bad-garbage", "http", "garbage", "interval: 500ms", False),
    ("bad-refused", "http", "refused", "interval: 200ms", False),
    ("bad-refused-tcp", "tcp", "refused", "interval: 200ms", False),
    ("tls", "http", "https", "interval: 500ms, http: {tls_config: {insecure_skip_verify: true}}",
     True),
    ("bad-tls", "http", "https", "interval: 500ms", False),
    ("moody", "http", "moody", "interval: 200ms", None),
    ("removed", "http", "http", "interval: 200ms", True),
    ("switched", "http", "http", "interval: 200ms", True),
]
LISTENERS = {
    "http": "http:{}", "https": "https:{}", "tcp": "tcp:{}", "silent": "http:{}:silent",
    "garbage": "http:{}:garbage", "refused": "refused:{}", "moody": "http:{}",
    "control": "control:{}",
}


def configuration(ports, without=(), disabled=()):
    lines = ["tasks:"]
    for name, kind, listener, more, _ in TASKS:
        if name in without:
            continue
        at = f"127.0.0.1:{ports[listener]}"
        scheme = "https://" if listener == "https" else "http://"
        target = f"{scheme}{at}/" if kind == "http" else at
        enabled = ", enabled: false" if name in disabled else ""
        lines.append(f"  - {{name: {name}, type: {kind}, target: '{target}', application: shop, "
                     f"labels: {{team: 'a \"b\" \\c'}}, {more}{enabled}}}")
    return "\n".join(lines) + "\n"


class TextProxy(http.server.ThreadingHTTPServer):
    """Hands scrapes on without what the scraper accepts: what comes back is text."""
    daemon_threads = True

    def __init__(self, upstream):
        self.upstream = upstream
        self.content_types = set()
        super().__init__(("127.0.0.1", 0), TextProxy.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                request = urllib.request.Request(f"http://{self.server.upstream}{self.path}",
                                                 headers={"Accept": TEXT})
                with urllib.request.urlopen(request, timeout=harness.PATIENCE) as answer:
                    body, kind = answer.read(), answer.headers["Content-Type"]
            except OSError:
                self.send_error(502)
                return
            self.server.content_types.add(kind)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            try:
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the scraper's patience was at its end

        def log_message(self, *arguments):
            pass


class Prometheus(harness.Program):
    """`jobs`: {name: address}, or scrape configurations as they stand in prometheus.yml."""

    def __init__(self, box, jobs, *flags, every=SCRAPE_SECONDS):
        if isinstance(jobs, dict):
            jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]}
                    for job, target in jobs.items()]
        self.address = f"127.0.0.1:{harness.free_port()}"
        config = {"global": {"scrape_interval": f"{int(every * 1000)}ms",
                             "scrape_timeout": f"{int(every * 1000)}ms"},
                  "scrape_configs": jobs}
        path = box.write("prometheus.json", json.dumps(config))  # JSON is YAML
        super().__init__("prometheus", [
            PROMETHEUS, f"--config.file={path}", f"--web.listen-address={self.address}",
            f"--storage.tsdb.path={box.folder / 'tsdb'}", "--query.lookback-delta=5m", *flags],
            box.folder)
        box.add(self)
        self.until_ready(self.ready)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def api(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}",
                                    timeout=harness.PATIENCE) as answer:
            return json.load(answer)["data"]

    def query(self, expression, at=None):
        """[(labels, value)] of an instant vector; `at` a sample's own time-stamp."""
        # A millisecond on, for Prometheus cuts fractions of one off.
        parameters = {"query": expression} | ({"time": f"{at + 0.001:.3f}"} if at else {})
        return [(row["metric"], float(row["value"][1]))
                for row in self.api("query", **parameters)["result"]]

    def scalar(self, expression, at=None):
        found = self.query(expression, at)
        return found[0][1] if len(found) == 1 else None


def success_rate(job, name, window):
    """The formula of the owner's first exporter."""
    of = f'health_check_results{{job="{job}",name="{name}"'
    return f'sum(increase({of},status="success"}}[{window}])) / sum(increase({of}}}[{window}]))'


def fetch(address, accept):
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=harness.PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read()


class PrometheusTest(harness.TestCase):
    JOBS = ("open", "text")

    @classmethod
    def set_up(cls, box):
        ports = {name: harness.free_port() for name in [*LISTENERS, "flaky", "flaky_tcp"]}
        listeners = [f"--listen={flag.format(ports[name])}" for name, flag in LISTENERS.items()]
        box.farm(*listeners, config=f"""
seed: 11
listeners:
  - {{kind: http, port: {ports['flaky']}, mix: {{error: 20%, reset: 10%}}}}
  - {{kind: tcp, port: {ports['flaky_tcp']}, mix: {{closed: 30%}}}}
""")
        cls.ports = ports
        # Prometheus is there first and scrapes what is not there yet (it takes its time to begin):
        # its first good scrape sees the counters at 0, or nearly.
        port = harness.free_port()
        cls.address = f"127.0.0.1:{port}"
        cls.proxy = TextProxy(cls.address)
        cls.prometheus = Prometheus(
            box, {"open": cls.address, "text": f"127.0.0.1:{cls.proxy.server_port}"})
        harness.until("Prometheus scrapes",
                      lambda: len(cls.prometheus.query("up == 0")) == len(cls.JOBS))
        cls.sonde = box.sonde(configuration(ports), f"--web.listen-address={cls.address}")
        cls.sonde.until_runs(120, ["good", "good-tcp", "flaky", "flaky-tcp"])

    @classmethod
    def tearDownClass(cls):
        cls.proxy.shutdown()
        cls.proxy.server_close()
        super().tearDownClass()

    def test_both_jobs_are_up_and_nothing_is_dropped(self):
        harness.until("both are up", lambda: len(self.prometheus.query("up == 1")) == 2)
        # A busy machine may let a scrape time out; an error of ours would stay.
        harness.until(lambda: self.prometheus.api("targets")["activeTargets"], lambda: all(
            target["lastError"] == "" and target["health"] == "up"
            for target in self.prometheus.api("targets")["activeTargets"]))
        _, own = fetch(self.prometheus.address, TEXT)
        own = harness.Metrics(own.decode().splitlines(), ["prometheus_target_"])
        for what in ("sample_duplicate_timestamp", "sample_out_of_order", "sample_out_of_bounds",
                     "exceeded_sample_limit"):
            self.assertEqual(own.sum(f"prometheus_target_scrapes_{what}_total"), 0, what)
        log = self.prometheus.text()
        self.assertNotIn("level=warn component=\"scrape manager\"", log)
        self.assertNotIn("Append failed", log)
        self.assertNotIn("Error on ingesting", log)

    def test_open_metrics_is_what_prometheus_gets_when_it_may(self):
        kind, _ = fetch(self.address, OPEN_METRICS)
        self.assertTrue(kind.startswith("application/openmetrics-text"), kind)
        self.assertEqual({kind.split(";")[0] for kind in self.proxy.content_types}, {"text/plain"})
        for job, wanted in (("open", "unknown"), ("text", "counter")):
            found = self.prometheus.api("targets/metadata", metric="health_check_results",
                                        match_target=f'{{job="{job}"}}')
            self.assertEqual([row["type"] for row in found], [wanted], job)

    def test_every_series_is_there_in_both_formats(self):
        def names(job):
            return {row["__name__"] for row, _ in
                    self.prometheus.query(f'count by (__name__) ({{job="{job}"}})')}

        harness.until(lambda: names("open") ^ names("text"),
                      lambda: names("open") == names("text") != set())
        in_open, in_text = names("open"), names("text")
        for family in ("health_check_results", "probe_success", "probe_duration_seconds",
                       "probe_failures_total", "probe_latency_seconds_bucket",
                       "probe_success_ratio", "probe_http_status_code",
                       "probe_http_duration_seconds", "probe_tcp_duration_seconds",
                       "probe_ssl_earliest_cert_expiry", "probe_tls_version_info",
                       "probe_last_run_timestamp_seconds", "sonde_runs_total",
                       "sonde_schedule_lateness_seconds_bucket", "sonde_tasks",
                       "sonde_config_last_reload_successful", "sonde_build_info"):
            self.assertIn(family, in_open)
        # The page itself holds nothing that Prometheus did not take.
        page = harness.Metrics(fetch(self.address, TEXT)[1].decode().splitlines())
        self.assertEqual(set(page.samples) - in_text, set())
        rows = self.prometheus.query('probe_success{job="open",name="good"}')
        self.assertEqual({k: v for k, v in rows[0][0].items() if k in ("application", "team")},
                         {"application": "shop", "team": 'a "b" \\c'})

    def test_foreign_checkers_accept_the_pages(self):
        _, text = fetch(self.address, TEXT)
        run = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True,
                             check=False)
        findings = {line for line in (run.stdout + run.stderr).decode().splitlines() if line}
        self.assertEqual(findings, ACCEPTED)
        kind, body = fetch(self.address, OPEN_METRICS)
        self.assertIn("openmetrics", kind)
        families = {family.name: family for family in
                    text_string_to_metric_families(body.decode())}
        self.assertEqual(families["health_check_results"].type, "unknown")
        self.assertEqual(families["probe_latency_seconds"].type, "histogram")

    def test_results_are_what_the_targets_deserve(self):
        for name, _, _, _, success in TASKS:
            if success is None or name in ("removed", "switched"):
                continue
            for job in self.JOBS:
                good = self.prometheus.scalar(
                    f'health_check_results{{job="{job}",name="{name}",status="success"}}')
                bad = self.prometheus.scalar(
                    f'health_check_results{{job="{job}",name="{name}",status="failed"}}')
                self.assertGreater(good if success else bad, 0, name)
                self.assertEqual(bad if success else good, 0, name)
        reasons = {(row["name"], row["phase"], row["reason"]) for row, _ in
                   self.prometheus.query('probe_failures_total{job="open"}')}
        for expected in (("bad-status", "validation", "status"),
                         ("bad-body", "validation", "body"),
                         ("bad-silent", "first_byte", "timeout"),
                         ("bad-refused", "connect", "refused"),
                         ("bad-refused-tcp", "connect", "refused")):
            self.assertIn(expected, reasons)
        self.assertTrue({phase for name, phase, _ in reasons if name == "bad-tls"} == {"tls"})

    def unseen(self, job, name, at):
        """Share of the runs that ended before the first scrape: they are in no increase."""
        of = f'health_check_results{{job="{job}",name="{name}"}}'
        share = self.prometheus.scalar(f"sum(min_over_time({of}[1h])) / sum({of})", at)
        self.assertLess(share, 0.1, name)
        return share

    def compare_rates(self, name, window, tolerance):
        """PromQL's rate against the one counted in process, both as of the same scrape."""
        for job in self.JOBS:
            of = f'probe_success_ratio{{job="{job}",name="{name}",window="{window}"}}'
            # A scrape that failed (a busy machine) leaves nothing to look at until the next.
            at = harness.until(f"{of} is there", lambda of=of: self.prometheus.scalar(
                f"timestamp({of})"))
            ours = self.prometheus.scalar(of, at)
            theirs = self.prometheus.scalar(success_rate(job, name, window), at)
            self.assertIsNotNone(ours, name)
            self.assertTrue(theirs is not None and not math.isnan(theirs), (name, theirs))
            self.assertLessEqual(abs(ours - theirs), tolerance(job, at),
                                 f"{job} {name} {window}: {ours} in process, {theirs} by PromQL")
            yield ours

    def test_success_rates_agree(self):
        for name, _, _, _, success in TASKS:
            if name in ("removed", "switched", "moody"):
                continue
            # Every run since the start is in both windows; a task that always ends the same way has
            # the same rate however one counts.
            def tolerance(job, at, name=name, mixed=success is None):
                return EXTRAPOLATION + self.unseen(job, name, at) if mixed else 0

            for window in ("5m", "1h"):
                for ours in self.compare_rates(name, window, tolerance):
                    if success is None:
                        self.assertTrue(0.5 < ours < 0.9, (name, ours))
                    else:
                        self.assertEqual(ours, 1 if success else 0, name)

    def test_removed_tasks_go_stale(self):
        def series(name, family):
            return len(self.prometheus.query(f'{{__name__=~"{family}",name="{name}"}}'))

        self.assertGreater(series("removed", "probe_.*"), 0)
        self.assertGreater(series("switched", "probe_.*"), 0)
        self.sonde.config.write_text(
            configuration(self.ports, without=["removed"], disabled=["switched"]))
        self.assertEqual(self.sonde.reload()[0], 200)
        # Well before the five minutes after which Prometheus forgets by itself.
        harness.until("the removed task's series are stale",
                      lambda: series("removed", ".+") == 0)
        harness.until("the disabled task's measurements are stale",
                      lambda: series("switched", "probe_.*") == 0)
        self.assertEqual(series("switched", "health_check_results"), 2 * len(self.JOBS))
        self.assertGreater(series("good", "probe_.*"), 0)

    @unittest.skipUnless(SLIDE, "takes seven minutes: --slide")
    def test_the_window_slides(self):
        """A minute of errors enters the five-minute window and leaves it again."""
        control = f"http://127.0.0.1:{self.ports['control']}/farm-set?port={self.ports['moody']}"
        phases = [(60, "ok"), (60, "error"), (300, "ok")]
        began, seen = time.monotonic(), []
        for seconds, behaviour in phases:
            urllib.request.urlopen(f"{control}&behaviour={behaviour}", timeout=10).close()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(5)
                # In process the bucket being filled counts as a whole one: up to one bucket of
                # runs more or less than PromQL's window.
                ours = list(self.compare_rates("moody", "5m", lambda *_: BUCKET + EXTRAPOLATION))[0]
                seen.append((time.monotonic() - began, ours))
        print("\n" + "\n".join(f"{at:4.0f} s {ratio:.4f}" for at, ratio in seen[::6]))
        self.assertLess(min(ratio for _, ratio in seen), 0.85)
        self.assertEqual(seen[-1][1], 1.0)


if __name__ == "__main__":
    if SLIDE:
        sys.argv.remove("--slide")
    harness.main()
