#!/usr/bin/env python3
"""Module files, good and bad: sonde takes what blackbox_exporter takes and refuses what it refuses.
Each is given to `--config.check` of both. Debian's is 0.23; where a later release checks otherwise,
and sonde as it does, the row says what the old one does."""
import concurrent.futures
import subprocess

import harness

OTHER = harness.need("prometheus-blackbox-exporter")
GOOD, BAD = True, False


def http(text):
    return f"modules: {{m: {{prober: http, http: {{{text}}}}}}}"


def tcp(text):
    return f"modules: {{m: {{prober: tcp, tcp: {{{text}}}}}}}"


# name, file, good, what 0.23 says when it differs (None: the same)
FILES = [
    ("nothing", "", BAD, None),
    ("comment only", "# nothing\n", BAD, None),
    ("no modules", "modules:\n", GOOD, None),
    ("empty modules", "modules: {}\n", GOOD, None),
    ("modules is a list", "modules: []\n", BAD, None),
    ("modules is text", "modules: x\n", BAD, None),
    ("unknown top key", "module: {}\n", BAD, None),
    ("holder of anchors", "x: &a {prober: tcp}\nmodules: {m: *a}\n", BAD, None),
    ("anchors", "modules:\n  a: &a {prober: http, timeout: 3s}\n  b: *a\n", GOOD, None),
    ("merge", "modules:\n  a: &a {prober: http}\n  b: {<<: *a, timeout: 3s}\n", GOOD, None),
    ("second document", "modules: {}\n---\nmodules: {bad\n", GOOD, None),
    ("syntax", "modules: {a: [}\n", BAD, None),
    ("tabs", "modules:\n\ta: {prober: tcp}\n", BAD, None),
    ("duplicate module", "modules:\n  a: {prober: tcp}\n  a: {prober: tcp}\n", BAD, None),
    ("duplicate key", "modules: {a: {prober: tcp, prober: tcp}}\n", BAD, None),
    ("null module", "modules: {a: }\n", GOOD, None),
    ("null block", "modules: {a: {prober: http, http: }}\n", GOOD, None),
    ("empty block", "modules: {a: {prober: http, http: {}}}\n", GOOD, None),
    ("block is a list", "modules: {a: {prober: http, http: []}}\n", BAD, None),
    ("block is text", "modules: {a: {prober: http, http: x}}\n", BAD, None),
    ("unknown prober", "modules: {a: {prober: gopher}}\n", BAD, GOOD),
    ("no prober", "modules: {a: {timeout: 1s}}\n", BAD, GOOD),
    ("empty module", "modules: {a: {}}\n", BAD, GOOD),
    ("every prober", "modules: {a: {prober: http}, b: {prober: tcp}, c: {prober: icmp}, "
     "d: {prober: dns, dns: {query_name: x}}, e: {prober: grpc}}\n", GOOD, None),
    ("unix", "modules: {a: {prober: unix}}\n", GOOD, None),  # 0.23 takes any word
    ("unix block", "modules: {a: {prober: unix, unix: {query_response: [{expect: a}]}}}\n", GOOD,
     BAD),
    ("unix typo", "modules: {a: {prober: unix, unix: {query_respons: []}}}\n", BAD, None),
    ("websocket block", "modules: {a: {prober: websocket, websocket: {http_config: "
     "{basic_auth: {username: u}}, headers: {A: {values: [b]}}}}}\n", GOOD, BAD),
    ("websocket typo", "modules: {a: {prober: websocket, websocket: {http_config: {method: GET}}}}\n",
     BAD, None),
    ("unused block is checked", "modules: {a: {prober: http, dns: {}}}\n", BAD, None),
    ("unused block with a typo", "modules: {a: {prober: http, tcp: {tsl: true}}}\n", BAD, None),
    ("unused good block", "modules: {a: {prober: http, tcp: {tls: true}}}\n", GOOD, None),
    ("unknown module key", "modules: {a: {prober: http, timout: 5s}}\n", BAD, None),
    # Scalars
    ("timeout", "modules: {a: {prober: http, timeout: 1m30s}}\n", GOOD, None),
    ("timeout fraction", "modules: {a: {prober: http, timeout: 1.5s}}\n", GOOD, None),
    ("timeout micro", "modules: {a: {prober: http, timeout: 10us}}\n", GOOD, None),
    ("timeout negative", "modules: {a: {prober: http, timeout: -5s}}\n", GOOD, None),
    ("timeout number", "modules: {a: {prober: http, timeout: 5}}\n", BAD, None),
    ("timeout zero", "modules: {a: {prober: http, timeout: 0}}\n", BAD, None),
    ("timeout days", "modules: {a: {prober: http, timeout: 1d}}\n", BAD, None),
    ("timeout weeks", "modules: {a: {prober: http, timeout: 1w}}\n", BAD, None),
    ("timeout words", "modules: {a: {prober: http, timeout: soon}}\n", BAD, None),
    ("timeout list", "modules: {a: {prober: http, timeout: [1s]}}\n", BAD, None),
    ("bool words", http("fail_if_ssl: yes, fail_if_not_ssl: off, follow_redirects: True"), GOOD,
     None),
    ("quoted bool", http('fail_if_ssl: "true"'), BAD, None),
    ("bool number", http("fail_if_ssl: 1"), BAD, None),
    ("text from a number", http("method: 12"), GOOD, None),
    ("text from a bool", http("body: true"), GOOD, None),
    ("text from a list", http("method: [GET]"), BAD, None),
    ("text from a map", http("method: {a: b}"), BAD, None),
    ("binary", http("body: !!binary aGVsbG8="), GOOD, None),
    # http
    ("status codes", http("valid_status_codes: [200, 404]"), GOOD, None),
    ("no status codes", http("valid_status_codes: []"), GOOD, None),
    ("odd status codes", http("valid_status_codes: [42, 1000]"), GOOD, None),
    ("quoted status", http('valid_status_codes: ["200"]'), BAD, None),
    ("status text", http("valid_status_codes: [ok]"), BAD, None),
    ("status is no list", http("valid_status_codes: {a: b}"), BAD, None),
    ("versions", http('valid_http_versions: ["HTTP/1.1", "HTTP/2.0"]'), GOOD, None),
    ("version of any kind", http('valid_http_versions: ["HTTP/2", "x"]'), GOOD, None),
    ("http3 listed only", http('valid_http_versions: ["HTTP/3.0"]'), BAD, GOOD),
    ("http3", http("enable_http3: true, enable_http2: false"), GOOD, BAD),
    ("http3 with http2", http("enable_http3: true"), BAD, None),
    ("http3 with 1.1", http('enable_http3: true, enable_http2: false, '
                            'valid_http_versions: ["HTTP/1.1"]'), BAD, None),
    ("headers", http("headers: {A: b, Host: x, c: 1}"), GOOD, None),
    ("headers list", http("headers: [a]"), BAD, None),
    ("header value list", http("headers: {A: [b]}"), BAD, None),
    ("body and file", http("body: a, body_file: /b"), BAD, None),
    ("missing body file", http("body_file: /no/such/file"), GOOD, BAD),
    ("size", http("body_size_limit: 1.5MiB"), GOOD, None),
    ("sizes", http("body_size_limit: 1MB512KB"), GOOD, None),
    ("size zero", http("body_size_limit: 0"), GOOD, None),
    ("size negative", http("body_size_limit: -1B"), GOOD, None),
    ("size number", http("body_size_limit: 1000"), BAD, None),
    ("size case", http("body_size_limit: 1kb"), BAD, None),
    ("size words", http("body_size_limit: big"), BAD, None),
    ("regex", http("fail_if_body_matches_regexp: ['(?i)a+', '^x$']"), GOOD, None),
    ("regex of named groups", http("fail_if_body_matches_regexp: ['(?P<n>a)']"), GOOD, None),
    ("bad regex", http("fail_if_body_matches_regexp: ['(']"), BAD, None),
    ("look-around", http("fail_if_body_matches_regexp: ['(?=a)']"), BAD, None),
    ("back-reference", http(r"fail_if_body_matches_regexp: ['(a)\1']"), BAD, None),
    ("thousand repeats", http("fail_if_body_matches_regexp: ['a{1000}']"), GOOD, None),
    ("more repeats", http("fail_if_body_matches_regexp: ['a{1001}']"), BAD, None),
    ("repeat of nothing", http("fail_if_body_matches_regexp: ['*a']"), BAD, None),
    ("repeat of a begin", http("fail_if_body_matches_regexp: ['^+a']"), GOOD, None),
    ("header rule", http("fail_if_header_matches: [{header: A, regexp: b, allow_missing: true}]"),
     GOOD, None),
    ("header rule without header", http("fail_if_header_matches: [{regexp: b}]"), BAD, None),
    ("header rule without regexp", http("fail_if_header_matches: [{header: b}]"), BAD, None),
    ("header rule empty regexp", http("fail_if_header_matches: [{header: b, regexp: ''}]"), BAD,
     None),
    ("header rule typo", http("fail_if_header_matches: [{header: b, regex: c}]"), BAD, None),
    ("compression", http("compression: gzip"), GOOD, None),
    ("odd compression", http("compression: zstd"), GOOD, None),
    ("accepted", http("compression: gzip, headers: {Accept-Encoding: 'compress, gzip'}"), GOOD,
     None),
    ("accepted star", http("compression: br, headers: {accept-encoding: 'gzip, *;q=0.1'}"), GOOD,
     None),
    ("not accepted", http("compression: br, headers: {Accept-Encoding: 'gzip, compress'}"), BAD,
     None),
    ("refused", http("compression: br, headers: {Accept-Encoding: 'gzip, br;q=0.0'}"), BAD, None),
    ("no redirects", http("no_follow_redirects: true"), GOOD, None),
    ("family", http("preferred_ip_protocol: ip4, ip_protocol_fallback: false"), GOOD, None),
    ("odd family", http("preferred_ip_protocol: ip5"), GOOD, None),
    ("http has no source", http("source_ip_adress: 1.2.3.4"), BAD, None),
    ("cel", http("fail_if_body_json_matches_cel: \"body.a == 'b'\""), GOOD, BAD),
    ("skip resolve", http("skip_resolve_phase_with_proxy: true, proxy_url: 'http://p:3128'"), GOOD,
     None),
    # HTTP client
    ("basic", http("basic_auth: {username: u, password: p}"), GOOD, None),
    ("basic empty", http("basic_auth: {}"), GOOD, None),
    ("basic twice", http("basic_auth: {username: u, password: p, password_file: f}"), BAD, None),
    ("basic typo", http("basic_auth: {user: u}"), BAD, None),
    ("username file", http("basic_auth: {username_file: u, password: p}"), GOOD, BAD),
    ("username twice", http("basic_auth: {username: u, username_file: u}"), BAD, None),
    ("bearer", http("bearer_token: t"), GOOD, None),
    ("bearer twice", http("bearer_token: t, bearer_token_file: f"), BAD, None),
    ("bearer and basic", http("bearer_token: t, basic_auth: {username: u}"), BAD, None),
    ("bearer and authorization", http("bearer_token: t, authorization: {credentials: c}"), BAD,
     None),
    ("authorization", http("authorization: {credentials: c}"), GOOD, None),
    ("authorization basic", http("authorization: {type: BASIC, credentials: c}"), BAD, None),
    ("authorization twice", http("authorization: {credentials: c, credentials_file: f}"), BAD,
     None),
    ("basic and authorization", http("basic_auth: {username: u}, authorization: {credentials: c}"),
     BAD, None),
    ("oauth2", http("oauth2: {client_id: a, client_secret: b, token_url: 'http://t'}"), GOOD, None),
    ("oauth2 without id", http("oauth2: {client_secret: b, token_url: 'http://t'}"), BAD, None),
    ("oauth2 without url", http("oauth2: {client_id: a, client_secret: b}"), BAD, None),
    ("oauth2 and basic", http("oauth2: {client_id: a, client_secret: b, token_url: t}, "
                              "basic_auth: {username: u}"), BAD, None),
    ("oauth2 two secrets", http("oauth2: {client_id: a, client_secret: b, client_secret_file: f, "
                                "token_url: t}"), BAD, None),
    ("proxy", http("proxy_url: 'socks5://p:1080'"), GOOD, None),
    ("proxy without scheme", http("proxy_url: 'proxy:3128'"), GOOD, None),
    ("proxy of a scheme we lack", http("proxy_url: 'ftp://p'"), GOOD, None),
    ("proxy address alone", http("proxy_url: '127.0.0.1:3128'"), BAD, None),
    ("proxy with a blank", http("proxy_url: 'http://p x:1'"), BAD, None),
    ("proxy of no port", http("proxy_url: 'http://p:99999'"), BAD, GOOD),
    ("proxy header text", http("proxy_url: 'http://p', proxy_connect_header: {A: b}"), BAD, None),
    ("proxy header", http("proxy_url: 'http://p', proxy_connect_header: {A: [b]}"), GOOD, None),
    ("proxy header alone", http("proxy_connect_header: {A: [b]}"), BAD, None),
    ("proxy from environment", http("proxy_from_environment: true"), GOOD, BAD),
    ("two proxies", http("proxy_from_environment: true, proxy_url: 'http://p'"), BAD, None),
    ("no_proxy alone", http("no_proxy: x"), BAD, None),
    ("no_proxy", http("no_proxy: x, proxy_url: 'http://p'"), GOOD, BAD),
    ("http_headers", http("http_headers: {A: {values: [b], secrets: [c], files: [/d]}}"), GOOD,
     BAD),
    ("reserved header", http("http_headers: {Host: {values: [b]}}"), BAD, None),
    # tls_config
    ("tls", http("tls_config: {ca_file: /no, cert_file: /no, key_file: /no, server_name: x, "
                 "insecure_skip_verify: true, min_version: TLS10}"), GOOD, None),
    ("tls version", http("tls_config: {min_version: TLS14}"), BAD, None),
    ("tls max version", http("tls_config: {max_version: TLS12}"), GOOD, None),
    ("tls versions crossed", http("tls_config: {min_version: TLS13, max_version: TLS12}"), GOOD,
     None),
    ("tls typo", http("tls_config: {ca: x, cafile: y}"), BAD, None),
    ("inline certificates", http("tls_config: {ca: a, cert: b, key: c}"), GOOD, BAD),
    ("two authorities", http("tls_config: {ca: a, ca_file: b}"), BAD, None),
    ("certificate without key", http("tls_config: {cert_file: b}"), BAD, GOOD),
    ("key without certificate", http("tls_config: {key_file: b}"), BAD, GOOD),
    ("reference", http("tls_config: {ca_ref: a}"), GOOD, BAD),
    # tcp
    ("dialogue", tcp("query_response: [{expect: a, send: b}, {starttls: true}, {}, ]"), GOOD, None),
    ("null entry", "modules:\n  m:\n    prober: tcp\n    tcp:\n      query_response:\n      -\n",
     GOOD, None),
    ("entry typo", tcp("query_response: [{expects: a}]"), BAD, None),
    ("expect regex", tcp("query_response: [{expect: '('}]"), BAD, None),
    ("expect bytes", tcp("query_response: [{expect_bytes: abc}]"), GOOD, BAD),
    ("expect both", tcp("query_response: [{expect: a, expect_bytes: abc}]"), BAD, None),
    ("labels", tcp("query_response: [{expect: (a), labels: [{name: x, value: $1}]}]"), GOOD, BAD),
    ("tls then starttls", tcp("tls: true, query_response: [{starttls: true}]"), BAD, GOOD),
    ("starttls twice", tcp("query_response: [{starttls: true}, {starttls: true}]"), BAD, GOOD),
    ("source", tcp("source_ip_address: 127.0.0.1"), GOOD, None),
    ("bad source", tcp("source_ip_address: nowhere"), GOOD, None),
    ("tcp method", tcp("method: GET"), BAD, None),
    # icmp and dns
    ("icmp", "modules: {m: {prober: icmp, icmp: {payload_size: 56, dont_fragment: true, ttl: 5}}}\n",
     GOOD, None),
    ("ttl below", "modules: {m: {prober: icmp, icmp: {ttl: -1}}}\n", BAD, None),
    ("ttl zero", "modules: {m: {prober: icmp, icmp: {ttl: 0}}}\n", GOOD, None),
    ("ttl above", "modules: {m: {prober: icmp, icmp: {ttl: 256}}}\n", BAD, None),
    ("ttl text", "modules: {m: {prober: icmp, icmp: {ttl: '5'}}}\n", BAD, None),
    ("negative payload", "modules: {m: {prober: icmp, icmp: {payload_size: -1}}}\n", BAD, GOOD),
    ("dns", "modules: {m: {prober: dns, dns: {query_name: a, query_type: SOA, query_class: CH, "
     "recursion_desired: no, transport_protocol: tcp, dns_over_tls: true, valid_rcodes: [NXDOMAIN]}}}\n",
     GOOD, None),
    ("dns without block", "modules: {m: {prober: dns}}\n", GOOD, None),
    ("dns without name", "modules: {m: {prober: dns, dns: {query_type: A}}}\n", BAD, None),
    ("dns type", "modules: {m: {prober: dns, dns: {query_name: a, query_type: NOSUCH}}}\n", BAD,
     None),
    ("dns type number", "modules: {m: {prober: dns, dns: {query_name: a, query_type: TYPE65}}}\n",
     BAD, None),
    ("dns type https", "modules: {m: {prober: dns, dns: {query_name: a, query_type: HTTPS}}}\n", GOOD,
     None),
    ("dns type case", "modules: {m: {prober: dns, dns: {query_name: a, query_type: aaaa}}}\n", BAD,
     None),
    ("dns class", "modules: {m: {prober: dns, dns: {query_name: a, query_class: XX}}}\n", BAD, None),
    ("dns transport", "modules: {m: {prober: dns, dns: {query_name: a, transport_protocol: quic}}}\n",
     GOOD, None),
    ("dns rcode", "modules: {m: {prober: dns, dns: {query_name: a, valid_rcodes: [NOSUCH]}}}\n", GOOD,
     None),
    ("dns regex", "modules: {m: {prober: dns, dns: {query_name: a, validate_answer_rrs: "
     "{fail_if_matches_regexp: ['(']}}}}\n", GOOD, None),
    ("dns rule typo", "modules: {m: {prober: dns, dns: {query_name: a, validate_answer_rrs: "
     "{fail_if_match_regexp: [a]}}}}\n", BAD, None),
    # grpc
    ("grpc", "modules: {m: {prober: grpc, grpc: {service: s, tls: true, tls_config: {ca_file: a}, "
     "preferred_ip_protocol: ip4}}}\n", GOOD, None),
    ("grpc typo", "modules: {m: {prober: grpc, grpc: {servce: s}}}\n", BAD, None),
    ("grpc metadata", "modules: {m: {prober: grpc, grpc: {metadata: {a: [b]}}}}\n", GOOD, BAD),
    ("grpc metadata text", "modules: {m: {prober: grpc, grpc: {metadata: {a: b}}}}\n", BAD, None),
]


def check(program, path, *arguments):
    done = subprocess.run([program, "--config.check", f"--config.file={path}", *arguments],
                          env=harness.clean_environment(), timeout=harness.PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


class ConfigTest(harness.TestCase):
    def compare(self, index):
        name, text, good, old = FILES[index]
        path = self.box.write(f"{index}.yml", text)
        found = []
        code, said = check(harness.binaries() / "sonde", path)
        if code != (0 if good else 1):
            found.append(f"{name}: sonde exits with {code}: {said}")
        if not good and not said:
            found.append(f"{name}: sonde says nothing")
        code, said = check(OTHER, path)
        if code != (0 if (good if old is None else old) else 1):
            found.append(f"{name}: blackbox_exporter exits with {code}: {said}")
        return found

    def test_files(self):
        self.assertGreaterEqual(len(FILES), 120)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for row, found in zip(FILES, pool.map(self.compare, range(len(FILES)))):
                with self.subTest(row[0]):
                    self.assertEqual(found, [], row[1])

    def test_debians_own_file(self):
        code, said = check(harness.binaries() / "sonde", "/etc/prometheus/blackbox.yml")
        self.assertEqual(code, 0, said)
        self.assertIn("good", said)


if __name__ == "__main__":
    harness.main()
