#pragma once
// Collects every problem of one file. Readers and checks add what they find in any order; `finish` puts it in file
// order and turns offsets into lines. Bounded: a file of garbage yields a readable number of problems, not a million.

#include "config/load.hpp"
#include "config/source_text.hpp"

#include <string>
#include <vector>

namespace evenkeel::config {

struct note {
    span at;
    std::string message;
};

class problem_list {
public:
    problem_list(const source_text& source, std::string file) : source_(&source), file_(std::move(file)) {}

    void error(span at, std::string code, std::string message, std::vector<note> notes = {});
    void warning(span at, std::string code, std::string message, std::vector<note> notes = {});

    [[nodiscard]] bool has_errors() const noexcept { return errors_ > 0; }
    // Nothing further is kept; what is expensive to say need not be worked out.
    [[nodiscard]] bool full() const noexcept { return found_.size() >= most; }
    [[nodiscard]] const source_text& source() const noexcept { return *source_; }
    [[nodiscard]] std::string line(span at) const {
        return source_->beside_file(at.begin) ? "--set" : "line " + std::to_string(source_->line_of(at.begin));
    }

    [[nodiscard]] std::vector<diagnostic> finish() const;

private:
    struct problem {
        severity level;
        span at;
        std::string code, message;
        std::vector<note> notes;
    };
    void add(problem p);

    static constexpr std::size_t most = 200; // chosen; nobody reads further before fixing the first ones
    const source_text* source_;
    std::string file_;
    std::vector<problem> found_;
    std::size_t errors_ = 0;
    std::size_t dropped_ = 0;
};

// A problem of the file as a whole: it cannot be opened, it is too large.
[[nodiscard]] diagnostic whole_file(const std::string& file, std::string code, std::string message);

} // namespace evenkeel::config
