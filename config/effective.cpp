#include "config/effective.hpp"

#include "config/complete.hpp"
#include "config/expand.hpp"
#include "config/otel_variables.hpp"
#include "config/overrides.hpp"
#include "config/parse.hpp"
#include "config/reader.hpp"
#include "config/relations.hpp"
#include "config/settle.hpp"

#include <openssl/evp.h>

#include <algorithm>

namespace evenkeel::config {
namespace {

constexpr std::size_t shortest_secret = 8; // shorter ones are ordinary words; replacing those would garble the lines
constexpr std::size_t most_secrets = 256;

// Secrets and their parts: "Bearer sk-1" must not make sk-1 presentable.
std::vector<std::string> parts_of(const std::vector<std::string>& secrets) {
    std::vector<std::string> out;
    for (const std::string& each : secrets) {
        if (out.size() >= most_secrets) break;
        if (each.size() >= shortest_secret) out.push_back(each);
        for (std::size_t at = 0; at < each.size();) {
            const std::size_t end = std::min(each.find_first_of(" \t\r\n", at), each.size());
            if (end - at >= shortest_secret && end - at < each.size()) out.push_back(each.substr(at, end - at));
            at = end + 1;
        }
    }
    // Longest first, so that a part does not break up the whole.
    std::sort(out.begin(), out.end(), [](const std::string& a, const std::string& b) {
        return a.size() != b.size() ? a.size() > b.size() : a < b;
    });
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

void hide_everywhere(source_text& source, const std::vector<std::string>& secrets) {
    for (const std::string& secret : secrets) {
        for (std::size_t at = source.text().find(secret); at != std::string_view::npos;
             at = source.text().find(secret, at + secret.size())) {
            source.hide({at, at + secret.size()});
        }
    }
}

void redact(std::string& text, const std::vector<std::string>& secrets) {
    for (const std::string& secret : secrets) {
        for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3))
            text.replace(at, secret.size(), "***");
    }
}

void add_canonical(const entry& e, std::string& out) {
    const auto add = [&](std::string_view part) {
        out += std::to_string(part.size());
        out += ':';
        out += part;
    };
    add(e.key);
    if (e.is_leaf() || e.is_off()) {
        out += '=';
        out += std::to_string(e.value.index());
        add(format_leaf(e.value));
        return;
    }
    out += '{';
    for (const entry& child : e.children) add_canonical(child, out);
    out += '}';
}

} // namespace

std::unique_ptr<effective> read_effective(std::string_view yaml, const std::string& file_name, const environment& env,
                                          std::span<const std::string> overrides) {
    auto out = std::make_unique<effective>();
    if (yaml.size() > max_file_bytes) {
        out->diagnostics.push_back(whole_file(file_name, "too-large", "the file is larger than 1 MiB"));
        return out;
    }
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (yaml.substr(0, byte_order_mark.size()) == byte_order_mark) yaml.remove_prefix(byte_order_mark.size());
    out->text = std::string(yaml);
    const std::vector<said_override> said = append_overrides(out->text, overrides);
    out->source = std::make_unique<source_text>(out->text);
    if (!said.empty()) out->source->file_ends(said.front().path.begin - override_mark.size());
    problem_list problems(*out->source, file_name);

    std::optional<node> parsed = parse(*out->source, problems);
    for (const said_override& each : said)
        if (parsed) apply_override(each, *parsed, *out->source, problems);
    std::vector<std::string> secrets, ignored;
    if (parsed) {
        const std::string directory = directory_of(file_name);
        read_result read = read_tree(*parsed, *out->source, problems, env, directory);
        ignored = add_otel_variables(read.root, env, read.secrets);
        secrets = parts_of(read.secrets);
        hide_everywhere(*out->source, secrets);
        complete(read.root);
        settle_policies(read.root, problems);
        settle_connections(read.root, problems);
        settle_fallbacks(read.root);
        check_relations(read.root, problems, env, directory);
        if (!problems.has_errors()) out->root = std::move(read.root);
    }
    out->diagnostics = problems.finish();
    for (std::string& each : ignored) {
        out->diagnostics.push_back(whole_file(file_name, "ignored-variable", std::move(each)));
        out->diagnostics.back().level = severity::warning;
    }
    for (diagnostic& d : out->diagnostics) {
        redact(d.message, secrets);
        for (related_place& r : d.related) redact(r.message, secrets);
    }
    return out;
}

std::string hash_of(const entry& root) {
    std::string canonical;
    add_canonical(root, canonical);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (EVP_Digest(canonical.data(), canonical.size(), digest, &length, EVP_sha256(), nullptr) != 1) return {};
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (unsigned int i = 0; i < length; ++i) {
        out += digits[digest[i] >> 4U];
        out += digits[digest[i] & 0x0FU];
    }
    return out;
}

} // namespace evenkeel::config
