#include "exporter/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

namespace sonde {
namespace {

struct Unzipped {
  std::string text;
  bool ended = false;    // the member's end was seen
  size_t left_over = 0;  // bytes behind it
};

Unzipped Unzip(std::string_view bytes) {
  Unzipped out;
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string buffer(65536, '\0');
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    result = inflate(&stream, Z_NO_FLUSH);
    out.text.append(buffer, 0, buffer.size() - stream.avail_out);
    if (stream.avail_in == 0 && stream.avail_out > 0 && result == Z_OK) break;
  }
  out.ended = result == Z_STREAM_END;
  out.left_over = stream.avail_in;
  inflateEnd(&stream);
  return out;
}

std::string Lines(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += "probe_success{name=\"task-" + std::to_string(i * 2654435761u % 100000) + "\"} 1\n";
  }
  return text;
}

TEST(GzipTest, OneMemberWhateverTheSlices) {
  const std::string text = Lines(20'000);
  for (const size_t slice : {size_t{1000}, size_t{65'536}, text.size()}) {
    GzipEncoder encoder;
    std::string out;
    for (size_t at = 0; at < text.size(); at += slice) {
      ASSERT_TRUE(encoder.Append(std::string_view(text).substr(at, slice), out));
    }
    ASSERT_TRUE(encoder.Finish(out));
    const Unzipped unzipped = Unzip(out);
    EXPECT_TRUE(unzipped.ended);
    EXPECT_EQ(unzipped.left_over, 0u);
    EXPECT_EQ(unzipped.text, text);
    EXPECT_LT(out.size(), text.size() / 4);
  }
}

TEST(GzipTest, NothingAndNoise) {
  GzipEncoder empty;
  std::string out;
  ASSERT_TRUE(empty.Append("", out));
  ASSERT_TRUE(empty.Finish(out));
  EXPECT_TRUE(Unzip(out).ended);
  EXPECT_EQ(Unzip(out).text, "");

  std::mt19937 random(7);
  std::string noise;
  for (int i = 0; i < 300'000; ++i) noise += static_cast<char>(random());
  GzipEncoder encoder;
  out.clear();
  ASSERT_TRUE(encoder.Append(noise, out));
  ASSERT_TRUE(encoder.Finish(out));
  EXPECT_EQ(Unzip(out).text, noise);
  EXPECT_EQ(Unzip(out).left_over, 0u);
}

TEST(GzipTest, FlushShowsEverythingSoFar) {
  GzipEncoder encoder;
  std::string out;
  ASSERT_TRUE(encoder.Append("event: one\n\n", out));
  ASSERT_TRUE(encoder.Flush(out));
  EXPECT_EQ(Unzip(out).text, "event: one\n\n");
  EXPECT_FALSE(Unzip(out).ended);
  ASSERT_TRUE(encoder.Append("event: two\n\n", out));
  ASSERT_TRUE(encoder.Flush(out));
  ASSERT_TRUE(encoder.Finish(out));
  EXPECT_EQ(Unzip(out).text, "event: one\n\nevent: two\n\n");
  EXPECT_TRUE(Unzip(out).ended);
}

}  // namespace
}  // namespace sonde
