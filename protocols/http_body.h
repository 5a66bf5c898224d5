// The body of an answer on its way: decompressed, counted, limited, and kept when rules ask for it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/contract/conversation.h"
#include "protocols/body_budget.h"
#include "protocols/body_decoder.h"

namespace sonde {

// Part of a conversation.
class HttpBody {
 public:
  struct Options {
    Compression compression = Compression::kNone;
    uint64_t limit = 0;  // bytes after decompression, 0: none
    bool keep = false;   // rules want the whole of it
  };
  void Begin(const Options& options);

  // Takes raw bytes of the body (without its framing). The first bytes also go to `evidence`,
  // which may be null. False: failure() says why, and nothing more is taken.
  bool Take(Bytes raw, BufferPool& buffers, Buffer* evidence);
  // The body is over: false when its compression says it is not.
  bool End();

  Outcome failure() const { return failure_; }
  uint64_t length() const { return length_; }  // after decompression, at most the limit
  bool keeps() const { return options_.keep; }
  // It was to be gzip and does not even begin like it (RFC 1952 section 2.3): there was nothing
  // that rules could look at.
  bool is_no_gzip() const {
    return options_.compression == Compression::kGzip && failure_ == Outcome::kBodyEncoding &&
           (gzip_magic_ < kGzipMagic.size() || raw_length_ < kGzipHeader);
  }
  std::string_view kept() const { return kept_.text(); }

 private:
  bool TakeDecoded(Bytes piece);
  bool Keep(Bytes piece);

  static constexpr std::array<uint8_t, 2> kGzipMagic = {0x1f, 0x8b};
  static constexpr uint8_t kGzipHeader = 10;
  void NoteGzip(Bytes raw);

  Options options_;
  Outcome failure_ = Outcome::kOk;
  uint8_t gzip_magic_ = 0;  // how many of its bytes were there
  uint8_t raw_length_ = 0;  // before decompression, up to kGzipHeader
  uint16_t shown_ = 0;      // bytes given to the evidence
  uint64_t length_ = 0;
  Buffer kept_;
  BodyShare share_;
  std::unique_ptr<BodyDecoder> decoder_;
  BufferPool* buffers_ = nullptr;  // valid within Take
  Buffer* evidence_ = nullptr;
};

}  // namespace sonde
