#pragma once
// Writes an outgoing head into a string that the caller owns and reuses. Only validated parts may be passed in; framing
// fields and `Connection` are written by `framing` and `connection` and by nobody else.

#include "proxy/wire/head.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::wire {

class head_builder {
public:
    // Appends to `out`, whose size is right again once the builder is destroyed: in between it is ahead of what was
    // written, so that a field costs no growth of its own.
    explicit head_builder(std::string& out) noexcept : out_(&out), used_(out.size()) {}
    ~head_builder() { out_->resize(used_); }
    head_builder(const head_builder&) = delete;
    head_builder& operator=(const head_builder&) = delete;

    void request_line(std::string_view method, std::string_view target);   // HTTP/1.1
    void status_line(int status, std::string_view reason);                 // HTTP/1.1; empty reason: the registered phrase
    void field(std::string_view name, std::string_view value);
    void field(std::string_view name, std::uint64_t value);
    void framing(const body_framing& body); // content-length or transfer-encoding: chunked; nothing for none and until_close
    void connection(std::string_view token); // "close" or "keep-alive"
    void finish();                           // the empty line

private:
    template <class... Pieces>
    void append(Pieces... pieces);
    void grow(std::size_t needed);

    std::string* out_;
    std::size_t used_;
};

// One chunk is `chunk_head(out, n)`, the n bytes, `chunk_tail`. The last chunk is `last_chunk`.
// Writes "<hex>\r\n" into `buffer` (at least 18 bytes) and returns the written part.
[[nodiscard]] std::string_view chunk_head(char* buffer, std::uint64_t size) noexcept;
inline constexpr std::string_view chunk_tail = "\r\n";
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

[[nodiscard]] std::string_view reason_phrase(int status) noexcept; // "" if not registered

} // namespace evenkeel::wire
