"""What the end-to-end tests share: real programs, started and ended by us, and what they say.

A test starts `sonde` and the programs it probes in a Sandbox: a temporary folder whose programs are
ended, by their process ids, when the test is over. Nothing waits longer than its deadline, nothing
sleeps for a fixed time. SONDE_BIN_DIR names the folder of the binaries.

Exit codes of a test: 0 passed, 1 failed, 77 skipped because a program it needs is not installed or
the machine does not let it.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds anything may take on a busy machine, under sanitizers
SKIPPED = 77


def binaries():
    folders = [os.environ.get("SONDE_BIN_DIR"), ROOT / "build/release", ROOT / "build/dev"]
    for folder in filter(None, folders):
        if (pathlib.Path(folder) / "sonde").exists():
            return pathlib.Path(folder).resolve()
    sys.exit("no sonde in SONDE_BIN_DIR, build/release or build/dev: build it first")


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def need(*programs):
    """Paths of programs of the system. The test is skipped when one is missing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin"
    found = [shutil.which(program, path=path) for program in programs]
    for program, where in zip(programs, found):
        if where is None:
            skip(f"{program} is not installed (tools/install-deps test installs it)")
    return found if len(found) > 1 else found[0]


def sanitized():
    """Whether the binary was built with a sanitizer: slower, so bounds on time are wider."""
    data = (binaries() / "sonde").read_bytes()
    return b"__asan_init" in data or b"__tsan_init" in data


def until(what, condition, seconds=PATIENCE, every=0.02):
    """Polls until `condition()` is truthy and returns that; raises AssertionError at the deadline.
    `what` is text, or a function that says how things stand then; `every`: seconds between
    polls."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(every)


def free_port():
    """A port nothing listens on, below the range the kernel takes clients' ports from."""
    for _ in range(1000):
        port = random.randint(10000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


def report(text):
    """A measured number, for whoever reads the test's output."""
    print(f"\n{text}", flush=True)


def accepts(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def clean_environment(extra=None):
    """Our own environment without the variables that are flags of sonde."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SONDE_")}
    env.update(extra or {})
    return env


class Program:
    """A program we started; its output goes to a file of the sandbox."""

    def __init__(self, name, arguments, folder, env=None):
        self.name = name
        self.output = pathlib.Path(folder) / f"{name}.log"
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(
                [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, cwd=folder, env=clean_environment(env))
        self.pid = self.process.pid

    def text(self):
        return self.output.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE):
        """Its exit code; negative when a signal ended it."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds} s") from None

    def stop(self, seconds=PATIENCE):
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def until_ready(self, condition, seconds=PATIENCE):
        def ready():
            if not self.running():
                raise AssertionError(f"{self.name} ended ({self.process.returncode}) at start:\n"
                                     f"{self.text()[-2000:]}")
            return condition()
        return until(lambda: f"{self.name} is ready:\n{self.text()[-2000:]}", ready, seconds)

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024


SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \S+)?$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """A scrape: samples by family. With `names`, only samples that begin with one of them."""

    def __init__(self, lines, names=None):
        self.samples = {}
        names = tuple(names) if names else ("",)
        for line in lines:
            if line.startswith("#") or not line.startswith(names):
                continue
            match = SAMPLE.match(line)
            assert match, f"not a sample: {line!r}"
            name, labels, value = match.groups()
            pairs = {k: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v)
                     for k, v in LABEL.findall(labels or "")}
            self.samples.setdefault(name, []).append((pairs, float(value)))

    def all(self, family, /, **labels):
        """[(labels, value)] of the samples that carry these labels."""
        return [(l, v) for l, v in self.samples.get(family, [])
                if all(l.get(k) == w for k, w in labels.items())]

    def value(self, family, /, **labels):
        """Of the one sample with these labels; None when there is none."""
        found = self.all(family, **labels)
        assert len(found) < 2, f"{family}{labels}: {len(found)} samples"
        return found[0][1] if found else None

    def sum(self, family, /, **labels):
        return sum(v for _, v in self.all(family, **labels))

    def by(self, label, family, /, **labels):
        return {l.get(label): v for l, v in self.all(family, **labels)}

    def quantile_bound(self, name, q):
        """Upper bound of the bucket that the q-quantile of a histogram falls into."""
        buckets = sorted((float(l["le"]), v) for l, v in self.all(name + "_bucket"))
        total = buckets[-1][1]
        return next(le for le, count in buckets if count >= q * total)


