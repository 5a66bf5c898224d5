#!/usr/bin/env python3
"""blackbox_exporter and sonde side by side: the same module file, the same misbehaving servers, the
same requests of /probe. Status codes, families, label sets and values must be the same, but for
times and for what docs/blackbox.md says is different.

The other exporter is Debian's 0.23; what later releases added is listed in NEWER."""
import concurrent.futures
import json
import math
import os
import re
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import authority
import harness
from peers import (CLOSE, LINE, RESET, STALL, STARTTLS, DnsPeer, Drain, HttpPeer, Listener,
                   ProxyPeer, lines, play)

OTHER = harness.need("prometheus-blackbox-exporter")
harness.need("nginx", "openssl")
MICROSOCKS = harness.need("microsocks")
SCRAPE_TIMEOUT = "2.5"  # 2 s after the offset
SHORT = "1.1"           # 0.6 s: for peers that never answer

# Families of later releases: on our side only.
NEWER = {"probe_timeout_seconds", "probe_tls_cipher_info", "probe_failed_due_to_bytes",
         "probe_expect_info"}
# Certificates of failed handshakes are shown too (docs/blackbox.md).
UNTRUSTED = {"probe_ssl_earliest_cert_expiry", "probe_ssl_last_chain_info",
             "probe_ssl_last_chain_expiry_timestamp_seconds", "probe_ssl_verify_result_info"}
# What these give back holds the User-Agent, whose lengths differ.
ECHOES = re.compile(r"/(echo|moved-30[378])$|//seen\.example/")
# Values that are times: only whether they are 0 is compared.
TIMES = re.compile(r"probe_(duration_seconds|dns_lookup_time_seconds|\w+_duration_seconds)$")
AT_ONCE = 0.1
NEVER_ZERO = {"probe_duration_seconds", "probe_dns_lookup_time_seconds"}


class Case:
    """One request. `more`: families only we may have; `less`: only they; `differ`: families whose
    values may differ, with the reason in the table's comment."""

    def __init__(self, name, module, target, *, query="", headers=None, timeout=SCRAPE_TIMEOUT,
                 more=(), less=(), differ=(), success=None):
        self.name, self.module, self.target = name, module, target
        self.query, self.timeout, self.headers = query, timeout, headers or {}
        self.more, self.less, self.differ = set(more), set(less), set(differ)
        if target and ECHOES.search(target):
            self.differ |= {"probe_http_content_length", "probe_http_uncompressed_body_length"}
        self.success = success  # what both must say; None: whatever it is

    def path(self):
        words = {"module": self.module, "target": self.target}
        text = urllib.parse.urlencode({k: v for k, v in words.items() if v is not None})
        return f"/probe?{text}" + (f"&{self.query}" if self.query else "")


HTTP = "http"


def http(**options):
    return {"prober": "http", "http": {"preferred_ip_protocol": "ip4", **options}}


def tcp(*entries, **options):
    block = {"preferred_ip_protocol": "ip4", **options}
    if entries:
        block["query_response"] = list(entries)
    return {"prober": "tcp", "tcp": block}


def dns(name="a.test", **options):
    return {"prober": "dns", "dns": {"preferred_ip_protocol": "ip4", "query_name": name,
                                     "query_type": "A", **options}}


def icmp(**options):
    return {"prober": "icmp", "icmp": {"preferred_ip_protocol": "ip4", **options}}


RECORD = "a.test.\t60\tIN\tA\t127.0.0.1"
RULES = ("fail_if_matches_regexp", "fail_if_not_matches_regexp", "fail_if_all_match_regexp",
         "fail_if_none_matches_regexp")
SECTIONS = ("answer", "authority", "additional")


def dns_modules(ca):
    """Module by name; each rule on each section that some question fills."""
    made = {
        "dns": dns(), "dns_default": {"prober": "dns"},
        "dns_tcp": dns(transport_protocol="tcp"),
        "dns_tls": dns(transport_protocol="tcp", dns_over_tls=True,
                       tls_config={"ca_file": str(ca)}),
        "dns_tls_untrusted": dns(transport_protocol="tcp", dns_over_tls=True),
        "dns_tls_udp": dns(dns_over_tls=True),
        "dns_odd_transport": dns(transport_protocol="quic"),
        "dns_rcode": dns("nxdomain.test", valid_rcodes=["NXDOMAIN"]),
        "dns_rcodes": dns("servfail.test", valid_rcodes=["NOERROR", "SERVFAIL"]),
        "dns_no_rcode": dns(valid_rcodes=[]),
        "dns_odd_rcode": dns(valid_rcodes=["NOERROR", "NOSUCH"]),
        "dns_bad_regex": dns(validate_answer_rrs={"fail_if_matches_regexp": ["("]}),
        "dns_bad_regex_unused": dns("empty.test", validate_answer_rrs={
            "fail_if_matches_regexp": ["("]}),
        "dns_not_recursive": dns(recursion_desired=False),
        "dns_chaos": dns(query_class="CH"),
        "dns_source": dns(source_ip_address="127.0.0.9"),
        "dns_bad_source": dns(source_ip_address="nowhere"),
        "dns_any": dns(query_type="ANY"),
        "dns_short": {**dns("silent.test"), "timeout": "300ms"},
        "dns_ip6_only": dns(preferred_ip_protocol="ip6", ip_protocol_fallback=False),
        "dns_tcp_silent": dns("silent.test", transport_protocol="tcp"),
        "dns_tcp_wrong_id": dns("wrong-id.test", transport_protocol="tcp"),
        "dns_tcp_garbage": dns("garbage.test", transport_protocol="tcp"),
        "dns_tcp_long": dns("long.test", transport_protocol="tcp", query_type="TXT"),
    }
    for label, kind in (("two", "A"), ("soa", "SOA"), ("nosoa", "SOA"), ("empty", "SOA"),
                        ("mx", "MX"), ("txt", "TXT"), ("aaaa", "AAAA"), ("cname", "A"),
                        ("nxdomain", "A"), ("servfail", "A"), ("refused", "A"), ("cut", "A"),
                        ("authoritative", "A"), ("silent", "A"), ("garbage", "A"),
                        ("wrong-id", "A"), ("long", "TXT")):
        made[f"dns_{label}_{kind}"] = dns(f"{label}.test", query_type=kind)
    for rule in RULES:
        for section in SECTIONS:
            for label in ("two", "a"):
                for regex in ("10\\.0\\.0\\.1$", "10\\.0|NS", "nothing like it"):
                    made[f"dns {section} {rule} {regex} {label}"] = dns(
                        f"{label}.test", **{f"validate_{section}_rrs": {rule: [regex]}})
    texts = {"a": RECORD, "mx": "mx.test.\t60\tIN\tMX\t10 mail.Test.",
             "txt": "txt.test.\t60\tIN\tTXT\t\"hello\" \"say \\\\\"x\\\\\"\"",
             "aaaa": "aaaa.test.\t60\tIN\tAAAA\t2001:db8::1",
             "soa": "soa.test.\t60\tIN\tSOA\tns.soa.test. root.soa.test. 2026112501 1 2 3 4",
             "cname": "cname.test.\t60\tIN\tCNAME\ta.test."}
    for label, text in texts.items():
        made[f"dns text {label}"] = dns(f"{label}.test", query_type="ANY", validate_answer_rrs={
            "fail_if_none_matches_regexp": ["^" + text.replace(".", "\\.") + "$"]})
    return made


