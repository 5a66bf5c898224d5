"""What a capture says about probes, and what sonde says of the same: {time: seconds} of both.

`BODY`: of the answer an HTTP target has to send, so that its transfer takes some time."""
import urllib.parse

import capture
import harness

BODY = 100_000
SYN, ACK = 2, 16


class Exchange:
    """What the wire says about one run: when it ended, and its times by name."""

    def __init__(self, end_ns, **seconds):
        self.end = end_ns / 1e9
        self.seconds = seconds


def icmp_exchanges(packets):
    asked = {}
    for packet in packets:
        if packet.echo and packet.echo[0] == "request":
            asked[packet.echo[1:]] = packet.at_ns
        elif packet.echo and packet.echo[1:] in asked:
            start = asked.pop(packet.echo[1:])
            yield Exchange(packet.at_ns, rtt=(packet.at_ns - start) / 1e9)


def dns_exchanges(packets):
    asked = {}
    for packet in packets:
        if packet.protocol != capture.UDP or 53 not in packet.ports:
            continue
        source, destination = packet.ports
        number = packet.data[:2]
        if destination == 53:
            asked[source, number] = packet.at_ns
        elif (destination, number) in asked:
            start = asked.pop((destination, number))
            yield Exchange(packet.at_ns, request=(packet.at_ns - start) / 1e9)


def connections(packets, port):
    """[packets of one connection, client's first], by the client's port, until its next SYN."""
    open_ones, done = {}, []
    for packet in packets:
        if packet.protocol != capture.TCP or port not in packet.ports:
            continue
        client = packet.ports[0] if packet.ports[1] == port else packet.ports[1]
        if packet.ports[1] == port and packet.tcp_flags & (SYN | ACK) == SYN:
            if client in open_ones:
                done.append(open_ones[client])
            open_ones[client] = []
        if client in open_ones:
            open_ones[client].append(packet)
    return done + list(open_ones.values())


def connect_of(packets, port):
    accepted = next((p for p in packets if p.ports[0] == port and p.tcp_flags & SYN), None)
    return accepted and (accepted, (accepted.at_ns - packets[0].at_ns) / 1e9)


def tcp_exchanges(packets):
    for packets_of_one in connections(packets, 25):
        connected = connect_of(packets_of_one, 25)
        if connected:
            yield Exchange(connected[0].at_ns, connect=connected[1])


def http_exchanges(packets):
    for one in connections(packets, 80):
        connected = connect_of(one, 80)
        sent = [p for p in one if p.ports[1] == 80 and p.data_size]
        came = [p for p in one if p.ports[0] == 80 and p.data_size]
        if connected and sent and came and sum(p.data_size for p in came) > BODY:
            yield Exchange(came[-1].at_ns, connect=connected[1],
                           processing=(came[0].at_ns - sent[0].at_ns) / 1e9,
                           transfer=(came[-1].at_ns - came[0].at_ns) / 1e9)


def phase(family, name):
    return family, {"phase": name}


# protocol: (target, options, exchanges of a capture, {time: series})
PROTOCOLS = {
    "icmp": ("{host}", "", icmp_exchanges,
             {"rtt": phase("probe_icmp_duration_seconds", "rtt")}),
    "dns": ("www.farm.test", "dns: {{server: '{at}:53', query_type: A}}", dns_exchanges,
            {"request": phase("probe_dns_duration_seconds", "request")}),
    "tcp": ("{at}:25", "", tcp_exchanges,
            {"connect": phase("probe_tcp_duration_seconds", "connect")}),
    "http": ("http://{at}/", "", http_exchanges,
             {name: phase("probe_http_duration_seconds", name)
              for name in ("connect", "processing", "transfer")}),
}


# Their series, among those of all.
MEASURED = '{__name__=~"probe_.*",name=~"(' + "|".join(PROTOCOLS) + ')-[0-9]+"}'


def task(name, protocol, host, interval, target=None, module=""):
    options = "" if module else PROTOCOLS[protocol][1]
    target = target or PROTOCOLS[protocol][0]
    at = f"[{host}]" if ":" in host else host
    more = f", {options.format(at=at)}" if options else ""
    return (f"  - {{name: {name}, type: {protocol}, interval: {interval}, timeout: 5s, "
            f"target: '{target.format(host=host, at=at)}'{more}{module}}}\n")


class Reported:
    """Runs of tasks called PROTOCOL-NUMBER that passed, by task: {when it ended: {time: seconds}}. A page
    is not of one moment: a run that ends meanwhile may have given it its times and not its end. What two
    pages in a row say is of one run."""

    def __init__(self, prober, tasks):
        self.prober, self.tasks = prober, tasks
        self.runs, self.last = {}, {}

    def look(self):
        status, text = self.prober.get("/federate?match[]=" + urllib.parse.quote(MEASURED))
        assert status == 200, text
        metrics = harness.Metrics(text.splitlines(), ["probe_"])
        ended = metrics.by("name", "probe_last_run_timestamp_seconds")
        good = metrics.by("name", "probe_success")
        for name in self.tasks:
            if good.get(name) != 1:
                continue
            times = PROTOCOLS[name.split("-")[0]][3]
            seen = {key: metrics.value(family, name=name, **labels)
                    for key, (family, labels) in times.items()}
            if self.last.get(name) == (ended[name], seen):
                self.runs.setdefault(name, {})[ended[name]] = seen
            self.last[name] = ended[name], seen

    def enough(self, count):
        return all(len(self.runs.get(name, {})) >= count for name in self.tasks)

    def errors(self, name, packets, interval):
        """({time: [reported - on the wire, us]}, how many runs the capture does not have)."""
        _, _, exchanges, times = PROTOCOLS[name.split("-")[0]]
        found = sorted(exchanges(packets), key=lambda exchange: exchange.end)
        errors, missing = {}, 0
        for when, reported in self.runs.get(name, {}).items():
            near = [e for e in found if abs(e.end - when) < interval / 2]
            if not near:
                missing += 1
                continue
            exchange = min(near, key=lambda e: abs(e.end - when))
            for which in times:
                errors.setdefault(which, []).append(
                    (reported[which] - exchange.seconds[which]) * 1e6)
        return errors, missing
