#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <mutex>
#include <utility>

#include "engine/shard/tls_channel.h"
#include "engine/shard/tls_library.h"
#include "engine/shard/tls_verify.h"

namespace sonde {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using StorePtr = std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

constexpr int kWireVersions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};

// OpenSSL's own levels: 1 is its default (80 bits), TLS 1.0 and 1.1 sign with SHA-1 and need 0.
// Debian's level 2 would refuse targets that every browser of their time accepts.
constexpr int kUsualLevel = 1;
constexpr int kLegacyLevel = 0;

absl::Status Problem(std::string text) { return absl::InvalidArgumentError(text); }

std::string OpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  std::string text = reason ? reason : "unknown error";
  ERR_clear_error();
  return text;
}

BioPtr OpenBio(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free);
}

// Adds every certificate of `pem`; how many. Blocks that are not certificates are skipped.
size_t AddCertificates(X509_STORE* store, std::string_view pem) {
  const BioPtr bio = OpenBio(pem);
  size_t added = 0;
  for (bool more = true; more;) {
    X509* certificate = X509_new_ex(TlsLibrary(), nullptr);
    more = PEM_read_bio_X509(bio.get(), &certificate, nullptr, nullptr) != nullptr;
    if (more && X509_STORE_add_cert(store, certificate) == 1) ++added;
    X509_free(certificate);
  }
  ERR_clear_error();
  return added;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The bundles of the usual distributions; OpenSSL's own default on Debian is a directory it would
// search on disk during every verification.
X509_STORE* ReadSystemRoots() {
  X509_STORE* store = X509_STORE_new();
  std::vector<std::string> bundles = {"/etc/ssl/certs/ca-certificates.crt",
                                      "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                                      "/etc/ssl/cert.pem"};
  const char* named = std::getenv("SSL_CERT_FILE");
  if (named != nullptr && *named != '\0') bundles = {named};
  for (const std::string& path : bundles) {
    if (AddCertificates(store, ReadFile(path)) > 0) break;
  }
  const char* directory = std::getenv("SSL_CERT_DIR");
  if (directory != nullptr && *directory != '\0') {
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(directory, error)) {
      if (file.is_regular_file(error)) AddCertificates(store, ReadFile(file.path()));
    }
  }
  return store;
}

X509_STORE* SystemRoots() {
  // Never freed: contexts of any thread may hold it until the very end.
  static X509_STORE* const roots = ReadSystemRoots();
  return roots;
}

// A passphrase cannot be asked for: an encrypted key is an error.
int NoPassphrase(char*, int, int, void*) { return -1; }

// Text of one setting: inline, or out of a file.
struct Material {
  std::string_view what;  // "ca", "cert", "key"
  std::string_view pem;
  std::string path;                            // empty: inline
  std::shared_ptr<const FileContent> content;  // keeps `pem` alive
  std::string Where() const { return path.empty() ? "inline PEM" : "'" + path + "'"; }
};

absl::StatusOr<Material> Load(Files* files, std::string_view what, const std::string& path,
                              const std::string& pem) {
  Material material{what, pem, path, nullptr};
  if (path.empty()) return material;
  if (files == nullptr) return Problem(std::string(what) + " file '" + path + "': no file access");
  material.content = files->Find(path);
  if (!material.content->ok()) {
    return Problem(std::string(what) + " file: " + material.content->error);
  }
  material.pem = material.content->data;
  return material;
}

absl::Status UseRoots(SSL_CTX* context, const TlsProfile& profile, const Material& ca) {
  if (!profile.verify) return absl::OkStatus();
  if (profile.ca_file.empty() && profile.ca_pem.empty()) {
    SSL_CTX_set1_cert_store(context, SystemRoots());
    return absl::OkStatus();
  }
  StorePtr store(X509_STORE_new(), X509_STORE_free);
  if (AddCertificates(store.get(), ca.pem) == 0) {
    return Problem("ca " + ca.Where() + " holds no certificate");
  }
  SSL_CTX_set_cert_store(context, store.release());
  return absl::OkStatus();
}

absl::Status UseClientCertificate(SSL_CTX* context, const Material& cert, const Material& key) {
  if (cert.pem.empty() && cert.path.empty() && key.pem.empty() && key.path.empty()) {
    return absl::OkStatus();
  }
  const BioPtr certs = OpenBio(cert.pem);
  const X509Ptr leaf(PEM_read_bio_X509(certs.get(), nullptr, NoPassphrase, nullptr), X509_free);
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return Problem("client certificate " + cert.Where() + ": " + OpenSslError());
  }
  while (X509* next = PEM_read_bio_X509(certs.get(), nullptr, NoPassphrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) X509_free(next);
  }
  ERR_clear_error();
  const BioPtr keys = OpenBio(key.pem);
  const KeyPtr secret(PEM_read_bio_PrivateKey(keys.get(), nullptr, NoPassphrase, nullptr),
                      EVP_PKEY_free);
  if (!secret) return Problem("client key " + key.Where() + ": " + OpenSslError());
  if (SSL_CTX_use_PrivateKey(context, secret.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Problem("client key " + key.Where() + " does not belong to certificate " + cert.Where() +
                   ": " + OpenSslError());
  }
  return absl::OkStatus();
}

absl::Status UseAlpn(SSL_CTX* context, const TlsProfile& profile) {
  if (profile.alpn.empty()) return absl::OkStatus();
  std::string wire;  // RFC 7301 section 3.1: one length byte before each name
  for (const std::string& name : profile.alpn) {
    if (name.empty() || name.size() > 255) {
      return Problem("ALPN names have 1 to 255 bytes, not " + std::to_string(name.size()));
    }
    wire += static_cast<char>(name.size());
    wire += name;
  }
  if (SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(wire.data()),
                              static_cast<unsigned>(wire.size())) != 0) {
    return Problem("ALPN: " + OpenSslError());
  }
  return absl::OkStatus();
}

