// Writes messages that the wire room accepts, with what it read from them, one JSON object per line, for other parsers
// to be compared with: wire_differential_generate <number of messages> <seed>. Strings hold one byte per character
// (Latin-1).
//
// A line: kind, bytes (the message, then `next` if the connection goes on), method, target, host or status, fields
// (end-to-end, in order), body, size (bytes of the message), head_request, until_close, keep_alive.

#include "../mutate.hpp"
#include "../verdicts.hpp"

#include "proxy/wire/characters.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace evenkeel;
using namespace evenkeel::test;

namespace {

constexpr std::size_t longest_body = 4096;

std::string quoted(std::string_view bytes) {
    std::string out = "\"";
    for (const char c : bytes) {
        const auto u = static_cast<unsigned char>(c);
        if (u >= 0x20 && u < 0x7f && c != '"' && c != '\\') {
            out += c;
        } else {
            char text[8];
            std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(u));
            out += text;
        }
    }
    return out + "\"";
}

// A body as the head announces it, of bytes that could be taken for messages.
std::string random_body(const wire::body_framing& framing, std::mt19937& random) {
    static const std::string filler = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n0\r\n\r\nHTTP/1.1 200 "
                                      "OK\r\nContent-Length: 0\r\n\r\n5\r\nhello\r\n\377\200\r\n";
    const auto piece = [&](std::size_t size) {
        std::string out;
        while (out.size() < size) out += filler.substr(random() % filler.size());
        out.resize(size);
        return out;
    };
    switch (framing.kind) {
    case wire::body_kind::none: return "";
    case wire::body_kind::length:
        return framing.length > longest_body ? "" : piece(static_cast<std::size_t>(framing.length));
    case wire::body_kind::until_close: return piece(random() % 200);
    case wire::body_kind::chunked: break;
    }
    if (random() % 3 == 0) {
        const std::vector<chunk_vector>& rows = chunk_vectors();
        const chunk_vector& row = rows[random() % rows.size()];
        if (row.bytes.size() < longest_body) return row.bytes.substr(0, row.bytes.size() - row.rest.size());
    }
    static constexpr const char* extensions[] = {"", "", "", "", ";a", ";a=b", ";a=\"b\\\"c\"", ";x=\"\";y"};
    static constexpr const char* trailers[] = {"", "", "", "X: y\r\n", "Expires: 0\r\nX-Sum:\r\n"};
    std::string out;
    for (std::size_t n = random() % 4; n != 0; --n) {
        const std::size_t size = 1 + random() % 40;
        char text[32];
        std::snprintf(text, sizeof text, random() % 2 == 0 ? "%zx" : "%04zX", size);
        out.append(text)
            .append(extensions[random() % std::size(extensions)])
            .append("\r\n")
            .append(piece(size))
            .append("\r\n");
    }
    return out.append("0")
        .append(extensions[random() % std::size(extensions)])
        .append("\r\n")
        .append(trailers[random() % std::size(trailers)])
        .append("\r\n");
}

// Reads the body that starts at `bytes`; false if it is malformed or not all there.
bool read_body(const wire::body_framing& framing, std::string_view bytes, std::string& body, std::size_t& size) {
    switch (framing.kind) {
    case wire::body_kind::none: size = 0; return true;
    case wire::body_kind::length:
        if (framing.length > bytes.size()) return false;
        size = static_cast<std::size_t>(framing.length);
        body = bytes.substr(0, size);
        return true;
    case wire::body_kind::until_close:
        size = bytes.size();
        body = bytes;
        return true;
    case wire::body_kind::chunked: break;
    }
    wire::chunk_decoder decoder;
    size = 0;
    while (true) {
        const auto step = decoder.next(bytes.substr(size));
        size += step.consumed;
        body.append(step.data);
        if (step.is == wire::chunk_decoder::state::done) return true;
        if (step.is != wire::chunk_decoder::state::data) return false;
    }
}

