#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <map>

#include "engine/shard/tls_channel.h"
#include "tests/support/test_certificates.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

// Files in memory, changed by hand.
class FakeFiles : public Files {
 public:
  uint64_t epoch() const override { return epoch_; }
  std::shared_ptr<const FileContent> Find(std::string_view path) const override {
    ++finds;
    const auto it = files_.find(std::string(path));
    if (it != files_.end()) return it->second;
    auto missing = std::make_shared<FileContent>();
    missing->error = "open '" + std::string(path) + "': No such file or directory";
    return missing;
  }
  void Watch(const std::string&) override {}
  void Put(const std::string& path, std::string data) {
    auto content = std::make_shared<FileContent>();
    content->data = std::move(data);
    content->version = ++epoch_;
    files_[path] = content;
  }
  mutable int finds = 0;

 private:
  uint64_t epoch_ = 1;
  std::map<std::string, std::shared_ptr<const FileContent>> files_;
};

const TestCertificates& Certs() { return TestCertificates::Get(); }

TEST(TlsContexts, OnePerContentWhateverTheAddress) {
  TlsContexts contexts(nullptr);
  TlsProfile a, b;
  b.server_name = "another.test";
  const auto first = contexts.For(a);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*contexts.For(b), *first);
  EXPECT_EQ(contexts.size(), 1u);
  b.verify = false;
  EXPECT_NE(*contexts.For(b), *first);
  b = a;
  b.alpn = {"h2"};
  EXPECT_NE(*contexts.For(b), *first);
  EXPECT_EQ(contexts.size(), 3u);
}

TEST(TlsContexts, DeadProfilesDoNotPileUp) {
  TlsContexts contexts(nullptr);
  TlsProfile kept;
  kept.verify = false;
  ASSERT_TRUE(contexts.For(kept).ok());
  SSL_CTX* const context = *contexts.For(kept);
  for (size_t i = 0; i < TlsContexts::kMostContexts + 100; ++i) {
    TlsProfile profile;
    profile.alpn = {"p" + std::to_string(i)};
    ASSERT_TRUE(contexts.For(profile).ok());
    EXPECT_EQ(*contexts.For(kept), context);
  }
  EXPECT_LE(contexts.size(), TlsContexts::kMostContexts);
}

TEST(TlsContexts, FilesAreReadAgainWhenTheyChanged) {
  FakeFiles files;
  files.Put("/ca.pem", Certs().other_ca.Pem());
  TlsContexts contexts(&files);
  TlsProfile profile;
  profile.ca_file = "/ca.pem";
  const auto first = contexts.For(profile);
  ASSERT_TRUE(first.ok()) << first.status();
  SSL_CTX* const before = *first;
  SSL_CTX_up_ref(before);  // as a channel would, so that the address cannot be used again
  const int finds = files.finds;
  EXPECT_EQ(*contexts.For(profile), before);
  EXPECT_EQ(files.finds, finds) << "nothing changed, nothing looked up";
  files.Put("/unrelated", "x");
  EXPECT_EQ(*contexts.For(profile), before);
  files.Put("/ca.pem", Certs().ca.Pem());
  EXPECT_NE(*contexts.For(profile), before);
  EXPECT_EQ(contexts.size(), 1u);
  SSL_CTX_free(before);
}

TEST(TlsContexts, ErrorsNameTheFileAndHealWithIt) {
  FakeFiles files;
  TlsContexts contexts(&files);
  TlsProfile profile;
  profile.ca_file = "/ca.pem";
  EXPECT_THAT(std::string(contexts.For(profile).status().message()),
              HasSubstr("open '/ca.pem': No such file or directory"));
  files.Put("/ca.pem", "no certificate in here");
  EXPECT_THAT(std::string(contexts.For(profile).status().message()),
              HasSubstr("'/ca.pem' holds no certificate"));
  files.Put("/ca.pem", Certs().ca.Pem());
  EXPECT_TRUE(contexts.For(profile).ok());
}

TEST(TlsContexts, BadSettings) {
  const auto error_of = [](const TlsProfile& profile) {
    TlsContexts contexts(nullptr);
    return std::string(contexts.For(profile).status().message());
  };
  TlsProfile files;
  files.ca_file = "/ca.pem";
  EXPECT_THAT(error_of(files), HasSubstr("/ca.pem"));
  TlsProfile versions;
  versions.min_version = TlsProfile::Version::kTls13;
  versions.max_version = TlsProfile::Version::kTls12;
  EXPECT_THAT(error_of(versions), HasSubstr("max_version is below min_version"));
  TlsProfile alpn;
  alpn.alpn = {std::string(256, 'x')};
  EXPECT_THAT(error_of(alpn), HasSubstr("ALPN"));
  TlsProfile key;
  key.cert_pem = Certs().client.Pem();
  key.key_pem = Certs().good.KeyPem();
  EXPECT_THAT(error_of(key), HasSubstr("does not belong"));
  key.key_pem = "nonsense";
  EXPECT_THAT(error_of(key), HasSubstr("client key inline PEM"));
  key.key_pem.clear();
  EXPECT_THAT(error_of(key), HasSubstr("client key"));
  key.cert_pem = "nonsense";
  EXPECT_THAT(error_of(key), HasSubstr("client certificate inline PEM"));
}

TEST(TlsContexts, AnEncryptedKeyIsAnErrorNotAPrompt) {
  BIO* bio = BIO_new(BIO_s_mem());
  char secret[] = "secret";
  PEM_write_bio_PrivateKey(bio, Certs().client.key(), EVP_aes_128_cbc(),
                           reinterpret_cast<unsigned char*>(secret), 6, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  TlsProfile profile;
  profile.cert_pem = Certs().client.Pem();
  profile.key_pem.assign(data, static_cast<size_t>(size));
  BIO_free(bio);
  TlsContexts contexts(nullptr);
  EXPECT_FALSE(contexts.For(profile).ok());
}

}  // namespace
}  // namespace sonde
