"""One million tasks in one process: half ping, half open a connection, once a minute each.

    million_test.py [--tasks 1000000] [--shards N]

They are read from a file, scheduled, probed against addresses of their own in 127/8 (the farm
answers tcp, the kernel icmp) and scraped with `families: [core]`. Counts are judged: all are there,
each was probed within the first interval unless its slot was skipped and counted, none failed, every
run has its verdict, the scrape has every series, and reading the file again leaves every task with its
counters and no second copy of them. Times, memory and lateness are printed.
"""
import argparse
import os
import re
import sys
import time
import urllib.parse
import urllib.request

import harness
from soak_test import address, processor_seconds, quantile

INTERVAL = 60
MEMORY_PER_TASK = 6000  # bytes that must be free before: tasks, and the file while it is read
PATIENCE = 600
HEAD = """metrics: {families: [core]}
modules:
  open: {prober: tcp, tcp: {close: reset}}
  ping: {prober: icmp}
tasks:
"""


def configuration(tasks, port):
    def line(i):
        if i % 2:
            return f"- {{name: tcp-{i}, module: open, target: '{address(i)}:{port}'}}\n"
        return f"- {{name: ping-{i}, module: ping, target: {address(i)}}}\n"
    return HEAD + "".join(map(line, range(tasks)))


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"MemAvailable:\s+(\d+)", file.read()).group(1)) * 1024


def peak_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024


def own_series(sonde):
    """The process's own series: /federate passes over the tasks'."""
    match = urllib.parse.quote('{__name__=~"sonde_.*"}')
    status, text = sonde.request("GET", f"/federate?match[]={match}", timeout=PATIENCE)
    assert status == 200, text
    lines = (re.sub(r" \d+$", "", line) for line in text.splitlines())
    return harness.Metrics([line for line in lines if line and not line.startswith("#")])


def scrape(sonde, patterns):
    """(seconds, bytes, {pattern: how often it is there})."""
    found, size, rest = dict.fromkeys(patterns, 0), 0, b""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://{sonde.address}/metrics", timeout=PATIENCE) as page:
        while chunk := page.read(1 << 20):
            size += len(chunk)
            whole, end, begun = (rest + chunk).rpartition(b"\n")
            for pattern in patterns:
                found[pattern] += (whole + end).count(pattern)
            rest = end + begun  # a line's end is in the patterns of both its neighbours
    return time.monotonic() - began, size, found


class Judge:
    def __init__(self):
        self.failures = []

    def __call__(self, what, holds, found):
        print(f"{'ok  ' if holds else 'FAIL'} {what} ({found})", flush=True)
        if not holds:
            self.failures.append(what)


