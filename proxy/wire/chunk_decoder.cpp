#include "proxy/wire/chunk_decoder.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/field_names.hpp"

#include <algorithm>
#include <limits>

namespace evenkeel::wire {

namespace {

// Where in the grammar of RFC 9112, 7.1 the next byte stands. The white space (BWS) which that grammar asks recipients
// to skip before ';' and around '=' is refused: no current sender writes it, and llhttp and h11 refuse it too.
enum phase : unsigned char {
    size_first,
    size_more,
    ext_start, // after ';'
    ext_name,
    ext_equals, // after '='
    ext_token,
    ext_quoted,
    ext_quoted_pair,
    ext_quoted_end,
    size_line_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    final_lf,
    finished,
    failed,
};

// Text of a quoted string, or what follows a backslash in one: HTAB, SP, visible and obs-text.
constexpr bool is_text(char c) noexcept { return !has_class(c, char_class::control); }

} // namespace

bool chunk_decoder::done() const noexcept { return phase_ == finished; }

bool chunk_decoder::is_forbidden_trailer() const noexcept {
    const std::string_view name(name_.data(), std::min(name_size_, name_.size()));
    const field_id id = classify(name);
    return is_rebuilt_or_hop_by_hop(id) || is_reserved(name, id) || shadows_reserved(name, false);
}

refusal chunk_decoder::end_size_line() noexcept {
    overhead_bytes_ += line_bytes_;
    line_bytes_ = 0;
    // One-byte chunks cost five framing bytes each, so an honest stream of small events stays below the ratio.
    if (overhead_bytes_ > limits_.overhead_grace_bytes && overhead_bytes_ > limits_.max_overhead_ratio * body_bytes_)
        return refusal::chunk_overhead;
    phase_ = remaining_ == 0 ? trailer_start : data;
    return refusal::none;
}

refusal chunk_decoder::read_framing_byte(char c) noexcept {
    const auto become = [this](phase next) noexcept {
        phase_ = next;
        return refusal::none;
    };
    const bool in_size_line = phase_ <= size_line_lf;
    if (in_size_line && ++line_bytes_ > limits_.max_line_bytes) return refusal::chunk_line_too_long;
    if (phase_ >= trailer_start && ++trailer_bytes_ > limits_.max_trailer_bytes) return refusal::trailer_too_large;

    switch (phase_) {
    case size_first:
        name_size_ = 0; // counts the digits of the size here
        remaining_ = 0;
        [[fallthrough]];
    case size_more:
        if (const int digit = hex_value(c); digit >= 0) {
            // 16 digits fill 64 bits; leading zeros count, as no sender needs them.
            if (++name_size_ > 16) return refusal::bad_chunk;
            remaining_ = remaining_ << 4 | static_cast<unsigned>(digit);
            return become(size_more);
        }
        if (phase_ == size_first) return refusal::bad_chunk;
        if (c == '\r') return become(size_line_lf);
        return c == ';' ? become(ext_start) : refusal::bad_chunk;
    case ext_start: return has_class(c, char_class::token) ? become(ext_name) : refusal::bad_chunk;
    case ext_name:
        if (has_class(c, char_class::token)) return refusal::none;
        if (c == '\r') return become(size_line_lf);
        if (c == '=') return become(ext_equals);
        return c == ';' ? become(ext_start) : refusal::bad_chunk;
    case ext_equals:
        if (has_class(c, char_class::token)) return become(ext_token);
        return c == '"' ? become(ext_quoted) : refusal::bad_chunk;
    case ext_token:
        if (has_class(c, char_class::token)) return refusal::none;
        [[fallthrough]];
    case ext_quoted_end:
        if (c == '\r') return become(size_line_lf);
        return c == ';' ? become(ext_start) : refusal::bad_chunk;
    case ext_quoted:
        if (c == '"') return become(ext_quoted_end);
        if (c == '\\') return become(ext_quoted_pair);
        return is_text(c) ? refusal::none : refusal::bad_chunk;
    case ext_quoted_pair: return is_text(c) ? become(ext_quoted) : refusal::bad_chunk;
    case size_line_lf: return c == '\n' ? end_size_line() : refusal::bad_chunk;
    case data_cr: ++overhead_bytes_; return c == '\r' ? become(data_lf) : refusal::bad_chunk;
    case data_lf: ++overhead_bytes_; return c == '\n' ? become(size_first) : refusal::bad_chunk;
    case trailer_start:
        name_size_ = 0;
        if (c == '\r') return become(final_lf);
        [[fallthrough]];
    case trailer_name:
        if (has_class(c, char_class::token)) {
            if (name_size_ < name_.size()) name_[name_size_++] = c;
            return become(trailer_name);
        }
        // A line that starts with white space (obs-fold) has no name either.
        if (c != ':' || phase_ == trailer_start || is_forbidden_trailer()) return refusal::bad_trailer;
        return become(trailer_value);
    case trailer_value:
        if (c == '\r') return become(trailer_lf);
        return is_text(c) ? refusal::none : refusal::bad_trailer;
    case trailer_lf: return c == '\n' ? become(trailer_start) : refusal::bad_trailer;
    case final_lf: return c == '\n' ? become(finished) : refusal::bad_trailer;
    default: return refusal::bad_chunk;
    }
}

chunk_decoder::step chunk_decoder::next(std::string_view in) noexcept {
    step out;
    while (out.consumed < in.size() && phase_ != data) {
        if (const refusal why = read_framing_byte(in[out.consumed]); why != refusal::none) {
            phase_ = failed;
            out.is = state::refused;
            out.why = why;
            return out;
        }
        ++out.consumed;
        if (phase_ == finished) {
            out.is = state::done;
            return out;
        }
    }
    if (phase_ == data && out.consumed < in.size()) {
        const auto available = static_cast<std::uint64_t>(in.size() - out.consumed);
        const auto n = static_cast<std::size_t>(std::min(remaining_, available));
        out.is = state::data;
        out.data = in.substr(out.consumed, n);
        out.consumed += n;
        remaining_ -= n;
        body_bytes_ += n; // bytes really received: does not overflow
        if (remaining_ == 0) phase_ = data_cr;
    }
    return out;
}

} // namespace evenkeel::wire
