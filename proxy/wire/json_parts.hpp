#pragma once
// Members of JSON that comes in pieces, kept as they are spelled. Values are the bytes of one well-formed JSON value
// without blanks around it, as list_members gives them.

#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::wire {

inline bool is_null(std::string_view value) noexcept { return value == "null"; }
inline bool is_text(std::string_view value) noexcept { return value.starts_with('"'); }
inline bool is_object(std::string_view value) noexcept { return value.starts_with('{'); }

// null, or a text, a list or an object with nothing in it: a member nobody here knows that says nothing is no loss.
// (vLLM names members in every chunk that hardly any request asks for.)
inline bool is_vacant(std::string_view value) noexcept {
    if (is_null(value) || value == "\"\"") return true;
    const bool brackets = value.size() >= 2 && (value.front() == '[' || value.front() == '{');
    return brackets && value.find_first_not_of(" \t\r\n", 1) == value.size() - 1;
}

// The members of an object, each named once; false: it is none, or has a name twice, or more than any real one.
[[nodiscard]] inline bool members_of(std::string_view value, std::vector<json_member>& out) {
    static constexpr std::size_t most = 64;
    out = list_members(value, most);
    if (out.empty()) return is_object(value) && is_json(value) && value.find('"') == std::string_view::npos;
    for (auto one = out.begin(); one != out.end(); ++one) {
        if (std::any_of(out.begin(), one, [&](const json_member& other) { return other.name == one->name; }))
            return false;
    }
    return true;
}

// A text told piece by piece, with nulls in between. Joining the pieces as they are spelled also joins a pair of
// surrogates that two pieces share.
class joined_text {
public:
    [[nodiscard]] bool add(std::string_view value, std::uint64_t& kept) {
        if (!is_null(value) && !is_text(value)) return false;
        seen_ = true;
        if (is_null(value)) return true;
        has_text_ = true;
        inside_ += value.substr(1, value.size() - 2);
        kept += value.size() - 2;
        return true;
    }
    [[nodiscard]] bool seen() const noexcept { return seen_; }
    [[nodiscard]] bool has_text() const noexcept { return has_text_; }
    [[nodiscard]] const std::string& inside() const noexcept { return inside_; }
    [[nodiscard]] std::string json() const { return has_text_ ? '"' + inside_ + '"' : "null"; }

private:
    std::string inside_;
    bool seen_ = false, has_text_ = false;
};

// A value that is told again and again and is the same each time; null says that it is not known yet.
class steady_value {
public:
    [[nodiscard]] bool add(std::string_view value, std::uint64_t& kept) {
        if (!value_.empty() && (is_null(value) || value == value_)) return true;
        if (!value_.empty() && !is_null(value_)) return false;
        value_ = value;
        kept += value.size();
        return true;
    }
    [[nodiscard]] bool seen() const noexcept { return !value_.empty(); }
    [[nodiscard]] const std::string& json() const noexcept { return value_; }

private:
    std::string value_;
};

// A value of which the last one counts; null says nothing new.
class latest_value {
public:
    void add(std::string_view value, std::uint64_t& kept) {
        if (!value_.empty() && is_null(value)) return;
        kept += value.size() > value_.size() ? value.size() - value_.size() : 0;
        value_ = value;
    }
    [[nodiscard]] bool seen() const noexcept { return !value_.empty(); }
    [[nodiscard]] const std::string& json() const noexcept { return value_; }

private:
    std::string value_;
};

// Writes an object. Names are ours or were read by list_members.
class object_text {
public:
    void add(std::string_view name, std::string_view value) {
        out_ += out_.size() == 1 ? "\"" : ",\"";
        append_json_escaped(out_, name);
        out_.append("\":").append(value);
    }
    template <class Part>
    void add_if_seen(std::string_view name, const Part& part) {
        if (part.seen()) add(name, part.json());
    }
    [[nodiscard]] std::string end() { return std::move(out_ += '}'); }

private:
    std::string out_ = "{";
};

} // namespace evenkeel::wire
