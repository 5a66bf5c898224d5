// A hostile peer's bytes into a TLS client. The first byte chooses how they are cut and whether the
// certificate is verified; a corpus file may hold a whole recorded server flight.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "engine/shard/tls_channel.h"

namespace {

void Require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sonde;
  static TlsContexts contexts(nullptr);
  static BufferPool pool;
  if (size == 0) return 0;
  TlsProfile profile;
  profile.verify = (data[0] & 1) != 0;
  profile.min_version = (data[0] & 2) != 0 ? TlsProfile::Version::kTls10 : profile.min_version;
  const size_t piece = (data[0] >> 2) == 0 ? size : (data[0] >> 2);
  const auto context = contexts.For(profile);
  Require(context.ok());
  auto channel = TlsChannel::Client(*context, profile, "fuzz.test", WallTime{});
  Buffer plain = pool.Take(), out = pool.Take();
  Require(channel->Start(out) == TlsChannel::State::kHandshaking);
  Bytes input(data + 1, size - 1);
  while (!input.empty()) {
    const Bytes part = input.first(std::min(piece, input.size()));
    const TlsChannel::State state = channel->Feed(part, plain, out);
    Require((state == TlsChannel::State::kFailed) == (channel->outcome() != Outcome::kOk));
    Require(state != TlsChannel::State::kFailed || !channel->detail().empty());
    input = input.subspan(part.size());
  }
  Require(plain.size() <= size);
  if (profile.verify) Require(channel->state() != TlsChannel::State::kOpen);
  channel->Shutdown(out);
  return 0;
}
