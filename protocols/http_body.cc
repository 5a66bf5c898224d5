#include "protocols/http_body.h"

#include <algorithm>

#include "engine/contract/probe_result.h"

namespace sonde {

void HttpBody::Begin(const Options& options) {
  options_ = options;
  decoder_ = BodyDecoder::Make(options.compression);
  if (decoder_ && options_.limit == 0) options_.limit = BodyBudget::kDecompressed;
}

bool HttpBody::Take(Bytes raw, BufferPool& buffers, Buffer* evidence) {
  if (failure_ != Outcome::kOk) return false;
  buffers_ = &buffers;
  evidence_ = evidence;
  if (!decoder_) return TakeDecoded(raw);
  if (raw_length_ < kGzipHeader) NoteGzip(raw);
  const BodyDecoder::Sink sink{
      [](void* self, Bytes piece) { return static_cast<HttpBody*>(self)->TakeDecoded(piece); },
      this};
  switch (decoder_->Feed(raw, sink)) {
    case BodyDecoder::Result::kMore:
      return true;
    case BodyDecoder::Result::kStopped:
      return false;
    case BodyDecoder::Result::kBad:
      failure_ = Outcome::kBodyEncoding;
      return false;
    case BodyDecoder::Result::kNoMemory:
      failure_ = Outcome::kProberMemory;
      return false;
  }
  return false;
}

void HttpBody::NoteGzip(Bytes raw) {
  for (const uint8_t byte : raw.first(std::min<size_t>(raw.size(), kGzipHeader - raw_length_))) {
    if (raw_length_ < kGzipMagic.size() && byte == kGzipMagic[raw_length_]) ++gzip_magic_;
    ++raw_length_;
  }
}

bool HttpBody::TakeDecoded(Bytes piece) {
  const bool too_large = options_.limit != 0 && piece.size() > options_.limit - length_;
  if (too_large) piece = piece.first(static_cast<size_t>(options_.limit - length_));
  length_ += piece.size();
  if (evidence_ && shown_ < Evidence::kBodyLimit && !piece.empty()) {
    const size_t room = std::min<size_t>(Evidence::kBodyLimit - shown_, piece.size());
    evidence_->Append(piece.first(room));
    shown_ = static_cast<uint16_t>(shown_ + room);
  }
  if (options_.keep && !Keep(piece)) return false;
  if (too_large) failure_ = Outcome::kBodyTooLarge;
  return !too_large;
}

bool HttpBody::Keep(Bytes piece) {
  if (piece.empty()) return true;
  if (kept_.size() + piece.size() > BodyBudget::Global().per_probe()) {
    failure_ = Outcome::kBodyTooLarge;
    return false;
  }
  if (!share_.Take(piece.size())) {
    failure_ = Outcome::kProberMemory;
    return false;
  }
  if (!kept_) kept_ = buffers_->Take();
  kept_.Append(piece);
  return true;
}

bool HttpBody::End() {
  if (!decoder_ || decoder_->Complete()) return true;
  failure_ = Outcome::kBodyEncoding;
  return false;
}

}  // namespace sonde
