#pragma once
// Just enough HTTP/1.1 reading for peers that are known to be well-behaved: a field of a head, and an answer taken
// apart as it comes in (a length or chunks; proxies may change the one into the other and cut chunks anew).

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::bench {

inline bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

// The value of a field in a head (start line included), or nothing.
inline std::optional<std::string_view> field_value(std::string_view head, std::string_view name) {
    for (auto line = head.find("\r\n"); line != std::string_view::npos; line = head.find("\r\n", line + 2)) {
        const std::string_view rest = head.substr(line + 2);
        if (rest.size() <= name.size() || rest[name.size()] != ':') continue;
        if (!same_name(rest.substr(0, name.size()), name)) continue;
        std::string_view value = rest.substr(name.size() + 1);
        value = value.substr(0, value.find("\r\n"));
        value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
        return value;
    }
    return std::nullopt;
}

inline std::size_t to_number(std::string_view text, int base = 10) {
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

class answer_reader {
public:
    // Takes over what arrived; body bytes become available in body(), which the owner may consume from the front.
    void feed(std::string_view bytes) {
        raw_.append(bytes);
        while (step()) {}
        raw_.erase(0, used_);
        used_ = 0;
    }

    void reset() { *this = answer_reader{}; }

    [[nodiscard]] int status() const { return status_; }
    [[nodiscard]] bool closes() const { return closes_; }
    [[nodiscard]] bool complete() const { return state_ == state::complete; }
    [[nodiscard]] bool malformed() const { return state_ == state::malformed; }
    [[nodiscard]] std::string& body() { return body_; }

private:
    enum class state { head, length, chunk_size, chunk_data, chunk_end, trailer, complete, malformed };

    [[nodiscard]] std::string_view left() const { return std::string_view{raw_}.substr(used_); }

    void read_head(std::string_view head) {
        status_ = static_cast<int>(to_number(head.substr(std::min<std::size_t>(9, head.size()))));
        const auto connection = field_value(head, "connection");
        closes_ = connection && same_name(*connection, "close");
        if (const auto length = field_value(head, "content-length")) {
            wanted_ = to_number(*length);
            state_ = wanted_ == 0 ? state::complete : state::length;
        } else {
            state_ = field_value(head, "transfer-encoding") ? state::chunk_size : state::malformed;
        }
    }

    void take_body() {
        const auto n = std::min(wanted_, left().size());
        body_.append(left().substr(0, n));
        used_ += n;
        wanted_ -= n;
    }

    // Consumes one piece; false when more bytes are needed or nothing is left to do.
    bool step() {
        const std::string_view rest = left();
        if (state_ == state::complete || state_ == state::malformed || rest.empty()) return false;
        if (state_ == state::length || state_ == state::chunk_data) {
            take_body();
            if (wanted_ == 0) state_ = state_ == state::length ? state::complete : state::chunk_end;
            return true;
        }
        const std::string_view ending = state_ == state::head ? "\r\n\r\n" : "\r\n";
        const auto end = rest.find(ending);
        if (end == std::string_view::npos) return false;
        used_ += end + ending.size();
        if (state_ == state::head) {
            read_head(rest.substr(0, end + 2));
        } else if (state_ == state::chunk_size) {
            wanted_ = to_number(rest.substr(0, end), 16);
            state_ = wanted_ == 0 ? state::trailer : state::chunk_data;
        } else if (state_ == state::chunk_end) {
            state_ = end == 0 ? state::chunk_size : state::malformed;
        } else if (end == 0) {
            state_ = state::complete;
        }
        return true;
    }

    std::string raw_, body_;
    std::size_t used_ = 0, wanted_ = 0;
    int status_ = 0;
    bool closes_ = false;
    state state_ = state::head;
};

} // namespace evenkeel::bench
