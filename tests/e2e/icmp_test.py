#!/usr/bin/env python3
"""ICMP probes over networks that delay, lose, double, reorder, refuse, swallow and narrow, IPv4 and
IPv6: verdict, phase, reason and numbers must be right, and be what tcpdump saw on the wire. In
network namespaces, which need root."""

import capture
import harness
import netns

DELAY = 10  # ms there, and as much back
LOSS = 0.2
COUNT = 50
REJECTED, DENIED, DROPPED, NOBODY = 10, 11, 12, 99  # hosts of the first subnet


def hosts(subnet, host):
    return [address.split("/")[0] for address in netns.addresses(subnet, host)]


class Case:
    """A task to both families, what it must come to, and numbers that must stand (None: absent)."""

    def __init__(self, targets, options="", outcome="ok", timeout="10s", said=None, **facts):
        self.targets, self.options, self.outcome = targets, options, outcome
        self.timeout, self.said = timeout, said
        self.facts = {f"probe_{name}": value for name, value in facts.items()}
        self.verdict = "success" if outcome == "ok" else "failed"
        self.phase, self.reason = ("none", "ok") if outcome == "ok" else outcome.split("/")


def packets(sent, received, duplicated=0):
    return {"icmp_packets_sent": sent, "icmp_packets_received": received,
            "icmp_packets_duplicated": duplicated, "icmp_loss_ratio": 1 - received / sent}


ALL_LOST = {**packets(1, 0), "icmp_reply_hop_limit": None}
BIG = "payload_size: 1300, dont_fragment: true"


def make_cases():
    near, far = hosts(0, 1), hosts(0, 2)
    behind, router = hosts(9, 2), hosts(8, 2)
    return {
        "good": Case(far, **packets(1, 1), icmp_reply_hop_limit=64, kernel_timestamps=1),
        "series": Case(far, "count: 10, interval: 20ms", **packets(10, 10)),
        "large": Case(far, "payload_size: 8000", **packets(1, 1)),  # in pieces
        "self": Case(near, **packets(1, 1)),
        "behind": Case(behind, **packets(1, 1), icmp_reply_hop_limit=63),
        # A router divides; IPv6 knows none that does.
        "behind-narrow": Case(behind[:1], "payload_size: 1300", **packets(1, 1)),
        "rejected": Case(hosts(0, REJECTED), "", "connect/host_unreachable",
                         said=hosts(0, REJECTED), **ALL_LOST),
        "rejected-series": Case(hosts(0, REJECTED), "count: 3, interval: 20ms",
                                "connect/host_unreachable", **packets(3, 0)),
        "denied": Case(hosts(0, DENIED), "", "connect/denied", said=hosts(0, DENIED), **ALL_LOST),
        "dropped": Case(hosts(0, DROPPED), "", "first_byte/timeout", "1s", **ALL_LOST),
        "dropped-series": Case(hosts(0, DROPPED), "count: 3, interval: 50ms, wait: 200ms",
                               "first_byte/timeout", **packets(3, 0)),
        # Nobody answers for the address: the kernel gives up after some seconds.
        "nobody": Case(hosts(0, NOBODY), "", "connect/host_unreachable", **ALL_LOST),
        "no-route": Case(["198.51.100.1", "2001:db8:1::1"], "", "connect/network_unreachable"),
        "no-route-behind": Case(hosts(10, 1), "", "connect/network_unreachable", said=router,
                                **ALL_LOST),
        "one-hop": Case(behind, "ttl: 1", "connect/ttl_exceeded", said=router, **ALL_LOST),
        "two-hops": Case(behind, "ttl: 2", **packets(1, 1)),
        "too-big": Case(behind, BIG, "connect/too_big", said=router, **ALL_LOST),
        "too-big-series": Case(behind, f"count: 2, interval: 20ms, {BIG}", "connect/too_big"),
        "too-big-here": Case(far, "payload_size: 3000, dont_fragment: true", "connect/too_big"),
    }


def tasks_of(cases):
    return {f"{name}-v{6 if ':' in target else 4}": (case, target)
            for name, case in cases.items() for target in case.targets}


def configuration(tasks):
    lines = ["modules:"]
    for name, (case, _) in tasks.items():
        lines.append(f"  {name}: {{prober: icmp, timeout: {case.timeout}, "
                     f"icmp: {{{case.options}}}}}")
    lines.append("tasks:")
    for name, (_, target) in tasks.items():
        lines.append(f"  - {{name: {name}, type: icmp, target: '{target}', module: {name}, "
                     "interval: 4s}")
    return "\n".join(lines) + "\n"


def rtt(facts, stat):
    return facts[f'probe_icmp_rtt_seconds{{stat="{stat}"}}']


