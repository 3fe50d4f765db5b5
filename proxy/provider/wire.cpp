#include "proxy/provider/wire.hpp"

#include "proxy/provider/core.hpp"
#include "proxy/provider/text.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>

namespace evenkeel::provider {

namespace {

void append_little_endian(std::string& out, std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i, value >>= 8U) out += static_cast<char>(value & 0xffU);
}

} // namespace

head_result take_request_head(std::string& input, attempt_record& record) {
    // Blank lines before a request line are skipped (RFC 9112, 2.2).
    std::size_t skipped = 0;
    while (input.compare(skipped, 2, "\r\n") == 0) skipped += 2;
    input.erase(0, skipped);
    const auto end = input.find("\r\n\r\n");
    if (end == std::string::npos) return input.size() > 1024 * 1024 ? head_result::malformed : head_result::incomplete;
    std::string_view head{input.data(), end + 2};
    const auto next_line = [&head] {
        const auto stop = head.find("\r\n");
        const auto line = head.substr(0, stop);
        head.remove_prefix(stop + 2);
        return line;
    };
    const auto start = next_line();
    const auto first = start.find(' ');
    const auto last = start.rfind(' ');
    const auto version = start.substr(last == std::string_view::npos ? start.size() : last + 1);
    if (first == std::string_view::npos || last <= first || !version.starts_with("HTTP/1.") || version.size() != 8)
        return head_result::malformed;
    record.method = start.substr(0, first);
    record.target = start.substr(first + 1, last - first - 1);
    record.minor_version = version[7] - '0';
    while (!head.empty()) {
        const auto line = next_line();
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) return head_result::malformed;
        record.headers.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
    }
    record.bytes_in = end + 4;
    input.erase(0, end + 4);
    return head_result::complete;
}

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

body_reader::body_reader(const attempt_record& record, bool keep) : keep_(keep) {
    const auto coding = record.header("transfer-encoding");
    chunked_ = !coding.empty();
    const auto length = record.header("content-length");
    std::from_chars(length.data(), length.data() + length.size(), remaining_);
    if (chunked_) remaining_ = 0;
}

void body_reader::take(std::string_view data) {
    if (told_ && !data.empty()) told_(bytes_, data);
    hash_.add(data);
    bytes_ += data.size();
    if (keep_) body_.append(data);
}

body_reader::state body_reader::consume(std::string& input) {
    if (done_) return state::done;
    const auto before = input.size();
    state out = state::more;
    if (chunked_) {
        out = consume_chunked(input);
    } else {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, input.size()));
        take(std::string_view{input}.substr(0, size));
        input.erase(0, size);
        remaining_ -= size;
        if (remaining_ == 0) out = state::done;
    }
    wire_bytes_ += before - input.size();
    done_ = out == state::done;
    return out;
}

body_reader::state body_reader::consume_chunked(std::string& input) {
    std::size_t at = 0;
    state out = state::more;
    while (out == state::more) {
        if (part_ == part::data) {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, input.size() - at));
            if (size == 0) break;
            take(std::string_view{input}.substr(at, size));
            at += size;
            remaining_ -= size;
            if (remaining_ == 0) part_ = part::crlf;
            continue;
        }
        const auto end = input.find("\r\n", at);
        if (end == std::string::npos) break;
        const std::string_view line{input.data() + at, end - at};
        at = end + 2;
        switch (part_) {
        case part::size: {
            const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), remaining_, 16);
            if (error != std::errc{} || (stop != line.data() + line.size() && *stop != ';')) out = state::malformed;
            part_ = remaining_ == 0 ? part::trailer : part::data;
            break;
        }
        case part::crlf:
            if (!line.empty()) out = state::malformed;
            part_ = part::size;
            break;
        case part::trailer:
            if (line.empty()) out = state::done;
            break;
        case part::data: break;
        }
    }
    input.erase(0, at);
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

std::string_view reason_phrase(int status) noexcept {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
    }
}

std::string http_date(std::int64_t seconds_ahead) {
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) + seconds_ahead;
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    std::array<char, 40> text{};
    const auto size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return {text.data(), size};
}

std::string chunk_of(std::string_view data) {
    std::array<char, 20> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16).ptr;
    std::string out;
    out.reserve(data.size() + 24);
    out.append(size.data(), end).append("\r\n").append(data).append("\r\n");
    return out;
}

} // namespace evenkeel::provider
