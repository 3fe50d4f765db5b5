#pragma once
// Decodes a chunked body, strictly: sizes of plain hex digits, CRLF line ends, extensions and trailers checked and
// dropped, every overhead bounded. The proxy writes its own chunks; none of the bytes between data is ever forwarded.

#include "proxy/wire/limits.hpp"
#include "proxy/wire/refusal.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace evenkeel::wire {

class chunk_decoder {
public:
    enum class state : unsigned char { need_more, data, done, refused };

    struct step {
        state is = state::need_more;
        std::size_t consumed = 0; // of the bytes handed in; the caller drops these and calls again
        std::string_view data;    // body bytes, a part of the bytes handed in; non-empty exactly if `is == data`
        refusal why = refusal::none;
    };

    explicit chunk_decoder(chunk_limits limits = {}) noexcept : limits_(limits) {}

    // Looks at `in`, the bytes not yet consumed. `need_more` may have consumed some. After `done` the next byte belongs
    // to the next message; after `done` or `refused` it is not called again.
    [[nodiscard]] step next(std::string_view in) noexcept;
    [[nodiscard]] bool done() const noexcept;

private:
    chunk_limits limits_;
    unsigned char phase_ = 0;
    std::uint64_t remaining_ = 0;
    std::uint64_t body_bytes_ = 0;
    std::uint64_t overhead_bytes_ = 0;
    std::size_t line_bytes_ = 0;
    std::size_t trailer_bytes_ = 0;
    // The current trailer's name, so that a name cut by a read is still known: no reserved name is longer than 19.
    std::array<char, 20> name_{};
    std::size_t name_size_ = 0;

    [[nodiscard]] refusal read_framing_byte(char c) noexcept;
    [[nodiscard]] refusal end_size_line() noexcept;
    [[nodiscard]] bool is_forbidden_trailer() const noexcept;
};

} // namespace evenkeel::wire
