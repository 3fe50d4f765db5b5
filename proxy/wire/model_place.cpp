#include "proxy/wire/model_place.hpp"

#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::wire {

namespace {
// Behind one of these stands a model, with more behind it.
constexpr std::array<std::string_view, 4> owners{"deployments", "engines", "model", "serving-endpoints"};
// Behind one of these stands a model with a verb.
constexpr std::array<std::string_view, 3> with_verb{"models", "tunedModels", "endpoints"};

// Fields of a form, and of the head of one of them, that are looked through. (chosen: real forms have up to 15)
constexpr int most_fields = 64;
constexpr std::size_t most_part_head = 4096;

template <std::size_t n>
bool is_among(const std::array<std::string_view, n>& names, std::string_view one) noexcept {
    return std::find(names.begin(), names.end(), one) != names.end();
}

std::string decoded(std::string_view segment) {
    std::string out;
    out.reserve(segment.size());
    for (std::size_t at = 0; at < segment.size(); ++at) {
        const int high = segment[at] == '%' && segment.size() - at > 2 ? hex_value(segment[at + 1]) : -1;
        const int low = high >= 0 ? hex_value(segment[at + 2]) : -1;
        if (low < 0) {
            out += segment[at];
        } else {
            out += static_cast<char>(high * 16 + low);
            at += 2;
        }
    }
    return out;
}

model_place place_of(std::string_view whole, std::string_view part) {
    return {decoded(part), static_cast<std::size_t>(part.data() - whole.data()), part.size()};
}

// The value of a parameter of a field, without its quotes: name="model", boundary=x.
std::string_view parameter(std::string_view value, std::string_view name) noexcept {
    for (std::size_t at = value.find(';'); at != std::string_view::npos; at = value.find(';', at)) {
        std::string_view rest = trim(value.substr(++at));
        if (!istarts_with(rest, name) || rest.size() <= name.size() || rest[name.size()] != '=') continue;
        rest.remove_prefix(name.size() + 1);
        if (!rest.starts_with('"')) return trim(rest.substr(0, rest.find(';')));
        const std::size_t end = rest.find('"', 1);
        return end == std::string_view::npos ? std::string_view{} : rest.substr(1, end - 1);
    }
    return {};
}

bool is_the_model(std::string_view part_head) noexcept {
    static constexpr std::string_view wanted = "content-disposition:";
    while (!part_head.empty()) {
        const std::size_t end = part_head.find("\r\n");
        const std::string_view line = part_head.substr(0, end);
        if (istarts_with(line, wanted)) return parameter(line, "name") == "model";
        if (end == std::string_view::npos) break;
        part_head.remove_prefix(end + 2);
    }
    return false;
}
} // namespace

std::optional<model_place> find_model_in_path(std::string_view path) {
    std::string_view before;
    for (std::size_t from = 0; from < path.size();) {
        const std::size_t end = std::min(path.find('/', from), path.size());
        const std::string_view segment = path.substr(from, end - from);
        const bool last = end == path.size();
        if (!segment.empty() && !last && end + 1 < path.size() && is_among(owners, before))
            return place_of(path, segment);
        if (last && is_among(with_verb, before)) {
            const std::size_t verb = segment.rfind(':');
            if (verb != std::string_view::npos && verb > 0 && verb + 1 < segment.size())
                return place_of(path, segment.substr(0, verb));
        }
        before = segment;
        from = end + 1;
    }
    return std::nullopt;
}

std::optional<model_place> find_model_in_form(std::string_view content_type, std::string_view body) {
    if (!istarts_with(content_type, "multipart/form-data")) return std::nullopt;
    const std::string_view boundary = parameter(content_type, "boundary");
    if (boundary.empty() || boundary.size() > 70) return std::nullopt; // RFC 2046, 5.1.1
    const std::string border = std::string{"\r\n--"}.append(boundary);
    std::string_view rest = body;
    if (!rest.starts_with(std::string_view{border}.substr(2))) return std::nullopt; // nobody writes a preamble
    rest.remove_prefix(border.size() - 2);
    for (int fields = 0; fields < most_fields && rest.starts_with("\r\n"); ++fields) {
        const std::size_t head = rest.substr(0, most_part_head).find("\r\n\r\n");
        if (head == std::string_view::npos) return std::nullopt;
        const bool wanted = is_the_model(rest.substr(2, head < 2 ? 0 : head - 2));
        rest.remove_prefix(head + 4);
        const std::size_t end = rest.find(border);
        if (end == std::string_view::npos) return std::nullopt;
        if (wanted) {
            const std::string_view value = rest.substr(0, end);
            return model_place{std::string{value}, static_cast<std::size_t>(value.data() - body.data()), value.size()};
        }
        rest.remove_prefix(end + border.size());
    }
    return std::nullopt;
}

std::string path_segment(std::string_view name) {
    static constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : name) {
        if (has_class(c, char_class::host)) { // what needs no escape
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out.append({'%', digits[byte >> 4], digits[byte & 15]});
    }
    return out;
}

} // namespace evenkeel::wire
