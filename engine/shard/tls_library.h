// OpenSSL as handshakes want it.
#pragma once

#include <openssl/crypto.h>

namespace sonde {

// The library context of all client handshakes, made once per process; any thread. It offers what
// OpenSSL's default provider offers, but of its decoders only those of public keys: for each
// certificate OpenSSL 3 gathers and compares all decoders there are, which costs more than to
// verify a signature.
// Null, which stands for OpenSSL's own, where the system configures other providers (FIPS): those
// are to be used.
OSSL_LIB_CTX* TlsLibrary();

}  // namespace sonde