absl::Status UseVersions(SSL_CTX* context, const TlsProfile& profile) {
  if (profile.max_version < profile.min_version) {
    return Problem("TLS max_version is below min_version");
  }
  const bool legacy = profile.min_version < TlsProfile::Version::kTls12;
  SSL_CTX_set_security_level(context, legacy ? kLegacyLevel : kUsualLevel);
  if (SSL_CTX_set_cipher_list(context, "DEFAULT") != 1 ||
      SSL_CTX_set_min_proto_version(context,
                                    kWireVersions[static_cast<size_t>(profile.min_version)]) != 1 ||
      SSL_CTX_set_max_proto_version(context,
                                    kWireVersions[static_cast<size_t>(profile.max_version)]) != 1) {
    return Problem("TLS versions: " + OpenSslError());
  }
  return absl::OkStatus();
}

void UseHabits(SSL_CTX* context, bool resumes) {
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // Renegotiation is a peer's way to make us work. Servers without RFC 5746 are probed all the
  // same: nothing of ours is at stake.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_LEGACY_SERVER_CONNECT |
                                   SSL_OP_NO_COMPRESSION | (resumes ? 0 : SSL_OP_NO_TICKET));
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384:P-521");
  InstallVerification(context);
}

absl::StatusOr<ContextPtr> Build(Files* files, const TlsProfile& profile) {
  ERR_clear_error();
  auto ca = Load(files, "ca", profile.ca_file, profile.ca_pem);
  if (!ca.ok()) return ca.status();
  auto cert = Load(files, "cert", profile.cert_file, profile.cert_pem);
  if (!cert.ok()) return cert.status();
  auto key = Load(files, "key", profile.key_file, profile.key_pem);
  if (!key.ok()) return key.status();

  // A private key is read by OpenSSL's own decoders.
  OSSL_LIB_CTX* library = key->pem.empty() ? TlsLibrary() : nullptr;
  ContextPtr context(SSL_CTX_new_ex(library, nullptr, TLS_client_method()), SSL_CTX_free);
  if (!context) return absl::ResourceExhaustedError("no memory for a TLS context");
  UseHabits(context.get(), profile.resumes());
  if (auto s = UseVersions(context.get(), profile); !s.ok()) return s;
  if (auto s = UseRoots(context.get(), profile, *ca); !s.ok()) return s;
  if (auto s = UseClientCertificate(context.get(), *cert, *key); !s.ok()) return s;
  if (auto s = UseAlpn(context.get(), profile); !s.ok()) return s;
  return context;
}

