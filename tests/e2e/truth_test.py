#!/usr/bin/env python3
"""Reported times are those of the packets: every run is found in a capture at the near end of a cable and
of a line of 20 ms, and what it says took as long there. bench/truth shows by how many microseconds it
does not; here runs are counted that are off by more than a busy machine explains."""
import harness
import capture
import exchanges
import netns

INTERVAL = 1.0  # seconds: a page in each quarter of it
RUNS = 8        # of each task
OFF_US = 1000   # more than that on one time of a run: it is off
MAY_BE_OFF = 2  # of RUNS or a few more
DELAY = 20      # ms there and back
FARM = f"""
listeners:
  - {{kind: dns, port: 53, address: 0.0.0.0}}
  - {{kind: tcp, port: 25, address: 0.0.0.0, service: discard}}
  - {{kind: http, port: 80, address: 0.0.0.0, body_bytes: {exchanges.BODY}B}}
"""


class TruthTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        netns.need("tcpdump")
        netns.need_line()
        cls.near, far = netns.namespace(box), netns.namespace(box)
        cls.lines = [netns.join(cls.near, far),
                     netns.lay_line(box, cls.near, far, 1, delay=f"{DELAY / 2}ms", realtime=True)]
        cls.hosts = [netns.addresses(subnet, 2)[0].split("/")[0] for subnet in range(2)]
        for host in cls.hosts:
            harness.until(f"{host} is reached", lambda host=host: cls.near.reaches(host))
        with far.entered():
            box.farm(config=FARM)
        box.enter_context(cls.near.entered())

    def test_times_are_those_of_the_packets(self):
        names = [f"{protocol}-{line}" for line in range(2) for protocol in exchanges.PROTOCOLS]
        wires = [capture.Capture(self.box, self.near, line.near_device, "icmp or udp or tcp",
                                 f"wire-{i}") for i, line in enumerate(self.lines)]
        prober = self.box.sonde("metrics: {families: [core, phases]}\ntasks:\n" + "".join(
            exchanges.task(name, name.split("-")[0], self.hosts[int(name.split("-")[1])],
                           f"{INTERVAL}s") for name in names))
        reported = exchanges.Reported(prober, names)

        def enough():
            reported.look()
            return reported.enough(RUNS)
        harness.until(f"{RUNS} runs of each", enough, every=INTERVAL / 4)
        self.check_honest(prober.metrics())
        prober.stop()
        packets = [wire.end() for wire in wires]
        for name in names:
            line = int(name.split("-")[1])
            errors, missing = reported.errors(name, packets[line], INTERVAL)
            self.assertEqual(missing, 0, name)
            self.assertEqual(set(errors), set(exchanges.PROTOCOLS[name.split("-")[0]][3]))
            for which, found in errors.items():
                with self.subTest(name, time=which):
                    self.assertGreaterEqual(len(found), RUNS)
                    off = [f"{error:.0f}" for error in found if abs(error) > OFF_US]
                    self.assertLessEqual(len(off), MAY_BE_OFF, f"us: {off} of {len(found)} runs")
                    middle = sorted(found, key=abs)[len(found) // 2]
                    harness.report(f"{name} {which}: {middle:.0f} us off, {len(off)} of {len(found)} "
                                   f"by more than {OFF_US}")


if __name__ == "__main__":
    harness.main()
