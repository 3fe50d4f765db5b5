#include "beast_tokeniser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

namespace evenkeel::test {

namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

template <bool IsRequest>
class tokeniser : public http::basic_parser<IsRequest> {
public:
    explicit tokeniser(beast_head& out) : out_(out) {}

private:
    static std::string text(string_view s) { return {s.data(), s.size()}; }

    void on_request_impl(http::verb, string_view method, string_view target, int version, error_code&) override {
        out_.method = text(method);
        out_.target = text(target);
        out_.version = version;
    }
    void on_response_impl(int code, string_view reason, int version, error_code&) override {
        out_.status = code;
        out_.reason = text(reason);
        out_.version = version;
    }
    void on_field_impl(http::field, string_view name, string_view value, error_code&) override {
        out_.fields.emplace_back(text(name), text(value));
    }
    void on_header_impl(error_code&) override { out_.complete = true; }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override { return body.size(); }
    void on_finish_impl(error_code&) override {}

    beast_head& out_;
};

template <bool IsRequest>
beast_head read(std::string_view bytes, bool head_request) {
    beast_head out;
    tokeniser<IsRequest> parser(out);
    parser.header_limit(256 * 1024);
    parser.body_limit(boost::none);
    parser.skip(head_request);
    error_code ec;
    // Beast reads the start line and the fields in one or two steps, but never past the head unless it is eager.
    while (!parser.is_header_done() && out.consumed < bytes.size()) {
        const std::size_t n =
            parser.put(boost::asio::const_buffer(bytes.data() + out.consumed, bytes.size() - out.consumed), ec);
        out.consumed += n;
        if (ec || n == 0) break;
    }
    if (ec || !parser.is_header_done()) {
        out.complete = false;
        out.error = ec ? ec.message() : "incomplete";
        return out;
    }
    out.complete = true;
    out.chunked = parser.chunked();
    out.keep_alive = parser.keep_alive();
    out.needs_eof = parser.need_eof();
    if (const auto length = parser.content_length()) out.content_length = *length;
    return out;
}

} // namespace

beast_head beast_request_head(std::string_view bytes) { return read<true>(bytes, false); }
beast_head beast_response_head(std::string_view bytes, bool head_request) { return read<false>(bytes, head_request); }

std::vector<std::string> beast_tokens(std::string_view list) {
    std::vector<std::string> out;
    for (const string_view token : http::token_list{string_view(list.data(), list.size())})
        out.emplace_back(token.data(), token.size());
    return out;
}

} // namespace evenkeel::test
