#pragma once
// HTTP/1.1 as the simulated provider reads and writes it, by hand: lenient where a test may want to be odd, and free to
// produce what no library would. No sockets.

#include "proxy/provider/simulated_provider.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace evenkeel::provider {

// Takes a head off the front of `input` into `record` (method, target, minor_version, headers, bytes_in).
enum class head_result : unsigned char { incomplete, complete, malformed };
[[nodiscard]] head_result take_request_head(std::string& input, attempt_record& record);

// SHA-256, incremental.
class sha256 {
public:
    sha256();
    ~sha256();
    sha256(const sha256&) = delete;
    sha256& operator=(const sha256&) = delete;
    void add(std::string_view bytes);
    [[nodiscard]] std::string hex(); // ends the computation
private:
    struct context;
    std::unique_ptr<context> context_;
};

// Reads one request body off the front of a growing input: a length or chunks.
class body_reader {
public:
    // `keep`: the body is gathered in body(); otherwise counted and hashed only.
    body_reader(const attempt_record& record, bool keep);
    // Told each piece, and its place.
    void tell(std::function<void(std::uint64_t position, std::string_view data)> whom) { told_ = std::move(whom); }
    enum class state : unsigned char { more, done, malformed };
    state consume(std::string& input); // takes what it can
    [[nodiscard]] const std::string& body() const noexcept { return body_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::uint64_t wire_bytes() const noexcept { return wire_bytes_; }
    [[nodiscard]] std::string digest() { return hash_.hex(); }

private:
    void take(std::string_view data);
    state consume_chunked(std::string& input);

    bool keep_;
    bool chunked_ = false;
    bool done_ = false;
    enum class part : unsigned char { size, data, crlf, trailer } part_ = part::size;
    std::uint64_t remaining_ = 0;
    std::uint64_t bytes_ = 0, wire_bytes_ = 0;
    std::string body_;
    sha256 hash_;
    std::function<void(std::uint64_t, std::string_view)> told_;
};

// A valid gzip stream of stored blocks: one more layer for a client to decode, no compression.
class stored_gzip {
public:
    [[nodiscard]] std::string block(std::string_view data); // with the gzip header before the first
    [[nodiscard]] std::string finish();

private:
    bool begun_ = false;
    std::uint32_t crc_ = 0xffffffffU;
    std::uint32_t size_ = 0;
};

[[nodiscard]] std::string_view reason_phrase(int status) noexcept;
[[nodiscard]] std::string http_date(std::int64_t seconds_ahead);
[[nodiscard]] std::string chunk_of(std::string_view data); // size line, data, CRLF

} // namespace evenkeel::provider
