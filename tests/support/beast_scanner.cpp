// head_scanner.hpp once more, by Boost.Beast's parser: what takes the place of ours where a program links this file, so
// that both can be measured, and judged by the vectors, behind the very gates that ship. As cheap as it can be had: no
// container, no copy but of a folded value, and Beast's own knowledge of a field's name is used where it has some.

#include "proxy/wire/field_names.hpp"
#include "proxy/wire/head_scanner.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <array>
#include <deque>
#include <string>
#include <utility>

namespace evenkeel::wire {

namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

std::string_view as_std(string_view text) noexcept { return {text.data(), text.size()}; }

// What Beast has a name for, by its enumerator; the rest is classified as for our scanner.
const auto known = [] {
    std::array<field_id, static_cast<unsigned>(http::field::xref) + 1> ids{};
    for (unsigned i = 1; i < ids.size(); ++i)
        if (const auto name = http::to_string(static_cast<http::field>(i)); !name.empty())
            ids.at(i) = classify(as_std(name));
    return ids;
}();

template <class StartLine>
class scanner final : public http::basic_parser<std::is_same_v<StartLine, request_line>> {
public:
    scanner(std::string_view bytes, const head_limits& limits, StartLine& line, std::vector<field>& fields,
            field_summary& summary)
        : bytes_(bytes), limits_(limits), line_(line), fields_(fields), summary_(summary) {
        this->header_limit(static_cast<std::uint32_t>(limits.max_head_bytes));
        this->body_limit(boost::none);
        fields.clear();
        summary.seen = summary.repeated = 0;
        summary.underscore = false;
    }

private:
    void on_request_impl(http::verb, string_view method, string_view target, int version, error_code& error) override {
        if constexpr (std::is_same_v<StartLine, request_line>) {
            line_ = {as_std(method), as_std(target), '1', static_cast<char>('0' + version % 10)};
            if (target.size() > limits_.max_target_bytes) error = http::error::bad_target;
        }
    }
    void on_response_impl(int status, string_view reason, int version, error_code&) override {
        if constexpr (std::is_same_v<StartLine, status_line>)
            line_ = {as_std(reason), status, '1', static_cast<char>('0' + version % 10)};
    }
    void on_field_impl(http::field is, string_view name, string_view value, error_code& error) override {
        if (fields_.size() == limits_.max_fields) {
            error = http::error::bad_field;
            return;
        }
        const field_id id = is != http::field::unknown ? known[static_cast<std::size_t>(is)] : classify(as_std(name));
        if (id == field_id::other || id == field_id::own) summary_.underscore |= name.find('_') != string_view::npos;
        if (id != field_id::other) {
            summary_.repeated |= summary_.seen & bit_of(id);
            summary_.seen |= bit_of(id);
            summary_.at[static_cast<unsigned>(id)] = static_cast<std::uint32_t>(fields_.size());
        }
        fields_.push_back({as_std(name), kept(as_std(value)), id});
    }
    // A folded value is put together on the parser's stack.
    std::string_view kept(std::string_view value) {
        if (value.data() >= bytes_.data() && value.data() <= bytes_.data() + bytes_.size()) return value;
        static thread_local std::deque<std::string> unfolded;
        if (fields_.empty() || unfolded.size() > limits_.max_fields) unfolded.clear();
        return unfolded.emplace_back(value);
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(string_view, error_code&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view, error_code&) override { return 0; }
    void on_finish_impl(error_code&) override {}

    std::string_view bytes_;
    const head_limits& limits_;
    StartLine& line_;
    std::vector<field>& fields_;
    field_summary& summary_;
};

template <class StartLine>
head_result scan(std::string_view bytes, const head_limits& limits, std::size_t& scanned, StartLine& line,
                 std::vector<field>& fields, field_summary& summary) {
    // A head that drips in is searched for its end only, as Beast itself would do it.
    const std::size_t before = std::exchange(scanned, bytes.size());
    const bool truncated = bytes.size() >= limits.max_head_bytes;
    const head_result incomplete{truncated ? head_result::state::refused : head_result::state::need_more, 0,
                                 truncated ? refusal::head_too_large : refusal::none};
    if (before > 3 && bytes.find("\r\n\r\n", before - 3) == std::string_view::npos) return incomplete;
    if (fields.capacity() == 0) fields.reserve(24);
    scanner<StartLine> parser(bytes, limits, line, fields, summary);
    error_code error;
    const std::size_t size = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error == http::error::need_more) return incomplete;
    if (size > limits.max_head_bytes) return {head_result::state::refused, 0, refusal::head_too_large};
    // Beast does not say which rule of the grammar was broken in words of ours.
    if (error) return {head_result::state::refused, 0, refusal::bad_request_line};
    scanned = size;
    return {head_result::state::complete, size, refusal::none};
}

} // namespace

head_result scan_request_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                              request_line& line, std::vector<field>& fields, field_summary& summary) {
    return scan(bytes, limits, scanned, line, fields, summary);
}

head_result scan_response_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                               status_line& line, std::vector<field>& fields, field_summary& summary) {
    return scan(bytes, limits, scanned, line, fields, summary);
}

} // namespace evenkeel::wire
