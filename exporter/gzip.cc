#include "exporter/gzip.h"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace sonde {
namespace {

constexpr size_t kMaxInput = 1024 * 1024;  // per call into the library: its counters are 32 bits

}  // namespace

struct GzipEncoder::State {
  isal_zstream stream;
  std::array<uint8_t, ISAL_DEF_LVL1_DEFAULT> level;
  std::array<uint8_t, 32 * 1024> out;
};

GzipEncoder::GzipEncoder() : state_(new State) {  // not value-initialised: the library does it
  isal_deflate_init(&state_->stream);
  state_->stream.gzip_flag = IGZIP_GZIP;
  state_->stream.level = 1;
  state_->stream.level_buf = state_->level.data();
  state_->stream.level_buf_size = static_cast<uint32_t>(state_->level.size());
}

GzipEncoder::~GzipEncoder() = default;

bool GzipEncoder::Run(std::string_view in, uint16_t flush, bool end, std::string& out) {
  isal_zstream& stream = state_->stream;
  // The library reads only; its field is not const.
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uint32_t>(in.size());
  stream.flush = flush;
  stream.end_of_stream = end ? 1 : 0;
  do {
    const uint32_t before = stream.avail_in;
    stream.next_out = state_->out.data();
    stream.avail_out = static_cast<uint32_t>(state_->out.size());
    if (isal_deflate(&stream) != COMP_OK) return false;
    out.append(reinterpret_cast<const char*>(state_->out.data()),
               state_->out.size() - stream.avail_out);
    if (stream.avail_in == before && before > 0 && stream.avail_out > 0) return false;  // stuck
    // A full output buffer means there may be more to come.
  } while (stream.avail_out == 0 || stream.avail_in > 0);
  return true;
}

bool GzipEncoder::Append(std::string_view in, std::string& out) {
  while (!in.empty()) {
    const std::string_view part = in.substr(0, kMaxInput);
    if (!Run(part, NO_FLUSH, false, out)) return false;
    in.remove_prefix(part.size());
  }
  return true;
}

bool GzipEncoder::Flush(std::string& out) { return Run({}, SYNC_FLUSH, false, out); }

bool GzipEncoder::Finish(std::string& out) {
  return Run({}, NO_FLUSH, true, out) && state_->stream.internal_state.state == ZSTATE_END;
}

}  // namespace sonde