def icmp_modules():
    return {"icmp": icmp(), "icmp_default": {"prober": "icmp"}, "icmp_size": icmp(payload_size=1000),
            "icmp_small": icmp(payload_size=1), "icmp_whole": icmp(dont_fragment=True),
            "icmp_ttl": icmp(ttl=5), "icmp_source": icmp(source_ip_address="127.0.0.9"),
            "icmp_bad_source": icmp(source_ip_address="nowhere"),
            "icmp_ip6": icmp(preferred_ip_protocol="ip6"),
            "icmp_ip6_only": icmp(preferred_ip_protocol="ip6", ip_protocol_fallback=False)}


def http2_modules(tls):
    def module(**options):
        return http(tls_config=tls, **options)
    return {
        "h2": module(),
        "h2_off": module(enable_http2=False),
        "h2_only": module(valid_http_versions=["HTTP/2.0"]),
        "h2_never": module(valid_http_versions=["HTTP/1.1"]),
        "h2_short": module(valid_http_versions=["HTTP/2"]),
        "h2_head": module(method="HEAD"),
        "h2_post": module(method="POST", body="a=b", headers={"Content-Type": "text/x"},
                          fail_if_body_not_matches_regexp=["^POST HTTP/2.0 .* 3 text/x"]),
        "h2_put_large": module(method="PUT", body="x" * 300000, headers={"Content-Type": "text/x"},
                               fail_if_body_not_matches_regexp=["^PUT HTTP/2.0 .* 300000 "]),
        "h2_sends": module(headers={"X-Mine": "one", "Host": "localhost", "Connection": "close"},
                           fail_if_body_not_matches_regexp=["^GET HTTP/2.0 localhost .* one"]),
        "h2_body": module(fail_if_body_matches_regexp=["hello"]),
        "h2_body_not": module(fail_if_body_not_matches_regexp=["sonde"]),
        "h2_header": module(fail_if_header_matches=[{"header": "X-Team", "regexp": "shop"}]),
        "h2_header_not": module(fail_if_header_not_matches=[{"header": "x-team",
                                                             "regexp": "^web$"}]),
        "h2_header_miss": module(fail_if_header_matches=[{"header": "X-None", "regexp": "."}]),
        "h2_gzip": module(compression="gzip", headers={"Accept-Encoding": "gzip"}),
        "h2_gzip_body": module(compression="gzip", headers={"Accept-Encoding": "gzip"},
                               fail_if_body_not_matches_regexp=["^a line"]),
        "h2_gzip_unasked": module(compression="gzip"),
        "h2_limit": module(body_size_limit="1KB"),
        "h2_gzip_limit": module(compression="gzip", headers={"Accept-Encoding": "gzip"},
                                body_size_limit="1KB"),
        "h2_not_followed": module(follow_redirects=False),
        "h2_302": module(follow_redirects=False, valid_status_codes=[302]),
        "h2_status": module(valid_status_codes=[404]),
        "h2_not_ssl": module(fail_if_ssl=True),
    }


def proxy_modules(peers):
    def through(port, scheme="http", login="", **options):
        return http(tls_config={"ca_file": str(peers.ca)},
                    proxy_url=f"{scheme}://{login}127.0.0.1:{port}", **options)
    ports = peers.proxies
    seen = {"skip_resolve_phase_with_proxy": True}
    return {
        "proxy": through(ports["open"]),
        "proxy_by_name": http(proxy_url=f"http://localhost:{ports['open']}"),
        "proxy_skip": through(ports["open"], skip_resolve_phase_with_proxy=True),
        "proxy_not_followed": through(ports["open"], follow_redirects=False),
        "proxy_login": through(ports["login"], login="u:p@"),
        "proxy_wrong_login": through(ports["login"], login="u:q@"),
        "proxy_no_login": through(ports["login"]),
        "proxy_header": through(ports["header"], proxy_connect_header={"X-Token": ["t"]}),
        "proxy_wrong_header": through(ports["header"], proxy_connect_header={"X-Token": ["u"]}),
        "proxy_closed": through(peers.closed.port),
        "proxy_silent": through(peers.lines["silent"].port),
        "proxy_garbage": through(peers.lines["ssh"].port),
        "proxy_tls": through(ports["tls"], "https"),
        "proxy_not_tls": through(ports["open"], "https"),
        "proxy_socks": through(ports["socks"], "socks5"),
        "proxy_socks_skip": through(ports["socks"], "socks5", skip_resolve_phase_with_proxy=True),
        "proxy_not_socks": through(ports["open"], "socks5"),
        "proxy_ftp": through(ports["open"], "ftp"),
        "proxy_seen": through(ports["open"], **seen, fail_if_body_not_matches_regexp=[
            "^GET http://seen.example/x\\?y=1 HTTP/1.1\r\n", "\nHost: seen.example\r\n",
            "(?i)connection: close"], fail_if_body_matches_regexp=["(?i)proxy-"]),
        "proxy_seen_login": through(ports["open"], login="u:p%40@", **seen,
                                    fail_if_body_not_matches_regexp=[
                                        "Proxy-Authorization: Basic dTpwQA=="]),
        "proxy_seen_host": through(ports["open"], **seen, headers={"Host": "seen.example"},
                                   fail_if_body_not_matches_regexp=["^GET http://seen.example/"]),
        "proxy_seen_header": through(ports["open"], **seen, proxy_connect_header={"X-Token": ["t"]},
                                     fail_if_body_matches_regexp=["(?i)x-token"]),
    }


