#pragma once
// Takes HTTP/1.1 messages apart as their bytes come, strictly: what a scripted upstream was sent, or what a scripted
// client received. Not the proxy's own parser on purpose. Every message must have a length, chunks, or no body.

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test {

struct read_message {
    std::string head; // with the last line's end, without the empty line
    std::string body; // decoded, as far as it came
    bool whole = false;

    [[nodiscard]] int status() const { return head.starts_with("HTTP/1.1 ") ? std::stoi(head.substr(9, 3)) : 0; }
    [[nodiscard]] std::string_view field(std::string_view name) const { // in lower case
        std::string_view rest = head;
        while (!rest.empty()) {
            const auto end = std::min(rest.find("\r\n"), rest.size());
            const std::string_view line = rest.substr(0, end);
            rest.remove_prefix(std::min(rest.size(), end + 2));
            const auto same = [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); };
            if (line.size() <= name.size() || line[name.size()] != ':' ||
                !std::equal(name.begin(), name.end(), line.begin(), same))
                continue;
            const auto value = line.find_first_not_of(' ', name.size() + 1);
            return value == std::string_view::npos ? std::string_view{} : line.substr(value);
        }
        return {};
    }
};

class message_reading {
public:
    void read(std::string_view bytes) {
        while (!bytes.empty() && !malformed_) step(bytes);
    }
    // Interim answers are none of them. The last one may not be whole.
    [[nodiscard]] const std::vector<read_message>& messages() const noexcept { return messages_; }
    [[nodiscard]] std::size_t whole() const noexcept {
        return messages_.size() - (messages_.empty() || messages_.back().whole ? 0 : 1);
    }
    [[nodiscard]] std::size_t body_bytes() const noexcept {
        return messages_.empty() ? 0 : messages_.back().body.size();
    } // of the last one
    [[nodiscard]] bool malformed() const noexcept { return malformed_; }
    [[nodiscard]] int interim() const noexcept { return interim_; }

private:
    enum class part : unsigned char { head, length, size_line, data, data_end, trailer };

    void step(std::string_view& bytes) {
        switch (at_) {
        case part::head: return head(bytes);
        case part::length:
        case part::data: {
            const std::size_t n = std::min(bytes.size(), left_);
            messages_.back().body.append(bytes.substr(0, n));
            bytes.remove_prefix(n);
            left_ -= n;
            if (left_ > 0) return;
            if (at_ == part::length) return end();
            at_ = part::data_end;
            return;
        }
        case part::size_line: {
            if (!line(bytes)) return;
            const auto [to, error] = std::from_chars(line_.data(), line_.data() + line_.size(), left_, 16);
            malformed_ = error != std::errc{} || to != line_.data() + line_.size();
            line_.clear();
            at_ = left_ == 0 ? part::trailer : part::data;
            return;
        }
        case part::data_end:
        case part::trailer:
            if (!line(bytes)) return;
            malformed_ = !line_.empty();
            if (at_ == part::trailer) return end();
            at_ = part::size_line;
            return;
        }
    }
    // True: line_ is one, without its end.
    bool line(std::string_view& bytes) {
        const auto end = bytes.find('\n');
        line_.append(bytes.substr(0, end == std::string_view::npos ? end : end + 1));
        bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
        if (end == std::string_view::npos) return false;
        malformed_ = !line_.ends_with("\r\n");
        line_.resize(line_.size() - std::min<std::size_t>(line_.size(), 2));
        return true;
    }
    void head(std::string_view& bytes) {
        if (!line(bytes)) return;
        if (!line_.empty()) {
            head_ += line_ + "\r\n";
            line_.clear();
            return;
        }
        read_message& one = messages_.emplace_back();
        one.head.swap(head_);
        const int status = one.status();
        malformed_ = one.head.empty();
        if (status >= 100 && status < 200) {
            ++interim_;
            messages_.pop_back();
            return;
        }
        const std::string_view length = one.field("content-length"), coding = one.field("transfer-encoding");
        if (coding == "chunked" && length.empty()) {
            at_ = part::size_line;
            return;
        }
        left_ = 0;
        if (!length.empty())
            malformed_ = std::from_chars(length.data(), length.data() + length.size(), left_).ptr !=
                         length.data() + length.size();
        malformed_ = malformed_ || !coding.empty() || (length.empty() && status != 0 && status != 204);
        at_ = part::length;
        if (left_ == 0) end();
    }
    void end() {
        messages_.back().whole = true;
        line_.clear();
        at_ = part::head;
    }

    std::vector<read_message> messages_;
    std::string head_, line_;
    part at_ = part::head;
    std::size_t left_ = 0;
    int interim_ = 0;
    bool malformed_ = false;
};

} // namespace evenkeel::test
