// What a TLS handshake costs through TlsChannel, against a bare OpenSSL client over memory BIOs.
// Both include the server's side, which stands in this process too; the difference is ours. Counted
// is what our side takes by operator new: OpenSSL's own mallocs are its version's business.
#include <benchmark/benchmark.h>

#include <optional>

#include "bench/counted.h"
#include "engine/shard/tls_channel.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

TlsServerOptions Options(int version) {
  TlsServerOptions options;
  options.chain = {TestCertificates::Get().good};
  options.min_version = options.max_version = version;
  options.tickets = false;
  return options;
}

TlsProfile Profile() {
  TlsProfile profile;
  profile.ca_pem = TestCertificates::Get().ca.Pem();
  return profile;
}

void ChannelHandshake(benchmark::State& state) {
  BufferPool pool;
  TlsContexts contexts(nullptr);
  const TlsProfile profile = Profile();
  const auto version = static_cast<int>(state.range(0));
  std::optional<Counted> counted;
  const auto handshake = [&] {
    TlsServer server = counted->Without([version] { return TlsServer(Options(version)); });
    auto channel = TlsChannel::Client(*contexts.For(profile), profile, "good.test", kTestNow);
    Buffer out = pool.Take(), plain = pool.Take();
    channel->Start(out);
    while (!out.empty()) {
      const std::string answer = counted->Without([&] { return server.Feed(out.text()); });
      out.Clear();
      channel->Feed(AsBytes(answer), plain, out);
    }
    if (channel->state() != TlsChannel::State::kOpen) state.SkipWithError("handshake failed");
  };
  counted.emplace(state);
  handshake();  // the pool and the context have what they keep
  counted.emplace(state);
  for (auto _ : state) handshake();
  counted->Report();
}

void BareHandshake(benchmark::State& state) {
  TlsContexts contexts(nullptr);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set1_groups_list(context, "X25519:P-256");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), TestCertificates::Get().ca.x509());
  for (auto _ : state) {
    TlsServer server(Options(static_cast<int>(state.range(0))));
    SSL* ssl = SSL_new(context);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set1_host(ssl, "good.test");
    SSL_set_tlsext_host_name(ssl, "good.test");
    X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), kTestNowUnix);
    int done = 0;
    SSL_set_connect_state(ssl);
    for (int round = 0; round < 5; ++round) {
      done = SSL_do_handshake(ssl);
      char* data = nullptr;
      const long size = BIO_get_mem_data(SSL_get_wbio(ssl), &data);
      if (size <= 0) break;
      const std::string answer = server.Feed(std::string_view(data, static_cast<size_t>(size)));
      BIO_reset(SSL_get_wbio(ssl));
      BIO_write(SSL_get_rbio(ssl), answer.data(), static_cast<int>(answer.size()));
    }
    if (done != 1) state.SkipWithError("handshake failed");
    SSL_free(ssl);
  }
  SSL_CTX_free(context);
}

// Looking a profile up by content, as every probe does; an inline authority is the slow case.
void ContextLookup(benchmark::State& state) {
  TlsContexts contexts(nullptr);
  const TlsProfile profile = Profile();
  static_cast<void>(contexts.For(profile));  // builds it
  Counted counted(state);
  for (auto _ : state) benchmark::DoNotOptimize(contexts.For(profile));
  counted.Report();
}

BENCHMARK(ChannelHandshake)
    ->Arg(TLS1_2_VERSION)
    ->Arg(TLS1_3_VERSION)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BareHandshake)->Arg(TLS1_2_VERSION)->Arg(TLS1_3_VERSION)->Unit(benchmark::kMicrosecond);
BENCHMARK(ContextLookup);

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