def need_io_uring():
    """Skips where sonde cannot have it: forbidden, or a kernel older than 6.7."""
    libc = ctypes.CDLL(None, use_errno=True)
    ring = libc.syscall(425, 1, ctypes.create_string_buffer(120))  # io_uring_setup
    if ring < 0:
        skip(f"no io_uring here: {os.strerror(ctypes.get_errno())}")
    os.close(ring)
    release = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
    if release < (6, 7):
        skip("io_uring of a kernel older than 6.7")


class Sonde(Program):
    """`sonde serve` on a port the kernel chose, with the configuration file `self.config`."""

    def __init__(self, folder, config, *flags, env=None, name="sonde", under=()):
        """`under`: words of a program that runs it, such as env or prlimit."""
        if io := os.environ.get("SONDE_E2E_IO"):  # what carries connections in this run
            need_io_uring()
            config = (config.replace("engine: {", f"engine: {{io: {io}, ", 1)
                      if "engine: {" in config else f"engine: {{io: {io}}}\n{config}")
        self.config = pathlib.Path(folder) / "sonde.yml"
        self.config.write_text(config)
        super().__init__(name, [*under, binaries() / "sonde", "serve",
                                f"--config.file={self.config}",
                                "--web.listen-address=127.0.0.1:0", *flags], folder, env)
        match = self.until_ready(lambda: re.search(r"listening.*?(127\.0\.0\.1:\d+)", self.text()))
        self.address = match.group(1)
        self.until_ready(lambda: self.get("/-/ready")[0] == 200)

    def request(self, method, path, headers=None, timeout=PATIENCE):
        """(status, text)."""
        request = urllib.request.Request(f"http://{self.address}{path}", method=method,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get(self, path, headers=None):
        return self.request("GET", path, headers)

    def reload(self):
        return self.request("POST", "/-/reload")

    def metrics(self, *names):
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=PATIENCE) as answer:
            return Metrics((line.decode().rstrip("\n") for line in answer), names)

    def own_page(self):
        """Its own series, which are few however many tasks there are; and the moment they are of."""
        began = time.monotonic()
        status, text = self.get("/federate?match[]=%7B__name__%3D~%22sonde_.*%22%7D")
        assert status == 200, text
        return (began + time.monotonic()) / 2, Metrics(text.splitlines(), ["sonde_"])

    def until_runs(self, count, tasks=None, seconds=PATIENCE):
        """The first scrape in which each of `tasks` (default: all known) has `count` conclusive
        runs."""
        last = {}

        def enough():
            last["metrics"] = metrics = self.metrics()
            runs = {}
            for labels, value in metrics.all("health_check_results"):
                runs[labels["name"]] = runs.get(labels["name"], 0) + value
            wanted = tasks if tasks is not None else list(runs)
            last["missing"] = [name for name in wanted if runs.get(name, 0) < count]
            return wanted and not last["missing"]
        until(lambda: f"{count} runs of {last['missing'][:10]}", enough, seconds)
        return last["metrics"]


