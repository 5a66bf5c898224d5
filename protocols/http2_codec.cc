#include "protocols/http2_codec.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "protocols/dialogue.h"
#include "protocols/http2_request.h"

namespace sonde {
namespace {

constexpr size_t kShownGoodbye = 64;     // bytes of what a GOAWAY says
constexpr size_t kShownComplaint = 160;  // what the library says may hold bytes of the peer
// Of our own fields; the library's 64 KiB would refuse what HTTP/1.1 takes.
constexpr size_t kMaxSentFields = 4 << 20;

std::string CodeName(uint32_t code) { return nghttp2_http2_strerror(code); }

nghttp2_nv FieldOf(std::string_view name, std::string_view value) {
  // The library copies both before it returns, and lowers the name's letters.
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

// ---- the library's callbacks --------------------------------------------------------------------

struct Http2Codec::Calls {
  static Http2Codec& Self(void* state) { return *static_cast<Http2Codec*>(state); }
  // A failure of ours ends the session at once.
  static int Result(const Http2Codec& self) {
    return self.failure_ == Failure::kNone ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* state) {
    Self(state).AddField(AsText({name, name_size}), AsText({value, value_size}));
    return Result(Self(state));
  }
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                             size_t name_size, const uint8_t*, size_t, uint8_t, void* state) {
    Self(state).Fail(
        Failure::kMalformed,
        "HTTP/2: header field " + QuotedForPeople(AsText({name, name_size})) + " is not valid");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t, const uint8_t* data, size_t size,
                    void* state) {
    Http2Codec& self = Self(state);
    if (size == 0) return 0;
    if (std::exchange(self.idle_, false)) ++self.idle_frames_;
    if (!self.answer_->AddBody({data, size})) self.Fail(Failure::kBody);
    return Result(self);
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* state) {
    Http2Codec& self = Self(state);
    const bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (self.stage_ == Stage::kHead) {
          self.EndHead(ended);
        } else {
          self.answer_ended_ = self.answer_ended_ || ended;
        }
        break;
      case NGHTTP2_DATA:
        self.answer_ended_ = self.answer_ended_ || ended;
        break;
      case NGHTTP2_RST_STREAM:
        self.peer_reset_ = self.peer_reset_ || frame->hd.stream_id == kStream;
        break;
      case NGHTTP2_GOAWAY:
        self.going_away_ = true;
        self.detail_ = "the server said GOAWAY: " + CodeName(frame->goaway.error_code);
        if (frame->goaway.opaque_data_len > 0) {
          self.detail_ +=
              ' ' +
              QuotedForPeople(AsText({frame->goaway.opaque_data, frame->goaway.opaque_data_len}),
                              kShownGoodbye);
        }
        break;
      default:
        break;
    }
    return Result(self);
  }
  // We end a connection only when the library finds that the peer broke its rules.
  static int OnSent(nghttp2_session*, const nghttp2_frame* frame, void* state) {
    if (frame->hd.type == NGHTTP2_GOAWAY) Self(state).FailMalformed(frame->goaway.error_code);
    return 0;
  }
  static int OnStreamClose(nghttp2_session*, int32_t stream, uint32_t code, void* state) {
    Http2Codec& self = Self(state);
    if (stream != kStream || self.answer_ended_) return 0;
    if (self.peer_reset_) {
      self.Fail(Failure::kReset, "the server reset the stream: " + CodeName(code));
    } else if (self.going_away_ && code == NGHTTP2_REFUSED_STREAM) {
      self.Fail(Failure::kClosed, self.detail_);
    } else {
      self.FailMalformed(code);
    }
    return 0;
  }
  static int OnNotSent(nghttp2_session*, const nghttp2_frame* frame, int, void* state) {
    if (frame->hd.type == NGHTTP2_HEADERS) {
      Self(state).Fail(Failure::kMemory, "HTTP/2: the request's fields are too large");
    }
    return 0;
  }
  static int OnComplaint(nghttp2_session*, int, const char* text, size_t size, void* state) {
    Self(state).complaint_ = QuotedForPeople({text, size}, kShownComplaint);
    return 0;
  }
  static ssize_t ReadBody(nghttp2_session*, int32_t, uint8_t* to, size_t room, uint32_t* flags,
                          nghttp2_data_source*, void* state) {
    std::string_view& left = Self(state).body_;
    const size_t size = std::min(room, left.size());
    std::memcpy(to, left.data(), size);
    left.remove_prefix(size);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  // Shared by all sessions, never changed: made once, kept for the process's life.
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;

  static const Calls& Get() {
    static const Calls calls = Make();
    return calls;
  }
  static Calls Make() {
    Calls made;
    if (nghttp2_session_callbacks_new(&made.callbacks) != 0) return made;
    nghttp2_session_callbacks_set_on_header_callback(made.callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_invalid_header_callback(made.callbacks, OnInvalidHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made.callbacks, OnData);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made.callbacks, OnFrame);
    nghttp2_session_callbacks_set_on_frame_send_callback(made.callbacks, OnSent);
    nghttp2_session_callbacks_set_on_stream_close_callback(made.callbacks, OnStreamClose);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(made.callbacks, OnNotSent);
    nghttp2_session_callbacks_set_error_callback2(made.callbacks, OnComplaint);
    if (nghttp2_option_new(&made.options) != 0) return made;
    nghttp2_option_set_max_send_header_block_length(made.options, kMaxSentFields);
    // Our own limits are tighter: bytes of header blocks, and frames.
    nghttp2_option_set_max_continuations(made.options, SIZE_MAX);
    // Blanks around a value are trimmed, as with HTTP/1.1; Go takes them too.
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(made.options, 1);
    // Streams that ended are not remembered: there is one.
    nghttp2_option_set_no_closed_streams(made.options, 1);
    return made;
  }
};

// ---- sending ------------------------------------------------------------------------------------

bool Http2Codec::Send(std::string_view text, Output& out) {
  const Http2Request request = MakeHttp2Request(text);
  body_ = request.body;
  asked_head_ = request.fields[0].second == "HEAD";
  idle_frames_ = kIdleFrames + (text.size() + header_size_limit_) / 1024;
  memory_.Allow(Http2Memory::kLimit + 4 * (text.size() - body_.size()));

  const Calls& calls = Calls::Get();
  nghttp2_mem hooks = memory_.Hooks();
  nghttp2_session* session = nullptr;
  if (!calls.callbacks || !calls.options ||
      nghttp2_session_client_new3(&session, calls.callbacks, this, calls.options, &hooks) != 0) {
    return Fail(Failure::kMemory);
  }
  session_.reset(session);
  const auto header_limit = static_cast<uint32_t>(header_size_limit_);  // at most 16 MiB
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(kWindow)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, header_limit},
  };
  int error = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  if (error == 0) {
    error = nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindow);
  }
  if (error != 0) return FailWith(error);

  std::vector<nghttp2_nv> fields;
  fields.reserve(request.fields.size());
  for (const auto& [name, value] : request.fields) fields.push_back(FieldOf(name, value));
  nghttp2_data_provider source{};
  source.read_callback = Calls::ReadBody;
  const int32_t stream = nghttp2_submit_request(session, nullptr, fields.data(), fields.size(),
                                                body_.empty() ? nullptr : &source, nullptr);
  if (stream < 0) return FailWith(stream);
  return Flush(out);
}

