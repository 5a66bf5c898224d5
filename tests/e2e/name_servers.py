"""Real name servers with a small zone, on loopback or wherever a namespace has addresses.

    server = name_servers.bind(box)          # or unbound(box)
    server.address, server.port              # UDP and TCP
    server.tls_port, server.ca               # DNS over TLS; the authority that vouches for its name
    server.answers("shop.test", "A")         # what dig makes of it

Both know shop.test as ZONE says, refuse names of others (elsewhere.test), fail at broken.test, and
cut answers over UDP that exceed what the client takes.
"""
import os
import re
import shutil
import subprocess

import authority
import harness

NAME = "ns.shop.test"
SERIAL = 2026112501
ADDRESSES = [f"192.0.2.{i}" for i in range(1, 4)]
LONG = 40  # texts of the long answer, too many for 512 bytes and for 1,232
# owner, type, data; the order is that of the zone file.
ZONE = [
    ("shop.test.", "SOA", f"{NAME}. hostmaster.shop.test. {SERIAL} 3600 600 86400 60"),
    ("shop.test.", "NS", f"{NAME}."),
    (f"{NAME}.", "A", "127.0.0.1"),
    ("shop.test.", "A", ADDRESSES[0]),
    ("shop.test.", "MX", "10 mail.shop.test."),
    ("mail.shop.test.", "A", ADDRESSES[0]),
    ("shop.test.", "TXT", '"v=spf1 -all"'),
    ("v6.shop.test.", "AAAA", "2001:db8::1"),
    *[("many.shop.test.", "A", address) for address in ADDRESSES],
    ("www.shop.test.", "CNAME", "shop.test."),
    *[("long.shop.test.", "TXT", f'"text {i:02} {"x" * 50}"') for i in range(LONG)],
]
TTL = 60


class Server:
    def __init__(self, box, kind, address, more):
        self.kind, self.address, self.more = kind, address, more
        ports = set()
        while len(ports) < 3:
            ports.add(harness.free_port())
        self.port, self.tls_port, self.nobody = sorted(ports)  # `nobody` answers on the last
        ours = authority.Authority(box.folder, f"Root of {kind}")
        self.ca = ours.certificate
        self.tls = ours.issue(f"{kind}-server", f"DNS:{NAME},IP:127.0.0.1")
        self.folder = box.folder / kind
        self.folder.mkdir()

    def dig(self, *words):
        """Output of dig, or AssertionError when nobody answered."""
        done = subprocess.run([harness.need("dig"), f"@{self.address}", "+tries=1", "+time=3",
                               *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def answers(self, name, kind, *words):
        """(response code, TC, [records of the answer])"""
        out = self.dig("-p", self.port, name, kind, "+noall", "+answer", "+comments", *words)
        code = re.search(r"status: (\w+)", out)[1]
        flags = re.search(r"flags: ([^;]*);", out)[1].split()
        records = [" ".join(line.split()) for line in out.splitlines()
                   if line and not line.startswith(";")]
        return code, "tc" in flags, records

    def ready(self):
        try:
            return self.answers("shop.test", "SOA")[0] == "NOERROR" and harness.accepts(
                self.tls_port, self.address)
        except AssertionError:
            return False


BIND = """
options {{
  directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}"; geoip-directory none; lock-file none;
  listen-on port {port} {{ {v4}; }};
  listen-on-v6 port {port} {{ {v6}; }};
  listen-on port {tls_port} tls ours {{ {v4}; }};
  listen-on-v6 port {tls_port} tls ours {{ {v6}; }};
  recursion no; notify no; dnssec-validation no; minimal-responses yes; querylog no;
  max-udp-size 4096;
  {more}
}};
tls ours {{ cert-file "{certificate}"; key-file "{key}"; }};
logging {{ category default {{ default_stderr; }}; }};
controls {{ }};
zone "shop.test" {{ type primary; file "{folder}/shop.test"; }};
# A copy that never came: every question about it fails.
zone "broken.test" {{ type secondary; primaries {{ 127.0.0.1 port {nobody}; }}; }};
"""


def bind(box, address="127.0.0.1", v6="none", more=""):
    named, _ = harness.need("named", "dig")
    server = Server(box, "bind", address, more)
    lines = [f"{owner} {TTL} IN {kind} {data}" for owner, kind, data in ZONE]
    (server.folder / "shop.test").write_text("\n".join(lines) + "\n")
    config = server.folder / "named.conf"
    config.write_text(BIND.format(
        folder=server.folder, port=server.port, tls_port=server.tls_port, nobody=server.nobody,
        v4=address, v6=v6, certificate=server.tls.bundle, key=server.tls.key, more=more))
    # A profile that holds the installed program to its own folders does not hold a copy.
    program = shutil.copy(named, server.folder / "named")
    server.program = box.start("named", [program, "-g", "-n", 1, "-c", config], server.ready)
    return server


UNBOUND = """
server:
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  log-time-ascii: yes
  num-threads: 1
  interface: {address}@{port}
  interface: {address}@{tls_port}
  {interfaces}
  tls-port: {tls_port}
  tls-service-key: "{key}"
  tls-service-pem: "{certificate}"
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  do-not-query-localhost: no
  module-config: "iterator"
  max-udp-size: 4096
  edns-buffer-size: 1232
  outbound-msg-retry: 0
  infra-cache-max-rtt: 1000
  local-zone: "test." nodefault
  local-zone: "shop.test." static
  local-zone: "elsewhere.test." refuse
  {records}
  {more}
remote-control:
  control-enable: no
forward-zone:
  name: "broken.test."
  forward-addr: 127.0.0.1@{nobody}
"""


def unbound(box, address="127.0.0.1", v6=None, more=""):
    program, _ = harness.need("unbound", "dig")
    server = Server(box, "unbound", address, more)
    lines = []
    for owner, kind, data in ZONE:
        quote = "'" if '"' in data else '"'
        lines.append(f"local-data: {quote}{owner} {TTL} IN {kind} {data}{quote}")
    interfaces = [f"interface: {v6}@{port}" for port in (server.port, server.tls_port) if v6]
    config = server.folder / "unbound.conf"
    config.write_text(UNBOUND.format(
        folder=server.folder, address=address, port=server.port, tls_port=server.tls_port,
        nobody=server.nobody, key=server.tls.key, certificate=server.tls.bundle,
        interfaces="\n  ".join(interfaces), records="\n  ".join(lines), more=more))
    os.chmod(config, 0o644)
    server.program = box.start("unbound", [program, "-d", "-c", config], server.ready)
    return server