def proxy_cases(peers):
    http_page = f"http://127.0.0.1:{peers.http.port}"
    https_page = f"https://127.0.0.1:{peers.tls['good'].port}"

    def page(module, base, path="/ok", **more):
        return Case(f"{module} {base}{path}", module, base + path, **more)
    working = ("proxy", "proxy_skip", "proxy_login", "proxy_socks", "proxy_socks_skip",
               "proxy_header")
    for module in working:
        if module != "proxy_header":  # it is of CONNECT alone
            yield page(module, http_page, success=1)
        yield page(module, https_page, success=1)
        yield page(module, https_page, "/404", success=0)
    for base in (http_page, https_page):
        for path in ("/moved", "/closes", "/short", "/chunked", "/until-close"):
            yield page("proxy", base, path)
        yield page("proxy_not_followed", base, "/moved")
        yield page("proxy", base, "/silent", timeout=SHORT, success=0)
        for module in ("proxy_wrong_login", "proxy_no_login", "proxy_closed", "proxy_garbage",
                       "proxy_not_tls", "proxy_not_socks"):
            yield page(module, base, success=0)
        yield page("proxy_silent", base, timeout=SHORT, success=0)
    for path in ("/moved-host", "/moved-to-tls", "/moved-to-refused"):
        yield page("proxy", http_page, path)
    yield page("proxy_by_name", f"http://localhost:{peers.http.port}", success=1)
    yield page("proxy_wrong_header", https_page, success=0)
    yield page("proxy", f"http://127.0.0.1:{peers.closed.port}", success=0)
    yield page("proxy", f"https://127.0.0.1:{peers.closed.port}", success=0)
    yield page("proxy_socks", f"https://127.0.0.1:{peers.closed.port}", success=0)
    yield page("proxy", f"https://127.0.0.1:{peers.tls['expired'].port}", success=0, more=UNTRUSTED)
    # What of TLS counts is the target's, here; there the proxy's, where the target has none.
    yield page("proxy_tls", https_page, success=1)
    yield page("proxy_tls", http_page, success=1, differ=("probe_http_ssl",), less=(
        "probe_ssl_earliest_cert_expiry", "probe_ssl_last_chain_expiry_timestamp_seconds",
        "probe_ssl_last_chain_info", "probe_tls_version_info"))
    for module in ("proxy_seen", "proxy_seen_login", "proxy_seen_host", "proxy_seen_header"):
        yield page(module, "http://seen.example", "/x?y=1", success=1)
    yield page("proxy", "http://nowhere.invalid", success=0)
    yield page("proxy_skip", "https://nowhere.invalid:1", success=0)


