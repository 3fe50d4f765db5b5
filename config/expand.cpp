#include "config/expand.hpp"

#include <algorithm>

namespace evenkeel::config {
namespace {

constexpr std::size_t longest_value = 64 * 1024; // of one value; chosen, larger than any credential

bool is_variable_name(std::string_view name) {
    if (name.empty() || name.size() > 128 || (name[0] >= '0' && name[0] <= '9')) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

std::variant<std::string, bad_expansion> variable(std::string_view body, const environment& env, bool& assumed) {
    const std::size_t mark = body.find(":-");
    const std::string_view name = body.substr(0, mark);
    if (!is_variable_name(name)) {
        return bad_expansion{"bad-expansion", "this is not the name of an environment variable; write ${env:NAME}"};
    }
    const std::string owned(name);
    const std::optional<std::string> value = env.variable ? env.variable(owned) : std::nullopt;
    if (mark != std::string_view::npos) {
        // As in a shell, the default also stands in for an empty value.
        return value && !value->empty() ? *value : std::string(body.substr(mark + 2));
    }
    if (!value && env.stand_in) {
        assumed = true;
        return env.stand_in(owned);
    }
    if (!value) {
        return bad_expansion{"undefined-variable", "environment variable " + owned +
                                                       " is not set; set it, or give a default: ${env:" + owned +
                                                       ":-value}"};
    }
    return *value;
}

std::variant<std::string, bad_expansion> file(std::string_view body, const environment& env,
                                              const std::string& directory) {
    if (body.empty() || body.size() > 1024) return bad_expansion{"bad-expansion", "write ${file:PATH}"};
    std::optional<std::string> content = env.file ? env.file(resolve_path(directory, std::string(body))) : std::nullopt;
    if (!content) return bad_expansion{"unreadable-file", "file '" + std::string(body) + "' cannot be read"};
    // Editors and `echo` end a file with a newline that is not part of the secret.
    if (!content->empty() && content->back() == '\n') content->pop_back();
    if (!content->empty() && content->back() == '\r') content->pop_back();
    return std::move(*content);
}

} // namespace

std::variant<expansion, bad_expansion> expand(std::string_view text, const environment& env,
                                              const std::string& directory) {
    constexpr std::string_view litellm = "os.environ/";
    if (text.substr(0, litellm.size()) == litellm) {
        const std::string_view name = text.substr(litellm.size());
        const std::string proper = is_variable_name(name) ? "${env:" + std::string(name) + "}" : "${env:NAME}";
        return bad_expansion{"bad-expansion", "environment variables are written " + proper + " here"};
    }
    expansion out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t dollar = std::min(text.find('$', at), text.size());
        out.text += text.substr(at, dollar - at);
        at = dollar;
        if (at == text.size()) break;
        if (text.substr(at, 2) == "$$") {
            out.text += '$';
            at += 2;
            continue;
        }
        if (text.substr(at, 2) != "${") {
            return bad_expansion{"bad-expansion",
                                 "'$' begins ${env:NAME} or ${file:PATH}; a dollar sign itself is written $$"};
        }
        const std::size_t close = text.find('}', at);
        if (close == std::string_view::npos) return bad_expansion{"bad-expansion", "'${' without a closing '}'"};
        const std::string_view body = text.substr(at + 2, close - at - 2);
        if (body.find("${") != std::string_view::npos)
            return bad_expansion{"bad-expansion", "expansions cannot be nested"};

        std::variant<std::string, bad_expansion> value;
        if (body.substr(0, 4) == "env:") {
            value = variable(body.substr(4), env, out.assumed);
            out.sources.push_back(
                "${env:" +
                std::string(body.substr(4, body.find(":-") == std::string_view::npos ? std::string_view::npos
                                                                                     : body.find(":-") - 4)) +
                "}");
        } else if (body.substr(0, 5) == "file:") {
            value = file(body.substr(5), env, directory);
            out.sources.push_back("${" + std::string(body) + "}");
            out.from_file = true;
        } else {
            const std::string proper =
                is_variable_name(body) ? "${env:" + std::string(body) + "}" : "${env:NAME} or ${file:PATH}";
            return bad_expansion{"bad-expansion", "write " + proper};
        }
        if (const auto* wrong = std::get_if<bad_expansion>(&value)) return *wrong;
        out.text += std::get<std::string>(value);
        if (out.text.size() > longest_value)
            return bad_expansion{"bad-expansion", "the expanded value is longer than 64 KiB"};
        at = close + 1;
    }
    return out;
}

std::string directory_of(const std::string& file_name) {
    const std::size_t slash = file_name.rfind('/');
    return slash == std::string::npos ? std::string{} : file_name.substr(0, slash + 1);
}

std::string resolve_path(const std::string& directory, const std::string& path) {
    return !path.empty() && path.front() == '/' ? path : directory + path;
}

} // namespace evenkeel::config
