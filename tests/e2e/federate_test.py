#!/usr/bin/env python3
"""A real Prometheus federates from sonde: by several selectors, with honor_labels.

Beside it the same Prometheus scrapes /metrics, so that its own /federate can be asked the same
questions as sonde's.
"""
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request

import harness

PROMETHEUS = harness.need("prometheus")
SCRAPE_SECONDS = 0.5
SELECTORS = ['{__name__=~"probe_.+",name!="other"}', 'health_check_results{status="success"}',
             'probe_success{name="other"}', "sonde_runs_started_total"]
TYPE = "text/plain; version=0.0.4; charset=utf-8"
LINE = re.compile(r"([a-zA-Z_:][\w:]*)\{(.*)\} (\S+) (\d+)$")

TASKS = """
federation: {{external_labels: {{region: eu, team: prober}}}}
tasks:
  - {{name: shop, type: http, target: "http://127.0.0.1:{http}/", application: shop, interval: 2s,
     labels: {{team: 'a "b" \\c', instance: shop-1}}}}
  - {{name: port, type: tcp, target: "127.0.0.1:{http}", interval: 1s}}
  - {{name: refused, type: tcp, target: "127.0.0.1:{refused}", interval: 1s}}
  - {{name: other, type: http, target: "http://127.0.0.1:{http}/other", interval: 1s}}
"""


def target_of(path, selectors):
    return f"{path}?" + urllib.parse.urlencode([("match[]", text) for text in selectors])


def get(address, path):
    """(status, content type, text)."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=harness.PATIENCE) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def samples(text):
    """{(name, labels without empty ones): (value, milliseconds)}."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, block, value, stamp = LINE.match(line).groups()
        labels = {k: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v)
                  for k, v in harness.LABEL.findall(block)}
        key = (name, frozenset((k, v) for k, v in labels.items() if v))
        assert key not in found, f"twice: {line}"
        found[key] = (float(value), int(stamp))
    return found


class Prometheus(harness.Program):
    def __init__(self, box, sonde):
        self.address = f"127.0.0.1:{harness.free_port()}"
        where = [{"targets": [sonde]}]
        config = {"global": {"scrape_interval": f"{int(SCRAPE_SECONDS * 1000)}ms",
                             "scrape_timeout": f"{int(SCRAPE_SECONDS * 1000)}ms"},
                  "scrape_configs": [
                      {"job_name": "federate", "honor_labels": True, "metrics_path": "/federate",
                       "params": {"match[]": SELECTORS}, "static_configs": where},
                      {"job_name": "direct", "honor_labels": True, "static_configs": where}]}
        path = box.write("prometheus.json", json.dumps(config))  # JSON is YAML
        super().__init__("prometheus", [
            PROMETHEUS, f"--config.file={path}", f"--web.listen-address={self.address}",
            f"--storage.tsdb.path={box.folder / 'tsdb'}"], box.folder)
        box.add(self)
        self.until_ready(lambda: self.get("/-/ready")[0] == 200)

    def get(self, path):
        try:
            return get(self.address, path)
        except OSError:
            return 0, "", ""

    def api(self, expression):
        query = urllib.parse.urlencode({"query": expression})
        return json.loads(self.get(f"/api/v1/query?{query}")[2])["data"]["result"]


class FederateTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        farm = box.farm("--listen=http:0", "--listen=refused:0")
        cls.sonde = box.sonde(TASKS.format(http=farm.ports[0], refused=farm.ports[1]))
        cls.sonde.until_runs(2)
        cls.prometheus = Prometheus(box, cls.sonde.address)
        harness.until("both jobs are up", lambda: len(cls.prometheus.api("up == 1")) == 2)

    def federate(self, *selectors):
        return get(self.sonde.address, target_of("/federate", selectors))

    def test_the_page_is_as_prometheus_writes_it(self):
        status, kind, text = self.federate(*SELECTORS)
        self.assertEqual((status, kind), (200, TYPE))
        self.assertEqual(self.prometheus.get(target_of("/federate", ["up"]))[1], TYPE)
        heads = [line for line in text.splitlines() if line.startswith("#")]
        self.assertEqual(heads, sorted(set(heads)))
        self.assertTrue(all(re.fullmatch(r"# TYPE \w+ untyped", head) for head in heads), heads)
        for block in text.split("# TYPE ")[1:]:
            name, *lines = block.splitlines()
            for line in lines:
                self.assertEqual(LINE.match(line).group(1), name.split()[0])
        found = samples(text)
        names = {name for name, _ in found}
        self.assertTrue({"probe_success", "probe_latency_seconds_bucket", "health_check_results",
                         "sonde_runs_started_total"} <= names, names)
        others = {name for name, labels in found if ("name", "other") in labels}
        self.assertEqual(others, {"probe_success", "health_check_results"})

    def test_prometheus_has_what_was_selected_and_nothing_else(self):
        scraped = {"up", "scrape_duration_seconds", "scrape_samples_scraped",
                   "scrape_samples_post_metric_relabeling", "scrape_series_added"}
        wanted = samples(self.federate(*SELECTORS)[2])

        def taken():
            rows = self.prometheus.api('{job="federate"}')
            return {(row["metric"]["__name__"],
                     frozenset((k, v) for k, v in row["metric"].items()
                               if k not in ("__name__", "job"))) for row in rows}

        # `instance` is empty in what is federated: no label, also in Prometheus.
        harness.until(lambda: taken() ^ set(wanted),
                      lambda: {key for key in taken() if key[0] not in scraped} == set(wanted))
        row = next(dict(labels) for name, labels in taken()
                   if name == "probe_success" and ("name", "shop") in labels)
        self.assertEqual((row["team"], row["instance"], row["region"]),
                         ('a "b" \\c', "shop-1", "eu"))
        row = next(dict(labels) for name, labels in taken()
                   if name == "probe_success" and ("name", "port") in labels)
        self.assertEqual((row["team"], row.get("instance"), row["region"]), ("prober", None, "eu"))

    def test_time_stamps_arrive_as_sent(self):
        def raw():
            """What Prometheus keeps: {(name, task): {milliseconds: value}}."""
            rows = self.prometheus.api('{job="federate",name=~"shop|port|refused",'
                                       '__name__=~"probe_success|probe_duration_seconds|'
                                       'probe_last_run_timestamp_seconds"}[2m]')
            return {(row["metric"]["__name__"], row["metric"]["name"]):
                    {round(float(at) * 1000): float(value) for at, value in row["values"]}
                    for row in rows}

        sent = {}
        until = time.monotonic() + 8
        while time.monotonic() < until:
            for (name, labels), (value, stamp) in samples(self.federate(*SELECTORS)[2]).items():
                sent.setdefault((name, dict(labels).get("name")), {})[stamp] = value
            time.sleep(0.1)
        first = min(min(stamps) for stamps in sent.values())
        last = min(max(stamps) for (name, task), stamps in sent.items() if task == "shop")
        kept = harness.until("all of it has arrived", lambda: (
            lambda now: now if all(max(now.get((n, t), {0: 0})) >= last for n, t in sent
                                   if t == "shop" and n == "probe_success") else None)(raw()))
        self.assertEqual(len(kept), 9)
        for key, samples_kept in kept.items():
            inside = {at: value for at, value in samples_kept.items() if first < at < last}
            ours = {at: value for at, value in sent[key].items() if first < at < last}
            self.assertGreaterEqual(len(ours), 2, key)
            # A scrape more or less on a busy machine: what both have is the same.
            for at in inside.keys() & ours.keys():
                self.assertEqual(inside[at], ours[at], key)
            self.assertGreaterEqual(len(inside.keys() & ours.keys()), len(ours) - 1, key)
        for task in ("shop", "port", "refused"):
            for at, value in kept[("probe_last_run_timestamp_seconds", task)].items():
                self.assertEqual(at, round(value * 1000), task)

    def test_prometheus_drops_nothing(self):
        time.sleep(3 * SCRAPE_SECONDS)
        own = harness.Metrics(self.prometheus.get("/metrics")[2].splitlines(),
                              ["prometheus_target_"])
        for what in ("sample_duplicate_timestamp", "sample_out_of_order", "sample_out_of_bounds"):
            self.assertEqual(own.sum(f"prometheus_target_scrapes_{what}_total"), 0, what)
        self.assertNotIn("Error on ingesting", self.prometheus.text())

    def test_selectors_choose_what_they_choose_of_prometheus(self):
        def plain(labels, *without):
            """Bounds as numbers: Prometheus scrapes OpenMetrics, which writes 1 as 1.0."""
            return frozenset((k, float(v) if k == "le" else v) for k, v in labels
                             if (k, v) not in without)

        def ours(selector):
            return {(name, plain(labels, ("region", "eu"), ("team", "prober")))
                    for name, labels in samples(self.federate(selector)[2])}

        def theirs(selector):
            status, _, text = self.prometheus.get(target_of("/federate", [selector]))
            self.assertEqual(status, 200, selector)
            # What Prometheus itself knows of the scrape is no series of sonde's.
            own = f"127.0.0.1:{self.sonde.address.split(':')[1]}"
            return {(name, plain(labels, ("job", "direct"), ("instance", own)))
                    for name, labels in samples(text)
                    if ("job", "direct") in labels and not re.match(r"up$|scrape_", name)}

        for selector in (
                'probe_success', 'probe_success{name="shop"}', 'probe_success{name!="shop"}',
                'probe_success{name=~"sh.*|port"}', 'probe_success{name=~"hop"}',
                'probe_success{name!~"s.*"}', 'probe_success{team=""}', 'probe_success{team!=""}',
                "probe_success{team='a \"b\" \\\\c'}", 'probe_success{team=`a "b" \\c`}',
                'probe_success{name="\\x73h\\157p",}', 'probe_success{nothing=""}',
                '{__name__="probe_success"}', '{__name__=~"probe_success|probe_duration_seconds"}',
                '{__name__=~"probe_.+",__name__!~".*seconds.*",type="tcp"}',
                '{name="port"}', '{phase="connect"}', '{phase=~"c.+",reason!=""}',
                '{le="0.05"}', '{window=~"5m|1h",name="refused"}', '{status="failed"}',
                '{__name__=~"sonde_tasks|sonde_runs_total"}', '{state="up"}',
                '{shard=~".+"}', 'probe_success # all', ' probe_success { } ', 'nothing'):
            with self.subTest(selector):
                harness.until(lambda s=selector: (s, ours(s) ^ theirs(s)),
                              lambda s=selector: ours(s) == theirs(s), seconds=15)

    def test_bad_selectors_are_refused_at_the_same_place(self):
        for selector in ('', 'foo;bar', '{,}', 'a{b="c"', 'a{b=c}', 'a[5m]', 'a offset 5m', 'sum(a)',
                         'a{1b="c"}', 'a{b:c="d"}', 'a or b',
                         'a{b == "c"}', '1a', 'a@5', 'a{b="c",,}', 'a{b!"c"}', '\xe9'):
            with self.subTest(selector):
                status, _, text = self.federate("up", selector)
                expected, _, said = self.prometheus.get(target_of("/federate", [selector]))
                self.assertEqual((status, expected), (400, 400), text)
                place = re.search(r"(\d+:\d+): parse error: ", text).group(1)
                self.assertEqual(place, re.match(r"(\d+:\d+): parse error: ", said).group(1), text)
        # Prometheus' queries refuse these; its /federate gives everything, or nothing.
        for selector in ("{}", '{a=~".*"}', '{a!="b"}'):
            self.assertEqual(self.federate(selector)[0], 400, selector)
            query = urllib.parse.urlencode({"query": selector})
            self.assertEqual(self.prometheus.get(f"/api/v1/query?{query}")[0], 400, selector)
        self.assertEqual(self.federate()[::2], (200, ""))
        self.assertEqual(self.sonde.request("POST", "/federate")[0], 405)

    def thread_seconds(self):
        """Processor time of the exporter's thread, and of all others."""
        tick = os.sysconf("SC_CLK_TCK")
        spent = {}
        for thread in os.listdir(f"/proc/{self.sonde.pid}/task"):
            with open(f"/proc/{self.sonde.pid}/task/{thread}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            spent[int(thread)] = (int(fields[11]) + int(fields[12])) / tick
        exporter = spent.pop(self.sonde.pid)
        return exporter, sum(spent.values())

    def test_shards_pay_nothing(self):
        def spend(seconds, work):
            before = self.thread_seconds()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                work()
            after = self.thread_seconds()
            return after[0] - before[0], after[1] - before[1]

        _, idle = spend(4, lambda: time.sleep(0.1))
        exporter, busy = spend(4, lambda: self.federate('{__name__=~".+"}'))
        harness.report(f"4 s of federation: exporter {exporter:.2f} s, other threads {busy:.2f} s "
                       f"({idle:.2f} s without)")
        self.assertGreater(exporter, 0.1)
        self.assertLess(busy, 2 * idle + 0.1)
        self.check_honest(self.sonde.metrics())


if __name__ == "__main__":
    harness.main()