bool Http2Codec::Flush(Output& out) {
  while (true) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &data);
    if (size < 0) return FailWith(static_cast<int>(size));
    if (size == 0) return failure_ == Failure::kNone;
    out.Append(Bytes(data, static_cast<size_t>(size)));
  }
}

// ---- reading ------------------------------------------------------------------------------------

// Header and payload of a frame go to the library one after the other, so that whatever one of them
// brings is told before the next one is read.
HttpCodec::Event Http2Codec::Read(Bytes* in, HttpAnswer& answer, Output& out) {
  answer_ = &answer;
  while (true) {
    const Event pending = Pending();
    if (pending != Event::kMore || in->empty()) return pending;
    const bool in_header = frame_size_ < frame_.size();
    const Bytes piece = NextPiece(*in);
    *in = in->subspan(piece.size());
    const bool header_ended = in_header && frame_size_ == frame_.size();
    if (header_ended && !BeginFrame()) return Event::kBroken;
    if (frame_size_ == frame_.size() && payload_left_ == 0) frame_size_ = 0;
    if (!Feed(piece) || !Flush(out)) return Event::kBroken;
    // Whatever the reason: the library is done with this connection.
    if (!answer_ended_ && !nghttp2_session_want_read(session_.get())) {
      Fail(Failure::kMalformed, "HTTP/2: the session is over");
      return Event::kBroken;
    }
  }
}

HttpCodec::Event Http2Codec::Pending() {
  if (std::exchange(begun_, false)) return Event::kBegun;
  if (std::exchange(head_ended_, false)) return Event::kHead;
  return answer_ended_ ? Event::kEnd : Event::kMore;
}

