#pragma once
// What the fuzzers hold their readers to.

#include "proxy/wire/head.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace evenkeel::fuzz {

inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

// Views of a head point into the bytes it was read from; an absent part may point nowhere.
inline void require_inside(std::string_view part, std::string_view whole) {
    require(part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size()),
            "a view points outside the input");
}

template <class Head>
void require_fields_inside(const Head& head, std::string_view whole) {
    for (const wire::field& f : head.fields) {
        require_inside(f.name, whole);
        require_inside(f.value, whole);
        require(!f.name.empty(), "a field has a name");
        require(f.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos,
                "a value holds no line end and no NUL");
        require(f.value.empty() || (f.value.front() != ' ' && f.value.back() != ' '), "a value is trimmed");
    }
}

} // namespace evenkeel::fuzz
