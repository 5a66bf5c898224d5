// How a request and its answer travel over one leg: the seam between a conversation, which knows
// what to ask and how to judge, and a version of HTTP.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/contract/conversation.h"
#include "protocols/http_answer.h"
#include "protocols/http_options.h"

namespace sonde {

// What a codec makes of a head.
struct HttpHead {
  unsigned status = 0;  // 100..999
  HttpModule::Version version = HttpModule::Version::k11;
  int64_t content_length = -1;  // -1: unknown
  bool body = false;            // a body follows, be it empty; else the answer ends here
  bool until_close = false;     // the peer's closing ends the body
  bool persistent = false;      // the connection may carry another exchange after this one
};

// One leg's codec. Lives on its shard's thread and keeps nothing of the conversation but what the
// calls give it.
class HttpCodec {
 public:
  enum class Event : uint8_t {
    kMore,    // all input was taken
    kBegun,   // the first of an answer came
    kHead,    // a head is whole, an interim one too: head()
    kEnd,     // the answer is over
    kBroken,  // failure() says why; nothing more may be read
  };
  enum class Failure : uint8_t {
    kNone,
    kMalformed,
    kHeadTooLarge,
    kBody,    // HttpBody::failure() says which
    kReset,   // the peer took this one exchange back
    kClosed,  // the peer will not answer it
    kMemory,
  };

  virtual ~HttpCodec() = default;

  // Once, when the leg is ready. `request` is a whole request in the words of HTTP/1.1
  // (http_request.h) and outlives the leg. False: failure().
  virtual bool Send(std::string_view request, Output& out) = 0;
  // Reads up to the next event and drops from `in` what it took. To be called until kMore.
  virtual Event Read(Bytes* in, HttpAnswer& answer, Output& out) = 0;

  // After kHead, until the next Read.
  virtual const HttpHead& head() const = 0;
  // Some of the request waits for the peer's permission, and was not written yet.
  virtual bool sending() const { return false; }
  virtual Failure failure() const = 0;
  // What is wrong, in words; also what the peer said about closing the connection.
  virtual std::string_view detail() const = 0;
};

}  // namespace sonde
