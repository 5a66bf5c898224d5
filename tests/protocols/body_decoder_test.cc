#include "protocols/body_decoder.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "protocols/body_budget.h"

namespace sonde {
namespace {

std::string Deflate(std::string_view text, int window_bits) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}
std::string Gzip(std::string_view text) { return Deflate(text, 15 + 16); }
std::string RawDeflate(std::string_view text) { return Deflate(text, -15); }

constexpr std::string_view kText = "hello hello hello brotli, and good bye";
// kText, and 128 MiB of '0', as brotli 1.0.9 writes them at level 11.
const std::string kBrotli(
    "\x1b\x25\x00\xf8\x05\xea\x86\xd3\x6a\x9e\x45\xa8\xaf\x2b\x59\xb4\x24\xa0\xc0\x13\x8f\x3c\x00"
    "\x84\x95\xa6\x53\xc2\x84\x2f\xa7\x59\xa7\x16\x44\x7c\x02",
    37);

struct Decoded {
  std::string text;
  BodyDecoder::Result result = BodyDecoder::Result::kMore;
  bool complete = false;
};

Decoded Decode(Compression compression, std::string_view in, size_t piece, size_t stop_after = 0) {
  const auto decoder = BodyDecoder::Make(compression);
  struct State {
    std::string text;
    size_t stop;
  } state{"", stop_after};
  const BodyDecoder::Sink sink{[](void* self, Bytes bytes) {
                                 auto* s = static_cast<State*>(self);
                                 s->text.append(AsText(bytes));
                                 return s->stop == 0 || s->text.size() < s->stop;
                               },
                               &state};
  Decoded out;
  while (!in.empty() && out.result == BodyDecoder::Result::kMore) {
    out.result = decoder->Feed(AsBytes(in.substr(0, piece)), sink);
    in.remove_prefix(std::min(piece, in.size()));
  }
  out.text = state.text;
  out.complete = decoder->Complete();
  return out;
}

TEST(BodyDecoderTest, EveryCompressionInPiecesOfEverySize) {
  const std::pair<Compression, std::string> kCases[] = {{Compression::kGzip, Gzip(kText)},
                                                        {Compression::kDeflate, RawDeflate(kText)},
                                                        {Compression::kBrotli, kBrotli}};
  for (const auto& [compression, bytes] : kCases) {
    for (size_t piece = 1; piece <= bytes.size(); ++piece) {
      const Decoded decoded = Decode(compression, bytes, piece);
      EXPECT_EQ(decoded.result, BodyDecoder::Result::kMore);
      EXPECT_EQ(decoded.text, kText);
      EXPECT_TRUE(decoded.complete);
    }
  }
  EXPECT_EQ(BodyBudget::Global().used(), 0u);
}

TEST(BodyDecoderTest, HalfABodyIsNotComplete) {
  for (const auto& [compression, bytes] : {std::pair(Compression::kGzip, Gzip(kText)),
                                           std::pair(Compression::kDeflate, RawDeflate(kText)),
                                           std::pair(Compression::kBrotli, kBrotli)}) {
    for (size_t size = 0; size + 1 < bytes.size(); ++size) {
      EXPECT_FALSE(Decode(compression, std::string_view(bytes).substr(0, size), 7).complete);
    }
  }
}

TEST(BodyDecoderTest, GzipHasMembersAndNothingElse) {
  const std::string two = Gzip("one ") + Gzip("two");
  EXPECT_EQ(Decode(Compression::kGzip, two, 3).text, "one two");
  EXPECT_TRUE(Decode(Compression::kGzip, two, 3).complete);
  EXPECT_EQ(Decode(Compression::kGzip, Gzip("one") + "garbage", 100).result,
            BodyDecoder::Result::kBad);
  EXPECT_EQ(Decode(Compression::kGzip, "plain text", 100).result, BodyDecoder::Result::kBad);
  std::string broken = Gzip(kText);
  broken[broken.size() - 8] = static_cast<char>(broken[broken.size() - 8] ^ 1);  // its checksum
  EXPECT_EQ(Decode(Compression::kGzip, broken, 100).result, BodyDecoder::Result::kBad);
}

TEST(BodyDecoderTest, DeflateIsRaw) {
  const std::string wrapped = Deflate(kText, 15);  // RFC 1950
  EXPECT_EQ(Decode(Compression::kDeflate, wrapped, 100).result, BodyDecoder::Result::kBad);
}

TEST(BodyDecoderTest, BombsStopWhenTheSinkDoes) {
  const std::string bomb = Gzip(std::string(64 << 20, '0'));
  ASSERT_LT(bomb.size(), 100'000u);
  const Decoded decoded = Decode(Compression::kGzip, bomb, bomb.size(), 1 << 20);
  EXPECT_EQ(decoded.result, BodyDecoder::Result::kStopped);
  EXPECT_LT(decoded.text.size(), (1u << 20) + 20'000u);
}

TEST(BodyDecoderTest, MemoryCountsAgainstTheBudget) {
  BodyBudget& budget = BodyBudget::Global();
  {
    const auto decoder = BodyDecoder::Make(Compression::kBrotli);
    EXPECT_GT(budget.used(), 0u);
    const BodyDecoder::Sink sink{[](void*, Bytes) { return true; }, nullptr};
    EXPECT_EQ(decoder->Feed(AsBytes(std::string_view(kBrotli)), sink), BodyDecoder::Result::kMore);
  }
  EXPECT_EQ(budget.used(), 0u);
  budget.SetLimits(BodyBudget::kDefaultPerProbe, 100);
  EXPECT_EQ(Decode(Compression::kGzip, Gzip(kText), 100).result, BodyDecoder::Result::kNoMemory);
  EXPECT_EQ(Decode(Compression::kBrotli, kBrotli, 100).result, BodyDecoder::Result::kNoMemory);
  budget.SetLimits(BodyBudget::kDefaultPerProbe, BodyBudget::kDefaultPerProcess);
  EXPECT_EQ(budget.used(), 0u);
}

TEST(BodyDecoderTest, Words) {
  EXPECT_EQ(ParseCompression("GZip"), Compression::kGzip);
  EXPECT_EQ(ParseCompression("br"), Compression::kBrotli);
  EXPECT_EQ(ParseCompression("deflate"), Compression::kDeflate);
  EXPECT_EQ(ParseCompression("Identity"), Compression::kNone);
  EXPECT_EQ(ParseCompression(""), Compression::kNone);
  EXPECT_EQ(ParseCompression("zstd"), Compression::kUnknown);
  EXPECT_EQ(BodyDecoder::Make(Compression::kNone), nullptr);
}

}  // namespace
}  // namespace sonde