def modules(ca):
    tls = {"ca_file": str(ca)}
    smtp = [{"expect": "^220 "}, {"send": "EHLO prober\r"}, {"expect": "^250-STARTTLS"},
            {"send": "STARTTLS\r"}, {"expect": "^220"}, {"starttls": True},
            {"send": "EHLO prober\r"}, {"expect": "^250-AUTH"}, {"send": "QUIT\r"}]
    return {
        "http_2xx": http(),
        "plain_default": {"prober": "http"},
        "ip6": {"prober": "http", "http": {"preferred_ip_protocol": "ip6"}},
        "ip6_only": {"prober": "http", "http": {"preferred_ip_protocol": "ip6",
                                                "ip_protocol_fallback": False}},
        "odd_family": {"prober": "http", "http": {"preferred_ip_protocol": "ip5"}},
        "short": {"prober": "http", "timeout": "300ms", "http": {"preferred_ip_protocol": "ip4"}},
        "status": http(valid_status_codes=[200, 404]),
        "status_302": http(valid_status_codes=[302], follow_redirects=False),
        "not_followed": http(follow_redirects=False),
        "old_not_followed": http(no_follow_redirects=True),
        "head": http(method="HEAD"),
        "post": http(method="POST", body="a body"),
        "odd_method": http(method="G T"),
        "own_method": http(method="REPORT"),
        "http11": http(valid_http_versions=["HTTP/1.1"]),
        "http10": http(valid_http_versions=["HTTP/1.0"]),
        "http2": http(valid_http_versions=["HTTP/2.0"]),
        "http2_short": http(valid_http_versions=["HTTP/2"]),
        "not_ssl": http(fail_if_ssl=True),
        "only_ssl": http(fail_if_not_ssl=True),
        "gzip": http(compression="gzip"),
        "gzip_upper": http(compression="GZIP"),
        "deflate": http(compression="deflate"),
        "brotli": http(compression="br"),
        "identity": http(compression="identity"),
        "odd_compression": http(compression="zstd"),
        "accept": http(compression="gzip", headers={"Accept-Encoding": "gzip"}),
        "limit": http(body_size_limit="1KB"),
        "limit_fits": http(body_size_limit="12B"),
        "limit_short": http(body_size_limit="11B"),
        "gzip_rule": http(compression="gzip", fail_if_body_not_matches_regexp=["a"]),
        "gzip_limit": http(compression="gzip", body_size_limit="100B"),
        "body": http(fail_if_body_matches_regexp=["hello"]),
        "body_not": http(fail_if_body_not_matches_regexp=["sonde"]),
        "body_not_all": http(fail_if_body_not_matches_regexp=["sonde", "nowhere"]),
        "body_any": http(fail_if_body_matches_regexp=["nowhere", "^hello"]),
        "body_and_status": http(valid_status_codes=[404], fail_if_body_matches_regexp=["hello"]),
        "header": http(fail_if_header_matches=[{"header": "X-Team", "regexp": "shop"}]),
        "header_miss": http(fail_if_header_matches=[{"header": "X-None", "regexp": "."}]),
        "header_missing_fine": http(fail_if_header_matches=[
            {"header": "X-None", "regexp": ".", "allow_missing": True}]),
        "header_not": http(fail_if_header_not_matches=[{"header": "x-team", "regexp": "^web$"}]),
        "header_not_bad": http(fail_if_header_not_matches=[{"header": "x-team", "regexp": "^x"}]),
        "header_and_body": http(
            fail_if_header_matches=[{"header": "X-Team", "regexp": "shop"}],
            fail_if_body_matches_regexp=["hello"]),
        "empty_header": http(fail_if_header_not_matches=[{"header": "X-Empty", "regexp": "^$"}]),
        "sends": http(headers={"X-Mine": "one", "Host": "other.example"},
                      fail_if_body_not_matches_regexp=["(?m)^Host: other\\.example\\r$",
                                                       "X-Mine: one"]),
        "posts": http(method="POST", body="a=b", headers={"Content-Type": "text/x"},
                      fail_if_body_not_matches_regexp=["Content-Length: 3", "a=b$",
                                                       "(?m)^POST /echo HTTP/1.1"]),
        "no_encoding": http(fail_if_body_matches_regexp=["(?i)accept-encoding"]),
        "closes": http(fail_if_body_not_matches_regexp=["(?i)connection: close"]),
        "no_agent": http(headers={"User-Agent": ""},
                         fail_if_body_matches_regexp=["(?i)user-agent"]),
        "password": http(basic_auth={"username": "u", "password": "p"}),
        "wrong_password": http(basic_auth={"username": "u", "password": "q"}),
        "password_file_missing": http(basic_auth={"username": "u", "password_file": "/no/file"}),
        "bearer": http(bearer_token="t0ken", fail_if_body_not_matches_regexp=[
            "Authorization: Bearer t0ken"]),
        "authorization": http(authorization={"type": "Token", "credentials": "t"},
                              fail_if_body_not_matches_regexp=["Authorization: Token t"]),
        "method_after_303": http(method="POST", body="x",
                                 fail_if_body_not_matches_regexp=["^GET /echo"]),
        "method_after_307": http(method="POST", body="x",
                                 fail_if_body_not_matches_regexp=["^POST /echo", "x$"]),
        "referer": http(fail_if_body_not_matches_regexp=["(?i)referer: http://"]),
        "tls": http(tls_config=tls),
        "tls_insecure": http(tls_config={"insecure_skip_verify": True}),
        "tls_name": http(tls_config={**tls, "server_name": "localhost"}),
        "tls_other_name": http(tls_config={**tls, "server_name": "nobody.example"}),
        "tls_only_ssl": http(tls_config=tls, fail_if_not_ssl=True),
        "tls_not_ssl": http(tls_config=tls, fail_if_ssl=True),
        "tls_status": http(tls_config=tls, valid_status_codes=[418]),
        "tls_ca_missing": http(tls_config={"ca_file": "/no/such/ca.pem"}),
        "tls12": http(tls_config={**tls, "max_version": "TLS12"}),
        "tls_host": http(tls_config=tls, headers={"Host": "localhost"}),
        **http2_modules(tls),
        "tcp": tcp(),
        "tcp_default": {"prober": "tcp"},
        "tcp_short": {"prober": "tcp", "timeout": "300ms", "tcp": {"preferred_ip_protocol": "ip4"}},
        "tcp_ip6_only": {"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip6",
                                                  "ip_protocol_fallback": False}},
        "tcp_source": tcp(source_ip_address="127.0.0.9"),
        "tcp_bad_source": tcp(source_ip_address="nowhere"),
        "ssh": tcp({"expect": "^SSH-2.0-"}),
        "ssh_both": tcp({"expect": "^SSH-2.0-([^ -]+)"}, {"send": "SSH-2.0-check"}),
        "groups": tcp({"expect": "^PING :([^ ]+)", "send": "PONG ${1}"}, {"expect": "^thanks"}),
        "named_groups": tcp({"expect": "^(?P<word>\\w+) :(?P<rest>.*)$",
                             "send": "$word $rest $$ ${nope}"}, {"expect": "^thanks"}),
        "sends_first": tcp({"send": "NICK prober"}, {"send": "USER prober"}, {"expect": "^001"}),
        "two_lines": tcp({"expect": "^a$"}, {"expect": "^b$"}),
        "end_of_text": tcp({"expect": "^no line end$"}),
        "dot": tcp({"expect": "^a.c$"}),
        "empty_entry": tcp({}, {"expect": "^SSH"}),
        "send_only": tcp({"send": "hello"}),
        "smtp": tcp(*smtp, tls_config=tls),
        "smtp_insecure": tcp(*smtp, tls_config={"insecure_skip_verify": True}),
        "smtp_untrusted": tcp(*smtp),
        "tcp_tls": tcp(tls=True, tls_config=tls),
        "tcp_tls_name": tcp(tls=True, tls_config={**tls, "server_name": "localhost"}),
        "tcp_tls_insecure": tcp(tls=True, tls_config={"insecure_skip_verify": True}),
        "tcp_tls_untrusted": tcp(tls=True),
        "tcp_tls_talk": tcp({"expect": "^\\+OK"}, {"send": "QUIT\r"}, tls=True, tls_config=tls),
        "tcp_tls_mismatch": tcp({"expect": "^-ERR"}, tls=True, tls_config=tls),
        "empty": None,
        **dns_modules(ca), **icmp_modules(),
    }


NO_QUESTION = ("probe_dns_duration_seconds",)
# Names a later release gave the families of its own, which the old one lacks or has.
REGEX_ON_NO_DIAL = ("probe_failed_due_to_regex",)