std::string own_parts(const wire::request_head& head, std::string_view bytes) {
    const std::size_t start = bytes.find(' ') + 1;
    return "\"method\":" + quoted(head.method) +
           ",\"target\":" + quoted(bytes.substr(start, bytes.find(' ', start) - start)) +
           ",\"host\":" + quoted(head.host);
}

std::string own_parts(const wire::response_head& head, std::string_view) {
    return "\"status\":" + std::to_string(head.status);
}

// Where others do not go along: they stop reading HTTP/1.1 where an upgrade is asked for, and llhttp takes no HTAB
// behind a framing field's value (RFC 9110, 5.5, allows it).
bool others_stop_at(std::string_view bytes) {
    std::string small(bytes);
    for (char& c : small) c = wire::lower(c);
    for (const std::string_view name : {"\ncontent-length:", "\ntransfer-encoding:"}) {
        const std::size_t at = small.find(name);
        if (at != std::string::npos && small.substr(at, small.find('\r', at) - at).find('\t') != std::string::npos)
            return true;
    }
    return small.find("\nupgrade") != std::string::npos;
}

// Prints a message made of `bytes` if it is accepted as a whole.
template <class Head>
bool print(const char* kind, const head_vector& row, const std::string& bytes, std::string_view next) {
    Head head;
    std::size_t scanned = 0;
    const wire::head_result result = read_head(row, bytes, scanned, head);
    if (result.is != wire::head_result::state::complete || others_stop_at(bytes)) return false;
    std::string body;
    std::size_t body_size = 0;
    if (!read_body(head.body, std::string_view(bytes).substr(result.consumed), body, body_size)) return false;
    const std::size_t size = result.consumed + body_size;

    std::string fields;
    for (const wire::field& f : head.fields)
        fields += (fields.empty() ? "[" : ",[") + quoted(f.name) + "," + quoted(f.value) + "]";
    const bool until_close = head.body.kind == wire::body_kind::until_close;
    const std::string sent = bytes.substr(0, size) + std::string(head.keep_alive && !until_close ? next : "");
    std::printf("{\"kind\":\"%s\",\"bytes\":%s,%s,\"fields\":[%s],\"body\":%s,\"size\":%zu,\"head_request\":%s,\"until_"
                "close\":%s,\"keep_alive\":%s}\n",
                kind, quoted(sent).c_str(), own_parts(head, bytes).c_str(), fields.c_str(), quoted(body).c_str(), size,
                row.head_request ? "true" : "false", until_close ? "true" : "false",
                head.keep_alive ? "true" : "false");
    return true;
}

// `count` accepted messages; the number tried to find them.
template <class Head>
long generate(const char* kind, const std::vector<head_vector>& rows, std::string_view next, long count,
              unsigned seed) {
    mutator mutants(rows, seed);
    long tried = 0;
    while (count > 0) {
        ++tried;
        const head_vector* row = nullptr;
        std::string bytes = mutants.next(row);
        Head head;
        std::size_t scanned = 0;
        if (read_head(*row, bytes, scanned, head).is != wire::head_result::state::complete) continue;
        bytes += random_body(head.body, mutants.random());
        for (auto changes = mutants.random()() % 3; changes != 0; --changes) mutants.change(bytes);
        count -= print<Head>(kind, *row, bytes, next) ? 1 : 0;
    }
    return tried;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: %s <number of messages> <seed>\n", argv[0]), 2;
    const long count = std::strtol(argv[1], nullptr, 10);
    const auto seed = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10));
    const long requests = generate<wire::request_head>("request", request_vectors(),
                                                       "GET /next HTTP/1.1\r\nHost: next\r\n\r\n", count / 2, seed);
    const long responses = generate<wire::response_head>(
        "response", response_vectors(), "HTTP/1.1 299 next\r\nContent-Length: 0\r\n\r\n", count - count / 2, seed + 1);
    std::fprintf(stderr, "%ld accepted of %ld requests and %ld responses tried (seed %u)\n", count, requests, responses,
                 seed);
    return 0;
}
