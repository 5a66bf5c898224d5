#include "exporter/http_chunked.h"

#include <algorithm>

namespace sonde {
namespace {

constexpr int kMaxSizeDigits = 12;
constexpr size_t kMaxOverhead = 8 * 1024;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool IsControl(char c) {
  const unsigned char byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

}  // namespace

ChunkedDecoder::Result ChunkedDecoder::Step(char c) {
  const auto expect = [&](char wanted, State next) {
    if (c != wanted) return Result::kBad;
    state_ = next;
    return next == State::kDone ? Result::kDone : Result::kNeedMore;
  };
  const auto line_end_or_text = [&](State next) {
    if (c == '\r') {
      state_ = next;
      return Result::kNeedMore;
    }
    return IsControl(c) || ++overhead_ > kMaxOverhead ? Result::kBad : Result::kNeedMore;
  };
  switch (state_) {
    case State::kSize:
      if (const int digit = HexValue(c); digit >= 0) {
        if (++digits_ > kMaxSizeDigits) return Result::kBad;
        left_ = left_ * 16 + static_cast<uint64_t>(digit);
        return Result::kNeedMore;
      }
      if (digits_ == 0) return Result::kBad;
      if (c != ';') return expect('\r', State::kSizeLf);
      state_ = State::kExtension;
      return Result::kNeedMore;
    case State::kExtension:
      return line_end_or_text(State::kSizeLf);
    case State::kSizeLf:
      digits_ = 0;
      return expect('\n', left_ == 0 ? State::kTrailerStart : State::kData);
    case State::kDataCr:
      return expect('\r', State::kDataLf);
    case State::kDataLf:
      return expect('\n', State::kSize);
    case State::kTrailerStart:
      if (c == '\r') return expect('\r', State::kLastLf);
      if (c == ' ' || c == '\t') return Result::kBad;  // a folded line
      state_ = State::kTrailer;
      return line_end_or_text(State::kTrailerLf);
    case State::kTrailer:
      return line_end_or_text(State::kTrailerLf);
    case State::kTrailerLf:
      return expect('\n', State::kTrailerStart);
    case State::kLastLf:
      return expect('\n', State::kDone);
    case State::kData:
    case State::kDone:
      break;
  }
  return Result::kBad;
}

ChunkedDecoder::Result ChunkedDecoder::Feed(std::string_view& in, std::string& out,
                                            size_t max_body) {
  while (!in.empty()) {
    if (state_ == State::kData) {
      if (left_ > max_body - out.size()) return Result::kTooLarge;
      const size_t take = static_cast<size_t>(std::min<uint64_t>(left_, in.size()));
      out.append(in.substr(0, take));
      in.remove_prefix(take);
      left_ -= take;
      if (left_ == 0) state_ = State::kDataCr;
      continue;
    }
    const Result result = Step(in.front());
    in.remove_prefix(1);
    if (result != Result::kNeedMore) return result;
  }
  return Result::kNeedMore;
}

}  // namespace sonde
