#pragma once
// What the program prints, on either output, and its exit code.

#include <array>
#include <cstdio>
#include <string>

#include <sys/wait.h>

namespace evenkeel::test {

struct printed {
    std::string out;
    int code = -1;
};
inline printed evenkeel(const std::string& arguments, const std::string& environment = "") {
    const std::string line = environment + " " + EVENKEEL_PROGRAM + " " + arguments + " 2>&1";
    printed result;
    FILE* const pipe = ::popen(line.c_str(), "r");
    if (pipe == nullptr) return result;
    std::array<char, 4096> block;
    for (std::size_t n; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) result.out.append(block.data(), n);
    const int status = ::pclose(pipe);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
}

} // namespace evenkeel::test
