// HTTP/1.0 and HTTP/1.1 (RFC 9112), read by llhttp.
#pragma once

#include <llhttp.h>

#include "protocols/http_codec.h"

namespace sonde {

// Part of a conversation; takes nothing from the heap.
class Http1Codec final : public HttpCodec {
 public:
  bool Send(std::string_view request, Output& out) override;
  Event Read(Bytes* in, HttpAnswer& answer, Output& out) override;
  const HttpHead& head() const override { return head_; }
  Failure failure() const override { return failure_; }
  std::string_view detail() const override { return detail_; }

 private:
  // The parser's callbacks.
  struct Parsing;
  enum class Stage : uint8_t { kWaiting, kHead, kBody };

  void BeginHead();
  Event EndHead();
  bool FramingIsKnown() const;
  Event Broken(Failure failure, const char* detail = "");

  llhttp_t parser_;
  HttpAnswer* answer_ = nullptr;  // valid within Read
  HttpHead head_;
  const char* detail_ = "";  // a literal
  Stage stage_ = Stage::kWaiting;
  Failure failure_ = Failure::kNone;
  bool asked_head_ = false;  // the method is HEAD
};

}  // namespace sonde
