#include "invariant.hpp"

#include "proxy/wire/chunk_decoder.hpp"

#include <algorithm>
#include <string>

using namespace evenkeel;
using fuzz::require;

namespace {

using decoder = wire::chunk_decoder;

struct outcome {
    std::string body;
    decoder::state end = decoder::state::need_more;
    wire::refusal why = wire::refusal::none;
    std::size_t consumed = 0;
    bool operator==(const outcome&) const = default;
};

outcome decode(std::string_view bytes, std::size_t piece) {
    decoder d({.max_line_bytes = 64, .max_trailer_bytes = 128, .overhead_grace_bytes = 256, .max_overhead_ratio = 8});
    outcome out;
    std::size_t limit = std::min(piece, bytes.size());
    while (true) {
        const std::string_view in = bytes.substr(out.consumed, limit - out.consumed);
        const decoder::step step = d.next(in);
        require(step.consumed <= in.size(), "consumed no more than there is");
        require((step.is == decoder::state::data) == !step.data.empty(), "data comes with the state data");
        fuzz::require_inside(step.data, in);
        out.body.append(step.data);
        if (step.is == decoder::state::refused) {
            out.end = step.is;
            out.why = step.why;
            out.consumed = 0; // where a refused body stops being read depends on the pieces
            return out;
        }
        out.consumed += step.consumed;
        require(d.done() == (step.is == decoder::state::done), "done says so");
        if (step.is == decoder::state::done) {
            out.end = step.is;
            return out;
        }
        if (step.is == decoder::state::data) continue;
        require(out.consumed == limit, "waiting means that everything was read");
        if (limit == bytes.size()) return out;
        limit = std::min(limit + piece, bytes.size());
    }
}

// A second, plain implementation for bodies without extensions and trailers: what it can read must come out the same.
bool decode_plainly(std::string_view bytes, std::string& body, std::size_t& consumed) {
    std::size_t at = 0;
    while (true) {
        const std::size_t line = bytes.find("\r\n", at);
        if (line == std::string_view::npos || line == at || line - at > 16) return false;
        std::uint64_t size = 0;
        for (const char c : bytes.substr(at, line - at)) {
            const std::size_t digit =
                std::string_view("0123456789abcdef").find(static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c));
            if (digit == std::string_view::npos) return false;
            size = size << 4 | digit;
        }
        at = line + 2;
        if (size == 0) {
            if (bytes.substr(at, 2) != "\r\n") return false;
            consumed = at + 2;
            return true;
        }
        if (size > bytes.size() - at || bytes.size() - at - size < 2) return false;
        body.append(bytes.substr(at, static_cast<std::size_t>(size)));
        at += static_cast<std::size_t>(size);
        if (bytes.substr(at, 2) != "\r\n") return false;
        at += 2;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const outcome whole = decode(bytes, bytes.size());
    require(decode(bytes, data[0] % 32 + 1) == whole, "pieces and whole agree");
    require(whole.body.size() <= bytes.size(), "a body is smaller than its chunks");

    std::string body;
    std::size_t consumed = 0;
    if (decode_plainly(bytes, body, consumed) && whole.why != wire::refusal::chunk_overhead)
        require(whole.end == decoder::state::done && whole.body == body && whole.consumed == consumed,
                "the plain decoder agrees");
    return 0;
}
