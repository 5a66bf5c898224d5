// One hop's answer as it comes in, whatever version of HTTP it travels by: a codec fills it, the
// conversation judges it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/contract/conversation.h"
#include "protocols/http_body.h"
#include "protocols/http_fields.h"

namespace sonde {

// Part of a conversation.
class HttpAnswer {
 public:
  HttpAnswer(const HttpModule& module, BufferPool& buffers) : module_(module), buffers_(buffers) {}

  // ---- the conversation ----
  // Another head begins; what was shown and kept of the one before goes.
  void BeginHead();
  // Another hop begins: its heads have the whole limit again.
  void ForgetHeads() { head_bytes_ = 0; }

  // ---- the codec ----
  // Fields of the head, piece by piece.
  void AddName(std::string_view piece) { fields.AddName(piece); }
  void EndName() { fields.EndName(module_, buffers_); }
  void AddValue(std::string_view piece) { fields.AddValue(piece); }
  void EndValue() { fields.EndValue(); }
  // `shown` is for people; `counted` bytes go against header_size_limit, which all heads of a hop
  // share, interim ones too. False: beyond it.
  bool AddHead(std::string_view shown, size_t counted);
  // Bytes of the body without any framing. False: body.failure() says why.
  bool AddBody(Bytes raw);

  // ---- both ----
  HttpFields fields;
  HttpBody body;

  // The first bytes, for the evidence.
  std::string_view shown_head() const { return shown_.text().substr(0, head_shown_); }
  std::string_view shown_body() const { return shown_.text().substr(shown_head().size()); }

 private:
  const HttpModule& module_;
  BufferPool& buffers_;
  Buffer shown_;  // the head's first bytes, then the body's
  uint64_t head_bytes_ = 0;
  uint16_t head_shown_ = 0;  // of `shown_`
};

}  // namespace sonde
