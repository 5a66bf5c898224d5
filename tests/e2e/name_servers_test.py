#!/usr/bin/env python3
"""The name servers that other tests probe say what those tests take for granted: judged by dig."""
import harness
import name_servers
from name_servers import ADDRESSES, LONG, SERIAL, TTL


class NameServersTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.servers = [name_servers.bind(box, v6="::1"), name_servers.unbound(box, v6="::1")]

    def test_answers(self):
        for server in self.servers:
            with self.subTest(server.kind):
                self.assertEqual(server.answers("shop.test", "A"),
                                 ("NOERROR", False, [f"shop.test. {TTL} IN A {ADDRESSES[0]}"]))
                self.assertEqual(server.answers("v6.shop.test", "AAAA")[2],
                                 [f"v6.shop.test. {TTL} IN AAAA 2001:db8::1"])
                self.assertEqual(server.answers("shop.test", "MX")[2],
                                 [f"shop.test. {TTL} IN MX 10 mail.shop.test."])
                self.assertEqual(server.answers("shop.test", "TXT")[2],
                                 [f'shop.test. {TTL} IN TXT "v=spf1 -all"'])
                self.assertEqual(len(server.answers("many.shop.test", "A")[2]), len(ADDRESSES))
                soa = server.answers("shop.test", "SOA")[2]
                self.assertEqual(len(soa), 1)
                self.assertIn(f" {SERIAL} ", soa[0])
                self.assertEqual(server.answers("www.shop.test", "CNAME")[2],
                                 [f"www.shop.test. {TTL} IN CNAME shop.test."])

    def test_failures(self):
        for server in self.servers:
            with self.subTest(server.kind):
                self.assertEqual(server.answers("nobody.shop.test", "A"), ("NXDOMAIN", False, []))
                self.assertEqual(server.answers("shop.test", "AAAA"), ("NOERROR", False, []))
                self.assertEqual(server.answers("elsewhere.test", "A"), ("REFUSED", False, []))
                self.assertEqual(server.answers("broken.test", "A")[0], "SERVFAIL")

    def test_long_answers_are_cut_over_udp(self):
        for server in self.servers:
            with self.subTest(server.kind):
                for more in (["+noedns"], ["+bufsize=1232"]):
                    code, cut, _ = server.answers("long.shop.test", "TXT", "+ignore", *more)
                    self.assertEqual((code, cut), ("NOERROR", True))
                self.assertEqual(len(server.answers("long.shop.test", "TXT", "+tcp")[2]), LONG)
                code, cut, records = server.answers("long.shop.test", "TXT", "+ignore",
                                                    "+bufsize=4096")
                self.assertEqual((code, cut, len(records)), ("NOERROR", False, LONG))

    def test_over_tls(self):
        for server in self.servers:
            with self.subTest(server.kind):
                out = server.dig("-p", server.tls_port, "+tls", f"+tls-ca={server.ca}",
                                 f"+tls-hostname={name_servers.NAME}", "shop.test", "A", "+short")
                self.assertEqual(out.split(), [ADDRESSES[0]])

    def test_over_ipv6(self):
        for server in self.servers:
            with self.subTest(server.kind):
                server.address = "::1"
                self.assertEqual(server.answers("shop.test", "A")[0], "NOERROR")
                self.assertEqual(server.answers("shop.test", "A", "+tcp")[0], "NOERROR")
                server.address = "127.0.0.1"


if __name__ == "__main__":
    harness.need("named", "unbound", "dig", "openssl")
    harness.main()
