// Bytes to HttpRequest, without sockets or clocks: fed in any splits, gives the same result.
//
// The head is collected whole (it is bounded), checked byte by byte for what parsers disagree about
// (bare CR or LF, folded lines, control characters), then given to llhttp, whose result is checked
// again: one Host, one Content-Length, never together with Transfer-Encoding (RFC 9112
// sections 2.2, 3.2, 5.1, 6.1, 6.3 and 11.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "exporter/http_chunked.h"
#include "exporter/http_host.h"
#include "exporter/http_message.h"

namespace sonde {

class HttpRequestParser {
 public:
  struct Limits {
    size_t max_head = 16 * 1024;
    size_t max_headers = 100;
  };
  enum class Event : uint8_t {
    kNeedMore,  // `in` is used up
    kHead,      // the head is complete: decide, set the body's limit, feed on
    kRequest,   // the request is complete; TakeRequest, then feed the rest
    kError,     // error_status() and error_text(); feeding is over
  };

  explicit HttpRequestParser(Limits limits) : limits_(limits) {}

  // Takes bytes off the front of `in` up to the next event.
  Event Feed(std::string_view& in);

  // True between the first byte of a request (empty lines before it do not count) and its end.
  bool started() const { return state_ != State::kHead || !head_.empty(); }

  // From kHead on.
  const HttpRequest& request() const { return request_; }
  // The Host header, or the target's authority when it has one (RFC 9112 section 3.2.2); empty host
  // for HTTP/1.0 without Host.
  const Authority& host() const { return host_; }
  bool keep_alive() const { return keep_alive_; }
  bool expects_continue() const { return expects_continue_; }
  bool has_body() const { return chunked_ || content_length_ > 0; }
  uint64_t content_length() const { return content_length_; }  // 0 when chunked
  void set_max_body(size_t bytes) { max_body_ = bytes; }

  // After kRequest: gives the request away and begins the next one.
  HttpRequest TakeRequest();

  int error_status() const { return error_status_; }
  const std::string& error_text() const { return error_text_; }

 private:
  enum class State : uint8_t { kHead, kBody, kError };

  Event ScanHead(std::string_view& in);
  bool CheckHeadByte(char c);
  Event ParseHead();
  bool CheckFields();
  bool CheckFraming();
  bool ParseTarget(std::string_view target);
  Event ReadBody(std::string_view& in);
  Event Fail(int status, std::string_view text);

  Limits limits_;
  State state_ = State::kHead;
  std::string head_;
  size_t line_length_ = 0;  // bytes of the current line before CR
  bool first_line_ = true;
  bool after_cr_ = false;
  int blanks_in_first_line_ = 0;
  int empty_lines_ = 0;  // before the request line

  HttpRequest request_;
  Authority host_;
  bool keep_alive_ = false;
  bool expects_continue_ = false;
  bool chunked_ = false;
  uint64_t content_length_ = 0;
  size_t max_body_ = 0;
  ChunkedDecoder decoder_;

  int error_status_ = 0;
  std::string error_text_;
};

}  // namespace sonde