class Farm(Program):
    """Simulated targets. `ports` are those of its listeners, in their order."""

    def __init__(self, folder, *flags, config=None, name="farm"):
        arguments = [binaries() / "farm", *flags]
        if config:
            path = pathlib.Path(folder) / f"{name}.yml"
            path.write_text(config)
            arguments.append(f"--config.file={path}")
        super().__init__(name, arguments, folder)
        self.until_ready(lambda: "ready" in self.text().splitlines()[-1:])

    @property
    def ports(self):
        """The (first) port of each listener: "http 127.0.0.0/8 8080-8089" """
        lines = self.text().splitlines()
        return [int(line.split()[2].split("-")[0]) for line in lines[:lines.index("ready")]]


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr {errors};
events {{}}
http {{
  client_body_temp_path {folder}/tmp-body;
  proxy_temp_path {folder}/tmp-proxy;
  fastcgi_temp_path {folder}/tmp-fastcgi;
  uwsgi_temp_path {folder}/tmp-uwsgi;
  scgi_temp_path {folder}/tmp-scgi;
  default_type text/plain;
{http}
}}
"""


class Sandbox(contextlib.ExitStack):
    """A temporary folder and the programs started in it."""

    def __init__(self):
        super().__init__()
        self.folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix="sonde-")))
        self.programs = []

    def add(self, program):
        self.programs.append(program)
        self.callback(program.stop)
        return program

    def start(self, name, arguments, ready=None, env=None):
        program = self.add(Program(name, arguments, self.folder, env))
        if ready:
            program.until_ready(ready)
        return program

    def sonde(self, config, *flags, **more):
        return self.add(Sonde(self.folder, config, *flags, **more))

    def farm(self, *flags, **more):
        return self.add(Farm(self.folder, *flags, **more))

    def nginx(self, http, ports, errors="warn"):
        """With `http` in the http block of its configuration; ready when all `ports` accept."""
        config = self.write("nginx.conf",
                            NGINX.format(folder=self.folder, errors=errors, http=http))
        return self.start("nginx", [need("nginx"), "-p", self.folder, "-e", "stderr", "-c", config],
                          lambda: all(accepts(port) for port in ports))

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def logs(self, limit=3000):
        return "\n".join(f"--- {p.name}\n{p.text()[-limit:]}" for p in self.programs)


class Answer:
    """What a command that ended by itself came to."""

    def __init__(self, completed):
        self.code = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"


def sonde(*arguments, env=None, stdin="", cwd=None, timeout=PATIENCE):
    completed = subprocess.run([str(binaries() / "sonde"), *map(str, arguments)], cwd=cwd,
                               input=stdin, env=clean_environment(env), timeout=timeout,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                               errors="replace", check=False)
    return Answer(completed)


def probe(*arguments):
    """`sonde probe ... --json`. A run that says it was late itself, on a machine that is busy, says
    nothing about the target: it is asked again, a few times."""
    for _ in range(5):
        answer = sonde("probe", *arguments, "--json")
        if answer.code != 2 or '"prober/late"' not in answer.out:
            break
    return answer


class TestCase(unittest.TestCase):
    """One sandbox per class, filled by `set_up(box)`; its logs are shown when a test fails."""
    maxDiff = None

    @classmethod
    def set_up(cls, box):
        pass

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        try:
            cls.set_up(cls.box)
        except BaseException:
            print(cls.box.logs(), file=sys.stderr)
            cls.box.close()
            raise

    @classmethod
    def tearDownClass(cls):
        """A sonde or a farm that did not end with 0, by itself or when told to, is a failure."""
        for program in cls.box.programs:
            program.stop()
        ours = [p for p in cls.box.programs if isinstance(p, (Sonde, Farm))]
        logs = cls.box.logs()  # with what a sanitizer said at the end
        cls.box.close()
        for program in ours:
            code = program.process.returncode
            assert code == 0, f"{program.name} ended with {code}\n{logs}"

    def check_honest(self, metrics):
        """Nothing was the prober's own trouble, unless the machine made it late."""
        reasons = {labels["reason"] for labels, value in
                   metrics.all("sonde_runs_inconclusive_total") if value}
        self.assertLessEqual(reasons, {"late"})

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and getattr(self, "box", None):
            print(f"{self.id()} failed; logs:\n{self.box.logs()}", file=sys.stderr)
        return result


def main():
    unittest.main(verbosity=2)
