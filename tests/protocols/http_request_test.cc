#include "protocols/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string RequestOf(const HttpProbeText& text, Files* files = nullptr) {
  return StartHttpProbe(text, files)->Sent();
}

TEST(HttpRequestTest, PlainGet) {
  const std::string request = RequestOf({.target = "http://Shop.Example:8080/health?a=b c#x"});
  EXPECT_THAT(request, StartsWith("GET /health?a=b%20c HTTP/1.1\r\nHost: Shop.Example:8080\r\n"
                                  "User-Agent: sonde/"));
  EXPECT_THAT(request, HasSubstr("\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("Accept")));
  EXPECT_THAT(request, Not(HasSubstr("Content-Length")));
  EXPECT_THAT(request, Not(HasSubstr("sonde/0.0.0")));  // the build told its version
}

TEST(HttpRequestTest, KeptConnectionsAreNotSaidToClose) {
  EXPECT_THAT(RequestOf({.module = "keep_alive: true"}), Not(HasSubstr("Connection")));
  EXPECT_THAT(RequestOf({.module = "keep_alive: true\nmethod: POST"}),
              HasSubstr("Connection: close\r\n"));
}

TEST(HttpRequestTest, MethodHeadersAndBody) {
  const std::string request = RequestOf({.module = R"(
method: POST
headers: {Host: other.example, Content-Type: application/json, X-a: b, x-A: c, User-Agent: me}
http_headers: {X-Extra: {values: [one, two]}}
body: '{"a":1}'
)"});
  EXPECT_EQ(request,
            "POST /health HTTP/1.1\r\nHost: other.example\r\nUser-Agent: me\r\n"
            "Content-Length: 7\r\nContent-Type: application/json\r\nX-a: c\r\n"
            "X-Extra: one\r\nX-Extra: two\r\nConnection: close\r\n\r\n{\"a\":1}");
}

TEST(HttpRequestTest, SmallPrint) {
  EXPECT_THAT(RequestOf({.module = "headers: {User-Agent: ''}"}), Not(HasSubstr("User-Agent")));
  EXPECT_THAT(RequestOf({.module = "method: POST"}), HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(RequestOf({.module = "method: DELETE"}), Not(HasSubstr("Content-Length")));
  EXPECT_THAT(RequestOf({.module = "method: purge"}), StartsWith("purge /"));
  EXPECT_THAT(RequestOf({.module = "headers: {Connection: keep-alive}"}),
              Not(HasSubstr("Connection: close")));
}

TEST(HttpRequestTest, CredentialsByPrecedence) {
  const std::string kBasic = "basic_auth: {username: Aladdin, password: open sesame}";
  EXPECT_THAT(RequestOf({.module = kBasic}),
              HasSubstr("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
  const std::string url = RequestOf({.target = "http://u:p@h/", .module = kBasic});
  EXPECT_THAT(url, HasSubstr("Authorization: Basic dTpw\r\n"));
  EXPECT_THAT(url, Not(HasSubstr("QWxh")));
  EXPECT_THAT(url, HasSubstr("Host: h\r\n"));
  const std::string own = RequestOf(
      {.target = "http://u:p@h/", .module = kBasic + "\nheaders: {authorization: Own x}"});
  EXPECT_THAT(own, HasSubstr("authorization: Own x\r\n"));
  EXPECT_THAT(own, Not(HasSubstr("Basic")));
  EXPECT_THAT(RequestOf({.module = "bearer_token: abc"}),
              HasSubstr("Authorization: Bearer abc\r\n"));
  EXPECT_THAT(RequestOf({.module = "authorization: {type: ' Token ', credentials: abc}"}),
              HasSubstr("Authorization: Token abc\r\n"));
}

TEST(HttpRequestTest, FilesAreReadForEachProbe) {
  FakeFiles files;
  files.contents = {{"/pw", " secret\n"}, {"/token", "t0k\n"}, {"/body", "line\n"}, {"/h", "v\n"}};
  EXPECT_THAT(RequestOf({.module = "basic_auth: {username: u, password_file: /pw}"}, &files),
              HasSubstr("Authorization: Basic " + EncodeBase64("u:secret") + "\r\n"));
  EXPECT_THAT(RequestOf({.module = "bearer_token_file: /token"}, &files),
              HasSubstr("Authorization: Bearer t0k\r\n"));
  EXPECT_THAT(RequestOf({.module = "http_headers: {X-H: {files: [/h]}}"}, &files),
              HasSubstr("X-H: v\r\n"));
  const std::string body = RequestOf({.module = "method: POST\nbody_file: /body"}, &files);
  EXPECT_THAT(body, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(body, HasSubstr("\r\n\r\nline\n"));
}

TEST(HttpRequestTest, SecretsThatNoHeaderMayHoldAreRefused) {
  FakeFiles files;
  files.contents = {{"/token", std::string("a\r\nEvil: b")}};
  auto probe = StartHttpProbe({.module = "bearer_token_file: /token"}, &files);
  EXPECT_EQ(probe->outcome(), Outcome::kProberConfig);
  EXPECT_EQ(probe->Sent(), "");
  EXPECT_THAT(probe->evidence().detail, HasSubstr("/token"));
  EXPECT_THAT(probe->evidence().detail, Not(HasSubstr("Evil")));
}

TEST(HttpRequestTest, Base64) {
  EXPECT_EQ(EncodeBase64(""), "");
  EXPECT_EQ(EncodeBase64("f"), "Zg==");
  EXPECT_EQ(EncodeBase64("fo"), "Zm8=");
  EXPECT_EQ(EncodeBase64("foo"), "Zm9v");
  EXPECT_EQ(EncodeBase64("foob"), "Zm9vYg==");
  EXPECT_EQ(EncodeBase64("\xff\xfe"), "//4=");
}

}  // namespace
}  // namespace sonde
