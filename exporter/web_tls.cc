// `tls_server_config`: keys of Go's crypto/tls, said to OpenSSL.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "engine/contract/address.h"
#include "exporter/web_config.h"

namespace sonde {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using ContextPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

template <typename Value>
struct Word {
  std::string_view name;
  Value value;
};

constexpr Word<int> kVersions[] = {{"TLS10", TLS1_VERSION},
                                   {"TLS11", TLS1_1_VERSION},
                                   {"TLS12", TLS1_2_VERSION},
                                   {"TLS13", TLS1_3_VERSION}};

constexpr Word<const char*> kCurves[] = {
    {"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"}, {"X25519", "X25519"}};

// Go's cipher suites with forward secrecy, in its order of preference, by OpenSSL's names. Those of
// TLS 1.3 may be named, and are there in any case: "".
constexpr Word<const char*> kCiphers[] = {
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
    {"TLS_AES_128_GCM_SHA256", ""},
    {"TLS_AES_256_GCM_SHA384", ""},
    {"TLS_CHACHA20_POLY1305_SHA256", ""}};

// What is asked of a client, and whether its certificate's chain is checked.
struct ClientAuth {
  int mode = SSL_VERIFY_NONE;
  bool verify = false;
};
constexpr int kRequire = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
constexpr Word<ClientAuth> kClientAuths[] = {
    {"NoClientCert", {SSL_VERIFY_NONE, false}},
    {"RequestClientCert", {SSL_VERIFY_PEER, false}},
    {"RequireAnyClientCert", {kRequire, false}},
    {"RequireClientCert", {kRequire, false}},  // its old name
    {"VerifyClientCertIfGiven", {SSL_VERIFY_PEER, true}},
    {"RequireAndVerifyClientCert", {kRequire, true}}};

template <typename Value>
const Value* Find(std::span<const Word<Value>> words, std::string_view name) {
  for (const Word<Value>& word : words) {
    if (word.name == name) return &word.value;
  }
  return nullptr;
}

template <typename Value>
std::string Names(std::span<const Word<Value>> words) {
  std::string text;
  for (const Word<Value>& word : words) text.append(text.empty() ? "" : ", ").append(word.name);
  return text;
}

std::string OpenSslError() {
  const char* words = ERR_reason_error_string(ERR_peek_error());
  const std::string text = words != nullptr ? words : "unknown error";
  ERR_clear_error();
  return text;
}

int NoPassphrase(char*, int, int, void*) { return -1; }

BioPtr OpenBio(std::string_view pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free};
}

X509Ptr NextCertificate(BIO* from) {
  return {PEM_read_bio_X509(from, nullptr, NoPassphrase, nullptr), X509_free};
}

// ---- certificates of clients ----

// Hangs on the SSL_CTX, which frees it.
struct ClientRule {
  bool verify = false;
  std::vector<std::string> allowed_sans;  // empty: any
};

int RuleIndex() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void*, void* rule, CRYPTO_EX_DATA*, int, long, void*) {
        const std::unique_ptr<ClientRule> owned(static_cast<ClientRule*>(rule));
      });
  return index;
}

std::string SanText(const GENERAL_NAME& name) {
  int type = 0;
  const auto* text = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(&name, &type));
  if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_URI && type != GEN_IPADD) return {};
  const unsigned char* data = ASN1_STRING_get0_data(text);
  const auto size = static_cast<size_t>(ASN1_STRING_length(text));
  if (type != GEN_IPADD) return {reinterpret_cast<const char*>(data), size};
  if (size != 4 && size != 16) return {};
  Address address;
  address.family = size == 4 ? IpFamily::kV4 : IpFamily::kV6;
  std::memcpy(address.bytes.data(), data, size);
  return address.Host();
}

bool HasAllowedSan(X509* certificate, const std::vector<std::string>& allowed) {
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const std::string text = SanText(*sk_GENERAL_NAME_value(names.get(), i));
    if (!text.empty() && std::find(allowed.begin(), allowed.end(), text) != allowed.end()) {
      return true;
    }
  }
  return false;
}

