#pragma once
// The line grammar of a message head and nothing more: raw bytes in, the parts of the start line and the field lines
// out, or the first rule of RFC 9112 (sections 2.2, 3, 4 and 5) that a line breaks. What the fields mean, and whether
// the message may pass, is for the gates to say.
//
// A line is judged when it is complete; a control character is refused as soon as it is seen. So the verdict does not
// depend on how the bytes were cut into reads, which the tests check at every position.
//
// Why not Boost.Beast's basic_parser: behind the very same gates it costs 15,600 instructions for the two heads of a
// plain request where this costs 5,700, which is 34 % more for the whole request (2026-11-29, `tests/bench/run
// --heads`). It would also unfold obs-fold, whose values then lie elsewhere than the head, and name no rule that was
// broken; wire_beast_gate_test lists what would come through, wire_beast_test what it lets pass without the gates. It
// remains the oracle: what is accepted here, it must accept and split the same way.

#include "proxy/wire/head.hpp"
#include "proxy/wire/limits.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace evenkeel::wire {

struct request_line {
    std::string_view method; // a token
    std::string_view target; // 0x21-0x7e, not empty
    char major = '1';
    char minor = '1';
};

struct status_line {
    std::string_view reason;
    int status = 0; // three digits
    char major = '1';
    char minor = '1';
};

[[nodiscard]] constexpr std::uint64_t bit_of(field_id id) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(id);
}

// What came by while the field lines were read, so that a gate need not look again for what is not there.
struct field_summary {
    std::uint64_t seen = 0;                  // a bit for each field_id
    std::uint64_t repeated = 0;              // likewise, for those seen more than once
    bool underscore = false;                 // some name contains '_'
    std::array<std::uint32_t, field_ids> at; // where in the fields an id was seen last; only for those seen

    [[nodiscard]] bool has(field_id id) const noexcept { return (seen & bit_of(id)) != 0; }
    [[nodiscard]] bool has_any(std::uint64_t of) const noexcept { return (seen & of) != 0; }
    [[nodiscard]] bool has_more_than_one(field_id id) const noexcept { return (repeated & bit_of(id)) != 0; }
    [[nodiscard]] std::uint32_t index(field_id id) const noexcept { return at[static_cast<unsigned>(id)]; }
};

[[nodiscard]] head_result scan_request_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                                            request_line& line, std::vector<field>& fields, field_summary& summary);

[[nodiscard]] head_result scan_response_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                                             status_line& line, std::vector<field>& fields, field_summary& summary);

} // namespace evenkeel::wire
