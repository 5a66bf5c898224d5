#include "engine/shard/tls_library.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

namespace sonde {
namespace {

// The provider behind ours; its algorithms run in its own context.
OSSL_PROVIDER* real = nullptr;

// Those that read the key of a certificate (RFC 5280 section 4.1), and the end of the list.
const OSSL_ALGORITHM* Decoders(const OSSL_ALGORITHM* all) {
  static const std::vector<OSSL_ALGORITHM> kept = [all] {
    std::vector<OSSL_ALGORITHM> some;
    for (const OSSL_ALGORITHM* one = all; one->algorithm_names != nullptr; ++one) {
      const char* properties = one->property_definition;
      if (properties && std::strstr(properties, "structure=SubjectPublicKeyInfo")) {
        some.push_back(*one);
      }
    }
    some.push_back({});
    return some;
  }();
  return kept.data();
}

const OSSL_ALGORITHM* Query(void*, int operation, int* no_cache) {
  const OSSL_ALGORITHM* all = OSSL_PROVIDER_query_operation(real, operation, no_cache);
  return operation == OSSL_OP_DECODER && all != nullptr ? Decoders(all) : all;
}

// What libssl asks for its groups.
int Capabilities(void*, const char* capability, OSSL_CALLBACK* told, void* argument) {
  return OSSL_PROVIDER_get_capabilities(real, capability, told, argument);
}

template <typename Function>
OSSL_DISPATCH Dispatch(int id, Function function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

// provider-base(7): in place of a module's OSSL_provider_init.
int Begin(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
          void** context) {
  static const OSSL_DISPATCH kFunctions[] = {
      Dispatch(OSSL_FUNC_PROVIDER_QUERY_OPERATION, &Query),
      Dispatch(OSSL_FUNC_PROVIDER_GET_CAPABILITIES, &Capabilities),
      {0, nullptr},
  };
  *out = kFunctions;
  *context = OSSL_PROVIDER_get0_provider_ctx(real);
  return 1;
}

// Does the system use anything but OpenSSL's usual algorithms?
bool OnlyUsualProviders() {
  bool usual = EVP_default_properties_is_fips_enabled(nullptr) == 0;
  OSSL_PROVIDER_do_all(
      nullptr,
      [](OSSL_PROVIDER* provider, void* all_usual) {
        constexpr std::string_view kUsual[] = {"default", "base", "legacy"};
        const std::string_view name = OSSL_PROVIDER_get0_name(provider);
        if (std::find(std::begin(kUsual), std::end(kUsual), name) == std::end(kUsual)) {
          *static_cast<bool*>(all_usual) = false;
        }
        return 1;
      },
      &usual);
  return usual;
}

OSSL_LIB_CTX* MakeLibrary() {
  real = OSSL_PROVIDER_try_load(nullptr, "default", 1);
  if (real == nullptr || !OnlyUsualProviders()) return nullptr;
  OSSL_LIB_CTX* library = OSSL_LIB_CTX_new();
  if (library != nullptr && OSSL_PROVIDER_add_builtin(library, "sonde", Begin) == 1 &&
      OSSL_PROVIDER_load(library, "sonde") != nullptr) {
    return library;
  }
  OSSL_LIB_CTX_free(library);
  return nullptr;
}

}  // namespace

OSSL_LIB_CTX* TlsLibrary() {
  static OSSL_LIB_CTX* const library = MakeLibrary();
  return library;
}

}  // namespace sonde
