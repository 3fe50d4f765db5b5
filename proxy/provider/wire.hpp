#pragma once
// HTTP/1.1 as the provider and the client of this room speak it: Boost.Beast reads every message and writes every head
// and every whole chunk. What no library would write is put together where the script asks for it. No sockets.

#include "proxy/provider/blocking_client.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::provider {

struct message_head {
    std::string method, target; // of a request
    int status = 0;             // of a response
    std::string reason;
    int minor_version = 1;
    header_list headers; // in order, as received
};

// What a message has yet to give.
enum class message_part : unsigned char { head, body, nothing, malformed };

// Takes one message off the front of a growing input.
template <bool Request>
class message_reader {
public:
    // Body bytes go to `on_body`, decoded. `bodiless`: an answer to HEAD.
    explicit message_reader(std::function<void(std::string_view)> on_body, bool bodiless = false);
    ~message_reader();
    message_reader(const message_reader&) = delete;
    message_reader& operator=(const message_reader&) = delete;

    // Each takes what it can: all of the head and nothing behind it, or what follows, of no more than so many bytes.
    message_part read_head(std::string& input);
    message_part read_body(std::string& input, std::size_t most = std::string::npos);
    bool may_end(); // whether the end of the input is the end of the message

    message_head head;
    header_list trailers;
    std::vector<std::size_t> chunks; // sizes, in order
    std::uint64_t taken = 0;         // bytes of the input
    std::string error;               // what is malformed

private:
    class parser;
    message_part read(std::string& input, std::size_t most, bool head_only);

    std::function<void(std::string_view)> on_body_;
    std::unique_ptr<parser> parser_;
    std::string_view input_; // while it is read
};
extern template class message_reader<true>;
extern template class message_reader<false>;

// SHA-256, incremental.
class sha256 {
public:
    sha256();
    ~sha256();
    sha256(const sha256&) = delete;
    sha256& operator=(const sha256&) = delete;
    void add(std::string_view bytes);
    [[nodiscard]] std::string hex(); // ends the computation
private:
    struct context;
    std::unique_ptr<context> context_;
};

// A valid gzip stream of stored blocks: one more layer for a client to decode, no compression.
class stored_gzip {
public:
    [[nodiscard]] std::string block(std::string_view data); // with the gzip header before the first
    [[nodiscard]] std::string finish();

private:
    bool begun_ = false;
    std::uint32_t crc_ = 0xffffffffU;
    std::uint32_t size_ = 0;
};

// With the empty line that ends it.
[[nodiscard]] std::string request_head_text(std::string_view method, std::string_view target,
                                            const header_list& headers);
[[nodiscard]] std::string response_head_text(int status, const header_list& headers, int minor_version = 1);
[[nodiscard]] std::string chunk_of(std::string_view data); // size line, data, CRLF
inline constexpr std::string_view last_chunk = "0\r\n\r\n";
[[nodiscard]] std::string http_date(std::int64_t seconds_ahead);

} // namespace evenkeel::provider
