"""Network namespaces of a test, and what joins them.

A namespace here has no name and no file: it is held by a descriptor of ours and by the programs in
it, and goes with the last of them, however the test ends. Two of them are joined by a veth pair, by
our `line` (docs/line.md), or by a way with a router.

    pair = netns.veth(box)                         # or netns.line(box, delay="20ms", loss="10%")
    box.enter_context(pair.near.entered())         # this thread and what it starts are there now
    with pair.far.entered():
        farm = box.farm("--listen=dns:53")
    ... pair.far.v4, pair.far.v6 ...

Needs root; `need()` skips the test without.
"""
import contextlib
import ctypes
import errno
import ipaddress
import json
import os
import pathlib
import socket
import subprocess
import sys

import harness

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
OURS = "/proc/thread-self/ns/net"
ALONE = "SONDE_E2E_NAMESPACE"


def call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


def need(*programs):
    """Skips the test where namespaces cannot be made. Returns the paths of `programs`."""
    harness.need("ip")
    if os.geteuid() != 0:
        harness.skip("network namespaces need root")
    try:
        Namespace().close()
    except OSError as error:
        harness.skip(f"no network namespaces here: {error}")
    return harness.need(*programs) if programs else None


def need_line():
    """The same, for `line`."""
    need()
    if not os.path.exists("/dev/net/tun"):
        harness.skip("no /dev/net/tun")
    try:
        with open("/dev/net/tun", "rb"):
            pass
    except OSError as error:
        harness.skip(f"/dev/net/tun: {error}")


class Namespace:
    """A network namespace with nothing in it but a working loopback device."""

    def __init__(self):
        home = os.open(OURS, os.O_RDONLY)
        try:
            call(LIBC.unshare, CLONE_NEWNET)
            self.fd = os.open(OURS, os.O_RDONLY)
            call(LIBC.setns, home, CLONE_NEWNET)
        finally:
            os.close(home)
        self.v4 = self.v6 = None  # its first addresses
        # No address is tried out before it is used, and none is made up.
        for scope in ("all", "default"):
            self.sysctl(f"ipv6/conf/{scope}/accept_dad", 0)
            self.sysctl(f"ipv6/conf/{scope}/accept_ra", 0)
        # The kernel sends few ICMP errors a second to one host, and says so to nobody.
        self.sysctl("ipv4/icmp_ratelimit", 0)
        self.sysctl("ipv6/icmp/ratelimit", 0)
        self.ip("link", "set", "lo", "up")

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    @contextlib.contextmanager
    def entered(self):
        """This thread, and programs it starts, are in the namespace within the block."""
        home = os.open(OURS, os.O_RDONLY)
        call(LIBC.setns, self.fd, CLONE_NEWNET)
        try:
            yield self
        finally:
            call(LIBC.setns, home, CLONE_NEWNET)
            os.close(home)

    def run(self, *words, text=None):
        """Output of a program that ends by itself; AssertionError when it fails."""
        with self.entered():
            done = subprocess.run([str(w) for w in words], input=text, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=harness.PATIENCE)
        assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr}"
        return done.stdout

    def ip(self, *words):
        return self.run(harness.need("ip"), *words)

    def sysctl(self, name, value):
        with self.entered():
            pathlib.Path("/proc/sys/net", name).write_text(f"{value}\n")

    def rules(self, text):
        """Packet filter rules of one table: what stands between the braces of `chain`s."""
        self.run(harness.need("nft"), "-f", "-", text=f"table inet test {{\n{text}\n}}\n")

    def no_rules(self):
        self.run(harness.need("nft"), "flush", "ruleset")

    def set_up(self, device, v4, v6, more=()):
        """Brings a device up with addresses such as 10.0.0.1/24 and fd00::1/64. `more`: other words
        of `ip link set`."""
        self.ip("link", "set", "dev", device, *more, "up")
        self.ip("addr", "add", v4, "dev", device)
        self.ip("addr", "add", v6, "dev", device, "nodad")
        self.v4 = self.v4 or str(ipaddress.ip_interface(v4).ip)
        self.v6 = self.v6 or str(ipaddress.ip_interface(v6).ip)

    def wait_for(self, other):
        """Until packets come and go to the first addresses of another namespace."""
        for address in (other.v4, other.v6):
            harness.until(f"{address} is reached", lambda a=address: self.reaches(a))

    def reaches(self, address):
        """Whether packets come and go: nobody listens on the port, and that is answered."""
        with self.entered(), socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET) as tried:
            tried.settimeout(3)
            return tried.connect_ex((address, 9)) in (0, errno.ECONNREFUSED)