class Fates:
    """What a capture at the near end says about the echo requests to one address."""

    def __init__(self, seen, address):
        self.sent, self.times, self.duplicates = {}, {}, 0
        for packet in seen:
            if not packet.echo:
                continue
            kind, *number = packet.echo
            number = tuple(number)
            if kind == "request" and packet.destination == address:
                self.sent[number] = packet.at_ns
            elif kind == "reply" and packet.source == address and number in self.sent:
                if number in self.times:
                    self.duplicates += 1
                else:
                    self.times[number] = (packet.at_ns - self.sent[number]) / 1e9
        self.order = [number for number in self.sent if number in self.times]

    def jitter(self):
        """Mean difference of neighbours that were sent one after the other and both answered."""
        numbers = list(self.sent)
        steps = [abs(self.times[a] - self.times[b]) for a, b in zip(numbers, numbers[1:])
                 if a in self.times and b in self.times]
        return sum(steps) / len(steps)


class IcmpTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        near, far = netns.namespace(box), netns.namespace(box)
        cls.near = near
        cls.first = netns.join(near, far)
        netns.route(box, near, mtu=1280)
        cls.fill(far)
        # Behind the router there is no way to subnet 10.
        for to, via in zip(("10.77.10.0/24", "fd77:0:0:a::/64"), hosts(8, 2)):
            near.ip("route", "add", to, "via", via)
        cls.lines = {}
        for subnet, (name, conditions) in enumerate({
                "slow": {"delay": f"{DELAY}ms"},
                "lossy": {"delay": "2ms", "loss": f"{LOSS * 100}%,0%"},
                "double": {"delay": "2ms", "duplicate": "0%,50%"},
                "mixed": {"delay": "2ms", "reorder": "30%", "reorder_by": "25ms"},
        }.items(), 1):
            cls.lines[name] = netns.lay_line(box, near, netns.namespace(box), subnet,
                                             f"line-{name}", realtime=True, seed=subnet,
                                             **conditions)
        for other in (far, *(line.far for line in cls.lines.values())):
            near.wait_for(other)
        for address in hosts(9, 2):
            harness.until("the way behind the router is there",
                          lambda a=address: near.reaches(a))
        box.enter_context(near.entered())  # this thread, and every sonde it starts
        cls.tasks = tasks_of(make_cases())
        cls.config = box.write("cases.yml", configuration(cls.tasks))

    @staticmethod
    def fill(far):
        """Addresses that answer with an error, or not at all."""
        rules = ""
        for host, verdict in ((REJECTED, ("host-unreachable", "addr-unreachable")),
                              (DENIED, ("admin-prohibited", "admin-prohibited")), (DROPPED, None)):
            v4, v6 = netns.addresses(0, host)
            far.ip("addr", "add", v4, "dev", "veth0f")
            far.ip("addr", "add", v6, "dev", "veth0f", "nodad")
            kinds = [f"reject with {protocol} type {word}" if verdict else "drop"
                     for protocol, word in zip(("icmp", "icmpv6"), verdict or ("", ""))]
            rules += f"ip daddr {v4.split('/')[0]} {kinds[0]}\n"
            # Neighbours are asked for all the same.
            rules += f"ip6 daddr {v6.split('/')[0]} icmpv6 type echo-request {kinds[1]}\n"
        far.rules("chain in { type filter hook input priority 0; policy accept;\n" + rules + "}")

    def check_facts(self, case, fact):
        """`fact(name)` gives a number or None."""
        for name, wanted in case.facts.items():
            got = fact(name)
            if wanted is None or got is None:
                self.assertEqual(got, wanted, name)
            else:
                self.assertAlmostEqual(got, wanted, 9, name)
        self.assertEqual(fact("probe_success"), 1 if case.verdict == "success" else 0)

    def test_metrics(self):
        prober = self.box.sonde(self.config.read_text())
        metrics = prober.until_runs(2)
        for name, (case, target) in self.tasks.items():
            with self.subTest(name):
                runs = metrics.by("status", "health_check_results", name=name)
                failures = [(l["phase"], l["reason"], v)
                            for l, v in metrics.all("probe_failures_total", name=name)]
                other = "failed" if case.verdict == "success" else "success"
                self.assertGreaterEqual(runs[case.verdict], 2, failures)
                self.assertEqual(runs[other], 0, failures)
                wanted = [(case.phase, case.reason, runs["failed"])]
                self.assertEqual(failures, wanted if case.verdict == "failed" else [])
                self.check_facts(case, lambda fact: metrics.value(fact, name=name))
                self.assertEqual(metrics.value("probe_ip_protocol", name=name),
                                 6 if ":" in target else 4)
        self.check_honest(metrics)
        prober.stop()

    def test_probe_command(self):
        for name, (case, target) in self.tasks.items():
            with self.subTest(name):
                # What the kernel learnt about a way from an earlier probe.
                for family in ("-4", "-6"):
                    self.near.ip(family, "route", "flush", "cache")
                answer = harness.probe("icmp", target, "--module", name, "--config.file",
                                       self.config)
                self.assertEqual(answer.code, 0 if case.verdict == "success" else 1, answer)
                result = answer.json()
                self.assertEqual((result["verdict"], result["phase"], result["reason"]),
                                 (case.verdict, case.phase, case.reason), answer)
                self.check_facts(case, result["facts"].get)
                if case.said:
                    by = case.said[1 if ":" in target else 0]
                    self.assertIn(f"{by} says: ", result["evidence"]["detail"], answer)

    def ask_line(self, name, v6, options):
        """A series over a line: (its facts, what the capture says)."""
        line = self.lines[name]
        address = line.far.v6 if v6 else line.far.v4
        wire = capture.Capture(self.box, self.near, line.near_device, "icmp or icmp6",
                               f"wire-{name}-{6 if v6 else 4}")
        answer = harness.probe("icmp", address, "--timeout", "30s", "--options", f"{{{options}}}")
        facts = answer.json()["facts"]
        fates = Fates(wire.end(), address)
        self.assertEqual(facts["probe_icmp_packets_sent"], len(fates.sent), answer)
        self.assertEqual(facts["probe_icmp_packets_received"], len(fates.times), answer)
        return answer, facts, fates

    def check_times(self, facts, fates):
        """Seconds. A capture stamps a packet on its way to the driver, the kernel stamps our echo when
        the driver has it: ours are a little shorter, and one echo's by as much as comes between."""
        times = sorted(fates.times.values())
        wanted = {"min": times[0], "avg": sum(times) / len(times), "max": times[-1]}
        # Busy with other things, the machine may stop anybody between two lines of code.
        slack = {"min": (0.2e-3, 0.5e-3), "avg": (50e-6, 2e-3), "max": (0.2e-3, 30e-3)}
        for stat, seconds in wanted.items():
            shorter, longer = slack[stat]
            got = rtt(facts, stat)
            self.assertGreaterEqual(got, seconds - shorter, stat)
            self.assertLess(got, seconds + longer, stat)
        self.assertAlmostEqual(facts["probe_icmp_jitter_seconds"], fates.jitter(), delta=2e-3)
        return wanted

    def test_delay(self):
        for v6 in (False, True):
            with self.subTest(v6=v6):
                answer, facts, fates = self.ask_line("slow", v6, f"count: {COUNT}, interval: 10ms")
                self.assertEqual(answer.code, 0, answer)
                wire = self.check_times(facts, fates)
                least, mean = (rtt(facts, stat) * 1e3 for stat in ("min", "avg"))
                harness.report(f"{2 * DELAY} ms: least {least:.3f} ms, on the wire "
                               f"{wire['min'] * 1e3:.3f} ms; mean {mean:.3f} ms, on the wire "
                               f"{wire['avg'] * 1e3:.3f} ms")
                self.assertGreaterEqual(least, 2 * DELAY)
                self.assertLess(least, 2 * DELAY + (5 if harness.sanitized() else 1))
                self.assertEqual(facts["probe_icmp_loss_ratio"], 0)

    def test_loss(self):
        sent = lost = 0
        for v6 in (False, True):
            answer, facts, fates = self.ask_line(
                "lossy", v6, "count: 250, interval: 10ms, wait: 500ms, max_loss: 100%")
            self.assertEqual(answer.code, 0, answer)
            self.check_times(facts, fates)
            self.assertAlmostEqual(facts["probe_icmp_loss_ratio"],
                                   1 - len(fates.times) / len(fates.sent), 9)
            sent += len(fates.sent)
            lost += len(fates.sent) - len(fates.times)
        # Four standard deviations.
        self.assertAlmostEqual(lost / sent, LOSS, delta=4 * (LOSS * (1 - LOSS) / sent) ** 0.5)

    def test_loss_beyond_what_is_allowed(self):
        answer, _, _ = self.ask_line("lossy", False,
                                     "count: 100, interval: 10ms, wait: 500ms, max_loss: 1%")
        result = answer.json()
        self.assertEqual((result["phase"], result["reason"]), ("validation", "loss"), answer)

    def test_duplicates(self):
        for v6 in (False, True):
            # The run ends with the last answer, whose second copy it does not see.
            answer, facts, fates = self.ask_line("double", v6, f"count: {COUNT}, interval: 10ms")
            self.assertEqual(answer.code, 0, answer)
            self.assertGreater(fates.duplicates, 0)
            self.assertIn(fates.duplicates - facts["probe_icmp_packets_duplicated"], (0, 1))
            self.assertEqual(facts["probe_icmp_loss_ratio"], 0)

    def test_reordering(self):
        for v6 in (False, True):
            answer, facts, fates = self.ask_line("mixed", v6, f"count: {COUNT}, interval: 10ms")
            self.assertEqual(answer.code, 0, answer)
            came = sorted(fates.order, key=lambda number: fates.sent[number] + fates.times[number] *
                          1e9)
            self.assertNotEqual(came, fates.order, "nothing was overtaken")
            self.check_times(facts, fates)
            self.assertEqual(facts["probe_icmp_loss_ratio"], 0)
            self.assertEqual(facts["probe_icmp_packets_duplicated"], 0)


if __name__ == "__main__":
    netns.need("nft", "tcpdump")
    netns.need_line()
    harness.main()