def judge_scrape(check, sonde, tasks, skipped):
    # Families every task has, and those of one type.
    everybody = ["probe_success", "probe_duration_seconds", "probe_ip_protocol",
                 "probe_last_run_timestamp_seconds"]
    pings = ["probe_icmp_packets_sent", "probe_icmp_packets_received"]
    patterns = {name: b"\n" + name.encode() + b"{" for name in everybody + pings}
    none = {status: f'status="{status}"}} 0\n'.encode() for status in ("success", "failed")}
    results = b"\nhealth_check_results{"
    seconds, size, found = scrape(sonde, [*patterns.values(), *none.values(), results])
    unprobed = found[none["success"]]
    check("every task has its counters", found[results] == 2 * tasks, found[results])
    check("no task failed", found[none["failed"]] == tasks, tasks - found[none["failed"]])
    check("every task was probed, or its slot was skipped and counted", unprobed <= skipped,
          f"{unprobed} were not, {skipped:.0f} slots skipped")
    for name in everybody:
        count = found[patterns[name]]
        check(f"{name} of every task that ran", tasks - unprobed <= count <= tasks, count)
    for name in pings:
        count = found[patterns[name]]
        check(f"{name} of every ping that ran", tasks // 2 - unprobed <= count <= tasks // 2, count)
    return seconds, size


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=0)
    options = parser.parse_args()
    tasks = options.tasks // 2 * 2
    if harness.sanitized():
        harness.skip("a million tasks are for the release build")
    if available_bytes() < tasks * MEMORY_PER_TASK:
        harness.skip(f"{available_bytes() >> 20} MiB are free, {tasks * MEMORY_PER_TASK >> 20} wanted")
    check = Judge()
    with harness.Sandbox() as box:
        port = harness.free_port()
        farm = box.farm(f"--listen=tcp:{port}")
        text = configuration(tasks, port)
        flags = [f"--shards={options.shards}"] if options.shards else []
        began = time.monotonic()
        sonde = box.sonde(text, *flags)
        loaded = time.monotonic()
        del text
        after_load = sonde.resident_bytes()
        print(f"ready {loaded - began:.1f} s after its start; resident {after_load >> 20} MiB, "
              f"{peak_bytes(sonde.pid) >> 20} at most")
        cpu = processor_seconds(sonde.pid)
        # Every task is due once in each interval; what fell due at its end gets its answer.
        time.sleep(INTERVAL + 3)
        watched = time.monotonic() - loaded
        share = (processor_seconds(sonde.pid) - cpu) / watched
        own = own_series(sonde)
        skipped = own.sum("sonde_runs_skipped_total")
        started = own.sum("sonde_runs_started_total")
        check("all tasks are there", own.sum("sonde_tasks") == tasks, own.sum("sonde_tasks"))
        finished, judged = own.sum("sonde_runs_finished_total"), own.sum("sonde_runs_total")
        check("every finished run has a verdict", 0 <= judged - finished <= 1000,
              f"{finished:.0f} and {judged:.0f}")  # the second is read a moment later
        check("every slot got its run or was skipped", started + skipped >= tasks,
              f"{started:.0f} and {skipped:.0f} of {tasks}")
        check("no run failed", own.sum("sonde_runs_total", outcome="failed") == 0,
              own.sum("sonde_runs_total", outcome="failed"))
        late = sorted((float(bound), count) for bound, count in
                      own.by("le", "sonde_schedule_lateness_seconds_bucket").items())
        print(f"{started / watched:.0f} runs/s, {share * 100:.0f} % of a core; skipped "
              f"{skipped:.0f}; lateness (ms): " + ", ".join(
                  f"p{q * 100:g} {quantile(late, q) * 1e3:.2f}" for q in (0.5, 0.9, 0.99, 0.999)))
        cpu = processor_seconds(sonde.pid)
        seconds, size = judge_scrape(check, sonde, tasks,
                                     own_series(sonde).sum("sonde_runs_skipped_total"))
        print(f"scrape: {size / 1e6:.0f} MB in {seconds:.1f} s, "
              f"{processor_seconds(sonde.pid) - cpu:.1f} s of processor, probing included")
        before = sonde.resident_bytes()
        with open(sonde.config, "a", encoding="ascii") as file:
            file.write("# as before\n")
        began = time.monotonic()
        status, text = sonde.request("POST", "/-/reload", timeout=PATIENCE)
        check("the file is read again", status == 200, text or status)
        print(f"read again in {time.monotonic() - began:.1f} s, resident "
              f"{before >> 20} -> {sonde.resident_bytes() >> 20} MiB, "
              f"{peak_bytes(sonde.pid) >> 20} at most")
        own = own_series(sonde)
        check("no run failed meanwhile", own.sum("sonde_runs_total", outcome="failed") == 0,
              own.sum("sonde_runs_total", outcome="failed"))
        _, _, again = scrape(sonde, [b'status="success"} 0\n'])
        unprobed = sum(again.values())
        check("every task kept its counters", unprobed <= own.sum("sonde_runs_skipped_total"), unprobed)
        # What was read is given back to the system a moment later.
        kept = tasks * 300
        harness.until("a second copy of the tasks goes",
                      lambda: sonde.resident_bytes() - before < kept)
        print(f"then resident {sonde.resident_bytes() >> 20} MiB")
        print(f"farm {farm.resident_bytes() >> 20} MiB; load {os.getloadavg()}")
        if check.failures:
            print(box.logs())
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