class Pair:
    """Two joined namespaces. `near_device` and `far_device` are the ends."""

    def __init__(self, near, far, near_device, far_device, line=None):
        self.near, self.far = near, far
        self.near_device, self.far_device = near_device, far_device
        self.line = line  # the program, when there is one

    def wait(self):
        self.near.wait_for(self.far)
        return self

    def line_counts(self):
        """Ends the line; what it carried: {"there": {"taken": ...}, "back": {...}}."""
        self.line.stop()
        return json.loads(self.line.text().splitlines()[-1])


def namespace(box):
    made = Namespace()
    box.callback(made.close)
    return made


def addresses(subnet, host):
    """Of a host: IPv4 and IPv6, with the lengths of their prefixes, as everybody writes them."""
    return tuple(str(ipaddress.ip_interface(text)) for text in
                 (f"10.77.{subnet}.{host}/24", f"fd77:0:0:{subnet:x}::{host}/64"))


def join(near, far, subnet=0, mtu=1500, name="veth"):
    """A veth pair between two namespaces; returns its Pair, not waited for."""
    ends = f"{name}{subnet}n", f"{name}{subnet}f"
    near.ip("link", "add", ends[0], "mtu", mtu, "type", "veth", "peer", "name", ends[1], "mtu", mtu,
            "netns", far.path)
    near.set_up(ends[0], *addresses(subnet, 1))
    far.set_up(ends[1], *addresses(subnet, 2))
    return Pair(near, far, *ends)


def veth(box, mtu=1500):
    """Two namespaces joined as by a cable."""
    return join(namespace(box), namespace(box), mtu=mtu).wait()


def lay_line(box, near, far, subnet=0, name="line", **conditions):
    """A line between two namespaces. `conditions`: its flags, reorder_by for --reorder-by and so
    on; those that are True have no value. Returns its Pair, not waited for."""
    device = f"line{subnet}"
    flags = [f"--{flag.replace('_', '-')}" + ("" if value is True else f"={value}")
             for flag, value in conditions.items()]
    program = box.start(name, [harness.binaries() / "line", f"--near={near.path}:{device}",
                               f"--far={far.path}:{device}", *flags], None)
    program.until_ready(lambda: "ready" in program.text())
    for end, host in ((near, 1), (far, 2)):
        end.set_up(device, *addresses(subnet, host), more=("addrgenmode", "none"))
    return Pair(near, far, device, device, program)


def line(box, **conditions):
    """Two namespaces joined by a line."""
    return lay_line(box, namespace(box), namespace(box), **conditions).wait()


def route(box, near, subnets=(8, 9), mtu=1500):
    """A router that `near` is joined to by subnets[0], and a namespace behind it, by subnets[1]:
    (router, far). `mtu` is that of the way behind. `near` has routes to that subnet alone."""
    router, far = namespace(box), namespace(box)
    join(near, router, subnet=subnets[0])
    join(router, far, subnet=subnets[1], mtu=mtu)
    for forwarding in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        router.sysctl(forwarding, 1)
    for to, via, back in zip(addresses(subnets[1], 0), addresses(subnets[0], 2),
                             addresses(subnets[1], 1)):
        near.ip("route", "add", str(ipaddress.ip_network(to)), "via", via.split("/")[0])
        far.ip("route", "add", "default", "via", back.split("/")[0])
    return router, far


def enter_alone(rules):
    """Runs this script again in a namespace of its own that ends with it, with these rules of nft."""
    ip, nft, unshare = harness.need("ip", "nft", "unshare")
    if os.environ.get(ALONE):
        subprocess.run([ip, "link", "set", "lo", "up"], check=True)
        subprocess.run([nft, "-f", "-"], input=rules, text=True, check=True)
        return
    if os.geteuid() != 0:
        harness.skip("a network namespace needs root")
    tried = subprocess.run([unshare, "-n", "sh", "-c", f"{ip} link set lo up && {nft} -f -"],
                           input=rules, text=True, stderr=subprocess.PIPE, check=False)
    if tried.returncode != 0:
        harness.skip(f"no network namespace with a packet filter here: {tried.stderr.strip()}")
    os.environ[ALONE] = "1"
    os.execv(unshare, [unshare, "-n", sys.executable, *sys.argv])
