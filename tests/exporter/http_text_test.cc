#include "exporter/http_text.h"

#include <gtest/gtest.h>

#include "exporter/http_chunked.h"
#include "exporter/http_encoding.h"
#include "exporter/http_host.h"
#include "exporter/http_message.h"

namespace sonde {
namespace {

TEST(DecodePathTest, DecodesOnceAndRefusesControls) {
  EXPECT_EQ(DecodePath("/a%20b"), "/a b");
  EXPECT_EQ(DecodePath("/%2520"), "/%20");
  EXPECT_EQ(DecodePath("/%C3%a9"), "/\xC3\xA9");
  for (const char* bad : {"%", "%2", "%g0", "%00", "%0a", "%1F", "%7f"}) {
    EXPECT_EQ(DecodePath(bad), std::nullopt) << bad;
  }
}

TEST(FormDecodeTest, PlusIsABlankAndBrokenEscapesStay) {
  EXPECT_EQ(FormDecode("a+b%2Bc%zz%"), "a b+c%zz%");
}

TEST(ListTest, SkipsEmptyElementsAndIgnoresCase) {
  EXPECT_TRUE(ListContains(" , Keep-Alive ,,close", "CLOSE"));
  EXPECT_FALSE(ListContains("closed, clos", "close"));
  EXPECT_FALSE(ListContains("", "close"));
}

TEST(QueryTest, FirstValueDecodedAndAllInOrder) {
  HttpRequest request;
  request.query = "target=a%26b&&match%5B%5D=1&match[]=2&flag&target=second&empty=";
  EXPECT_EQ(request.QueryParam("target"), "a&b");
  EXPECT_EQ(request.QueryParams("match[]"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(request.QueryParam("flag"), "");
  EXPECT_EQ(request.QueryParam("empty"), "");
  EXPECT_EQ(request.QueryParam("none"), std::nullopt);
}

TEST(EncodingTest, HonoursQualities) {
  struct Case {
    const char* accept;
    bool gzip;
  };
  for (const Case& c : std::initializer_list<Case>{{"", false},
                                                   {"gzip", true},
                                                   {"GZIP", true},
                                                   {"x-gzip", true},
                                                   {"deflate, gzip;q=1.0, *;q=0.5", true},
                                                   {"identity", false},
                                                   {"br, zstd", false},
                                                   {"*", true},
                                                   {"*;q=0", false},
                                                   {"gzip;q=0", false},
                                                   {"gzip;q=0, *", false},
                                                   {"gzip;q=0.000", false},
                                                   {"gzip;q=0.001", true},
                                                   {"gzip;q=0.5, identity;q=0.8", false},
                                                   {"gzip;q=0.8, identity;q=0.5", true},
                                                   {"gzip; Q=0.8", true},
                                                   {"gzip;q=2", false},
                                                   {"gzip;q=1.001", false},
                                                   {"gzip;q=x", false},
                                                   {"gzip;q=", false},
                                                   {"gzip;q=0.0000", false},
                                                   {"identity;q=0, *", true},
                                                   {"gzipped", false}}) {
    EXPECT_EQ(PrefersGzip(c.accept), c.gzip) << c.accept;
  }
}

TEST(AuthorityTest, HostsAndPorts) {
  Authority a;
  ASSERT_TRUE(Authority::Parse("Prober.Example.:9815", a));
  EXPECT_EQ(a.host, "prober.example");
  EXPECT_EQ(a.port, "9815");
  ASSERT_TRUE(Authority::Parse("[::1]", a));
  EXPECT_EQ(a.host, "::1");
  EXPECT_EQ(a.port, "");
  ASSERT_TRUE(Authority::Parse("a:", a));
  for (const char* bad : {"", ":80", "a:b", "a:99999", "a b", "u@h", "[::1", "[::1]x", "[a]", "::1",
                          "a/b", "a:1:2", "[127.0.0.1]", "h\xc3\xa9", "."}) {
    EXPECT_FALSE(Authority::Parse(bad, a)) << bad;
  }
}

Authority Parsed(std::string_view text) {
  Authority a;
  EXPECT_TRUE(Authority::Parse(text, a)) << text;
  return a;
}

TEST(HostRuleTest, LiteralsLocalhostAndListedNames) {
  const HostRule rule({"Prober.Example", ""});
  for (const char* good : {"127.0.0.1", "10.1.2.3:9815", "[::1]:9815", "localhost", "LOCALHOST:1",
                           "prober.example:80", "prober.example."}) {
    EXPECT_TRUE(rule.Allows(Parsed(good))) << good;
  }
  for (const char* bad : {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
                          "prober.example.evil", "1.2.3", "999.1.1.1"}) {
    EXPECT_FALSE(rule.Allows(Parsed(bad))) << bad;
  }
  EXPECT_TRUE(HostRule({"*"}).Allows(Parsed("anything.example")));
}

TEST(HostRuleTest, OriginIsThisServerOrListed) {
  const HostRule rule({"page.example"});
  EXPECT_TRUE(rule.AllowsOrigin("http://127.0.0.1:9815", Parsed("127.0.0.1:9815")));
  EXPECT_TRUE(rule.AllowsOrigin("http://sonde", Parsed("sonde:80")));
  EXPECT_TRUE(rule.AllowsOrigin("https://sonde", Parsed("sonde")));
  EXPECT_TRUE(rule.AllowsOrigin("https://PAGE.example:8443", Parsed("127.0.0.1:9815")));
  for (const char* bad :
       {"http://127.0.0.1:9816", "http://6.6.6.6", "http://localhost:9815", "null", "",
        "ftp://127.0.0.1:9815", "http://evil.example", "http://127.0.0.1:9815/x",
        "http://127.0.0.1:9815, http://127.0.0.1:9815"}) {
    EXPECT_FALSE(rule.AllowsOrigin(bad, Parsed("127.0.0.1:9815"))) << bad;
  }
}

struct Decoded {
  ChunkedDecoder::Result result;
  std::string body;
  std::string rest;
};

Decoded Decode(std::string_view bytes, size_t step, size_t max_body = 100) {
  ChunkedDecoder decoder;
  Decoded out{ChunkedDecoder::Result::kNeedMore, "", ""};
  for (size_t at = 0; at < bytes.size(); at += step) {
    std::string_view in = bytes.substr(at, step);
    out.result = decoder.Feed(in, out.body, max_body);
    if (out.result != ChunkedDecoder::Result::kNeedMore) {
      out.rest = std::string(bytes.substr(at + std::min(step, bytes.size() - at) - in.size()));
      break;
    }
  }
  return out;
}

TEST(ChunkedTest, EverySplitGivesTheSame) {
  const std::string_view bytes =
      "5\r\nhello\r\n00a;name=\"v\"\r\n0123456789\r\n0\r\nT: x\r\nU: y\r\n\r\nGET";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const Decoded out = Decode(bytes, step);
    EXPECT_EQ(out.result, ChunkedDecoder::Result::kDone);
    EXPECT_EQ(out.body, "hello0123456789");
    EXPECT_EQ(out.rest, "GET");
  }
}

TEST(ChunkedTest, RefusesLooseFraming) {
  for (const std::string_view bad :
       {"\r\n", "g\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\nhello\r\n",
        "5\r\nhello\n0\r\n\r\n", "5\rxhello", "5\r\nhelloX\r\n", "0\r\n\n", "0\r\nT: x\n\r\n",
        "0\r\n folded\r\n\r\n", "5;\x01\r\nhello", "+5\r\n", "0x5\r\n",
        "0000000000005\r\nhello\r\n", "-1\r\n"}) {
    EXPECT_EQ(Decode(bad, 1).result, ChunkedDecoder::Result::kBad) << bad;
    EXPECT_EQ(Decode(bad, bad.size()).result, ChunkedDecoder::Result::kBad) << bad;
  }
}

TEST(ChunkedTest, BodyAndOverheadAreBounded) {
  EXPECT_EQ(Decode("65\r\n", 1, 100).result, ChunkedDecoder::Result::kNeedMore);
  EXPECT_EQ(Decode("65\r\nx", 5, 100).result, ChunkedDecoder::Result::kTooLarge);
  EXPECT_EQ(Decode("ffffffffffff\r\nx", 3, 100).result, ChunkedDecoder::Result::kTooLarge);
  EXPECT_EQ(Decode("5;" + std::string(9000, 'x'), 100).result, ChunkedDecoder::Result::kBad);
  EXPECT_EQ(Decode("0\r\n" + std::string(9000, 'x'), 100).result, ChunkedDecoder::Result::kBad);
}

}  // namespace
}  // namespace sonde
