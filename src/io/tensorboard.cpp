#include "io/tensorboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>

namespace coxswain {

namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0x82F63B78u : 0u);
    table[byte] = value;
  }
  return table;
}

template <typename Number>
void put_little_endian(std::string& out, Number value) {
  for (std::size_t byte = 0; byte < sizeof(Number); ++byte) out += static_cast<char>((value >> (8 * byte)) & 0xFF);
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  out += static_cast<char>(value);
}

enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void put_key(std::string& out, std::uint32_t field, WireType type) { put_varint(out, field << 3 | type); }

void put_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_key(out, field, kLengthDelimited);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string event_head(double wall_time) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_little_endian(event, std::bit_cast<std::uint64_t>(wall_time));
  return event;
}

void put_step(std::string& event, std::int64_t step) {
  put_key(event, 2, kVarint);
  put_varint(event, static_cast<std::uint64_t>(step));
}

double wall_time_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::filesystem::path new_file(const std::filesystem::path& folder) {
  create_folder(folder);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  // TensorBoard reads a folder's files in the order of their names, so the time comes first, and a number that keeps
  // two starts within a second in order.
  const auto seconds = static_cast<std::int64_t>(wall_time_now());
  for (int number = 0;; ++number) {
    const auto prefix = fmt::format("events.out.tfevents.{:010}.{:03}", seconds, number);
    bool taken = false;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      taken = taken || entry.path().filename().string().starts_with(prefix);
    }
    if (!taken) return folder / fmt::format("{}.{}.{}", prefix, host.data(), getpid());
  }
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u; }

std::string tensorboard_record(std::string_view event) {
  std::string record;
  put_little_endian(record, static_cast<std::uint64_t>(event.size()));
  put_little_endian(record, masked_crc32c(record));
  record += event;
  put_little_endian(record, masked_crc32c(event));
  return record;
}

std::string scalar_event(double wall_time, std::int64_t step, const NamedValues& scalars) {
  std::string summary;
  for (const auto& [name, number] : scalars) {
    std::string value;
    put_bytes(value, 1, name);
    put_key(value, 2, kFixed32);
    put_little_endian(value, std::bit_cast<std::uint32_t>(static_cast<float>(number)));
    put_bytes(summary, 1, value);
  }
  std::string event = event_head(wall_time);
  put_step(event, step);
  put_bytes(event, 5, summary);
  return event;
}

std::string session_start_event(double wall_time, std::int64_t first_step) {
  std::string session;
  put_key(session, 1, kVarint);
  put_varint(session, 1);  // SessionLog.START
  std::string event = event_head(wall_time);
  put_step(event, first_step);
  put_bytes(event, 7, session);
  return event;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, std::int64_t first_step)
    : file_(std::make_unique<AppendFile>(new_file(folder))) {
  std::string version = event_head(wall_time_now());
  put_bytes(version, 3, "brain.Event:2");
  pending_ = tensorboard_record(version) + tensorboard_record(session_start_event(wall_time_now(), first_step));
  flush();
}

void TensorBoardWriter::add(std::int64_t step, const NamedValues& scalars) {
  pending_ += tensorboard_record(scalar_event(wall_time_now(), step, scalars));
}

void TensorBoardWriter::flush() {
  if (pending_.empty()) return;
  file_->append(pending_);
  pending_.clear();
}

}  // namespace coxswain
