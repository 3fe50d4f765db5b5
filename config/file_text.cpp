#include "config/file_text.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::config {
namespace {

// chosen: longer than a tool needs that decrypts, shorter than anybody waits.
constexpr int patience_milliseconds = 10'000;

class opened_file {
public:
    explicit opened_file(const std::string& path)
        : fd_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) {
        struct stat about {};
        if (fd_ >= 0 && ::fstat(fd_, &about) == 0) kind_ = about.st_mode & S_IFMT;
    }
    ~opened_file() {
        if (fd_ >= 0) ::close(fd_);
    }
    opened_file(const opened_file&) = delete;
    opened_file& operator=(const opened_file&) = delete;

    [[nodiscard]] bool is(mode_t kind) const noexcept { return fd_ >= 0 && kind_ == kind; }
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
    mode_t kind_ = 0;
};

// What a read came to; empty: an error, or nothing for longer than `patience_milliseconds`.
std::optional<std::string> read_all(int fd, std::size_t most) {
    std::string out;
    while (out.size() <= most) {
        // A FIFO that nobody has opened for writing reads as ended, but polls as silent.
        pollfd one{fd, POLLIN, 0};
        if (::poll(&one, 1, patience_milliseconds) == 0) return std::nullopt;
        const std::size_t had = out.size();
        out.resize(std::min(most + 1, had + 64 * 1024));
        const ssize_t got = ::read(fd, out.data() + had, out.size() - had);
        out.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (got == 0) break;
        if (got < 0 && errno != EINTR && errno != EAGAIN) return std::nullopt;
    }
    return out;
}

} // namespace

std::optional<std::string> read_regular_file(const std::string& path, std::size_t most) {
    const opened_file file(path);
    return file.is(S_IFREG) ? read_all(file.get(), most) : std::nullopt;
}

file_text read_file_or_pipe(const std::string& path, std::size_t most) {
    const opened_file file(path);
    if (file.get() < 0) return {std::nullopt, "the file cannot be read"};
    if (file.is(S_IFDIR)) return {std::nullopt, "this is a directory, not a file"};
    if (!file.is(S_IFREG) && !file.is(S_IFIFO)) return {std::nullopt, "this is neither a file nor a pipe"};
    auto text = read_all(file.get(), most);
    if (!text)
        return {std::nullopt,
                file.is(S_IFIFO) ? "nothing was written to this pipe for ten seconds" : "the file cannot be read"};
    return {std::move(text)};
}

} // namespace evenkeel::config
