#pragma once
// Writes an outgoing head into a text that the caller owns and reuses. Only validated parts may be passed in; framing
// fields and `Connection` are written by `framing` and `connection` and by nobody else.

#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace evenkeel::wire {

class head_builder {
public:
    explicit head_builder(head_text& out) noexcept : out_(&out) {} // appends
    head_builder(const head_builder&) = delete;
    head_builder& operator=(const head_builder&) = delete;

    void request_line(std::string_view method, std::string_view target); // HTTP/1.1
    // HTTP/1.1; empty reason: the registered phrase.
    void status_line(int status, std::string_view reason);
    void field(std::string_view name, std::string_view value);
    void field(std::string_view name, std::uint64_t value);
    // Fields in their order. Those of a gate's head that stand behind one another exactly as they would be written (one
    // space, no trailing white space, nothing dropped in between) go out as one piece.
    template <class Keep>
    void fields(std::string_view raw, const std::vector<wire::field>& all, Keep keep);
    // Content-length or transfer-encoding: chunked; nothing for none and until_close.
    void framing(const body_framing& body);
    void connection(std::string_view token); // "close" or "keep-alive"
    void finish();                           // the empty line

private:
    template <class... Pieces> // std::string_view or literals
    void append(const Pieces&... pieces);
    void lines(std::string_view whole_lines);

    head_text* out_;
};

template <class Keep>
void head_builder::fields(std::string_view raw, const std::vector<wire::field>& all, Keep keep) {
    const char* begin = nullptr; // of the run that is collected
    const char* end = nullptr;   // behind its last CRLF
    const auto flush = [&] {
        if (begin != nullptr) lines({begin, static_cast<std::size_t>(end - begin)});
        begin = nullptr;
    };
    const char* const raw_end = raw.data() + raw.size();
    for (const wire::field& one : all) {
        if (!keep(one)) continue;
        const char* const name_end = one.name.data() + one.name.size();
        const char* const value_end = one.value.data() + one.value.size();
        const bool in_raw = !raw.empty() && std::less_equal<>{}(raw.data(), one.name.data()) &&
                            std::less_equal<>{}(value_end + 2, raw_end);
        if (!in_raw || one.value.data() != name_end + 2 || name_end[0] != ':' || name_end[1] != ' ' ||
            value_end[0] != '\r') {
            flush();
            field(one.name, one.value);
            continue;
        }
        if (begin == nullptr || end != one.name.data()) {
            flush();
            begin = one.name.data();
        }
        end = value_end + 2;
    }
    flush();
}

// One chunk is `chunk_head(out, n)`, the n bytes, `chunk_tail`. The last chunk is `last_chunk`.
// Writes "<hex>\r\n" into `buffer` (at least 18 bytes) and returns the written part.
[[nodiscard]] std::string_view chunk_head(char* buffer, std::uint64_t size) noexcept;
inline constexpr std::string_view chunk_tail = "\r\n";
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

[[nodiscard]] std::string_view reason_phrase(int status) noexcept; // "" if not registered

} // namespace evenkeel::wire
