#!/usr/bin/env python3
"""Dialogue presets with the real servers they are for: aiosmtpd, Redis, memcached, PostgreSQL."""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import authority
import dialogues_test
import harness


def postgresql():
    """The folder of the newest PostgreSQL's programs: Debian keeps them out of the way."""
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
                     key=lambda folder: float(folder.parent.name))
    if not folders:
        harness.skip("postgresql is not installed (tools/install-deps test installs it)")
    return folders[-1]


class Case:
    def __init__(self, target, preset, outcome="ok", labels=None, tls=False):
        self.target, self.preset, self.outcome = target, preset, outcome
        self.labels, self.tls = labels, tls


class PresetsTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        folder = box.folder
        ours = authority.Authority(folder, "Our Root")
        cls.ca = ours.certificate
        cls.good = ours.issue("good", "DNS:localhost")
        cls.ports = {name: harness.free_port() for name in (
            "smtp", "redis", "locked", "memcached", "postgresql", "postgresql-plain")}
        cls.start_lines(box)
        cls.start_postgresql(box)
        cls.make_cases()
        cls.prober = box.sonde(cls.configuration())

    @classmethod
    def start(cls, box, name, *arguments):
        port = cls.ports[name]
        box.start(name, arguments, lambda: harness.accepts(port))

    @classmethod
    def start_lines(cls, box):
        redis, memcached = harness.need("redis-server", "memcached")
        ports = cls.ports
        cls.start(box, "smtp", dialogues_test.python_with_smtp(), "-m", "aiosmtpd", "-n", "-l",
                  f"127.0.0.1:{ports['smtp']}", "-c", "aiosmtpd.handlers.Sink", "--tlscert",
                  cls.good.bundle, "--tlskey", cls.good.key)
        for name, flags in (("redis", []), ("locked", ["--requirepass", "secret"])):
            cls.start(box, name, redis, "--bind", "127.0.0.1", "--port", ports[name], "--save", "",
                      "--dir", box.folder, "--daemonize", "no", *flags)
        cls.start(box, "memcached", memcached, "-l", "127.0.0.1", "-p", ports["memcached"], "-U",
                  "0", "-u", pwd.getpwuid(os.geteuid()).pw_name)

    @classmethod
    def start_postgresql(cls, box):
        """Two servers, one of which speaks TLS. PostgreSQL does not run as root."""
        programs = postgresql()
        folder = pathlib.Path(box.enter_context(tempfile.TemporaryDirectory(prefix="sonde-pg-")))
        certificate, key = folder / "server.pem", folder / "server.key"
        shutil.copy(cls.good.bundle, certificate)
        shutil.copy(cls.good.key, key)
        key.chmod(0o600)
        user = []
        if os.geteuid() == 0:
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            for path in (folder, certificate, key):
                shutil.chown(path, "postgres", "postgres")
        subprocess.run([*user, programs / "initdb", "-D", folder / "postgresql", "-A", "trust",
                        "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL, timeout=harness.PATIENCE * 2)
        subprocess.run([*user, "cp", "-r", folder / "postgresql", folder / "postgresql-plain"],
                       check=True, timeout=harness.PATIENCE)
        tls = ["-c", "ssl=on", "-c", f"ssl_cert_file={certificate}", "-c", f"ssl_key_file={key}"]
        for name, flags in (("postgresql", tls), ("postgresql-plain", [])):
            port = cls.ports[name]
            program = box.add(harness.Program(
                name, [*user, programs / "postgres", "-D", folder / name, "-p", port, "-h",
                       "127.0.0.1", "-c", "unix_socket_directories=", *flags], folder))
            program.until_ready(lambda port=port: harness.accepts(port))

    @classmethod
    def make_cases(cls):
        def at(name):
            return f"localhost:{cls.ports[name]}"
        version = subprocess.run([harness.need("memcached"), "--version"], check=True,
                                 capture_output=True, text=True).stdout.split()[1]
        cls.cases = {
            "smtp": Case(at("smtp"), "smtp"),
            "smtp_starttls": Case(at("smtp"), "smtp_starttls", tls=True),
            "redis": Case(at("redis"), "redis"),
            "redis locked": Case(at("locked"), "redis", "dialogue/mismatch"),
            "memcached": Case(at("memcached"), "memcached", labels={"version": version}),
            "postgresql": Case(at("postgresql"), "postgresql", labels={"ssl": "S"}),
            "postgresql_starttls": Case(at("postgresql"), "postgresql_starttls", tls=True),
            "postgresql plain": Case(at("postgresql-plain"), "postgresql", labels={"ssl": "N"}),
            "postgresql_starttls plain": Case(at("postgresql-plain"), "postgresql_starttls",
                                              "dialogue/mismatch"),
            "another service": Case(at("redis"), "memcached", "dialogue/mismatch"),
        }

    @classmethod
    def configuration(cls):
        text = "tasks:\n"
        for name, case in cls.cases.items():
            text += (f"  - {{name: {name}, target: '{case.target}', interval: 2s, timeout: 20s, "
                     f"tcp: {{preset: {case.preset}, preferred_ip_protocol: ip4, "
                     f"tls_config: {{ca_file: {cls.ca}}}}}}}\n")
        return text

    def test_metrics(self):
        metrics = self.prober.until_runs(2)
        for name, case in self.cases.items():
            with self.subTest(name):
                runs = metrics.by("status", "health_check_results", name=name)
                good = case.outcome == "ok"
                self.assertGreaterEqual(runs["success" if good else "failed"], 2)
                self.assertEqual(runs["failed" if good else "success"], 0)
                failures = {f"{l['phase']}/{l['reason']}"
                            for l, _ in metrics.all("probe_failures_total", name=name)}
                self.assertEqual(failures, set() if good else {case.outcome})
                # A refusal is known at once: long before the time is up.
                self.assertLess(metrics.value("probe_duration_seconds", name=name), 10)
                tls = metrics.all("probe_tls_version_info", name=name)
                self.assertEqual(len(tls), 1 if case.tls else 0)
        self.check_honest(metrics)

    def test_captured_labels(self):
        metrics = self.prober.until_runs(1)
        for name, case in self.cases.items():
            if not case.labels:
                continue
            with self.subTest(name):
                info = metrics.all("probe_expect_info", name=name)
                self.assertEqual({k: info[0][0].get(k) for k in case.labels}, case.labels)
        self.assertTrue(metrics.all("probe_expect_info", name="smtp")[0][0]["host"])

    def test_by_hand(self):
        redis = self.cases["redis"].target
        answer = harness.probe("tcp", redis, "--options",
                               "{preset: redis, preferred_ip_protocol: ip4}")
        self.assertEqual(answer.code, 0, answer)
        answer = harness.sonde("probe", "tcp", redis, "--options", "{preset: rediss}")
        self.assertEqual(answer.code, 2, answer)
        self.assertIn("did you mean 'redis'", answer.err)


if __name__ == "__main__":
    harness.need("redis-server", "memcached", "openssl")
    dialogues_test.python_with_smtp()
    postgresql()
    harness.main()
