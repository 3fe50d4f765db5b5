#include "proxy/cli/providers.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::cli {

namespace {
// Base URLs and the fields of keys as the providers give them; the models are only what a file begins with, for
// they come and go: `evenkeel try` says whether one is there.
constexpr std::array table{
    provider_facts{.name = "openai",
                   .title = "OpenAI",
                   .key = "OPENAI_API_KEY",
                   .model = "gpt-5.4-mini",
                   .openai = {.url = "https://api.openai.com"}},
    provider_facts{.name = "anthropic",
                   .title = "Anthropic",
                   .key = "ANTHROPIC_API_KEY",
                   .model = "claude-haiku-4-5",
                   .openai = {.url = "https://api.anthropic.com"},
                   .anthropic = {.url = "https://api.anthropic.com", .key_field = "x-api-key"},
                   .first_dialect = "anthropic"},
    provider_facts{.name = "azure",
                   .title = "Azure OpenAI",
                   .key = "AZURE_OPENAI_API_KEY",
                   .model = "gpt-5.4-mini",
                   .openai = {.url = "https://${env:AZURE_OPENAI_RESOURCE}.openai.azure.com",
                              .paths = "/v1: /openai/v1",
                              .key_field = "api-key"},
                   .note = "AZURE_OPENAI_RESOURCE is the name of the resource; a model is the name of a deployment."},
    provider_facts{.name = "cerebras",
                   .title = "Cerebras",
                   .key = "CEREBRAS_API_KEY",
                   .model = "gpt-oss-120b",
                   .openai = {.url = "https://api.cerebras.ai"}},
    provider_facts{.name = "deepseek",
                   .title = "DeepSeek",
                   .key = "DEEPSEEK_API_KEY",
                   .model = "deepseek-v4-flash",
                   .openai = {.url = "https://api.deepseek.com"},
                   .anthropic = {.url = "https://api.deepseek.com/anthropic", .key_field = "x-api-key"},
                   .note = "Under load it answers 200 at once, and blank lines until it is the request's turn."},
    provider_facts{.name = "fireworks",
                   .title = "Fireworks",
                   .key = "FIREWORKS_API_KEY",
                   .model = "accounts/fireworks/models/gpt-oss-120b",
                   .openai = {.url = "https://api.fireworks.ai/inference"}},
    provider_facts{.name = "gemini",
                   .title = "Google Gemini",
                   .key = "GEMINI_API_KEY",
                   .model = "gemini-3.5-flash-lite",
                   .openai = {.url = "https://generativelanguage.googleapis.com", .paths = "/v1: /v1beta/openai"},
                   .gemini = {.url = "https://generativelanguage.googleapis.com", .key_field = "x-goog-api-key"},
                   .first_dialect = "gemini"},
    provider_facts{.name = "groq",
                   .title = "Groq",
                   .key = "GROQ_API_KEY",
                   .model = "openai/gpt-oss-120b",
                   .openai = {.url = "https://api.groq.com/openai"}},
    provider_facts{.name = "mistral",
                   .title = "Mistral",
                   .key = "MISTRAL_API_KEY",
                   .model = "mistral-small-latest",
                   .openai = {.url = "https://api.mistral.ai"}},
    provider_facts{.name = "ollama",
                   .title = "Ollama on this machine",
                   .key = "",
                   .model = "llama3.2",
                   .openai = {.url = "http://127.0.0.1:11434"},
                   .anthropic = {.url = "http://127.0.0.1:11434"}},
    provider_facts{.name = "openrouter",
                   .title = "OpenRouter",
                   .key = "OPENROUTER_API_KEY",
                   .model = "openai/gpt-5.4-mini",
                   .openai = {.url = "https://openrouter.ai/api"},
                   .anthropic = {.url = "https://openrouter.ai/api"}},
    provider_facts{.name = "together",
                   .title = "Together",
                   .key = "TOGETHER_API_KEY",
                   .model = "openai/gpt-oss-120b",
                   .openai = {.url = "https://api.together.xyz"}},
    provider_facts{.name = "vllm",
                   .title = "vLLM on this machine",
                   .key = "",
                   .model = "${env:VLLM_MODEL}",
                   .openai = {.url = "http://127.0.0.1:8000"},
                   .note = "VLLM_MODEL is the name of the model it serves."},
    provider_facts{.name = "xai",
                   .title = "xAI",
                   .key = "XAI_API_KEY",
                   .model = "grok-4-1-fast",
                   .openai = {.url = "https://api.x.ai"}},
};

std::string_view host_of(std::string_view url) {
    url.remove_prefix(std::min(url.find("://") + 3, url.size()));
    return url.substr(0, url.find('/'));
}
} // namespace

std::span<const provider_facts> providers() { return table; }

const provider_facts* provider_named(std::string_view name) {
    const auto found = std::ranges::find(table, name, &provider_facts::name);
    return found == table.end() ? nullptr : &*found;
}

const provider_facts* provider_at(std::string_view host) {
    if (host.ends_with(".openai.azure.com")) return provider_named("azure");
    const auto found = std::ranges::find_if(
        table, [&](const provider_facts& each) { return host_of(each.openai.url) == host && !each.key.empty(); });
    return found == table.end() ? nullptr : &*found;
}

const spoken& spoken_in(const provider_facts& by, std::string_view dialect) {
    return dialect == "anthropic" ? by.anthropic : dialect == "gemini" ? by.gemini : by.openai;
}

} // namespace evenkeel::cli