size_t ContentHash(const TlsProfile& p) {
  size_t hash = static_cast<size_t>(p.min_version) * 64 + static_cast<size_t>(p.max_version) * 8 +
                (p.verify ? 1 : 0) + (p.resumes() ? 2 : 0);
  const auto mix = [&hash](const std::string& text) {
    hash = hash * 0x9E3779B97F4A7C15u + std::hash<std::string>()(text);
  };
  for (const std::string* text :
       {&p.ca_file, &p.ca_pem, &p.cert_file, &p.cert_pem, &p.key_file, &p.key_pem}) {
    mix(*text);
  }
  for (const std::string& name : p.alpn) mix(name);
  return hash;
}

bool SameContext(const TlsProfile& a, const TlsProfile& b) {
  return a.verify == b.verify && a.resumes() == b.resumes() && a.min_version == b.min_version &&
         a.max_version == b.max_version && a.ca_file == b.ca_file && a.ca_pem == b.ca_pem &&
         a.cert_file == b.cert_file && a.cert_pem == b.cert_pem && a.key_file == b.key_file &&
         a.key_pem == b.key_pem && a.alpn == b.alpn;
}

}  // namespace

struct TlsContexts::Entry {
  explicit Entry(const TlsProfile& of) : profile(of) { profile.server_name.clear(); }

  bool NamesFiles() const {
    return !profile.ca_file.empty() || !profile.cert_file.empty() || !profile.key_file.empty();
  }

  // Versions of the three files; a change of any means another context.
  std::array<uint64_t, 3> VersionsIn(Files* files) const {
    std::array<uint64_t, 3> versions{};
    const std::string* paths[] = {&profile.ca_file, &profile.cert_file, &profile.key_file};
    for (size_t i = 0; i < versions.size(); ++i) {
      if (!paths[i]->empty()) versions[i] = files->Find(*paths[i])->version;
    }
    return versions;
  }

  // `builds` counts those of all entries.
  void Refresh(Files* files, uint64_t* builds) {
    const bool reads = files != nullptr && NamesFiles();
    const uint64_t now = reads ? files->epoch() : 0;
    if (built && now == epoch) return;
    const auto versions = reads ? VersionsIn(files) : std::array<uint64_t, 3>{};
    epoch = now;
    if (built && versions == file_versions && status.ok()) return;
    file_versions = versions;
    built = true;
    auto made = Build(files, profile);
    status = made.status();
    context = made.ok() ? std::move(*made) : ContextPtr(nullptr, SSL_CTX_free);
    if (context) SSL_CTX_set_app_data(context.get(), reinterpret_cast<void*>(++*builds));
  }

  TlsProfile profile;
  bool built = false;
  uint64_t epoch = 0;
  std::array<uint64_t, 3> file_versions{};
  uint64_t last_use = 0;
  absl::Status status;
  ContextPtr context{nullptr, SSL_CTX_free};
};

TlsContexts::TlsContexts(Files* files) : files_(files) {}
TlsContexts::~TlsContexts() = default;

uint64_t TlsContexts::NumberOf(const SSL_CTX* context) {
  return reinterpret_cast<uintptr_t>(SSL_CTX_get_app_data(context));
}

void TlsContexts::LoadSystemRoots() { SystemRoots(); }

TlsContexts::Entry* TlsContexts::Find(size_t hash, const TlsProfile& profile) {
  const auto [first, last] = entries_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (SameContext(it->second->profile, profile)) return it->second.get();
  }
  return nullptr;
}

void TlsContexts::DropOldest() {
  const auto oldest = std::min_element(
      entries_.begin(), entries_.end(),
      [](const auto& a, const auto& b) { return a.second->last_use < b.second->last_use; });
  if (oldest != entries_.end()) entries_.erase(oldest);
}

absl::StatusOr<SSL_CTX*> TlsContexts::For(const TlsProfile& profile) {
  const size_t hash = ContentHash(profile);
  Entry* entry = Find(hash, profile);
  if (entry == nullptr) {
    if (entries_.size() >= kMostContexts) DropOldest();
    entry = entries_.emplace(hash, std::make_unique<Entry>(profile))->second.get();
  }
  entry->last_use = ++uses_;
  entry->Refresh(files_, &builds_);
  if (!entry->status.ok()) return entry->status;
  return entry->context.get();
}

}  // namespace sonde
