// Reading --web.config.file from a disk. Its keys: web_config_test.cc; its changes while it serves:
// tests/e2e/web_config_test.py.
#include "tools/sonde/web_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tools/farm/certificate_maker.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class WebFileTest : public testing::Test {
 protected:
  WebFileTest() {
    std::filesystem::create_directories(folder_);
    CertificateOptions options;
    options.not_after_unix = 4'000'000'000;
    const Certificate certificate = Certificate::SelfSigned(options);
    Write("cert.pem", certificate.Pem());
    Write("key.pem", certificate.KeyPem());
  }
  ~WebFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  // "" when it was good.
  std::string Fault(const std::string& text) {
    FileWatcher files({.largest = kWebFileLimit});
    return std::string(LoadWebFile(Write("web.yml", text), files).status().message());
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("web_file_" + std::to_string(getpid()));
};

TEST_F(WebFileTest, NamesAreOfItsOwnFolder) {
  FileWatcher files({.largest = kWebFileLimit});
  const auto loaded = LoadWebFile(
      Write("web.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"), files);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_NE(loaded->config->tls, nullptr);
  EXPECT_EQ(loaded->config->files,
            (std::vector<std::string>{folder_ / "cert.pem", folder_ / "key.pem"}));
  EXPECT_EQ(loaded->warnings, "");
}

// Caught while it was being written: the first certificate is whole, the second is not.
TEST_F(WebFileTest, HalfAFileIsNotAWholeOne) {
  const std::string pem = Certificate::SelfSigned({}).Pem();
  Write("cas.pem", pem + pem.substr(0, pem.size() / 2));
  const std::string tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, ";
  const std::string asked = "client_auth_type: RequireAndVerifyClientCert, ";
  EXPECT_THAT(Fault(tls + asked + "client_ca_file: cas.pem}\n"), HasSubstr("cannot be read"));
  Write("cas.pem", pem + pem);
  EXPECT_EQ(Fault(tls + asked + "client_ca_file: cas.pem}\n"), "");
  Write("cas.pem", "a word\n" + pem + "and another\n");
  EXPECT_EQ(Fault(tls + asked + "client_ca_file: cas.pem}\n"), "");
}

TEST_F(WebFileTest, NothingIsPlainHttp) {
  for (const char* text : {"", "\n \n", "# a word\n  # another", "{}", "---\n"}) {
    EXPECT_EQ(Fault(text), "") << text;
  }
}

TEST_F(WebFileTest, FaultsHaveTheirPlace) {
  const std::string at = folder_ / "web.yml";
  EXPECT_THAT(Fault("a: 1\n"),
              StartsWith("error parsing web config file:\n" + at + ":1:1: unknown key 'a'"));
  EXPECT_THAT(Fault("rate_limit:\n  burst: many\n"), HasSubstr(at + ":2:10: rate_limit.burst: "));
  EXPECT_THAT(Fault("tls_server_config: {cert_file: cert.pem, key_file: none}\n"),
              HasSubstr(at + ":1:42: tls_server_config.key_file: open '" +
                        std::string(folder_ / "none") + "'"));
  EXPECT_THAT(Fault("a: [\n"), HasSubstr(at + ":"));
  FileWatcher files;
  const auto missing = LoadWebFile(folder_ / "missing.yml", files);
  EXPECT_THAT(std::string(missing.status().message()),
              StartsWith("error reading web config file: open '"));
}

TEST_F(WebFileTest, HostileFilesAreBounded) {
  EXPECT_THAT(Fault(std::string(kWebFileLimit + 1, '#')), HasSubstr("is larger than"));
  std::string bomb = "a0: &a0 [x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + ", " + before +
            ", " + before + "]\n";
  }
  EXPECT_NE(Fault(bomb), "");
  EXPECT_NE(Fault("basic_auth_users: " + std::string(10'000, '[')), "");
  std::string many = "basic_auth_users:\n";
  for (int i = 0; i < 20'000; ++i) many += "  u" + std::to_string(i) + ": x\n";
  EXPECT_NE(Fault(many), "");
  EXPECT_NE(Fault(std::string("\0\xff\xfe", 3)), "");
}

}  // namespace
}  // namespace sonde
