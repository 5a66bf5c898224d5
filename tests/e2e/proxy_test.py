#!/usr/bin/env python3
"""Probes through real proxies (tinyproxy, haproxy's TLS before it, microsocks) and through peers
that only look like one. Verdict, phase, reason and numbers must be right for tasks and /probe."""
import json
import ssl
import urllib.parse

import authority
import harness
from peers import CLOSE, LINE, RESET, STALL, HttpPeer, Listener, lines, play

TINYPROXY = """
Listen 127.0.0.1
Port {port}
Timeout 60
MaxClients 100
LogLevel Info
Allow 127.0.0.1
{more}
"""
HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend tls
  bind 127.0.0.1:{port} ssl crt {certificate}
  default_backend proxy
backend proxy
  server proxy 127.0.0.1:{behind}
"""
SECRET = "geheim"
# What does not end in the way of a proxy, by the CONNECT's end.
ASKED = LINE(b"CONNECT")
ODD = {
    "silent": [ASKED, STALL],
    "garbage": [lines("220 mail.example ESMTP"), STALL],
    "half_closed": [ASKED, b"HTTP/1.1 200 Conn", CLOSE],
    "reset": [ASKED, b"HTTP/1.1 200 Conn", RESET],
    "endless": [ASKED, b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 5000, STALL],
    "no_target": [ASKED, lines("HTTP/1.1 200 OK", ""), CLOSE],
}


class Case:
    """A module with a proxy, a target, and what must come of it."""

    def __init__(self, proxy, target, options=None, outcome="ok", detail="", code=0, ssl_facts=None,
                 timeout=20):
        self.options = {"preferred_ip_protocol": "ip4", "proxy_url": proxy, **(options or {})}
        self.target, self.outcome, self.detail, self.code = target, outcome, detail, code
        self.ssl_facts = target.startswith("https") if ssl_facts is None else ssl_facts
        self.timeout = timeout


def make_cases(ports, ca):
    http = f"http://localhost:{ports['http']}"
    https = f"https://localhost:{ports['https']}"
    tls = {"tls_config": {"ca_file": str(ca)}}
    plain = f"http://127.0.0.1:{ports['plain']}"
    secure = f"https://localhost:{ports['secure']}"
    login = f"http://ann:{SECRET}@127.0.0.1:{ports['login']}"
    socks = f"socks5://127.0.0.1:{ports['socks']}"
    skip = {"skip_resolve_phase_with_proxy": True}

    def odd(name, outcome, detail="", **more):
        return Case(f"http://127.0.0.1:{ports[name]}", https + "/ok", tls, outcome, detail, **more)

    cases = {
        "plain-http": Case(plain, http + "/ok", code=200),
        "plain-https": Case(plain, https + "/ok", tls, code=200),
        "plain-skip": Case(plain, https + "/ok", {**tls, **skip}, code=200),
        "plain-status": Case(plain, http + "/nowhere", outcome="validation/status", code=404),
        "by-name": Case(f"http://localhost:{ports['plain']}", http + "/ok", code=200),
        "by-name-ip6": Case(f"http://localhost:{ports['plain']}", http + "/ok",
                            {"preferred_ip_protocol": "ip6"}, code=200),
        "login-http": Case(login, http + "/ok", code=200),
        "login-https": Case(login, https + "/ok", tls, code=200),
        "wrong-login": Case(login.replace(SECRET, "other"), https + "/ok", tls,
                            "connect/proxy_auth", "401"),
        "wrong-login-http": Case(login.replace(SECRET, "other"), http + "/ok",
                                 outcome="validation/status", code=401),
        "no-login": Case(login.replace(f"ann:{SECRET}@", ""), https + "/ok", tls,
                         "connect/proxy_auth", "407"),
        "tls-http": Case(secure, http + "/ok", tls, code=200, ssl_facts=False),
        "tls-https": Case(secure, https + "/ok", tls, code=200),
        "tls-untrusted": Case(secure, http + "/ok", outcome="connect/proxy_unreachable",
                              detail=f"proxy localhost:{ports['secure']}: "),
        "tls-insecure": Case(secure, https + "/ok",
                             {"tls_config": {"insecure_skip_verify": True}}, code=200),
        "tls-target-wrong-name": Case(secure, f"https://127.0.0.1:{ports['https']}/ok",
                                      {**tls, "headers": {"Host": "other.example"}},
                                      "tls/wrong_name"),
        "socks-http": Case(socks, http + "/ok", code=200),
        "socks-https": Case(socks, https + "/ok", tls, code=200),
        "socks-name": Case(socks.replace("socks5", "socks5h"), https + "/ok", {**tls, **skip},
                           code=200),
        "socks-login": Case(f"socks5://ann:{SECRET}@127.0.0.1:{ports['socks_login']}",
                            https + "/ok", tls, code=200),
        "socks-wrong-login": Case(f"socks5://ann:x@127.0.0.1:{ports['socks_login']}", http + "/ok",
                                  outcome="connect/proxy_auth"),
        "socks-no-login": Case(f"socks5://127.0.0.1:{ports['socks_login']}", http + "/ok",
                               outcome="connect/proxy_auth"),
        "socks-refused": Case(socks, f"http://127.0.0.1:{ports['nobody']}/",
                              outcome="connect/refused",
                              detail=f"proxy 127.0.0.1:{ports['socks']}"),
        "redirect": Case(plain, http + "/moved-host", code=200),
        "redirect-to-tls": Case(plain, http + "/moved-to-tls", tls, code=200, ssl_facts=True),
        "not-through": Case(f"http://127.0.0.1:{ports['nobody']}", http + "/ok",
                            {"no_proxy": "nowhere.example"}, code=200),
        "nobody": Case(f"http://127.0.0.1:{ports['nobody']}", http + "/ok",
                       outcome="connect/proxy_unreachable"),
        "denied": Case(f"http://127.0.0.1:{ports['denying']}", https + "/ok", tls,
                       "connect/proxy_refused", "403"),
        "refused": Case(plain, f"https://127.0.0.1:{ports['nobody']}/", tls,
                        "connect/proxy_refused", "it answered 50"),
        "not-socks": Case(f"socks5://127.0.0.1:{ports['garbage']}", http + "/ok",
                          outcome="connect/proxy_answer"),
        "silent": odd("silent", "connect/proxy_timeout", timeout=1),
        "garbage": odd("garbage", "connect/proxy_answer"),
        "half-closed": odd("half_closed", "connect/proxy_closed", "it closed"),
        "reset": odd("reset", "connect/proxy_closed", "it reset"),
        "endless": odd("endless", "connect/proxy_answer", "exceeds 16 KiB"),
        "no-target": odd("no_target", "tls/closed"),
    }
    for case in cases.values():
        case.options.setdefault("proxy_connect_header", {"X-Token": [SECRET]})
    return cases


def configuration(cases):
    modules = {name: {"prober": "http", "timeout": f"{case.timeout}s", "http": case.options}
               for name, case in cases.items()}
    tasks = [{"name": name, "type": "http", "target": case.target, "module": name,
              "interval": "2s"} for name, case in cases.items()]
    return json.dumps({"modules": modules, "tasks": tasks})


class ProxyTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.ports = {name: harness.free_port() for name in
                     ("plain", "login", "denying", "secure", "socks", "socks_login", "nobody")}
        ours = authority.Authority(box.folder, "root")
        certificate = ours.issue("good")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.bundle, certificate.key)
        https = HttpPeer({"closed": cls.ports["nobody"], "tls": 1}, context)
        http = HttpPeer({"closed": cls.ports["nobody"], "tls": https.port})
        cls.ports.update(http=http.port, https=https.port)
        odd = {name: Listener(lambda c, s=steps: play(c, s)) for name, steps in ODD.items()}
        cls.ports.update({name: peer.port for name, peer in odd.items()})
        for peer in (http, https, *odd.values()):
            box.callback(peer.stop)
        cls.start_proxies(box, certificate)
        cls.cases = make_cases(cls.ports, ours.certificate)
        cls.prober = box.sonde(configuration(cls.cases))

    @classmethod
    def start_proxies(cls, box, certificate):
        tinyproxy, haproxy, microsocks = harness.need("tinyproxy", "haproxy", "microsocks")
        more = {"plain": "", "login": f"BasicAuth ann {SECRET}", "denying": "ConnectPort 1"}
        for name, line in more.items():
            config = box.write(f"{name}.conf", TINYPROXY.format(port=cls.ports[name], more=line))
            box.start(name, [tinyproxy, "-d", "-c", config], cls.listening(name))
        both = box.folder / "both.pem"
        both.write_text(certificate.bundle.read_text() + certificate.key.read_text())
        config = box.write("haproxy.cfg", HAPROXY.format(
            port=cls.ports["secure"], certificate=both, behind=cls.ports["plain"]))
        box.start("haproxy", [haproxy, "-db", "-f", config], cls.listening("secure"))
        for name, login in (("socks", ()), ("socks_login", ("-u", "ann", "-P", SECRET))):
            box.start(name, [microsocks, "-i", "127.0.0.1", "-p", cls.ports[name], *login],
                      cls.listening(name))

    @classmethod
    def listening(cls, name):
        return lambda: harness.accepts(cls.ports[name])

    def test_tasks(self):
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
                self.check_facts(case, lambda fact, n=name: metrics.value(fact, name=n))
        self.check_honest(metrics)

    def check_facts(self, case, fact):
        self.assertEqual(fact("probe_http_status_code"), case.code)
        if case.outcome != "ok":
            return
        self.assertEqual(fact("probe_http_ssl"), int(case.ssl_facts))
        self.assertEqual(fact("probe_ssl_earliest_cert_expiry") is not None, case.ssl_facts)
        resolved = "skip_resolve_phase_with_proxy" not in case.options
        self.assertEqual(fact("probe_ip_protocol"), 4 if resolved else None)

    def probe(self, name, *more):
        case = self.cases[name]
        query = urllib.parse.urlencode({"module": name, "target": case.target, "details": "true"})
        return self.prober.get("/probe?" + query + "".join(more))

    def test_on_request(self):
        for name, case in self.cases.items():
            with self.subTest(name):
                # On a busy machine a run may be late itself.
                status, text = next(answer for _ in range(5)
                                    for answer in [self.probe(name)] if answer[0] == 200)
                self.assertEqual(status, 200, text)
                metrics = harness.Metrics(text.splitlines())
                reasons = [f"{l['phase']}/{l['reason']}"
                           for l, _ in metrics.all("probe_failure_info")]
                self.assertEqual(reasons, [] if case.outcome == "ok" else [case.outcome])
                self.check_facts(case, metrics.value)
                phases = {l["phase"]: v for l, v in metrics.all("probe_http_duration_seconds")}
                skipped = "skip_resolve_phase_with_proxy" in case.options
                wanted = {"connect", "tls", "processing", "transfer"}
                self.assertEqual(set(phases), wanted if skipped else wanted | {"resolve"})
                self.assertLessEqual(sum(phases.values()),
                                     metrics.value("probe_duration_seconds") + 1e-6)
                if case.outcome == "ok":
                    self.assertGreater(phases["connect"], 0)
                    self.assertEqual(phases["tls"] > 0, case.ssl_facts)

    def test_command(self):
        for name in ("tls-https", "socks-login", "denied", "nobody", "endless"):
            with self.subTest(name):
                case = self.cases[name]
                answer = harness.probe("http", case.target, "--module", name, "--config.file",
                                       self.prober.config)
                result = answer.json()
                if case.outcome == "ok":
                    self.assertEqual(result["verdict"], "success", answer)
                else:
                    self.assertEqual(f"{result['phase']}/{result['reason']}", case.outcome, answer)
                    self.assertIn(case.detail, result["evidence"]["detail"])

    def test_secrets_stay_secret(self):
        for name in ("login-https", "wrong-login", "socks-login", "denied"):
            text = self.probe(name, "&debug=true")[1]
            self.assertIn(case_password(self.cases[name]), text)
            self.assertNotIn(SECRET, text)
        self.assertNotIn(SECRET, self.prober.get("/config")[1])
        self.assertNotIn(SECRET, self.prober.text())

    def test_environment(self):
        config = json.dumps({"modules": {"env": {"prober": "http", "http": {
            "preferred_ip_protocol": "ip4", "proxy_from_environment": True}}}})
        target = f"http://127.0.0.1:{self.ports['http']}/ok"
        path = self.box.write("environment.yml", config)
        nobody = f"127.0.0.1:{self.ports['nobody']}"
        none = {name: "" for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")}
        # Loopback is never reached through the environment's proxies.
        for more in ({}, {"HTTP_PROXY": nobody}, {"http_proxy": nobody, "no_proxy": "*"}):
            answer = harness.sonde("probe", "http", target, "--module", "env", "--config.file",
                                   path, "--json", env={**none, **more})
            self.assertEqual(answer.json()["verdict"], "success", answer)
        # 192.0.2.0/24 is for documentation: nobody but the proxy is asked for it.
        answer = harness.sonde("probe", "http", "http://192.0.2.1/", "--module", "env",
                               "--config.file", path, "--json", env={**none, "HTTP_PROXY": nobody})
        self.assertEqual(answer.json()["reason"], "proxy_unreachable", answer)

    def test_policy(self):
        config = json.loads(configuration({"plain": Case(
            f"http://127.0.0.1:{self.ports['plain']}", "http://127.0.0.1:1/")}))
        del config["tasks"]
        target = f"http://127.0.0.1:{self.ports['http']}/ok"
        for policy, refused in (({"deny": ["169.254.0.0/16"]}, False),
                                ({"deny": [f":{self.ports['http']}"]}, True),
                                ({"deny": [f":{self.ports['plain']}"]}, True),
                                ({"allow": [f":{self.ports['http']}"]}, True),
                                ({"deny": ["loopback"]}, True)):
            path = self.box.write("policy.yml", json.dumps({**config, "policy": policy}))
            answer = harness.sonde("probe", "http", target, "--module", "plain", "--config.file",
                                   path, "--json")
            self.assertEqual(answer.json()["reason"], "policy" if refused else "ok", answer)


def case_password(case):
    """How the password of a case's proxy is shown."""
    return ":xxxxx@" if "@" in case.options["proxy_url"] else "<secret>"


if __name__ == "__main__":
    harness.need("tinyproxy", "haproxy", "microsocks", "openssl")
    harness.main()