// Called by OpenSSL with the certificates a client sent.
int CheckClient(X509_STORE_CTX* store, void*) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto* rule =
      static_cast<const ClientRule*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), RuleIndex()));
  if (rule->verify && X509_verify_cert(store) != 1) return 0;
  if (!rule->allowed_sans.empty() &&
      !HasAllowedSan(X509_STORE_CTX_get0_cert(store), rule->allowed_sans)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

// RFC 7301. HTTP/1.1 is what is spoken here; whoever offers only other protocols is told so.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char kHttp[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp, sizeof kHttp - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// ---- the block ----

// One reading. Errors stand at the key they are of.
class TlsReader {
 public:
  TlsReader(const ConfigNode* node, const std::string& folder, Files& files,
            Diagnostics& diagnostics, std::vector<std::string>* named)
      : in_(node, "tls_server_config", diagnostics),
        folder_(folder),
        files_(files),
        named_(named) {}

  std::shared_ptr<SSL_CTX> Read();

 private:
  // A PEM text: inline under one key, or in a file under another.
  struct Material {
    std::string_view key;  // the one that is set
    std::string pem;
    bool set = false;
    bool readable = false;
  };

  Material Load(std::string_view inline_key, std::string_view file_key);
  void ReadClientAuth();
  void ReadNames();
  int Version(std::string_view key, int otherwise);
  void Chain(const Material& cert);
  void ToTheEnd(std::string_view key);
  void Key(const Material& key, const Material& cert);
  void ClientCas(const Material& ca);
  void Ciphers();
  void Versions();
  void Curves();
  void Habits();

  ConfigReader in_;
  const std::string& folder_;
  Files& files_;
  std::vector<std::string>* named_;
  ContextPtr context_{nullptr, SSL_CTX_free};
  std::string client_auth_type_;
  ClientAuth client_auth_;
  std::vector<std::string> sans_, cipher_names_, curve_names_;
  int min_version_ = 0, max_version_ = 0;
  bool prefer_server_ = true;
};

TlsReader::Material TlsReader::Load(std::string_view inline_key, std::string_view file_key) {
  Material material;
  std::string path;
  in_.String(inline_key, &material.pem);
  in_.String(file_key, &path);
  material.key = path.empty() ? inline_key : file_key;
  material.set = !path.empty() || !material.pem.empty();
  material.readable = material.set;
  if (path.empty()) return material;
  if (!material.pem.empty()) in_.Warn(inline_key, "does not count beside " + std::string(file_key));
  if (!path.starts_with('/')) path.insert(0, folder_);
  files_.Watch(path);
  named_->push_back(path);
  const std::shared_ptr<const FileContent> content = files_.Find(path);
  material.pem = content->data;
  material.readable = content->ok();
  if (!content->ok()) in_.Error(file_key, content->error);
  return material;
}

void TlsReader::ReadClientAuth() {
  if (in_.String("client_auth_type", &client_auth_type_) && !client_auth_type_.empty()) {
    if (const auto* found = Find<ClientAuth>(kClientAuths, client_auth_type_)) {
      client_auth_ = *found;
    } else {
      in_.Error("client_auth_type",
                "'" + client_auth_type_ + "' is none of " + Names<ClientAuth>(kClientAuths));
    }
  }
  if (!in_.StringList("client_allowed_sans", &sans_)) return;
  if (sans_.empty()) {
    in_.Error("client_allowed_sans", "is empty: no client could come in");
  } else if (client_auth_.mode == SSL_VERIFY_NONE) {
    in_.Warn("client_allowed_sans",
             "changes nothing: client_auth_type asks for no certificate, so none is looked at");
  }
  client_auth_.mode |= client_auth_.mode != SSL_VERIFY_NONE ? kRequire : 0;
}

int TlsReader::Version(std::string_view key, int otherwise) {
  std::string name;
  if (!in_.String(key, &name)) return otherwise;
  const int* found = Find<int>(kVersions, name);
  if (found == nullptr) in_.Error(key, "'" + name + "' is none of " + Names<int>(kVersions));
  return found != nullptr ? *found : otherwise;
}

// The keys that are lists of words and single words.
void TlsReader::ReadNames() {
  min_version_ = Version("min_version", TLS1_2_VERSION);
  max_version_ = Version("max_version", TLS1_3_VERSION);
  if (max_version_ < min_version_) in_.Error("max_version", "is below min_version");
  in_.StringList("cipher_suites", &cipher_names_);
  for (const std::string& name : cipher_names_) {
    if (Find<const char*>(kCiphers, name) == nullptr) {
      in_.Error("cipher_suites", "'" + name + "' is none of " + Names<const char*>(kCiphers));
    }
  }
  in_.StringList("curve_preferences", &curve_names_);
  for (const std::string& name : curve_names_) {
    if (Find<const char*>(kCurves, name) == nullptr) {
      in_.Error("curve_preferences", "'" + name + "' is none of " + Names<const char*>(kCurves));
    }
  }
  in_.Bool("prefer_server_cipher_suites", &prefer_server_);
}

void TlsReader::Chain(const Material& cert) {
  if (!cert.readable) return;
  const BioPtr from = OpenBio(cert.pem);
  const X509Ptr leaf = NextCertificate(from.get());
  if (!leaf || SSL_CTX_use_certificate(context_.get(), leaf.get()) != 1) {
    in_.Error(cert.key, "holds no certificate that can be used: " + OpenSslError());
    return;
  }
  while (X509Ptr next = NextCertificate(from.get())) {
    if (SSL_CTX_add1_chain_cert(context_.get(), next.get()) != 1) break;
  }
  ToTheEnd(cert.key);
}

// After the last certificate: a file that was caught half written is not taken for a whole one.
void TlsReader::ToTheEnd(std::string_view key) {
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    in_.Error(key, "holds a certificate that cannot be read: " + OpenSslError());
  }
  ERR_clear_error();
}

