#include "engine/shard/tls_library.h"

#include <gtest/gtest.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace sonde {
namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// Keys of every kind that certificates have are read, and are the same keys.
TEST(TlsLibrary, ReadsPublicKeysAsOpenSslDoes) {
  if (TlsLibrary() == nullptr) GTEST_SKIP() << "this machine configures other providers";
  const KeyPtr keys[] = {
      {EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free},
      {EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-521"), EVP_PKEY_free},
      {EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048}), EVP_PKEY_free},
      {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free},
      {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"), EVP_PKEY_free},
  };
  for (const KeyPtr& key : keys) {
    ASSERT_NE(key, nullptr);
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key.get(), &der);
    const unsigned char* at = der;
    const KeyPtr read(d2i_PUBKEY_ex(nullptr, &at, size, TlsLibrary(), nullptr), EVP_PKEY_free);
    OPENSSL_free(der);
    ASSERT_NE(read, nullptr) << EVP_PKEY_get0_type_name(key.get());
    EXPECT_EQ(EVP_PKEY_eq(key.get(), read.get()), 1) << EVP_PKEY_get0_type_name(key.get());
  }
}

size_t Decoders(OSSL_LIB_CTX* library) {
  size_t count = 0;
  OSSL_PROVIDER_do_all(
      library,
      [](OSSL_PROVIDER* provider, void* sum) {
        int no_cache = 0;
        const OSSL_ALGORITHM* all =
            OSSL_PROVIDER_query_operation(provider, OSSL_OP_DECODER, &no_cache);
        for (; all != nullptr && all->algorithm_names != nullptr; ++all) {
          ++*static_cast<size_t*>(sum);
        }
        return 1;
      },
      &count);
  return count;
}

TEST(TlsLibrary, HasNoDecodersToSpare) {
  if (TlsLibrary() == nullptr) GTEST_SKIP() << "this machine configures other providers";
  EXPECT_GE(Decoders(TlsLibrary()), 6u);
  EXPECT_LT(Decoders(TlsLibrary()) * 3, Decoders(nullptr));
}

}  // namespace
}  // namespace sonde
