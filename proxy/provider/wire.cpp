#include "proxy/provider/wire.hpp"

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http.hpp>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

namespace evenkeel::provider {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

namespace {

void append_little_endian(std::string& out, std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i, value >>= 8U) out += static_cast<char>(value & 0xffU);
}

template <class Header, class Word>
std::string head_text(Header& head, const header_list& headers, Word word) {
    for (const auto& [name, value] : headers) head.insert(name, value);
    const http::fields::writer written(head, head.version(), word);
    return boost::beast::buffers_to_string(written.get());
}

} // namespace

template <bool Request>
class message_reader<Request>::parser final : public http::basic_parser<Request> {
public:
    explicit parser(message_reader& to) : to_(to) {
        this->header_limit(1024 * 1024);
        this->body_limit(boost::none);
    }

private:
    static std::string_view text(string_view from) noexcept { return {from.data(), from.size()}; }

    void on_request_impl(http::verb, string_view method, string_view target, int version, error_code&) override {
        to_.head.method = text(method);
        to_.head.target = text(target);
        to_.head.minor_version = version % 10;
    }
    void on_response_impl(int status, string_view reason, int version, error_code&) override {
        to_.head.status = status;
        to_.head.reason = text(reason);
        to_.head.minor_version = version % 10;
    }
    void on_field_impl(http::field is, string_view name, string_view value, error_code& error) override {
        // Beast takes a body in a coding that it does not know for one that ends with the connection, and unfolds what
        // was folded over lines, elsewhere.
        if (is == http::field::transfer_encoding && !boost::beast::iequals(value, "chunked"))
            error = http::error::bad_transfer_encoding;
        if (value.data() < to_.input_.data() || value.data() > to_.input_.data() + to_.input_.size())
            error = http::error::bad_obs_fold;
        (this->is_header_done() ? to_.trailers : to_.head.headers).emplace_back(text(name), text(value));
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(string_view body, error_code&) override {
        to_.on_body_(text(body));
        return body.size();
    }
    void on_chunk_header_impl(std::uint64_t size, string_view, error_code&) override {
        if (size > 0) to_.chunks.push_back(static_cast<std::size_t>(size));
    }
    std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code& error) override {
        return on_body_impl(body, error);
    }
    void on_finish_impl(error_code&) override {}

    message_reader& to_;
};

template <bool Request>
message_reader<Request>::message_reader(std::function<void(std::string_view)> on_body, bool bodiless)
    : on_body_(std::move(on_body)), parser_(std::make_unique<parser>(*this)) {
    parser_->skip(bodiless);
}
template <bool Request>
message_reader<Request>::~message_reader() = default;

template <bool Request>
message_part message_reader<Request>::read_head(std::string& input) {
    if (Request && taken == 0) { // blank lines before a request line (RFC 9112, 2.2)
        while (input.starts_with("\r\n")) input.erase(0, 2);
        if (input == "\r") return message_part::head;
    }
    return read(input, std::string::npos, true);
}
template <bool Request>
message_part message_reader<Request>::read_body(std::string& input, std::size_t most) {
    return read(input, most, false);
}

template <bool Request>
message_part message_reader<Request>::read(std::string& input, std::size_t most, bool head_only) {
    input_ = std::string_view{input}.substr(0, most);
    std::size_t at = 0;
    error_code failed;
    while (at < input_.size() && !failed && !parser_->is_done() && !(head_only && parser_->is_header_done()))
        at += parser_->put(boost::asio::const_buffer(input_.data() + at, input_.size() - at), failed);
    input.erase(0, at);
    taken += at;
    if (failed && failed != http::error::need_more) {
        error = failed.message();
        return message_part::malformed;
    }
    if (!parser_->is_header_done()) return message_part::head;
    return parser_->is_done() ? message_part::nothing : message_part::body;
}

template <bool Request>
bool message_reader<Request>::may_end() {
    error_code failed;
    if (parser_->got_some() && !parser_->is_done()) parser_->put_eof(failed);
    return !failed && parser_->is_done();
}

template class message_reader<true>;
template class message_reader<false>;

struct sha256::context {
    EVP_MD_CTX* evp = EVP_MD_CTX_new();
};
sha256::sha256() : context_(std::make_unique<context>()) { EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr); }
sha256::~sha256() { EVP_MD_CTX_free(context_->evp); }
void sha256::add(std::string_view bytes) { EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()); }
std::string sha256::hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_DigestFinal_ex(context_->evp, digest.data(), &size);
    std::string out;
    for (unsigned i = 0; i < size; ++i) {
        out += "0123456789abcdef"[digest[i] >> 4U];
        out += "0123456789abcdef"[digest[i] & 15U];
    }
    return out;
}

std::string stored_gzip::block(std::string_view data) {
    std::string out;
    if (!begun_) out.append("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", 10);
    begun_ = true;
    for (const char c : data) {
        crc_ ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc_ = crc_ >> 1U ^ ((crc_ & 1U) != 0 ? 0xedb88320U : 0U);
    }
    size_ += static_cast<std::uint32_t>(data.size());
    // A stored block (RFC 1951, 3.2.4) holds at most 65535 bytes.
    for (std::size_t at = 0; at < data.size(); at += 65535) {
        const auto part = data.substr(at, 65535);
        const auto length = static_cast<std::uint32_t>(part.size());
        out += '\0';
        append_little_endian(out, length, 2);
        append_little_endian(out, ~length, 2);
        out += part;
    }
    return out;
}

std::string stored_gzip::finish() {
    std::string out = begun_ ? std::string{} : block({});
    out.append("\x01\x00\x00\xff\xff", 5);
    append_little_endian(out, ~crc_, 4);
    append_little_endian(out, size_, 4);
    return out;
}

std::string request_head_text(std::string_view method, std::string_view target, const header_list& headers) {
    http::request_header<> head;
    head.method_string({method.data(), method.size()});
    head.target({target.data(), target.size()});
    return head_text(head, headers, head.method());
}

std::string response_head_text(int status, const header_list& headers, int minor_version) {
    http::response_header<> head;
    head.version(10 + static_cast<unsigned>(minor_version));
    head.result(static_cast<unsigned>(status));
    if (head.result() == http::status::unknown) head.reason("Status");
    return head_text(head, headers, head.result_int());
}

std::string chunk_of(std::string_view data) {
    return boost::beast::buffers_to_string(http::make_chunk(boost::asio::const_buffer(data.data(), data.size())));
}

std::string http_date(std::int64_t seconds_ahead) {
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) + seconds_ahead;
    std::tm calendar{};
    ::gmtime_r(&now, &calendar);
    std::array<char, 40> text{};
    const auto size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &calendar);
    return {text.data(), size};
}

} // namespace evenkeel::provider
