"""What bench/peers, bench/probe_endpoint and bench/overload share: programs side by side.

The prober under measurement, ours or another's, has core 1 to itself; its targets, its client, this
script and all else that runs on the machine have core 0. Processor time is that of all threads, in
nanoseconds, as the scheduler counts it (/proc/PID/task/*/schedstat: what /proc/PID/stat rounds to
10 ms).
"""
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
# pylint: disable=wrong-import-position
import harness  # noqa: E402
import own_core  # noqa: E402

PROBER_CORE, TARGET_CORE = (1, 0) if os.cpu_count() > 1 else (0, 0)
ON_PROBER_CORE = ("taskset", "-c", str(PROBER_CORE))
TOO_MUCH = 1.2  # times what a core gives: asked for to learn what it gives
FEW = 0.001     # of the slots may be skipped at a rate that a core carries
STEP = 1.04     # between the rates that are tried
MOST_STEPS = 10
IN_FLIGHT = 64  # requests at a time that blackbox_exporter is asked with

BLACKBOX = """
modules:
  http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}
  https:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      tls_config: {ca_file: LEAF, server_name: farm.test}
  https_chain:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      tls_config: {ca_file: ROOT, server_name: farm.test}
  tcp: {prober: tcp, timeout: 5s, tcp: {preferred_ip_protocol: ip4}}
  icmp: {prober: icmp, timeout: 5s, icmp: {preferred_ip_protocol: ip4}}
  dns:
    prober: dns
    timeout: 5s
    dns: {query_name: www.farm.test, query_type: A, preferred_ip_protocol: ip4}
"""
# Of our tasks, whose targets are servers as they are for that module.
QUESTION = ("dns: {query_name: www.farm.test, query_type: A, preferred_ip_protocol: ip4}, "
            "expect: {min_answers: 1}")

NGINX = """
daemon off;
master_process off;
pid FOLDER/nginx.pid;
error_log FOLDER/nginx.err;
worker_rlimit_nofile 20000;
events { worker_connections 9000; }
http {
  access_log off;
  ssl_protocols TLSv1.3;
  server { listen 127.0.0.1:LEAF_PORT ssl backlog=4096; ssl_certificate FOLDER/leaf.pem;
           ssl_certificate_key FOLDER/leaf.key; return 200 "ok\\n"; }
  server { listen 127.0.0.1:CHAIN_PORT ssl backlog=4096; ssl_certificate FOLDER/chain.pem;
           ssl_certificate_key FOLDER/end.key; return 200 "ok\\n"; }
}
"""


def prepare(install):
    """Installs the peers and builds what is measured, unless SONDE_BIN_DIR names a folder of it, and
    clears the prober's core."""
    if install:
        subprocess.run([ROOT / "tools/install-deps", "bench"], check=True)
    if not os.environ.get("SONDE_BIN_DIR"):
        options = [] if harness.shutil.which("ccache") else [
            "-DCMAKE_C_COMPILER_LAUNCHER=", "-DCMAKE_CXX_COMPILER_LAUNCHER="]
        for command in (["cmake", "--preset", "release", "-DSONDE_TESTS=ON", "-DSONDE_BENCH=ON",
                         *options],
                        ["cmake", "--build", "build/release", "--parallel", str(os.cpu_count()),
                         "--target", "sonde", "farm", "limits"]):
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    own_core.clear(PROBER_CORE)
    os.sched_setaffinity(0, {TARGET_CORE})  # what we start inherits it
    return soft


