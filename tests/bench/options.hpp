#pragma once
// Command line of the two bench programs: `--name value` pairs, nothing else. Unknown names end the program.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace evenkeel::bench {

[[noreturn]] inline void die(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
}

class options {
public:
    options(int argc, char** argv, int first, std::initializer_list<std::string_view> known) {
        for (const std::string_view name : known) values_.emplace(name, "");
        for (int i = first; i < argc; i += 2) {
            const std::string_view name = argv[i];
            const auto at = name.starts_with("--") ? values_.find(name.substr(2)) : values_.end();
            if (at == values_.end()) die("unknown option " + std::string{name});
            if (i + 1 == argc) die(std::string{name} + " wants a value");
            at->second = argv[i + 1];
        }
    }

    [[nodiscard]] std::string text(std::string_view name) const { return values_.find(name)->second; }

    [[nodiscard]] double number(std::string_view name, double otherwise) const {
        const std::string& value = values_.find(name)->second;
        if (value.empty()) return otherwise;
        char* end = nullptr;
        const double parsed = std::strtod(value.c_str(), &end);
        if (*end != '\0' || !(parsed >= 0)) die("--" + std::string{name} + ": not a number: " + value);
        return parsed;
    }

    [[nodiscard]] std::uint64_t count(std::string_view name, std::uint64_t otherwise) const {
        return static_cast<std::uint64_t>(number(name, static_cast<double>(otherwise)));
    }

private:
    std::map<std::string, std::string, std::less<>> values_;
};

} // namespace evenkeel::bench
