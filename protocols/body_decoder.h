// Decompression of response bodies, bit by bit: gzip (RFC 1952), raw deflate (RFC 1951), brotli
// (RFC 7932). Hostile input is bounded: output goes to the caller in pieces, who may stop; the
// memory of a decoder counts against the process's body budget.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/contract/conversation.h"

namespace sonde {

enum class Compression : uint8_t { kNone, kGzip, kDeflate, kBrotli, kUnknown };

// The module's word, in any case. "" and "identity" are kNone; kUnknown for what we cannot decode.
Compression ParseCompression(std::string_view word);

class BodyDecoder {
 public:
  enum class Result : uint8_t {
    kMore,      // all input taken
    kStopped,   // the sink wanted no more
    kBad,       // not valid for this compression
    kNoMemory,  // the process's body budget is used up
  };
  // Takes a piece of the decoded body; false to stop. A plain function, so that nothing is
  // allocated for it.
  struct Sink {
    bool (*take)(void* state, Bytes piece);
    void* state;
    bool operator()(Bytes piece) const { return take(state, piece); }
  };

  virtual ~BodyDecoder() = default;
  virtual Result Feed(Bytes in, Sink sink) = 0;
  // Whether the input given so far is a complete body.
  virtual bool Complete() const = 0;

  // Null for kNone and kUnknown.
  static std::unique_ptr<BodyDecoder> Make(Compression compression);
};

}  // namespace sonde