Bytes Http2Codec::NextPiece(Bytes in) {
  if (frame_size_ == frame_.size()) {
    const size_t size = std::min(payload_left_, in.size());
    payload_left_ -= size;
    return in.first(size);
  }
  const size_t size = std::min(frame_.size() - frame_size_, in.size());
  std::copy_n(in.begin(), size, frame_.begin() + frame_size_);
  frame_size_ = static_cast<uint8_t>(frame_size_ + size);
  return in.first(size);
}

// RFC 9113 section 4.1: length 24, type 8, flags 8, reserved 1, stream 31.
bool Http2Codec::BeginFrame() {
  payload_left_ = size_t{frame_[0]} << 16 | size_t{frame_[1]} << 8 | frame_[2];
  const uint8_t type = frame_[3];
  const int32_t stream = (frame_[5] & 0x7f) << 24 | frame_[6] << 16 | frame_[7] << 8 | frame_[8];
  const bool fields = type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION;
  if (type == NGHTTP2_PUSH_PROMISE) {  // the library ignores those that cross our SETTINGS
    return Fail(Failure::kMalformed, "HTTP/2: a push, which our SETTINGS forbid");
  }
  if (fields) block_bytes_ += payload_left_;
  if (block_bytes_ > header_size_limit_) return Fail(Failure::kHeadTooLarge);
  if (idle_frames_ == 0) {
    return Fail(fields ? Failure::kHeadTooLarge : Failure::kMalformed,
                "HTTP/2: too many frames that bring nothing");
  }
  --idle_frames_;
  idle_ = true;
  if (type == NGHTTP2_HEADERS && stream == kStream && stage_ == Stage::kWaiting) {
    stage_ = Stage::kHead;
    begun_ = true;
  }
  return true;
}

bool Http2Codec::Feed(Bytes piece) {
  const ssize_t read = nghttp2_session_mem_recv(session_.get(), piece.data(), piece.size());
  if (read < 0) return FailWith(static_cast<int>(read));
  return failure_ == Failure::kNone;
}

// As browsers and curl show heads. RFC 9113 section 6.5.2 says what a field counts.
void Http2Codec::AddField(std::string_view name, std::string_view value) {
  constexpr size_t kOverhead = 32;
  const size_t counted = name.size() + value.size() + kOverhead;
  if (stage_ != Stage::kHead) {  // trailers count, and are nobody's business
    if (!answer_->AddHead({}, counted)) Fail(Failure::kHeadTooLarge);
    return;
  }
  if (name == ":status") {
    head_ = HttpHead{};
    head_.version = HttpModule::Version::k2;
    std::from_chars(value.data(), value.data() + value.size(), head_.status);
    answer_->AddHead("HTTP/2", 0);
    name = {};
  } else if (name == "content-length") {
    std::from_chars(value.data(), value.data() + value.size(), head_.content_length);
  }
  for (const std::string_view piece : {name, std::string_view(name.empty() ? " " : ": "), value}) {
    answer_->AddHead(piece, 0);
  }
  if (!answer_->AddHead("\r\n", counted)) Fail(Failure::kHeadTooLarge);
  if (name.empty()) return;
  answer_->AddName(name);
  answer_->EndName();
  answer_->AddValue(value);
  answer_->EndValue();
}

void Http2Codec::EndHead(bool ended) {
  answer_->AddHead("\r\n", 0);
  if (head_.status < 100) {
    Fail(Failure::kMalformed, "HTTP/2: the status is not valid");
    return;
  }
  head_ended_ = true;
  if (head_.status / 100 == 1) return;  // an interim answer: another one follows
  stage_ = Stage::kBody;
  answer_ended_ = ended;
  head_.body = !ended && !asked_head_;
  if (ended && !asked_head_) head_.content_length = std::max<int64_t>(head_.content_length, 0);
}

// ---- failing ------------------------------------------------------------------------------------

bool Http2Codec::Fail(Failure failure, std::string detail) {
  if (failure_ != Failure::kNone) return false;
  failure_ = failure;
  if (!detail.empty()) detail_ = std::move(detail);
  return false;
}

bool Http2Codec::FailWith(int library_error) {
  if (library_error == NGHTTP2_ERR_NOMEM) return Fail(Failure::kMemory, "HTTP/2: out of memory");
  return Fail(Failure::kMalformed, std::string("HTTP/2: ") + nghttp2_strerror(library_error));
}

bool Http2Codec::FailMalformed(uint32_t code) {
  const std::string said = complaint_.empty() ? "" : ", " + complaint_;
  return Fail(Failure::kMalformed, "HTTP/2: " + CodeName(code) + said);
}

}  // namespace sonde
