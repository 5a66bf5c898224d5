"""Reads our expositions with parsers that are not ours.

    openmetrics_check.py METRICS_SAMPLE

METRICS_SAMPLE prints the sample fleet as `text`, `openmetrics` or `protobuf`. The strict
OpenMetrics parser of python3-prometheus-client must accept the one, its text parser and promtool
the other, and all three must tell the same numbers. Exit status 77 (skipped) when the parsers are
not installed.
"""

import math
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import protobuf

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
    from prometheus_client.parser import text_string_to_metric_families as read_text
except ImportError:
    print("python3-prometheus-client is not installed")
    sys.exit(77)

# The one finding of promtool that stands: the name is fixed by contract.
ACCEPTED = {'health_check_results counter metrics should have "_total" suffix'}


def samples(families):
    out = {}
    for family in families:
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                labels["le"] = float(labels["le"])
            # The Python text parser gives every counter a _total; the body itself is bare.
            name = "health_check_results" if family.name == "health_check_results" else sample.name
            key = (name, frozenset(labels.items()))
            assert key not in out, f"series twice: {key}"
            out[key] = sample.value
    return out


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def check_types(families):
    types = {family.name: family.type for family in families}
    want = {
        "health_check_results": "unknown",
        "probe_failures": "counter",
        "probe_latency_seconds": "histogram",
        "probe_success": "gauge",
        "probe_tls_version": "info",
        "sonde_build": "info",
        "sonde_runs": "counter",
        "sonde_schedule_lateness_seconds": "histogram",
        "http_requests": "counter",
        "process_cpu_seconds": "counter",
    }
    for name, kind in want.items():
        assert types.get(name) == kind, f"{name}: {types.get(name)}, not {kind}"


def check_protobuf(body, in_text):
    families = protobuf.Families(body)
    for name, kind in {"health_check_results": "counter", "probe_latency_seconds": "histogram",
                       "sonde_build_info": "gauge", "probe_failures_total": "counter"}.items():
        assert families.types.get(name) == kind, f"{name}: {families.types.get(name)}, not {kind}"
    assert families.units["process_cpu_seconds_total"] == "seconds"
    for key in in_text.keys() | families.samples.keys():
        assert key in in_text and key in families.samples, f"only in one format: {key}"
        assert same(in_text[key], families.samples[key]), f"differs: {key}"
    (native,) = families.native.values()
    assert (native.schema, native.count, native.zero) == (2, 2, 0), native
    assert native.buckets == {-17: 2}, native  # 48.2 ms: 2^(-18/4) to 2^(-17/4) s


def check_promtool(text):
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed")
        sys.exit(77)
    run = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                         check=False)
    findings = {line for line in (run.stdout + run.stderr).decode().splitlines() if line}
    assert findings == ACCEPTED, findings ^ ACCEPTED


def main():
    def page(form):
        return subprocess.run([sys.argv[1], form], capture_output=True, check=True).stdout

    text, open_metrics = page("text"), page("openmetrics")
    open_families = list(read_open(open_metrics.decode("utf-8")))
    check_types(open_families)
    assert b"\nhealth_check_results{" in text and b"health_check_results_total" not in text
    in_text = samples(read_text(text.decode("utf-8")))
    in_open = samples(open_families)
    assert len(in_text) > 100, len(in_text)
    for key in in_text.keys() | in_open.keys():
        assert key in in_text and key in in_open, f"only in one format: {key}"
        assert same(in_text[key], in_open[key]), f"differs: {key}"
    check_protobuf(page("protobuf"), in_text)
    check_promtool(text)
    print(f"{len(in_text)} series agree")


if __name__ == "__main__":
    main()
