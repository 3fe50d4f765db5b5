#include "proxy/wire/calls.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/find_word.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::wire {

namespace {
using enum call_effect;

// The busiest first: rows are tried in this order. Not here, on purpose: files, uploads, batches (messages/batches,
// :batchGenerateContent), fine-tuning, threads, assistants, vector stores, stored conversations, videos, containers,
// :predictLongRunning, async-invoke. Each leaves something behind.
constexpr std::array calls{
    call{.method = "POST",
         .shape = "chat/completions",
         .speaks = dialect::openai,
         .distinct = true,
         .upcasts = true,
         .tells_if_asked = true},
    call{.method = "POST", .shape = "messages", .speaks = dialect::anthropic, .upcasts = true},
    call{.method = "POST", .shape = "responses", .speaks = dialect::openai, .effect = may_store},
    call{
        .method = "POST", .shape = "embeddings", .speaks = dialect::openai, .embeds = true, .tokens = token_use::reads},
    call{.method = "POST", .shape = "{}:generateContent", .speaks = dialect::gemini, .distinct = true},
    call{.method = "POST",
         .shape = "{}:streamGenerateContent",
         .speaks = dialect::gemini,
         .distinct = true,
         .streams = true},

    // OpenAI, and those who speak like it
    call{.method = "POST", .shape = "completions", .speaks = dialect::openai, .tells_if_asked = true},
    call{.method = "POST", .shape = "fim/completions", .speaks = dialect::openai, .distinct = true},    // Mistral
    call{.method = "POST", .shape = "agents/completions", .speaks = dialect::openai, .distinct = true}, // Mistral
    call{.method = "POST",
         .shape = "responses/input_tokens",
         .speaks = dialect::openai,
         .distinct = true,
         .tokens = token_use::none},
    call{.method = "POST",
         .shape = "responses/compact",
         .speaks = dialect::openai,
         .effect = may_store,
         .distinct = true},
    call{.method = "POST", .shape = "moderations", .speaks = dialect::openai, .tokens = token_use::none},
    call{.method = "POST",
         .shape = "chat/moderations",
         .speaks = dialect::openai,
         .distinct = true,
         .tokens = token_use::none}, // Mistral
    call{.method = "POST",
         .shape = "audio/transcriptions",
         .speaks = dialect::openai,
         .distinct = true,
         .dear = true,
         .tokens = token_use::told},
    call{.method = "POST",
         .shape = "audio/translations",
         .speaks = dialect::openai,
         .distinct = true,
         .dear = true,
         .tokens = token_use::told},
    call{.method = "POST",
         .shape = "audio/speech",
         .speaks = dialect::openai,
         .distinct = true,
         .dear = true,
         .tokens = token_use::told},
    call{.method = "POST",
         .shape = "images/generations",
         .speaks = dialect::openai,
         .distinct = true,
         .dear = true,
         .tokens = token_use::told},
    call{.method = "POST",
         .shape = "images/edits",
         .speaks = dialect::openai,
         .distinct = true,
         .dear = true,
         .tokens = token_use::told},
    call{.method = "POST",
         .shape = "images/variations",
         .speaks = dialect::openai,
         .distinct = true,
         .dear = true,
         .tokens = token_use::told},
    call{.method = "GET", .shape = "models", .speaks = dialect::openai, .effect = reads, .tokens = token_use::none},

    // Anthropic
    call{.method = "POST",
         .shape = "messages/count_tokens",
         .speaks = dialect::anthropic,
         .distinct = true,
         .tokens = token_use::none},
    call{.method = "POST", .shape = "complete", .speaks = dialect::anthropic}, // what was there before `messages`

    // Gemini and Vertex AI. A verb is distinct by itself, whatever it stands behind (models, tunedModels, endpoints),
    // but for the `predict` that everything there can have.
    call{.method = "POST",
         .shape = "{}:countTokens",
         .speaks = dialect::gemini,
         .distinct = true,
         .tokens = token_use::none},
    call{.method = "POST",
         .shape = "{}:computeTokens",
         .speaks = dialect::gemini,
         .distinct = true,
         .tokens = token_use::none},
    call{.method = "POST",
         .shape = "{}:embedContent",
         .speaks = dialect::gemini,
         .distinct = true,
         .embeds = true,
         .tokens = token_use::reads},
    call{.method = "POST",
         .shape = "{}:batchEmbedContents",
         .speaks = dialect::gemini,
         .distinct = true,
         .embeds = true,
         .tokens = token_use::reads},
    call{.method = "POST",
         .shape = "publishers/anthropic/models/{}:rawPredict",
         .speaks = dialect::anthropic,
         .distinct = true},
    call{.method = "POST",
         .shape = "publishers/anthropic/models/{}:streamRawPredict",
         .speaks = dialect::anthropic,
         .distinct = true,
         .streams = true},
    call{.method = "POST", .shape = "models/{}:rawPredict", .distinct = true},
    call{.method = "POST", .shape = "models/{}:streamRawPredict", .distinct = true, .streams = true},
    call{.method = "POST", .shape = "models/{}:predict", .distinct = true, .tokens = token_use::none},
    call{.method = "POST", .shape = "endpoints/{}:rawPredict", .distinct = true},
    call{.method = "POST", .shape = "endpoints/{}:streamRawPredict", .distinct = true, .streams = true},
    call{.method = "POST", .shape = "endpoints/{}:predict", .distinct = true, .tokens = token_use::none},

    // Ollama. Many an application has an /api/chat of its own somewhere: not distinct.
    call{.method = "POST", .shape = "api/chat", .speaks = dialect::ollama, .streams_unless_told = true},
    call{.method = "POST", .shape = "api/generate", .speaks = dialect::ollama, .streams_unless_told = true},
    call{.method = "POST", .shape = "api/embed", .speaks = dialect::ollama, .embeds = true, .tokens = token_use::reads},
    call{.method = "POST",
         .shape = "api/embeddings",
         .speaks = dialect::ollama,
         .embeds = true,
         .tokens = token_use::reads},
    call{.method = "POST", .shape = "api/show", .speaks = dialect::ollama, .tokens = token_use::none},
    call{.method = "GET", .shape = "api/tags", .speaks = dialect::ollama, .effect = reads, .tokens = token_use::none},

    // Amazon Bedrock, Databricks
    call{.method = "POST", .shape = "model/{}/invoke", .distinct = true},
    call{.method = "POST", .shape = "model/{}/invoke-with-response-stream", .distinct = true},
    call{.method = "POST", .shape = "model/{}/converse", .distinct = true},
    call{.method = "POST", .shape = "model/{}/converse-stream", .distinct = true},
    call{.method = "POST", .shape = "model/{}/count-tokens", .distinct = true, .tokens = token_use::none},
    call{.method = "POST", .shape = "serving-endpoints/{}/invocations", .distinct = true},

    // Cohere, Jina, Voyage, and servers of models: vLLM, text-embeddings-inference, llama.cpp
    call{.method = "POST", .shape = "v2/chat"}, // Cohere's first one keeps conversations
    call{.method = "POST", .shape = "rerank", .tokens = token_use::reads},
    call{.method = "POST", .shape = "score", .tokens = token_use::reads},
    call{.method = "POST", .shape = "classify", .tokens = token_use::reads},
    call{.method = "POST", .shape = "pooling", .tokens = token_use::reads},
    call{.method = "POST", .shape = "embed", .embeds = true, .tokens = token_use::reads},
    call{.method = "POST", .shape = "embed_all", .embeds = true, .tokens = token_use::reads},
    call{.method = "POST", .shape = "embed_sparse", .embeds = true, .tokens = token_use::reads},
    call{.method = "POST", .shape = "multimodalembeddings", .embeds = true, .tokens = token_use::reads},
    call{.method = "POST", .shape = "contextualizedembeddings", .embeds = true, .tokens = token_use::reads},
    call{.method = "POST", .shape = "tokenize", .tokens = token_use::none},
    call{.method = "POST", .shape = "detokenize", .tokens = token_use::none},
    call{.method = "POST", .shape = "completion"},
};

// Whatever lies below one of these is a part of something stored.
constexpr std::array<std::string_view, 19> collections{"threads",
                                                       "conversations",
                                                       "sessions",
                                                       "chats",
                                                       "assistants",
                                                       "runs",
                                                       "files",
                                                       "uploads",
                                                       "batches",
                                                       "fine_tuning",
                                                       "fine_tunes",
                                                       "vector_stores",
                                                       "containers",
                                                       "evals",
                                                       "interactions",
                                                       "corpora",
                                                       "cachedContents",
                                                       "reasoningEngines",
                                                       "batchPredictionJobs"};
// Behind which gateways put an API: OpenAI's and Azure's, Cloudflare (compat), Vertex (openapi), GitHub (inference),
// DeepSeek (beta).
constexpr std::array<std::string_view, 9> api_words{"openai",    "anthropic", "ollama", "openapi", "compat",
                                                    "inference", "beta",      "vllm",   "litellm"};

constexpr bool is_decimal(char c) noexcept { return c >= '0' && c <= '9'; }

// v1, v1beta, v1beta2, v1alpha, v1.0
bool is_version(std::string_view segment) noexcept {
    if (segment.size() < 2 || segment.front() != 'v' || !is_decimal(segment[1])) return false;
    std::string_view rest = segment.substr(1);
    const auto skip_number = [&] {
        while (!rest.empty() && (is_decimal(rest.front()) || rest.front() == '.')) rest.remove_prefix(1);
    };
    skip_number();
    for (const std::string_view word :
         {std::string_view{"alpha"}, std::string_view{"beta"}, std::string_view{"preview"}}) {
        if (rest.starts_with(word)) rest.remove_prefix(word.size());
    }
    skip_number();
    return rest.empty();
}

// Takes the last segment off: "/a/b" gives "b" and leaves "/a". What has no slash in front is none.
bool take_last(std::string_view& path, std::string_view& segment) noexcept {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return false;
    segment = path.substr(slash + 1);
    path.remove_suffix(path.size() - slash);
    return true;
}

bool segment_fits(std::string_view wanted, std::string_view segment) noexcept {
    if (!wanted.starts_with("{}")) return wanted == segment;
    wanted.remove_prefix(2);
    return segment.size() > wanted.size() && segment.ends_with(wanted);
}

// Takes the shape's segments off the end of `path`.
bool take_shape(std::string_view& path, std::string_view shape) noexcept {
    for (;;) {
        const std::size_t slash = shape.rfind('/');
        const std::string_view wanted = slash == std::string_view::npos ? shape : shape.substr(slash + 1);
        std::string_view segment;
        if (!take_last(path, segment) || !segment_fits(wanted, segment)) return false;
        if (slash == std::string_view::npos) return true;
        shape = shape.substr(0, slash);
    }
}

bool is_below_a_collection(std::string_view front) noexcept {
    std::string_view segment;
    while (take_last(front, segment)) {
        if (is_version(segment)) continue;
        if (std::find(collections.begin(), collections.end(), segment) != collections.end()) return true;
    }
    return false;
}

// Whether an API begins behind `front`.
bool is_begin(std::string_view front, std::size_t base) noexcept {
    if (front.empty() || front.size() == base) return true;
    std::string_view segment;
    if (!take_last(front, segment)) return false;
    if (is_version(segment) || std::find(api_words.begin(), api_words.end(), segment) != api_words.end()) return true;
    std::string_view owner; // deployments/{name}, engines/{name}
    return !segment.empty() && take_last(front, owner) && (owner == "deployments" || owner == "engines");
}

bool fits(const call& one, std::string_view path, std::size_t base) noexcept {
    if (!take_shape(path, one.shape)) return false;
    return (one.distinct || is_begin(path, base)) && !is_below_a_collection(path);
}
static_assert(calls[0].shape == "chat/completions" && calls[1].shape == "messages" && calls[2].shape == "responses" &&
              calls[3].shape == "embeddings");
} // namespace