def http_cases(peers):
    base = f"http://127.0.0.1:{peers.http.port}"
    def page(path, module="http_2xx", **more):
        name = more.pop("name", f"{module} {path}")
        return Case(name, module, base + path, **more)
    yield from (page(path, success=1) for path in (
        "/ok", "/empty", "/no-content", "/until-close", "/chunked", "/http10", "/continue",
        "/early-hints", "/299", "/moved", "/moved-301", "/moved-303", "/moved-307", "/moved-308",
        "/moved-host", "/moved-address", "/moved-twice", "/moved-relative", "/gzip", "/long",
        "/modified", "/modified-850", "/modified-asctime", "/modified-badly", "/headers", "/large",
        "/no-reason", "/ok?a=b&c=%20d", "/ok#fragment"))
    yield from (page(path, success=0) for path in (
        "/404", "/500", "/moved-to-404", "/moved-to-refused", "/moved-nowhere", "/moved-badly",
        "/moved-to-short", "/circle", "/300", "/304", "/short", "/chunks-cut", "/chunks-bad",
        "/closes", "/closes-in-head", "/resets", "/garbage", "/bad-status"))
    yield from (page(path, timeout=SHORT, success=0) for path in (
        "/silent", "/half-head", "/slow-body"))
    yield page("/silent", "short", success=0)
    # Lines that end with a line feed alone are no HTTP to us (docs/blackbox.md).
    yield page("/line-feeds", differ=("probe_success", "probe_http_status_code", "probe_http_version",
                                      "probe_http_content_length",
                                      "probe_http_uncompressed_body_length"))
    yield page("/moved-query", success=0)
    yield page("/%6fk")
    for path in ("/404", "/500", "/ok"):
        yield page(path, "status")
    for path in ("/moved", "/ok", "/circle", "/moved-nowhere"):
        yield page(path, "status_302")
        yield page(path, "not_followed")
    yield page("/moved", "old_not_followed")
    for path in ("/ok", "/large", "/moved", "/404", "/chunked"):
        yield page(path, "head")
    yield page("/echo", "post", success=1)
    yield page("/ok", "own_method", success=1)
    yield page("/ok", "odd_method", success=0)
    for module in ("http11", "http10", "http2", "http2_short"):
        yield page("/ok", module)
        yield page("/http10", module)
    for module in ("not_ssl", "only_ssl"):
        yield page("/ok", module)
    for module in ("gzip", "gzip_upper", "gzip_rule"):
        for path in ("/gzip", "/gzip-cut", "/gzip-no-header", "/ok"):
            yield page(path, module)
    for module, path in (("deflate", "/deflate"), ("deflate", "/zlib"), ("deflate", "/ok"),
                         ("brotli", "/brotli"), ("brotli", "/gzip"), ("identity", "/ok"),
                         ("identity", "/gzip"), ("odd_compression", "/ok"), ("accept", "/gzip")):
        yield page(path, module)
    yield page("/moved-with-gzip", "gzip")
    for module, path in (("limit", "/large"), ("limit", "/ok"), ("limit_fits", "/ok"),
                         ("limit_short", "/ok"), ("gzip_limit", "/gzip"), ("limit", "/chunked"),
                         ("limit", "/short")):
        yield page(path, module)
    for module in ("body", "body_not", "body_not_all", "body_any", "body_and_status"):
        for path in ("/ok", "/404", "/empty", "/short"):
            yield page(path, module)
    yield page("/slow-body", "body", timeout=SHORT)
    for module in ("header", "header_miss", "header_missing_fine", "header_not", "header_not_bad",
                   "header_and_body", "empty_header"):
        for path in ("/headers", "/ok", "/404"):
            yield page(path, module)
    for module in ("sends", "posts", "no_encoding", "closes", "no_agent", "bearer",
                   "authorization"):
        yield page("/echo", module, success=1)
    for module in ("password", "wrong_password", "http_2xx", "password_file_missing"):
        yield page("/wants-password", module)
    yield Case("user in the URL", "http_2xx", f"http://u:p@127.0.0.1:{peers.http.port}/wants-password",
               success=1)
    yield page("/moved-303", "method_after_303", success=1)
    yield page("/moved-307", "method_after_307", success=1)
    yield page("/moved-303", "referer", success=1)
    yield page("/cookie", success=1)
    yield from target_cases(peers)


def target_cases(peers):
    port = peers.http.port
    yield Case("no scheme", "http_2xx", f"127.0.0.1:{port}/ok", success=1)
    yield Case("no path", "http_2xx", f"127.0.0.1:{port}", success=0)
    yield Case("by name", "http_2xx", f"http://localhost:{port}/ok", success=1)
    yield Case("blank in the path", "http_2xx", f"http://127.0.0.1:{port}/a b", success=0)
    yield Case("closed port", "http_2xx", f"http://127.0.0.1:{peers.closed.port}/", success=0)
    yield Case("unknown name", "http_2xx", "http://nobody.invalid/", success=0)
    yield Case("no host", "http_2xx", "http:///ok", success=0)
    yield Case("bad escape", "http_2xx", "http://127.0.0.1/%zz", success=0)
    yield Case("bad port", "http_2xx", "http://127.0.0.1:port/", success=0)
    yield Case("bad brackets", "http_2xx", "http://[::1/", success=0)
    yield Case("another scheme", "http_2xx", "ftp://127.0.0.1/", success=0)
    yield Case("ip6 first, ip4 there", "ip6", f"http://127.0.0.1:{port}/ok", success=1)
    yield Case("ip6 only, ip4 there", "ip6_only", f"http://127.0.0.1:{port}/ok", success=0)
    yield Case("no such family is ip4", "odd_family", f"http://localhost:{port}/ok", success=1)
    yield Case("no module means http_2xx", None, f"http://127.0.0.1:{port}/ok", success=1)
    yield Case("empty module means http_2xx", "", f"http://127.0.0.1:{port}/ok", success=1)
    yield Case("hostname", "http_2xx", f"http://127.0.0.1:{port}/echo", query="hostname=a.example",
               success=1)
    yield Case("hostname equal", "sends", f"http://127.0.0.1:{port}/echo",
               query="hostname=other.example", success=1)
    yield Case("hostname contradicts", "sends", f"http://127.0.0.1:{port}/echo",
               query="hostname=a.example")
    yield Case("unknown module", "nowhere", "x")
    yield Case("no target", "http_2xx", None)
    yield Case("empty target", "http_2xx", "")
    yield Case("module without prober", "empty", "x")
    for header in ("nonsense", "0x10", "1s", "-1", "1e0", " 2.5 ", "0", ""):
        yield Case(f"time-out header {header!r}", "http_2xx", f"http://127.0.0.1:{port}/ok",
                   timeout=header)
    for header in ("0.3", "0.5", "NaN"):
        yield Case(f"no time {header}", "http_2xx", f"http://127.0.0.1:{port}/ok", timeout=header,
                   success=0)
        yield Case(f"no time {header} by tcp", "tcp", f"127.0.0.1:{port}", timeout=header,
                   success=0, less=REGEX_ON_NO_DIAL)


