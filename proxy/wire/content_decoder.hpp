#pragma once
// Undoes a compression that nobody asked for, so that an answer can be judged: gzip and deflate, which zlib knows. What
// is passed on stays as it came.
//
// Bounded: about 60 KiB while it lives, 16 KiB of text at a time, and no more text for each byte than real answers
// have; beyond that it refuses. Pure; bytes in any cut; never throws but for want of memory.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace evenkeel::wire {

class content_decoder {
public:
    // Of Content-Encoding: one coding, known here.
    [[nodiscard]] static bool knows(std::string_view coding) noexcept;

    explicit content_decoder(std::string_view coding); // which it knows
    ~content_decoder();
    content_decoder(const content_decoder&) = delete;
    content_decoder& operator=(const content_decoder&) = delete;

    // The next bytes of the body, once next() has nothing more of the ones before; they stay until then.
    void take(std::string_view bytes) noexcept;
    // Text among them, until it is asked again; empty: more bytes are needed, or none will help.
    [[nodiscard]] std::optional<std::string_view> next() noexcept;

    [[nodiscard]] bool whole() const noexcept { return state_ == state::whole; }     // its own end has come
    [[nodiscard]] bool corrupt() const noexcept { return state_ == state::corrupt; } // it is not what it says
    [[nodiscard]] bool refused() const noexcept { return state_ == state::refused; } // more text than is looked at

private:
    // Text that costs so little is no text. Ten thousand empty deltas come at 1 to 100; zlib can do 1 to 1030.
    static constexpr std::uint64_t most_text_per_byte = 200; // chosen
    static constexpr std::uint64_t free_text = std::uint64_t{1} << 20;

    enum class state : unsigned char { begins, goes_on, whole, corrupt, refused };
    [[nodiscard]] bool begin() noexcept;

    struct engine;
    std::unique_ptr<engine> engine_;
    std::string_view bytes_;
    state state_ = state::begins;
    bool deflate_;
    std::uint64_t taken_ = 0, given_ = 0;
};

} // namespace evenkeel::wire
