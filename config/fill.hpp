#pragma once
// From an entry to the member of the settings that its row names: `member<&route::timeout, &timeouts::total>`, or
// `by<function>` where a key means more than its value. One line then reads a key, documents it and says what it is
// for, so none can be read and forgotten. Words stand in the table in the order of their enumerators.

#include "config/entry.hpp"
#include "config/settings.hpp"

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace evenkeel::config {

// What a block of the tree becomes. A row for another owner than the one at hand is a bug of the table (it throws).
struct destination {
    std::variant<settings*, listener*, upstream*, route*, fallback_step*, chaos_rule*, price*, credential*, client*>
        owner;
    std::string_view directory; // that relative paths start from
};

// What is written in `from` and below. Lists of blocks are left alone: each element is an owner of its own.
void fill(const entry& from, const destination& into);

// The place of a word among those of its row; -1: it holds no word.
[[nodiscard]] int place_of_word(const entry& from) noexcept;

// Where a word stands beside a kind's own values (`auto`, `system`), the member stays as it is; of a number or a time
// `off` is 0, and a truth is false where the first word, or a block that is `off`, is written.
void put(const entry& from, bool& to, std::string_view directory);
void put(const entry& from, double& to, std::string_view directory);
void put(const entry& from, duration& to, std::string_view directory);
void put(const entry& from, std::string& to, std::string_view directory);
void put(const entry& from, url& to, std::string_view directory);
void put(const entry& from, listener& to, std::string_view directory);
void put(const entry& from, std::uint64_t& to, std::string_view directory);

template <class T>
void put(const entry& from, T& to, std::string_view directory) {
    if constexpr (std::is_enum_v<T>) {
        if (const int place = place_of_word(from); place >= 0) to = static_cast<T>(place);
    } else if constexpr (std::is_integral_v<T>) {
        std::uint64_t count = static_cast<std::uint64_t>(to);
        put(from, count, directory);
        to = static_cast<T>(count);
    } else { // a list or a map
        to.clear();
        for (const entry& each : from.children) {
            using one = typename T::value_type;
            if constexpr (std::is_same_v<one, std::string> || std::is_same_v<one, url>)
                put(each, to.emplace_back(), directory);
            else
                to.insert(to.end(), one{each.key, each.text()});
        }
    }
}
template <class T>
void put(const entry& from, std::optional<T>& to, std::string_view directory) {
    const bool zero = std::is_arithmetic_v<T> && from.is_off();
    if (from.get<word>() == nullptr || zero) put(from, to.emplace(), directory);
}

template <class Owner, class Member>
auto& reach(Owner& from, Member Owner::*next) {
    return from.*next;
}
template <class Owner, class Member>
auto& reach(std::optional<Owner>& from, Member Owner::*next) {
    return (from ? *from : from.emplace()).*next;
}
template <class Owner, class First, class Second, class... Rest>
auto& reach(Owner& from, First first, Second second, Rest... rest) {
    return reach(reach(from, first), second, rest...);
}

template <class Owner, class Member>
Owner* owned_by(Member Owner::*member);
template <class Owner>
Owner* owned_by(void (*filler)(const entry&, Owner&));

template <auto First, auto... Rest>
void member(const entry& from, const destination& into) {
    put(from, reach(*std::get<decltype(owned_by(First))>(into.owner), First, Rest...), into.directory);
}
template <auto Filler>
void by(const entry& from, const destination& into) {
    Filler(from, *std::get<decltype(owned_by(Filler))>(into.owner));
}

} // namespace evenkeel::config
