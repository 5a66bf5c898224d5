// The chunked transfer coding of a request (RFC 9112 section 7.1), strictly: CRLF everywhere, hex
// sizes, bounded extensions and trailers (both are dropped). Of our own because llhttp's strictness
// here depends on how it was built, and loose framing is what request smuggling is made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sonde {

class ChunkedDecoder {
 public:
  enum class Result : uint8_t { kNeedMore, kDone, kBad, kTooLarge };

  // Takes what belongs to this body off the front of `in` and appends the payload to `out`, which
  // never grows beyond `max_body`. After kDone `in` starts with the next message. Not to be fed
  // again after anything but kNeedMore.
  Result Feed(std::string_view& in, std::string& out, size_t max_body);

 private:
  enum class State : uint8_t {
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailer,
    kTrailerLf,
    kLastLf,
    kDone,
  };
  Result Step(char c);

  State state_ = State::kSize;
  int digits_ = 0;
  uint64_t left_ = 0;    // bytes of the chunk still to come
  size_t overhead_ = 0;  // bytes of extensions and trailers so far
};

}  // namespace sonde
