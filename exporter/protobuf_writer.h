// The wire format of protocol buffers, as far as metrics need it: fields are a tag (number and wire
// type) and a varint, eight bytes, or a length and so many bytes
// (protobuf.dev/programming-guides/encoding). Appends to a string; knows no message.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sonde {

class ProtobufWriter {
 public:
  explicit ProtobufWriter(std::string* out) : out_(out) {}

  // Seven bits a byte, the low ones first.
  void Varint(uint64_t value) {
    while (value >= 0x80) {
      out_->push_back(static_cast<char>(value | 0x80));
      value >>= 7;
    }
    out_->push_back(static_cast<char>(value));
  }
  static constexpr size_t VarintBytes(uint64_t value) {
    return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
  }
  // sint32, sint64: small numbers of either sign are short.
  static constexpr uint64_t ZigZag(int64_t value) {
    return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
  }

  void Uint(unsigned field, uint64_t value) {
    Tag(field, kVarint);
    Varint(value);
  }
  void Sint(unsigned field, int64_t value) { Uint(field, ZigZag(value)); }
  void Double(unsigned field, double value) {
    static_assert(std::endian::native == std::endian::little, "doubles go out as they lie");
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    Tag(field, kFixed64);
    out_->append(bytes, sizeof bytes);
  }
  // A field of so many bytes, which the caller appends: text, packed numbers, a message.
  void Length(unsigned field, size_t bytes) {
    Tag(field, kBytes);
    Varint(bytes);
  }
  void Bytes(unsigned field, std::string_view bytes) {
    Length(field, bytes.size());
    out_->append(bytes);
  }

 private:
  enum WireType : unsigned { kVarint = 0, kFixed64 = 1, kBytes = 2 };
  void Tag(unsigned field, WireType type) { Varint(field << 3 | type); }

  std::string* out_;
};

}  // namespace sonde
