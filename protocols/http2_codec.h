// HTTP/2 over TLS (RFC 9113), spoken by libnghttp2: one request, one stream.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/http2_memory.h"
#include "protocols/http_codec.h"

namespace sonde {

// What a peer may cost is bounded: fields, decompressed and not, by the module's header_size_limit;
// frames that bring nothing of the body by kIdleFrames; memory by Http2Memory.
class Http2Codec final : public HttpCodec {
 public:
  // Frames without a byte of the body: all the server's SETTINGS, PING, HEADERS, WINDOW_UPDATE and
  // whatever else there is. One more for each KiB of the request and of header_size_limit.
  static constexpr uint64_t kIdleFrames = 1000;
  // What may be under way to us. Nothing of it is kept, so it costs the kernel's buffers at most.
  static constexpr int32_t kWindow = 4 << 20;
  static constexpr int32_t kStream = 1;  // RFC 9113 section 5.1.1: a client's first

  explicit Http2Codec(uint64_t header_size_limit) : header_size_limit_(header_size_limit) {}
  Http2Codec(const Http2Codec&) = delete;
  Http2Codec& operator=(const Http2Codec&) = delete;

  bool Send(std::string_view request, Output& out) override;
  Event Read(Bytes* in, HttpAnswer& answer, Output& out) override;
  const HttpHead& head() const override { return head_; }
  bool sending() const override { return !body_.empty(); }
  Failure failure() const override { return failure_; }
  std::string_view detail() const override { return detail_; }

  const Http2Memory& memory() const { return memory_; }

 private:
  // The library's callbacks.
  struct Calls;
  enum class Stage : uint8_t { kWaiting, kHead, kBody };
  struct Free {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };

  // What `in` begins with of a frame's header, or of its payload.
  Bytes NextPiece(Bytes in);
  bool BeginFrame();
  bool Feed(Bytes piece);
  bool Flush(Output& out);
  void AddField(std::string_view name, std::string_view value);
  void EndHead(bool ended);
  Event Pending();
  // The first failure counts. False.
  bool Fail(Failure failure, std::string detail = {});
  bool FailWith(int library_error);
  bool FailMalformed(uint32_t code);

  const uint64_t header_size_limit_;
  Http2Memory memory_;  // before what uses it
  std::unique_ptr<nghttp2_session, Free> session_;
  std::string_view body_;         // of the request, what the peer's window did not let through yet
  HttpAnswer* answer_ = nullptr;  // valid within Read

  HttpHead head_;
  std::string detail_, complaint_;  // what the library said about the peer last
  std::array<uint8_t, 9> frame_;    // RFC 9113 section 4.1: its header
  uint8_t frame_size_ = 0;          // bytes of it that are there
  size_t payload_left_ = 0;
  uint64_t idle_frames_ = 0;  // that may still come
  uint64_t block_bytes_ = 0;  // of header blocks, compressed

  Stage stage_ = Stage::kWaiting;
  Failure failure_ = Failure::kNone;
  bool asked_head_ = false;                  // the method is HEAD
  bool idle_ = false;                        // the present frame brought nothing of the body
  bool begun_ = false, head_ended_ = false;  // to be told
  bool answer_ended_ = false;
  bool peer_reset_ = false;
  bool going_away_ = false;
};

}  // namespace sonde