def tls_cases(peers):
    def page(module, peer, path="/ok", host="127.0.0.1", **more):
        return Case(f"{module} {peer}{path} {host}", module,
                    f"https://{host}:{peers.tls[peer].port}{path}", **more)
    for module in ("tls", "tls_name", "tls_insecure", "tls12", "tls_only_ssl", "tls_not_ssl",
                   "tls_status", "tls_host"):
        yield page(module, "good")
    yield page("tls", "good", host="localhost", success=1)
    for path in ("/404", "/short", "/moved", "/resets", "/chunked"):
        yield page("tls", "good", path)
    yield page("tls", "good", "/slow-body", timeout=SHORT)
    yield page("tls", "chain", success=1)
    for peer in ("expired", "wrong_name", "self_signed", "future"):
        yield page("tls", peer, success=0, more=UNTRUSTED)
        yield page("tls_insecure", peer, success=1)
    yield page("http_2xx", "good", success=0, more=UNTRUSTED)
    yield page("tls_other_name", "good", success=0, more=UNTRUSTED)
    yield page("tls_ca_missing", "good", success=0)
    yield Case("TLS to a plain port", "tls", f"https://127.0.0.1:{peers.http.port}/ok", success=0)
    yield Case("plain to a TLS port", "http_2xx", f"http://127.0.0.1:{peers.tls['good'].port}/ok")
    yield Case("TLS to a closed port", "tls", f"https://127.0.0.1:{peers.closed.port}/", success=0)
    yield Case("TLS to a silent port", "tls", f"https://127.0.0.1:{peers.lines['silent'].port}/",
               success=0, timeout=SHORT)
    yield Case("redirect to TLS", "tls", f"http://127.0.0.1:{peers.http.port}/moved-to-tls",
               success=1)
    yield Case("redirect to untrusted TLS", "http_2xx",
               f"http://127.0.0.1:{peers.http.port}/moved-to-tls", success=0, more=UNTRUSTED)
    yield Case("hostname names the server", "tls", f"https://127.0.0.1:{peers.tls['good'].port}/ok",
               query="hostname=localhost", success=1)


def http2_cases(peers):
    def page(module, path="/ok", peer="http2", **more):
        return Case(f"{module} {peer}{path}", module,
                    f"https://localhost:{peers.nginx[peer]}{path}", **more)
    for peer in ("http2", "http1"):  # a server that speaks it, and one that does not
        for module in ("h2", "h2_off", "h2_only", "h2_never", "h2_short"):
            yield page(module, peer=peer)
    yield from (page("h2", path, success=1) for path in (
        "/ok", "/empty", "/no-content", "/page", "/long", "/moved", "/moved-to-http1",
        "/moved-twice", "/modified"))
    yield from (page("h2", path, success=0) for path in (
        "/404", "/500", "/moved-to-404", "/circle", "/304"))
    for path in ("/ok", "/page", "/no-content", "/moved", "/404"):
        yield page("h2_head", path)
    for module in ("h2_post", "h2_put_large", "h2_sends"):
        yield page(module, "/echo", success=1)
    for module in ("h2_body", "h2_body_not", "h2_header", "h2_header_not", "h2_header_miss"):
        for path in ("/ok", "/empty", "/404"):
            yield page(module, path)
    for module in ("h2_gzip", "h2_gzip_limit"):
        for path in ("/gzip", "/ok"):
            yield page(module, path)
    yield page("h2_gzip_body", "/gzip", success=1)
    # What Go reads ahead of a body that is no gzip is not counted there, the rest is.
    yield page("h2_gzip_unasked", "/gzip", differ=["probe_http_uncompressed_body_length"])
    for module in ("h2_limit", "h2"):
        for path in ("/ok", "/long"):
            yield page(module, path)
    for module in ("h2_not_followed", "h2_302", "h2_status", "h2_not_ssl"):
        for path in ("/moved", "/ok", "/404"):
            yield page(module, path)
    yield Case("from HTTP/1.1 to HTTP/2", "h2", f"http://127.0.0.1:{peers.http.port}/moved-to-http2",
               success=1)
    yield Case("by address", "h2", f"https://127.0.0.1:{peers.nginx['http2']}/ok", success=1)


def tcp_cases(peers):
    def talk(module, peer, **more):
        return Case(f"{module} {peer}", module, f"127.0.0.1:{peers.lines[peer].port}", **more)
    for module in ("tcp", "tcp_default", "send_only", "tcp_source"):
        yield talk(module, "ssh", success=1)
    yield talk("tcp_bad_source", "ssh", success=0, less=REGEX_ON_NO_DIAL)
    for module in ("ssh", "ssh_both", "empty_entry"):
        yield talk(module, "ssh", success=1)
        yield talk(module, "garbage", success=0)
        yield talk(module, "closes", success=0)
        yield talk(module, "resets", success=0)
        yield talk(module, "silent", success=0, timeout=SHORT)
    yield talk("ssh", "half_line", success=0, timeout=SHORT)
    yield talk("ssh", "banner_later", success=1)
    yield talk("end_of_text", "no_line_end", success=1)
    yield talk("ssh", "long_line", success=0)
    yield talk("groups", "irc", success=1)
    yield talk("named_groups", "named", success=1)
    yield talk("sends_first", "nick", success=1)
    yield talk("two_lines", "two", success=1)
    yield talk("two_lines", "two_later", success=1)
    yield talk("dot", "bytes", success=None)
    yield Case("by name", "tcp", f"localhost:{peers.lines['ssh'].port}", success=1)
    yield Case("no port", "tcp", "127.0.0.1", success=0, less=REGEX_ON_NO_DIAL)
    yield Case("no host", "tcp", ":80", success=0, less=REGEX_ON_NO_DIAL)
    yield Case("no brackets", "tcp", "::1:80", success=0, less=REGEX_ON_NO_DIAL)
    yield Case("unknown name", "tcp", "nobody.invalid:80", success=0, less=REGEX_ON_NO_DIAL)
    yield Case("closed port", "tcp", f"127.0.0.1:{peers.closed.port}", success=0,
               less=REGEX_ON_NO_DIAL)
    yield Case("ip6 only", "tcp_ip6_only", f"127.0.0.1:{peers.closed.port}", success=0,
               less=REGEX_ON_NO_DIAL)
    yield talk("tcp_short", "silent", success=1)
    for module in ("smtp", "smtp_insecure"):
        yield Case(f"{module} by name", module, f"localhost:{peers.lines['smtp'].port}", success=1)
    yield Case("smtp untrusted", "smtp_untrusted", f"localhost:{peers.lines['smtp'].port}",
               success=0, more=UNTRUSTED)
    yield talk("smtp", "no_starttls", success=0)
    yield talk("smtp", "false_starttls", success=0)
    yield talk("tcp_tls", "ssh", success=0, less=REGEX_ON_NO_DIAL)
    yield Case("tls closed port", "tcp_tls", f"127.0.0.1:{peers.closed.port}", success=0,
               less=REGEX_ON_NO_DIAL)
    good = peers.tls["good"].port
    for module in ("tcp_tls", "tcp_tls_name", "tcp_tls_insecure"):
        yield Case(f"{module} to HTTPS", module, f"127.0.0.1:{good}", success=1)
    yield Case("tls by name", "tcp_tls", f"localhost:{good}", success=1)
    yield Case("tls untrusted", "tcp_tls_untrusted", f"127.0.0.1:{good}", success=0,
               more=UNTRUSTED, less=REGEX_ON_NO_DIAL)
    for peer in ("expired", "wrong_name", "self_signed"):
        yield Case(f"tls {peer}", "tcp_tls", f"127.0.0.1:{peers.tls[peer].port}", success=0,
                   more=UNTRUSTED, less=REGEX_ON_NO_DIAL)
        yield Case(f"tls insecure {peer}", "tcp_tls_insecure",
                   f"127.0.0.1:{peers.tls[peer].port}", success=1)
    yield Case("pop3s", "tcp_tls_talk", f"127.0.0.1:{peers.pop3s.port}", success=1)
    yield Case("pop3s mismatch", "tcp_tls_mismatch", f"127.0.0.1:{peers.pop3s.port}", success=0)