void TlsReader::Key(const Material& key, const Material& cert) {
  if (!key.readable) return;
  const BioPtr from = OpenBio(key.pem);
  const KeyPtr secret(PEM_read_bio_PrivateKey(from.get(), nullptr, NoPassphrase, nullptr),
                      EVP_PKEY_free);
  if (!secret) {
    in_.Error(key.key, "holds no private key without a passphrase: " + OpenSslError());
    return;
  }
  if (!cert.readable || SSL_CTX_get0_certificate(context_.get()) == nullptr) return;
  if (SSL_CTX_use_PrivateKey(context_.get(), secret.get()) != 1 ||
      SSL_CTX_check_private_key(context_.get()) != 1) {
    in_.Error(key.key, "does not belong to the certificate: " + OpenSslError());
  }
}

void TlsReader::ClientCas(const Material& ca) {
  if (ca.set && client_auth_.mode == SSL_VERIFY_NONE) {
    in_.Error(ca.key, "needs a client_auth_type other than NoClientCert");
  }
  X509_STORE* store = SSL_CTX_get_cert_store(context_.get());
  if (!ca.set) {
    if (client_auth_.verify) X509_STORE_set_default_paths(store);  // as Go: the system's
    return;
  }
  if (!ca.readable) return;
  const BioPtr from = OpenBio(ca.pem);
  int count = 0;
  while (X509Ptr next = NextCertificate(from.get())) {
    if (X509_STORE_add_cert(store, next.get()) != 1) break;
    SSL_CTX_add_client_CA(context_.get(), next.get());
    ++count;
  }
  if (count == 0) {
    in_.Error(ca.key, "holds no certificate: " + OpenSslError());
  } else {
    ToTheEnd(ca.key);
  }
  ERR_clear_error();
}

