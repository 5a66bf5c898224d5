"""Native histograms and protocol buffers: a real Prometheus asks for them, and tells the quantiles
that the runs had; everything text says is in them; a reload switches what is kept and shown."""
import gzip
import html
import math
import re
import urllib.request

import harness
import prometheus_test
import protobuf

PROTOBUF = ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
            "encoding=delimited")
# What Prometheus 2.42 asks for with the feature.
ASKED = (PROTOBUF + ",application/openmetrics-text;version=1.0.0;q=0.8,"
         "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
         "*/*;q=0.1")
LATENCY = "probe_latency_seconds"
FACTOR = 2 ** 0.25  # from bound to bound of schema 2
ALL = "core, phases, histogram, ratios, tls, native"

# name, type, delay of its target, what its line says more
TASKS = [
    ("quick", "http", "1ms", "interval: 200ms"),
    ("wide", "http", "{lognormal: 60ms, sigma: 0.8}", "interval: 1s"),
    ("slow", "tcp", "{uniform: [200ms, 700ms]}",
     "interval: 500ms, tcp: {query_response: [{expect: hello}]}"),
    ("failing", "http", "1ms", "interval: 500ms, expect: {status: 500}"),
    ("classic", "http", "5ms", "interval: 300ms, module: classic"),
    ("narrow", "http", "5ms", "interval: 300ms, module: narrow"),
]
MODULES = """
modules:
  classic: {prober: http, metrics: {families: [core, phases, histogram, ratios, tls]}}
  narrow: {prober: http, metrics: {families: [core], recent: false}}
"""
NATIVE = {"quick", "wide", "slow", "failing"}


def configuration(ports, metrics=f"families: [{ALL}], recent: true"):
    lines = [MODULES, f"metrics: {{{metrics}}}", "tasks:"]
    for name, kind, _, more in TASKS:
        at = f"127.0.0.1:{ports[name]}"
        target = f"http://{at}/" if kind == "http" else at
        lines.append(f"  - {{name: {name}, type: {kind}, target: '{target}', application: shop, "
                     f"labels: {{team: 'a \"b\" \\c'}}, {more}}}")
    return "\n".join(lines) + "\n"