def dns_cases(peers):
    target = f"127.0.0.1:{peers.dns.port}"
    silent = ("silent", "garbage", "wrong", "short")
    own = {"dns_tls": peers.dns.tls.port, "dns_tls_untrusted": peers.dns.tls.port}
    for module in dns_modules(peers.ca):
        timeout = SHORT if any(word in module for word in silent) else SCRAPE_TIMEOUT
        # Microseconds between the address and what is found wrong are not 0 here.
        differ = NO_QUESTION if module in ("dns_tls_udp", "dns_bad_source") else ()
        yield Case(module, module, f"127.0.0.1:{own.get(module, peers.dns.port)}", timeout=timeout,
                   differ=differ)
    for module in ("dns", "dns_tcp"):
        yield Case(f"{module} by name", module, f"localhost:{peers.dns.port}", success=1)
        yield Case(f"{module} closed port", module, f"127.0.0.1:{peers.closed.port}", success=0)
        yield Case(f"{module} unknown name", module, "nobody.invalid", success=0)
        yield Case(f"{module} brackets", module, f"[::ffff:127.0.0.1]:{peers.dns.port}")
        yield Case(f"{module} colons", module, "a:b:c", success=0)
        yield Case(f"{module} no time", module, target, timeout="0.3", success=0,
                   differ=NO_QUESTION)
    yield Case("TLS to a plain port", "dns_tls", target, success=0)


def icmp_cases(_):
    for module in icmp_modules():
        yield Case(module, module, "127.0.0.1")
        yield Case(f"{module} by name", module, "localhost")
    for target in ("nobody.invalid", "127.0.0.1:8", "[::1]", "a b"):
        yield Case(f"icmp {target}", "icmp", target, success=0)
    yield Case("icmp ::1", "icmp", "::1")
    # Without any time we do not get as far as setting up.
    yield Case("icmp no time", "icmp", "127.0.0.1", timeout="0.3", success=0,
               differ=("probe_icmp_duration_seconds",))


SMTP = [lines("220 mail ESMTP"), LINE(b"EHLO"), lines("250-mail", "250-STARTTLS", "250 OK"),
        LINE(b"STARTTLS"), lines("220 go ahead"), STARTTLS, LINE(b"EHLO"),
        lines("250-mail", "250-AUTH PLAIN", "250 OK"), LINE(b"QUIT"), lines("221 bye")]
DIALOGUES = {
    "ssh": [b"SSH-2.0-OpenSSH_6.9p1 Debian-2\r\n", LINE()],
    "garbage": [bytes(range(256)), b"\n" * 3],
    "closes": [CLOSE],
    "resets": [RESET],
    "silent": [STALL],
    "half_line": [b"SSH-2.0-almost", STALL],
    "banner_later": [lines("hello", "there", "SSH-2.0-x"), LINE()],
    "no_line_end": [b"first\nno line end"],
    "long_line": [b"x" * 70000 + b"\n"],
    "irc": [lines("PING :12345"), LINE(b"PONG 12345"), lines("thanks")],
    "named": [lines("HELLO :wide world"), LINE(b"HELLO wide world $ \n"), lines("thanks")],
    "nick": [LINE(b"NICK prober"), LINE(b"USER prober"), lines("001 welcome")],
    "two": [lines("a", "b")],
    "two_later": [lines("x", "a", "y", "b")],
    "bytes": [b"a\xffc\n"],
    "smtp": SMTP,
    "no_starttls": [lines("220 mail"), LINE(b"EHLO"), lines("250 OK"), CLOSE],
    "false_starttls": [lines("220 mail"), LINE(b"EHLO"), lines("250-STARTTLS", "250 OK"),
                       LINE(b"STARTTLS"), lines("220 go ahead", "no TLS at all"), CLOSE],
}


SERVERS = """
  access_log off;
  server {{
    listen 127.0.0.1:{http1} ssl;
    listen 127.0.0.1:{http2} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root {folder}/www;
    location = /ok {{ add_header X-Team web; add_header X-Team shop; return 200 "hello sonde\\n"; }}
    location = /empty {{ return 200; }}
    location = /no-content {{ return 204; }}
    location = /304 {{ return 304; }}
    location = /500 {{ return 500; }}
    location = /404 {{ return 404 "hello nobody\\n"; }}
    location = /moved {{ return 302 /ok; }}
    location = /moved-twice {{ return 301 /moved; }}
    location = /moved-to-404 {{ return 302 /404; }}
    location = /moved-to-http1 {{ return 302 https://localhost:{http1}/ok; }}
    location = /circle {{ return 302 /circle; }}
    location = /modified {{ alias {folder}/www/page; }}
    location = /gzip {{ gzip on; gzip_types *; alias {folder}/www/page; }}
    location = /echo {{
      return 200 "$request_method $server_protocol $http_host $content_length $content_type $http_x_mine\\n";
    }}
  }}
"""


