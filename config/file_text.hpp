#pragma once
// What stands in a file that the configuration names, without ever waiting for somebody else: opening a FIFO blocks
// until its other end is opened, and some devices never end. The file is opened without blocking and looked at through
// its descriptor, so that nothing can be put in its place between the look and the reading.

#include <cstddef>
#include <optional>
#include <string>

namespace evenkeel::config {

// At most `most` + 1 bytes, so that a larger file shows. Regular files only (symlinks to them included).
[[nodiscard]] std::optional<std::string> read_regular_file(const std::string& path, std::size_t most);

struct file_text {
    std::optional<std::string> text;
    std::string problem{}; // a few words, if there is no text
};
// Of the configuration itself, which may also come through a pipe (`<(envsubst < template)`, /dev/stdin): its writer
// has ten seconds for each piece.
[[nodiscard]] file_text read_file_or_pipe(const std::string& path, std::size_t most);

} // namespace evenkeel::config
