#include "proxy/wire/framing.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/field_names.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

namespace evenkeel::wire {

namespace {

// Calls `visit(element)` for each element of a comma-separated list, trimmed; empty ones are skipped, as RFC
// 9110, 5.6.1.2 asks of recipients. Stops when `visit` returns false.
template <class Visit>
void for_each_element(std::string_view list, Visit visit) {
    while (true) {
        const std::size_t comma = list.find(',');
        if (const std::string_view element = trim(list.substr(0, comma)); !element.empty() && !visit(element)) return;
        if (comma == std::string_view::npos) return;
        list.remove_prefix(comma + 1);
    }
}

bool is_token(std::string_view text) noexcept {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return has_class(c, char_class::token); });
}

// A value that RFC 9112 would let a server answer with 501: known codings, `chunked` once and last. Everything else in
// a Transfer-Encoding is malformed or an attempt to be read differently by two parsers.
bool is_known_coding_list(std::string_view value) noexcept {
    std::size_t codings = 0;
    bool chunked = false;
    bool known = true;
    for_each_element(value, [&](std::string_view coding) {
        ++codings;
        if (chunked) return known = false;
        chunked = iequals(coding, "chunked");
        known = chunked || iequals(coding, "gzip") || iequals(coding, "x-gzip") || iequals(coding, "deflate") ||
                iequals(coding, "compress") || iequals(coding, "x-compress");
        return known;
    });
    const auto commas = static_cast<std::size_t>(std::count(value.begin(), value.end(), ','));
    return known && chunked && codings > 1 && codings == commas + 1; // no empty element
}

} // namespace

refusal read_framing(const std::vector<field>& fields, const field_summary& summary, int minor_version,
                     framing_fields& out) noexcept {
    out = {};
    const bool has_length = summary.has(field_id::content_length);
    const bool has_coding = summary.has(field_id::transfer_encoding);
    if (!has_length && !has_coding) return refusal::none;
    if (has_length && has_coding) return refusal::length_and_transfer_encoding;
    const field_id id = has_length ? field_id::content_length : field_id::transfer_encoding;
    if (summary.has_more_than_one(id))
        return has_length ? refusal::duplicate_content_length : refusal::bad_transfer_encoding;
    const std::string_view value = fields[summary.index(id)].value;
    if (has_length) {
        out.has_length = read_length(value, out.length);
        return out.has_length ? refusal::none : refusal::bad_content_length;
    }
    if (!iequals(value, "chunked"))
        return is_known_coding_list(value) ? refusal::transfer_encoding_not_supported : refusal::bad_transfer_encoding;
    if (minor_version == 0) return refusal::chunked_in_http10;
    out.chunked = true;
    return refusal::none;
}

bool has_element(std::string_view list, std::string_view element) noexcept {
    bool found = false;
    for_each_element(list, [&](std::string_view one) {
        found = iequals(one, element);
        return !found;
    });
    return found;
}

void read_connection(const std::vector<field>& fields, const field_summary& summary, connection_options& out) noexcept {
    // What nearly every message says needs no list.
    if (!summary.has_more_than_one(field_id::connection)) {
        const std::string_view value = fields[summary.index(field_id::connection)].value;
        out.keep_alive = value.size() == 10 && token_is(value.data(), "keep-alive");
        out.close = value.size() == 5 && token_is(value.data(), "close");
        if (out.keep_alive || out.close) return;
    }
    for (const field& f : fields) {
        if (f.id != field_id::connection) continue;
        for_each_element(f.value, [&](std::string_view element) {
            if (!is_token(element)) {
                out.malformed = true;
            } else if (iequals(element, "close")) {
                out.close = true;
            } else if (iequals(element, "keep-alive")) {
                out.keep_alive = true;
            } else if (iequals(element, "upgrade")) {
                out.upgrade = true;
            } else if (out.nominated == max_nominations) {
                out.too_many = true;
                return false;
            } else {
                out.names[out.nominated++] = {element.data(), element.size()};
                if (is_reserved(element, classify(element)) || shadows_reserved(element, false))
                    out.names_reserved = true;
            }
            return true;
        });
    }
}

bool closes_by_proxy_connection(const std::vector<field>& fields, const field_summary& summary) noexcept {
    if (!summary.has(field_id::proxy_connection)) return false;
    return summary.has_more_than_one(field_id::proxy_connection) ||
           !iequals(fields[summary.index(field_id::proxy_connection)].value, "keep-alive");
}

void keep_end_to_end(std::vector<field>& fields, const field_summary& summary,
                     const connection_options* options) noexcept {
    constexpr std::uint64_t dropped = [] {
        std::uint64_t bits = 0;
        for (unsigned i = 0; i < field_ids; ++i)
            if (is_rebuilt_or_hop_by_hop(static_cast<field_id>(i))) bits |= bit_of(static_cast<field_id>(i));
        return bits;
    }();
    const std::uint64_t going = summary.seen & dropped;
    if (options != nullptr && options->nominated != 0) {
        for (std::size_t i = 0; i < options->nominated; ++i)
            for (field& f : fields)
                if (iequals(f.name, {options->names[i].data, options->names[i].size}))
                    f.id = field_id::connection_nominated;
    } else if (going == 0) {
        return;
    } else if ((summary.repeated & going) == 0) {
        // One of each, as good as always: from the last on, so that the places in front of it stay what they are.
        std::array<std::uint32_t, field_ids> places;
        std::size_t count = 0;
        for (std::uint64_t left = going; left != 0; left &= left - 1) {
            const std::uint32_t place = summary.at[static_cast<unsigned>(std::countr_zero(left))];
            std::size_t to = count++;
            for (; to != 0 && places[to - 1] < place; --to) places[to] = places[to - 1];
            places[to] = place;
        }
        for (std::size_t i = 0; i < count; ++i) fields.erase(fields.begin() + places[i]);
        return;
    }
    const auto goes = [](const field& f) { return (dropped >> static_cast<unsigned>(f.id) & 1U) != 0; };
    fields.erase(std::remove_if(fields.begin(), fields.end(), goes), fields.end());
}

} // namespace evenkeel::wire
