#!/usr/bin/env python3
"""The line itself, seen by tcpdump at both of its ends, whose stamps are of one clock: what it
delays, loses, doubles and puts out of order, and that it leaves nothing behind."""
import signal
import socket
import struct
import subprocess
import time

import capture
import harness
import netns

PORT = 9999


def late(milliseconds):
    """Bounds on time mean something on a machine that is not busy with other things."""
    return milliseconds * (10 if harness.sanitized() else 1)


class Sender:
    """UDP datagrams that carry their number, from one namespace to another."""

    def __init__(self, namespace, address):
        self.address = address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespace.entered():
            self.socket = socket.socket(family, socket.SOCK_DGRAM)

    def send(self, count, gap=0.0):
        due = time.monotonic()
        for number in range(count):
            while time.monotonic() < due:
                pass
            due += gap
            self.socket.sendto(struct.pack("!I", number), (self.address, PORT))
        self.socket.close()


def numbers(packets, address):
    """{number: stamp}, and the numbers in the order in which they came."""
    seen = [(struct.unpack("!I", p.data)[0], p.at_ns) for p in packets
            if p.protocol == capture.UDP and p.destination == address]
    return dict(reversed(seen)), [number for number, _ in seen]


class LineTest(harness.TestCase):
    def carry(self, count, gap, name, address_of=lambda pair: pair.far.v4, back=False, seed=3,
              **conditions):
        """Sends over a line; returns ({number: stamp} at the start, the same at the end, the order
        at the end, the line's counts)."""
        pair = netns.line(self.box, name=f"line-{name}", realtime=True, seed=seed, **conditions)
        sender, taker = (pair.far, pair.near) if back else (pair.near, pair.far)
        address = pair.near.v4 if back else address_of(pair)
        captures = [capture.Capture(self.box, end, pair.near_device, f"udp port {PORT}",
                                    f"{name}-{which}")
                    for which, end in (("from", sender), ("to", taker))]
        Sender(sender, address).send(count, gap)
        captures[0].until("all were sent", lambda packets: len(packets) >= count)
        way = "back" if back else "there"

        captures[1].until("nothing came for a while", lambda packets: len(packets) and
                          packets[-1].at_ns < time.time_ns() - 500_000_000)
        counts = pair.line_counts()[way]
        start, _ = numbers(captures[0].end(), address)
        end, order = numbers(captures[1].end(), address)
        self.assertEqual(len(start), count)
        return start, end, order, counts

    def delays(self, start, end):
        return sorted((end[number] - start[number]) / 1e6 for number in end)

    def check_delay(self, delays, wanted, name):
        """Milliseconds. Nothing is early; late is what the machine makes of it."""
        median, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
        harness.report(f"{name}: {wanted} ms wanted; {delays[0]:.3f} least, {median:.3f} median, "
                       f"{p99:.3f} p99, {delays[-1]:.3f} most")
        # Its clock starts when it reads the packet, behind the capture's stamp.
        self.assertGreaterEqual(delays[0], wanted)
        self.assertLess(median - wanted, late(0.5))

    def test_delay_is_exact(self):
        for name, address_of in (("v4", lambda pair: pair.far.v4),
                                 ("v6", lambda pair: pair.far.v6)):
            start, end, order, counts = self.carry(2000, 0.001, f"delay-{name}", address_of,
                                                   delay="20ms")
            self.assertEqual(order, list(range(2000)))
            self.check_delay(self.delays(start, end), 20, f"1,000 packets/s, {name}")
            self.assertEqual(counts["lost"] + counts["overflow"] + counts["refused"], 0)

    def test_delay_of_many_packets(self):
        count = 12000  # what tcpdump's ring holds when nobody reads it
        start, end, _, counts = self.carry(count, 20e-6, "many", delay="5ms")
        took = (max(start.values()) - min(start.values())) / 1e9
        harness.report(f"sent {count} packets at {count / took:.0f}/s; "
                       f"left {counts['late_mean_ns'] / 1e3:.1f} us late on average")
        self.assertEqual(len(end), count)
        self.check_delay(self.delays(start, end), 5, "many")

    def test_each_way_has_its_own_delay(self):
        for back, wanted in ((False, 5), (True, 15)):
            start, end, _, _ = self.carry(200, 0.001, f"ways-{wanted}", back=back,
                                          delay="5ms,15ms")
            self.check_delay(self.delays(start, end), wanted, "back" if back else "there")

    def test_loss_and_duplicates_are_as_often_as_said(self):
        count = 5000
        start, end, order, counts = self.carry(count, 50e-6, "loss", loss="20%,0%",
                                               duplicate="10%")
        # Four standard deviations.
        self.assertAlmostEqual(1 - len(end) / count, 0.2, delta=4 * (0.16 / count) ** 0.5)
        doubled = len(order) - len(end)
        self.assertAlmostEqual(doubled / len(end), 0.1, delta=4 * (0.09 / len(end)) ** 0.5)
        # The line saw those that asked whether it is there, too.
        self.assertGreaterEqual(counts["lost"], count - len(end))
        self.assertGreaterEqual(counts["duplicated"], doubled)

    def test_the_held_back_are_overtaken(self):
        count = 1000
        start, end, order, _ = self.carry(count, 0.001, "reorder", delay="1ms", reorder="10%",
                                          reorder_by="10ms")
        self.assertEqual(sorted(order), list(range(count)))
        held = [n for n in end if end[n] - start[n] > 10_500_000]
        self.assertAlmostEqual(len(held) / count, 0.1, delta=4 * (0.09 / count) ** 0.5)
        self.assertNotEqual(order, sorted(order))

    def test_jitter_overtakes_nobody(self):
        count = 2000
        start, end, order, _ = self.carry(count, 0.001, "jitter", delay="5ms",
                                          jitter="uniform:0ms:10ms")
        self.assertEqual(order, list(range(count)))
        delays = self.delays(start, end)
        self.assertGreaterEqual(delays[0], 5)
        self.assertGreater(delays[-1], 14)
        # Who stands behind a slow one waits with it: more than the mean of the draws.
        self.assertGreater(delays[count // 2], 10)

    def test_leaves_nothing_behind(self):
        pair = netns.line(self.box, name="line-gone", mtu=1280)
        self.assertIn("mtu 1280", pair.near.ip("link", "show", "line0"))
        # A second device of that name is refused, and the first one stays.
        again = subprocess.run([harness.binaries() / "line", f"--near={pair.near.path}:line0",
                                f"--far={pair.far.path}:line1"], capture_output=True, text=True,
                               check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("line0", again.stderr)
        self.assertIn("line0", pair.near.ip("link"))
        pair.line.signal(signal.SIGUSR1)
        harness.until("it says what it carried", lambda: '"taken":' in pair.line.text())
        self.assertTrue(pair.line.running())
        self.assertEqual(pair.line.stop(), 0)
        for end in (pair.near, pair.far):
            self.assertNotIn("line", end.ip("link"))

    def test_usage(self):
        for flags in ([], ["--near=a:b"], ["--near=:a", "--far=:b", "--delay=x"],
                      ["--near=:a", "--far=:b", "--loss=200%"],
                      ["--near=:a", "--far=:b", "--mtu=1"],
                      ["--near=:a", "--far=:b", "--busy", "--realtime"]):
            done = subprocess.run([harness.binaries() / "line", *flags], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 2, flags)
        nowhere = subprocess.run([harness.binaries() / "line", "--near=no-such:a", "--far=:b"],
                                 capture_output=True, text=True, check=False)
        self.assertEqual(nowhere.returncode, 1)
        self.assertIn("/run/netns/no-such", nowhere.stderr)


if __name__ == "__main__":
    netns.need_line()
    harness.need("tcpdump")
    harness.main()