def fetch(address, accept, packed=False):
    headers = {"Accept": accept} | ({"Accept-Encoding": "gzip"} if packed else {})
    request = urllib.request.Request(f"http://{address}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=harness.PATIENCE) as answer:
        body = answer.read()
        if packed:
            assert answer.headers["Content-Encoding"] == "gzip"
            body = gzip.decompress(body)
        return answer.headers["Content-Type"], body


def text_samples(address):
    """{(name, labels): value} of the text page, bounds as numbers."""
    page = harness.Metrics(fetch(address, prometheus_test.TEXT)[1].decode().splitlines())
    samples = {}
    for name, rows in page.samples.items():
        for labels, value in rows:
            if "le" in labels:
                labels = labels | {"le": float(labels["le"])}
            samples[name, frozenset(labels.items())] = value
    return samples


def last_runs(page, name):
    """[(outcome, seconds)] of a task's ticks on the landing page, oldest first."""
    row = next(r for r in page.split("<tr>") if f'<td class="long">{name}</td>' in r)
    runs = []
    for title in re.findall(r'<i class="\w+" title="([^"]*)"></i>', row):
        match = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ (\S+) (\S+) (us|ms|s)",
                             html.unescape(title))
        assert match, title
        runs.append((match[1], float(match[2]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[match[3]]))
    return runs


def native_of(families, name):
    return next((native for (family, labels), native in families.native.items()
                 if family == LATENCY and ("name", name) in labels), None)


class NativeHistogramTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.ports = {name: harness.free_port() for name, *_ in TASKS}
        listeners = "".join(f"  - {{kind: {kind}, port: {cls.ports[name]}, delay: {delay}}}\n"
                            for name, kind, delay, _ in TASKS)
        box.farm(config=f"seed: 5\nlisteners:\n{listeners}")
        cls.sonde = box.sonde(configuration(cls.ports))
        cls.prometheus = prometheus_test.Prometheus(
            box, {"native": cls.sonde.address}, "--enable-feature=native-histograms")
        cls.sonde.until_runs(15, ["wide", "slow"])

    def protobuf(self):
        kind, body = fetch(self.sonde.address, ASKED)
        self.assertEqual(kind, "application/vnd.google.protobuf; "
                               "proto=io.prometheus.client.MetricFamily; encoding=delimited")
        return protobuf.Families(body)

    def test_prometheus_takes_them(self):
        """It asks for protocol buffers by itself, and refuses nothing of them."""
        def counts():
            return {row["name"]: value for row, value in
                    self.prometheus.query(f"histogram_count({LATENCY})")}
        harness.until(counts, lambda: set(counts()) == NATIVE)
        target, = self.prometheus.api("targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        self.assertEqual(counts()["failing"], 0)
        classic = {row["name"] for row, _ in self.prometheus.query(f"{LATENCY}_count")}
        # Where there is a native part, 2.42 takes that alone.
        self.assertEqual(classic, {"classic"})
        log = self.prometheus.text()
        self.assertNotIn("Append failed", log)
        self.assertNotIn("Error on ingesting", log)
        found = self.prometheus.api("targets/metadata", metric="health_check_results")
        self.assertEqual([row["type"] for row in found], ["counter"])

    def test_text_and_protobuf_say_the_same(self):
        """Between two scrapes of text: as many series, and no counter outside the two."""
        found = {}

        def equal():
            found["before"] = text_samples(self.sonde.address)
            found["families"] = self.protobuf()
            found["after"] = text_samples(self.sonde.address)
            keys = [set(found["before"]), set(found["families"].samples), set(found["after"])]
            return keys[0] == keys[1] == keys[2]
        harness.until(lambda: set(found["before"]) ^ set(found["families"].samples), equal)
        families, counters, same = found["families"], 0, 0
        for (name, labels), value in families.samples.items():
            before, after = found["before"][name, labels], found["after"][name, labels]
            family = re.sub("_(bucket|sum|count)$", "", name)
            kind = families.types.get(name) or families.types[family]
            if kind in ("counter", "histogram"):
                counters += 1
                self.assertLessEqual(before, value, (name, labels))
                self.assertLessEqual(value, after, (name, labels))
            elif before == after and name.startswith(("probe_ip_", "probe_http_status", "sonde_b")):
                same += 1
                self.assertEqual(value, before, (name, labels))
        self.assertGreater(counters, 100)
        self.assertGreater(same, 10)
        self.assertEqual(families.types["health_check_results"], "counter")
        team = {dict(labels)["team"] for name, labels in families.samples
                if name == "probe_success"}
        self.assertEqual(team, {'a "b" \\c'})

    def test_packed_is_the_same(self):
        kind, body = fetch(self.sonde.address, ASKED, packed=True)
        self.assertIn("protobuf", kind)
        packed = protobuf.Families(body)
        self.assertEqual(set(self.protobuf().types), set(packed.types))

    def test_native_buckets_add_up_to_the_classic_ones(self):
        """Where a bound is one of both kinds: a quarter, a half and a whole second."""
        families = self.protobuf()
        self.assertEqual({dict(labels)["name"] for _, labels in families.native}, NATIVE)
        for (name, labels), native in families.native.items():
            self.assertEqual((native.schema, native.zero_threshold), (2, 2 ** -16))
            self.assertEqual(native.count, families.samples[name + "_count", labels])
            self.assertEqual(native.sum, families.samples[name + "_sum", labels])
            for index, bound in ((-8, 0.25), (-4, 0.5), (0, 1.0)):
                below = native.zero + sum(n for i, n in native.buckets.items() if i <= index)
                classic = families.samples[name + "_bucket", labels | {("le", bound)}]
                # The classic buckets were read a moment before.
                self.assertTrue(classic <= below <= classic + 2, (labels, bound, classic, below))

    def test_quantiles_are_right_within_a_bucket(self):
        """Against the runs themselves, of which the page shows the last sixty."""
        of = f'{LATENCY}{{name="wide"}}'
        count = harness.until("Prometheus has enough of it", lambda: (
            lambda n: n if n and n >= 12 else None)(
                self.prometheus.scalar(f"histogram_count({of})")))
        at = self.prometheus.scalar(f"timestamp({of})")
        count = self.prometheus.scalar(f"histogram_count({of})", at)
        runs = last_runs(self.sonde.get("/")[1], "wide")
        metrics = self.sonde.metrics("health_check_results", "sonde_latencies")
        total = metrics.sum("health_check_results", name="wide")
        if total > 58:
            self.skipTest(f"the machine took too long: {total} runs, the page shows 60")
        spoilt = int(metrics.value("sonde_latencies_unrecorded_total"))
        self.assertEqual({outcome for outcome, _ in runs}, {"ok"})
        latencies = sorted(seconds for _, seconds in runs[:int(count) + spoilt])
        for q in (0.1, 0.5, 0.9, 1):
            told = self.prometheus.scalar(f"histogram_quantile({q}, {of})", at)
            rank = math.ceil(q * count) - 1
            low = latencies[max(rank - spoilt, 0)]
            high = latencies[min(rank + spoilt, len(latencies) - 1)]
            harness.report(f"{q}-quantile of {count:.0f} runs: {told * 1000:.1f} ms told, "
                           f"{low * 1000:.1f} to {high * 1000:.1f} ms run")
            # A thousandth for what the page rounds.
            self.assertTrue(low / FACTOR * 0.999 <= told <= high * FACTOR * 1.001, (q, told))
        sums = self.prometheus.scalar(f"histogram_sum({of})", at)
        if not spoilt:
            self.assertAlmostEqual(sums, sum(latencies), delta=count * 1e-4)

    def test_the_page_shows_last_runs_of_those_who_keep_them(self):
        page = self.sonde.get("/")[1]
        self.assertEqual({outcome for outcome, _ in last_runs(page, "failing")},
                         {"validation/status"})
        self.assertTrue(all(0.2 <= s < 1.5 for _, s in last_runs(page, "slow")))
        self.assertEqual(last_runs(page, "narrow"), [])
        self.assertLessEqual(len(last_runs(page, "quick")), 60)
        self.assertNotIn("<script", page)

    def test_a_module_says_what_its_tasks_show(self):
        metrics = self.sonde.metrics()
        shown = {name for name, rows in metrics.samples.items()
                 for labels, _ in rows if labels.get("name") == "narrow"}
        self.assertIn("probe_success", shown)
        self.assertIn("probe_http_status_code", shown)
        for family in (LATENCY + "_bucket", "probe_success_ratio", "probe_http_duration_seconds"):
            self.assertNotIn(family, shown)
            self.assertIn(family, metrics.samples)


class ReloadTest(harness.TestCase):
    """What is kept and shown changes while tasks run, and no count is lost."""
    @classmethod
    def set_up(cls, box):
        cls.ports = {name: harness.free_port() for name, *_ in TASKS}
        listeners = "".join(f"  - {{kind: {kind}, port: {cls.ports[name]}}}\n"
                            for name, kind, *_ in TASKS)
        box.farm(config=f"listeners:\n{listeners}")
        cls.sonde = box.sonde(configuration(cls.ports, "families: [core], recent: false"))

    def families(self):
        return protobuf.Families(fetch(self.sonde.address, ASKED)[1])

    def reload(self, metrics):
        self.sonde.config.write_text(configuration(self.ports, metrics))
        self.assertEqual(self.sonde.reload(), (200, ""))

    def test_on_and_off(self):
        before = self.sonde.until_runs(5, ["quick"]).sum("health_check_results", name="quick")
        self.assertNotIn(LATENCY + "_count", {name for name, labels in self.families().samples
                                              if ("name", "quick") in labels})
        self.assertNotIn("Last runs", self.sonde.get("/")[1])

        self.reload(f"families: [{ALL}], recent: true")
        native = harness.until("the next run starts them",
                               lambda: native_of(self.families(), "quick"))
        unrecorded = self.sonde.metrics("sonde_lat").value("sonde_latencies_unrecorded_total")
        self.assertGreaterEqual(native.count + unrecorded, before)
        key = next(labels for name, labels in self.families().samples
                   if name == LATENCY + "_count" and ("name", "quick") in labels)
        later = self.families()
        self.assertGreaterEqual(later.samples[LATENCY + "_count", key], native.count)
        harness.until("ticks", lambda: last_runs(self.sonde.get("/")[1], "quick"))

        self.reload("families: [histogram], recent: false")
        families = self.families()
        self.assertEqual(families.native, {})
        self.assertGreaterEqual(families.samples[LATENCY + "_count", key], native.count)
        shown = {name for name, labels in families.samples if ("name", "quick") in labels}
        self.assertEqual(shown, {"health_check_results", LATENCY + "_bucket", LATENCY + "_count",
                                 LATENCY + "_sum"})
        harness.until("the page is made anew", lambda: "Last runs" not in self.sonde.get("/")[1])


if __name__ == "__main__":
    harness.main()