class Peers:
    def __init__(self, folder):
        self.closed = Drain()
        self.nginx = {"http1": harness.free_port(), "http2": harness.free_port()}
        ours = authority.Authority(folder, "root")
        middle = authority.Authority(folder, "middle", signed_by=ours)
        self.ca = ours.certificate
        certificates = {
            "good": ours.issue("good"),
            "chain": middle.issue("chain", chain=(middle.certificate,)),
            "expired": ours.issue("expired", start=authority.days(-20), end=authority.days(-1)),
            "future": ours.issue("future", start=authority.days(5)),
            "wrong_name": ours.issue("wrong", names="DNS:elsewhere.example"),
            "self_signed": ours.issue("self", self_signed=True),
        }
        contexts = {name: self.context(c) for name, c in certificates.items()}
        self.tls = {}
        for name, context in contexts.items():
            self.tls[name] = HttpPeer({"closed": self.closed.port, "tls": 1}, context)
        self.http = HttpPeer({"closed": self.closed.port, "tls": self.tls["good"].port,
                              "http2": self.nginx["http2"]})
        self.good = certificates["good"]
        self.lines = {name: Listener(lambda c, s=steps: play(c, s, contexts["good"]))
                      for name, steps in DIALOGUES.items()}
        self.pop3s = Listener(lambda c: play(c, [lines("+OK ready"), LINE(b"QUIT"), lines("+OK")]),
                              contexts["good"])
        self.dns = DnsPeer(contexts["good"])
        self.proxy_peers = {
            "open": ProxyPeer(),
            "login": ProxyPeer(b"Proxy-Authorization: Basic dTpw\r\n"),  # u:p
            "header": ProxyPeer(b"X-Token: t\r\n"),
            "tls": ProxyPeer(tls=contexts["good"]),
        }
        self.proxies = {name: peer.port for name, peer in self.proxy_peers.items()}
        self.proxies["socks"] = harness.free_port()

    @staticmethod
    def context(certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.bundle, certificate.key)
        return context

    def start_nginx(self, box):
        www = box.folder / "www"
        www.mkdir()
        (www / "page").write_text("a line of a page that compresses well\n" * 200)
        (www / "long").write_bytes(b"0123456789abcdef" * 65536 * 8)  # more than windows hold
        box.nginx(SERVERS.format(folder=box.folder, certificate=self.good.bundle,
                                 key=self.good.key, **self.nginx),
                  self.nginx.values(), errors="crit")

    def all(self):
        return [self.http, self.dns, self.pop3s, *self.tls.values(), *self.lines.values(),
                *self.proxy_peers.values()]


def fetch(address, case):
    headers = dict(case.headers)
    if case.timeout:
        headers["X-Prometheus-Scrape-Timeout-Seconds"] = case.timeout
    request = urllib.request.Request(f"http://{address}{case.path()}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=harness.PATIENCE) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def families(text):
    """family -> {labels: value}"""
    found = {}
    for name, samples in harness.Metrics(text.splitlines()).samples.items():
        found[name] = {tuple(sorted(labels.items())): value for labels, value in samples}
        assert len(found[name]) == len(samples), f"{name} twice"
    return found


def without(labels, name):
    return tuple((k, v) for k, v in labels if k != name)


class DifferentialTest(harness.TestCase):
    @classmethod
    def set_up(cls, box):
        cls.peers = Peers(box.folder)
        for peer in cls.peers.all():
            box.callback(peer.stop)
        cls.peers.start_nginx(box)
        socks = cls.peers.proxies["socks"]
        box.start("microsocks", [MICROSOCKS, "-i", "127.0.0.1", "-p", socks],
                  ready=lambda: harness.accepts(socks))
        config = json.dumps({"modules": {**modules(cls.peers.ca), **proxy_modules(cls.peers)}})
        path = box.write("blackbox.yml", config)
        port = harness.free_port()
        cls.theirs = f"127.0.0.1:{port}"
        box.start("blackbox", [OTHER, f"--config.file={path}", f"--web.listen-address={cls.theirs}"],
                  ready=lambda: harness.accepts(port))
        cls.ours = box.sonde(config, "--web.max-connections-per-client=500").address
        cls.log = threading.Lock()

    def compare(self, case):
        """What differs, in words. On a machine that is busy either may be late, and a second look
        shows the same."""
        for _ in range(5):
            found = self.compare_once(case)
            if not found:
                break
        return found

    def compare_once(self, case):
        status, text = fetch(self.theirs, case)
        our_status, our_text = fetch(self.ours, case)
        if status != our_status:
            return [f"status {status} there, {our_status} here: {text[:200]!r}, {our_text[:200]!r}"]
        if status != 200:
            return [] if our_text.endswith("\n") else ["the text has no line end"]
        theirs, ours = families(text), families(our_text)
        found = []
        for name in sorted(set(theirs) | set(ours)):
            if name in case.differ:
                continue
            if name not in theirs:
                if name not in NEWER and name not in case.more:
                    found.append(f"{name} is here only: {ours[name]}")
            elif name not in ours:
                if name not in case.less:
                    found.append(f"{name} is there only: {theirs[name]}")
            elif name not in case.more or name in theirs:
                found += self.compare_family(name, theirs[name], ours[name])
        if case.success is not None and theirs["probe_success"][()] != case.success:
            found.append(f"success there is {theirs['probe_success'][()]}")
        return found

    @staticmethod
    def compare_family(name, theirs, ours):
        ours = {without(labels, "serialnumber"): value for labels, value in ours.items()}
        if set(theirs) != set(ours):
            return [f"{name}: labels {sorted(theirs)} there, {sorted(ours)} here"]
        found = []
        for labels, value in theirs.items():
            mine = ours[labels]
            same = mine == value or (math.isnan(mine) and math.isnan(value))
            if TIMES.match(name):
                same = name in NEVER_ZERO or (mine == 0) == (value == 0)
                # An answer that came in one piece took no time here: both stamps are the socket's.
                same = same or (dict(labels).get("phase") == "transfer" and value < AT_ONCE)
            if not same:
                found.append(f"{name}{dict(labels)}: {value} there, {mine} here")
        return found

    def run_cases(self, cases):
        cases = list(cases)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            found = list(pool.map(self.compare, cases))
        for case, differences in zip(cases, found):
            with self.subTest(case.name):
                self.assertEqual(differences, [], case.path())
        harness.report(f"{len(cases)} cases in {time.monotonic() - begun:.1f} s")
        return len(cases)

    def test_http(self):
        self.assertGreaterEqual(self.run_cases(http_cases(self.peers)), 120)

    def test_tls(self):
        self.run_cases(tls_cases(self.peers))

    def test_http2(self):
        self.assertGreaterEqual(self.run_cases(http2_cases(self.peers)), 60)

    def test_proxy(self):
        self.run_cases(proxy_cases(self.peers))

    def test_tcp(self):
        self.run_cases(tcp_cases(self.peers))

    def test_dns(self):
        self.run_cases(dns_cases(self.peers))

    def test_icmp(self):
        self.run_cases(icmp_cases(self.peers))


if __name__ == "__main__":
    os.environ.pop("http_proxy", None)
    harness.main()