def address(number):
    """A target's own address in 127/8, as `limits --addresses` counts them."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def highest_rate(rate, measure, known=False, few=FEW):
    """The highest rate found at which no more than `few` of the slots are skipped, in steps; after
    MOST_STEPS it is where they led. How busy a core is does not tell: a probe is the cheaper the
    more are due together, and dearer beyond what a core carries. `measure(rate)` gives a record with
    cpu_us, skipped and slots; `rate` is where to begin, `known` one that was found a while ago."""
    def carried(rate):
        found = measure(rate)
        return found["skipped"] <= few * found["slots"]
    for _ in range(0 if known else 2):
        rate = 1e6 / measure(TOO_MUCH * rate)["cpu_us"]
    up = carried(rate)
    for _ in range(MOST_STEPS):
        if up and not carried(rate * STEP):
            break
        rate = rate * STEP if up else rate / STEP
        if not up and carried(rate):
            break
    return rate


def stolen_seconds():
    """What the host took of the prober's core (steal: proc_stat(5)), in steps of 10 ms."""
    line = next(line for line in pathlib.Path("/proc/stat").read_text().splitlines()
                if line.startswith(f"cpu{PROBER_CORE} "))
    return int(line.split()[8]) / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    return sum(int((thread / "schedstat").read_text().split()[0])
               for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def peak_bytes(pid):
    """The most it was resident since `forget_peak`."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def run(*command, core=PROBER_CORE, may_fail=False):
    """(what it printed, its processor seconds): of a program that ends by itself."""
    with subprocess.Popen(["taskset", "-c", str(core), *map(str, command)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", errors="replace") as child:
        text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode and not may_fail:
        raise AssertionError(f"{command[0]} ended with {child.returncode}:\n{text[-2000:]}")
    return text, usage.ru_utime + usage.ru_stime


def limits(what, *flags, core=PROBER_CORE):
    """What one of bench/limits' clients found."""
    text, _ = run(harness.binaries() / "limits_client", what, *flags, core=core)
    return json.loads(text.splitlines()[-1])


def certificates(folder):
    """leaf.pem: self-signed. chain.pem: a leaf and its intermediate, under root.pem. All P-256."""
    names = "subjectAltName=DNS:farm.test,IP:127.0.0.1"

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def key_and(*arguments, name):
        openssl(*arguments, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{name}.key", "-subj", f"/CN={name}.farm.test")

    def sign(name, issuer, extensions):
        (folder / f"{name}.ext").write_text(extensions)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey",
                f"{issuer}.key", "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext",
                "-out", f"{name}.pem")

    key_and("req", "-x509", "-days", "30", "-addext", names, "-out", "leaf.pem", name="leaf")
    key_and("req", "-x509", "-days", "30", "-out", "root.pem", name="root")
    key_and("req", "-new", "-out", "middle.csr", name="middle")
    sign("middle", "root", "basicConstraints=critical,CA:TRUE\n")
    key_and("req", "-new", "-out", "end.csr", name="end")
    sign("end", "middle", names + "\n")
    (folder / "chain.pem").write_text((folder / "end.pem").read_text() +
                                      (folder / "middle.pem").read_text())


class Targets:
    """The farm, for all but TLS; nginx for that, since it also resumes sessions."""

    def __init__(self, box):
        self.box = box
        certificates(box.folder)
        self.http, self.tcp, self.dns, self.leaf, self.chain = (
            harness.free_port() for _ in range(5))
        box.farm(f"--listen=http:{self.http}", f"--listen=tcp:{self.tcp}",
                 f"--listen=dns:{self.dns}")
        text = NGINX
        for word, value in (("FOLDER", box.folder), ("LEAF_PORT", self.leaf),
                            ("CHAIN_PORT", self.chain)):
            text = text.replace(word, str(value))
        box.start("nginx", [harness.need("nginx"), "-c", box.write("nginx.conf", text)],
                  lambda: harness.accepts(self.leaf) and harness.accepts(self.chain))

    def modules(self):
        """blackbox_exporter's configuration, and ours."""
        text = BLACKBOX.replace("LEAF", str(self.box.folder / "leaf.pem"))
        return text.replace("ROOT", str(self.box.folder / "root.pem"))

    def blackbox(self):
        port = harness.free_port()
        path = self.box.write("blackbox.yml", self.modules())
        return self.box.start("blackbox", [
            *ON_PROBER_CORE, harness.need("prometheus-blackbox-exporter"),
            f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}"],
            lambda: harness.accepts(port), env={"GOMAXPROCS": "1"}), port

    def scrape_target(self, module):
        """What `/probe` is asked for, by the module of that name."""
        return {"http": f"http://127.1.0.1:{self.http}/", "tcp": f"127.1.0.1:{self.tcp}",
                "dns": f"127.1.0.1:{self.dns}", "icmp": "127.1.0.1",
                "https": f"https://127.0.0.1:{self.leaf}/",
                "https_chain": f"https://127.0.0.1:{self.chain}/"}[module]


def ask_for_probes(targets, port, pid, module, in_flight, seconds):
    """`/probe` of a prober under load: what the client found."""
    path = f"/probe?target={targets.scrape_target(module)}&module={module}"
    return limits("load", f"--port={port}", f"--path={path}", "--expect=\nprobe_success 1\n",
                  f"--in-flight={in_flight}", f"--seconds={seconds}", f"--watch={pid}",
                  core=TARGET_CORE)


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def machine():
    """What a reader must know of the conditions."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"date": time.strftime("%Y-%m-%d %H:%M"), "cores": os.cpu_count(),
            "processor": model.group(1) if model else "unknown", "kernel": os.uname().release,
            "load": os.getloadavg()[0]}


def show(rows, markdown=False):
    """Rows of text as a table; the first is its head, one of a single cell a heading."""
    if markdown:
        for number, row in enumerate(rows):
            head = [f"**{row[0]}**"] if number and len(row) == 1 else [row[0].strip()]
            cells = head + row[1:] + [""] * (len(rows[0]) - len(row))
            print("| " + " | ".join(cells) + " |")
            if number == 0:
                print("|---" * len(cells) + "|")
        return
    widths = [max(len(row[i]) for row in rows if len(row) > i) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def add_markdown(parser):
    parser.add_argument("--markdown", action="store_true", help="tables as docs/performance.md has them")


def number(value, unit=""):
    """Three significant digits, or a dash."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}{unit}"
    return f"{value:.2f}{unit}" if value < 10 else f"{value:.1f}{unit}"
