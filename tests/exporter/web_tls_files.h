// Web configurations with TLS and the certificates they take, for tests of the server. Valid for
// ever: what a server checks, it checks against today.
#pragma once

#include <memory>
#include <string>

#include "exporter/web_config.h"
#include "store/yaml_reader.h"
#include "tests/support/fake_files.h"
#include "tools/farm/certificate_maker.h"

namespace sonde {

inline CertificateOptions ForEver(const std::string& name, bool is_authority = false) {
  CertificateOptions options;
  options.subject = {{"CN", name}};
  options.not_before_unix = 0;
  options.not_after_unix = 4'000'000'000;
  options.is_authority = is_authority;
  return options;
}

struct WebTlsFiles {
  WebTlsFiles() {
    CertificateOptions leaf = ForEver("server");
    leaf.dns_names = {"localhost"};
    server = Certificate::SignedBy(ca, leaf);
    leaf = ForEver("client");
    leaf.dns_names = {"client.example"};
    leaf.ip_addresses = {"192.0.2.7", "2001:db8::7"};
    client = Certificate::SignedBy(ca, leaf);
    stranger = Certificate::SignedBy(other_ca, leaf);
    leaf.not_after_unix = 1'000'000'000;
    expired = Certificate::SignedBy(ca, leaf);
    files.contents["cert.pem"] = server.Pem() + ca.Pem();
    files.contents["key.pem"] = server.KeyPem();
    files.contents["ca.pem"] = ca.Pem();
  }

  // `more`: further keys of tls_server_config; `rest`: further blocks. Null when it is bad.
  std::shared_ptr<WebConfig> Config(const std::string& more = "", const std::string& rest = "") {
    Diagnostics diagnostics;
    const YamlDocument document =
        ReadYaml("tls_server_config: {cert_file: cert.pem, key_file: key.pem" +
                     (more.empty() ? "" : ", " + more) + "}\n" + rest,
                 diagnostics);
    auto config =
        std::make_shared<WebConfig>(ReadWebConfig(document.root(), "", files, diagnostics));
    return diagnostics.ok() ? config : nullptr;
  }

  Certificate ca = Certificate::SelfSigned(ForEver("ca", true));
  Certificate other_ca = Certificate::SelfSigned(ForEver("other ca", true));
  Certificate server, client;
  Certificate stranger;  // of another authority
  Certificate expired;
  FakeFiles files;
};

}  // namespace sonde