void TlsReader::Versions() {
  // TLS below 1.2 signs with SHA-1, which OpenSSL's usual level forbids.
  SSL_CTX_set_security_level(context_.get(), min_version_ < TLS1_2_VERSION ? 0 : 1);
  if (SSL_CTX_set_min_proto_version(context_.get(), min_version_) != 1 ||
      SSL_CTX_set_max_proto_version(context_.get(), max_version_) != 1) {
    in_.Error("min_version", OpenSslError());
  }
}

// Up to TLS 1.2. Without a list, all there are.
void TlsReader::Ciphers() {
  std::string list;
  const auto add = [&list](const char* name) {
    if (*name != 0) list.append(list.empty() ? "" : ":").append(name);
  };
  for (const std::string& name : cipher_names_) {
    if (const auto* found = Find<const char*>(kCiphers, name)) add(*found);
  }
  if (list.empty() && !cipher_names_.empty()) {
    // Named are those of TLS 1.3 alone: nothing is left for what is older.
    if (max_version_ < TLS1_3_VERSION) {
      in_.Error("cipher_suites", "holds no suite of TLS 1.2, and max_version allows no TLS 1.3");
    }
    min_version_ = std::max(min_version_, TLS1_3_VERSION);
  }
  if (list.empty()) {
    for (const auto& cipher : kCiphers) add(cipher.value);
  }
  if (SSL_CTX_set_cipher_list(context_.get(), list.c_str()) != 1) {
    in_.Error("cipher_suites", OpenSslError());
  }
}

void TlsReader::Curves() {
  std::string list;
  for (const std::string& name : curve_names_) {
    const auto* found = Find<const char*>(kCurves, name);
    if (found != nullptr) list.append(list.empty() ? "" : ":").append(*found);
  }
  if (list.empty()) list = "X25519:P-256:P-384:P-521";
  if (SSL_CTX_set1_groups_list(context_.get(), list.c_str()) != 1) {
    in_.Error("curve_preferences", OpenSslError());
  }
}

// Tickets let clients come back without a whole handshake; their keys are this context's own, so
// that another configuration takes none of them.
void TlsReader::Habits() {
  SSL_CTX* context = context_.get();
  static constexpr unsigned char kName[] = "sonde";
  SSL_CTX_set_session_id_context(context, kName, sizeof kName - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   (prefer_server_ ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0));
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
  auto rule = std::make_unique<ClientRule>();
  rule->verify = client_auth_.verify;
  rule->allowed_sans = sans_;
  if (SSL_CTX_set_ex_data(context, RuleIndex(), rule.get()) == 1) rule.release();
  SSL_CTX_set_cert_verify_callback(context, CheckClient, nullptr);
  SSL_CTX_set_verify(context, client_auth_.mode, nullptr);
}

std::shared_ptr<SSL_CTX> TlsReader::Read() {
  ERR_clear_error();
  const size_t errors = in_.diagnostics().errors();
  const Material cert = Load("cert", "cert_file");
  const Material key = Load("key", "key_file");
  const Material ca = Load("client_ca", "client_ca_file");
  ReadClientAuth();
  ReadNames();
  in_.Finish();
  if (!cert.set && !key.set && !ca.set && client_auth_type_.empty()) return nullptr;
  if (!cert.set) in_.Error("cert_file", "is missing (or cert)");
  if (!key.set) in_.Error("key_file", "is missing (or key)");
  context_.reset(SSL_CTX_new(TLS_server_method()));
  if (!context_) {
    in_.Error("cert_file", "no memory for TLS");
    return nullptr;
  }
  Ciphers();
  Versions();
  Curves();
  Chain(cert);
  Key(key, cert);
  ClientCas(ca);
  Habits();
  if (in_.diagnostics().errors() > errors) return nullptr;
  return {context_.release(), SSL_CTX_free};
}

}  // namespace

std::shared_ptr<ssl_ctx_st> ReadWebTls(const ConfigNode* node, const std::string& folder,
                                       Files& files, Diagnostics& diagnostics,
                                       std::vector<std::string>* named) {
  return TlsReader(node, folder, files, diagnostics, named).Read();
}

}  // namespace sonde
