#include "mutate.hpp"

#include <iterator>

namespace evenkeel::test {

namespace {

constexpr std::string_view pieces[] = {
    "\r\n",
    "\n",
    "\r",
    "\r\n ",
    "\t",
    " ",
    ":",
    ",",
    ";",
    "\"",
    "\\",
    "/",
    "//",
    "/..",
    "%2e",
    "%",
    "?",
    "#",
    "@",
    "_",
    "-",
    ".",
    "0",
    "1",
    "5",
    "a",
    "\001",
    "\177",
    "\200",
    "\377",
    "HTTP/1.1",
    "HTTP/1.0",
    "chunked",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Host: a\r\n",
    "Host: b\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, x\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    "Keep-Alive: timeout=5\r\n",
    "GET ",
    "POST ",
    "http://a",
    "100",
    "204",
    "304",
    "200",
};

} // namespace

mutator::mutator(const std::vector<head_vector>& rows, unsigned seed) : random_(seed) {
    for (const head_vector& row : rows) {
        if (row.bytes.size() >= 1500) continue;
        rows_.push_back(&row);
        if (row.why == wire::refusal::none) accepted_.push_back(&row);
    }
}

void mutator::change(std::string& bytes) {
    if (bytes.empty()) return;
    const std::size_t at = below(bytes.size());
    switch (below(9)) {
    case 0: bytes[at] = static_cast<char>(random_()); break;
    case 1: bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8)); break;
    case 2: bytes.erase(at, 1 + below(3)); break;
    case 3: bytes.insert(at, pieces[below(std::size(pieces))]); break;
    case 4:
    case 5: { // a piece at the start of a line
        const std::size_t line = bytes.find("\r\n", at);
        if (line != std::string::npos) bytes.insert(line + 2, pieces[below(std::size(pieces))]);
        break;
    }
    case 6: { // a line once more, or gone
        const std::size_t line = bytes.find("\r\n", at);
        const std::size_t next = line == std::string::npos ? line : bytes.find("\r\n", line + 2);
        if (next == std::string::npos) break;
        if (below(2) == 0)
            bytes.insert(next + 2, bytes.substr(line + 2, next - line));
        else
            bytes.erase(line + 2, next - line);
        break;
    }
    case 7: { // the front of one message and the back of another
        const std::string& other = rows_[below(rows_.size())]->bytes;
        bytes = bytes.substr(0, at) + other.substr(below(other.size() + 1));
        break;
    }
    default: { // a field line of another message
        const std::string& other = rows_[below(rows_.size())]->bytes;
        const std::size_t from = other.find("\r\n", below(other.size()));
        const std::size_t to = from == std::string::npos ? from : other.find("\r\n", from + 2);
        const std::size_t line = bytes.find("\r\n", at);
        if (to != std::string::npos && line != std::string::npos) bytes.insert(line, other.substr(from, to - from));
        break;
    }
    }
}

std::string mutator::next(const head_vector*& row) {
    const std::vector<const head_vector*>& from = below(3) == 0 ? rows_ : accepted_;
    row = from[below(from.size())];
    std::string bytes = row->bytes;
    for (std::size_t changes = below(5); changes != 0; --changes) change(bytes);
    return bytes;
}

} // namespace evenkeel::test
