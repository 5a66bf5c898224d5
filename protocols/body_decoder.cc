#include "protocols/body_decoder.h"

#include <brotli/decode.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "protocols/body_budget.h"
#include "protocols/url.h"

namespace sonde {
namespace {

constexpr size_t kPiece = 16 * 1024;

// Memory of the libraries, counted. Each block knows its size, for the libraries do not tell it
// when they free.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  static void* Allocate(void* self, size_t size) {
    auto* arena = static_cast<Arena*>(self);
    const size_t whole = size + kHeader;
    if (whole < size || !BodyBudget::Global().Take(whole)) {
      arena->refused_ = true;
      return nullptr;
    }
    auto* block = static_cast<uint8_t*>(std::malloc(whole));
    if (!block) {
      BodyBudget::Global().Give(whole);
      arena->refused_ = true;
      return nullptr;
    }
    *reinterpret_cast<size_t*>(block) = whole;
    return block + kHeader;
  }

  static void Free(void*, void* memory) {
    if (!memory) return;
    uint8_t* block = static_cast<uint8_t*>(memory) - kHeader;
    BodyBudget::Global().Give(*reinterpret_cast<size_t*>(block));
    std::free(block);
  }

  bool refused() const { return refused_; }

 private:
  static constexpr size_t kHeader = alignof(std::max_align_t);
  bool refused_ = false;
};

voidpf ZlibAllocate(voidpf self, uInt items, uInt size) {
  return Arena::Allocate(self, static_cast<size_t>(items) * size);
}
void ZlibFree(voidpf self, voidpf memory) { Arena::Free(self, memory); }

// gzip with all its members (RFC 1952 section 2.2), or one raw deflate stream.
class ZlibDecoder final : public BodyDecoder {
 public:
  explicit ZlibDecoder(bool gzip) : gzip_(gzip) {
    stream_.zalloc = ZlibAllocate;
    stream_.zfree = ZlibFree;
    stream_.opaque = &arena_;
    constexpr int kGzipOnly = 16;
    ready_ = inflateInit2(&stream_, gzip ? MAX_WBITS + kGzipOnly : -MAX_WBITS) == Z_OK;
  }
  ~ZlibDecoder() override {
    if (ready_) inflateEnd(&stream_);
  }

  Result Feed(Bytes in, Sink sink) override {
    if (!ready_) return Result::kNoMemory;
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());  // one read of the engine: far below 4 GiB
    uint8_t piece[kPiece];
    for (;;) {
      if (ended_) {
        if (stream_.avail_in == 0) return Result::kMore;
        if (!gzip_) return Result::kMore;  // what follows a deflate stream is none of its business
        inflateReset(&stream_);
        ended_ = false;
      }
      stream_.next_out = piece;
      stream_.avail_out = kPiece;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      const size_t made = kPiece - stream_.avail_out;
      if (made > 0 && !sink(Bytes(piece, made))) return Result::kStopped;
      if (result == Z_STREAM_END) {
        ended_ = true;
        continue;
      }
      if (result == Z_BUF_ERROR) return Result::kMore;  // wants input
      if (result == Z_MEM_ERROR) return Result::kNoMemory;
      if (result != Z_OK) return Result::kBad;
      if (stream_.avail_in == 0 && stream_.avail_out != 0) return Result::kMore;
    }
  }

  bool Complete() const override { return ended_; }

 private:
  Arena arena_;
  z_stream stream_{};
  const bool gzip_;
  bool ready_ = false;
  bool ended_ = false;
};

class BrotliBodyDecoder final : public BodyDecoder {
 public:
  BrotliBodyDecoder()
      : state_(BrotliDecoderCreateInstance(Arena::Allocate, Arena::Free, &arena_)) {}
  ~BrotliBodyDecoder() override {
    if (state_) BrotliDecoderDestroyInstance(state_);
  }

  Result Feed(Bytes in, Sink sink) override {
    if (!state_) return Result::kNoMemory;
    size_t left = in.size();
    const uint8_t* next = in.data();
    uint8_t piece[kPiece];
    for (;;) {
      size_t room = kPiece;
      uint8_t* out = piece;
      const BrotliDecoderResult result =
          BrotliDecoderDecompressStream(state_, &left, &next, &room, &out, nullptr);
      const size_t made = kPiece - room;
      if (made > 0 && !sink(Bytes(piece, made))) return Result::kStopped;
      if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) continue;
      if (result == BROTLI_DECODER_RESULT_ERROR) {
        return arena_.refused() ? Result::kNoMemory : Result::kBad;
      }
      return Result::kMore;  // wants input, or is done
    }
  }

  bool Complete() const override { return state_ && BrotliDecoderIsFinished(state_); }

 private:
  Arena arena_;
  BrotliDecoderState* state_;
};

}  // namespace

Compression ParseCompression(std::string_view word) {
  constexpr struct {
    std::string_view word;
    Compression compression;
  } kWords[] = {{"", Compression::kNone},
                {"identity", Compression::kNone},
                {"gzip", Compression::kGzip},
                {"deflate", Compression::kDeflate},
                {"br", Compression::kBrotli}};
  for (const auto& row : kWords) {
    if (EqualsIgnoreCase(row.word, word)) return row.compression;
  }
  return Compression::kUnknown;
}

std::unique_ptr<BodyDecoder> BodyDecoder::Make(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
    case Compression::kDeflate:
      return std::make_unique<ZlibDecoder>(compression == Compression::kGzip);
    case Compression::kBrotli:
      return std::make_unique<BrotliBodyDecoder>();
    default:
      return nullptr;
  }
}

}  // namespace sonde