const call* find_call(std::string_view path, std::size_t base) noexcept {
    if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    if (path.size() < 2) return nullptr;
    // As good as always one of these, and this is asked several times a request.
    if (is_word(path, "/v1/chat/completions")) return &calls[0];
    if (is_word(path, "/v1/messages")) return &calls[1];
    if (is_word(path, "/v1/responses")) return &calls[2];
    if (is_word(path, "/v1/embeddings")) return &calls[3];
    const char last = path.back();
    for (const call& one : calls) { // the last letter rules most rows out
        if ((one.shape.back() == last || one.shape.back() == '}') && fits(one, path, base)) return &one;
    }
    return nullptr;
}

bool stores_something(std::string_view body) {
    static constexpr std::string_view blanks = " \t\r\n";
    const std::size_t first = body.find_first_not_of(blanks);
    if (first == std::string_view::npos || body[first] != '{' || body[body.find_last_not_of(blanks)] != '}')
        return true;
    // The words first, since this is asked of every such request, images and all. A name may be spelled with escapes.
    static constexpr std::array<std::string_view, 4> words{"\"store\"", "\"background\"", "\"conversation\"", "\\u00"};
    if (std::none_of(words.begin(), words.end(), [&](std::string_view word) { return has_word(body, word); }))
        return false;
    const auto members = list_members(body, most_members);
    return members.empty() || std::any_of(members.begin(), members.end(), [](const json_member& one) {
               if (one.name == "store" || one.name == "background") return one.value != "false" && one.value != "null";
               return one.name == "conversation" && one.value != "null";
           });
}

} // namespace evenkeel::wire
