#pragma once
// The file as the user sees it. Everything else in config/ speaks of byte offsets; only here do they become lines,
// columns and excerpts, so that the counting rules (from 1, characters rather than bytes) exist once. Parts of the text
// that hold secrets are marked here too, because this is the only place that quotes the file back.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

// Half-open range of bytes. An empty range points at a place rather than at a word.
struct span {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool operator==(const span&) const = default;
};

struct place {
    int line = 0;   // from 1
    int column = 0; // from 1, in characters
};

// One line as it may be shown: secrets replaced, long lines cut to a window. `column` and `length` say where the
// caret goes in `text`, which differs from the place in the file once something was replaced.
struct excerpt {
    std::string text;
    int column = 1;
    int length = 1;
};

class source_text {
public:
    // `text` must outlive this object and must not start with a byte order mark.
    explicit source_text(std::string_view text);

    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    [[nodiscard]] place where(std::size_t offset) const;
    [[nodiscard]] int line_of(std::size_t offset) const { return where(offset).line; }
    [[nodiscard]] int characters(span range) const; // clipped to the first line of the range; at least 1
    [[nodiscard]] excerpt show(span range) const;

    // From here on it is no part of the file but what was said beside it: one override a line, after "# ".
    void file_ends(std::size_t offset) { file_end_ = offset; }
    [[nodiscard]] bool beside_file(std::size_t offset) const noexcept { return offset >= file_end_; }
    // Counted from 1 again.
    [[nodiscard]] int line_beside(std::size_t offset) const { return line_of(offset) - line_of(file_end_) + 1; }

    // Never shown again from now on.
    void hide(span range);
    // The meaning of a line that could not be parsed is unknown, so what follows a key that the schema does not know as
    // harmless is taken for a secret.
    void hide_unparsed(std::size_t from, std::size_t to);

private:
    [[nodiscard]] std::size_t line_index(std::size_t offset) const;
    [[nodiscard]] span line_span(std::size_t index) const;

    std::string_view text_;
    std::vector<std::size_t> starts_; // of each line
    mutable std::vector<span> hidden_;
    mutable bool sorted_ = true;
    std::size_t file_end_ = static_cast<std::size_t>(-1);
};

} // namespace evenkeel::config
