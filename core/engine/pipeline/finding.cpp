// Findings: kept with their places, sorted and printed.
#include "engine/pipeline/finding.hpp"

#include <algorithm>

namespace qkd::engine {

void Findings::add(FilePlace place, Finding finding) {
    if (finding.severity == Finding::Severity::error) ++errors_;
    if (!said_.emplace(place, finding.what).second) return;
    entries_.push_back({place, std::move(finding)});
}

void Findings::error(FilePlace place, std::string what, std::string allowed, std::string did_you_mean) {
    add(place, {Finding::Severity::error, {}, 0, 0, std::move(what), std::move(allowed), std::move(did_you_mean)});
}

void Findings::warning(FilePlace place, std::string what, std::string allowed) {
    add(place, {Finding::Severity::warning, {}, 0, 0, std::move(what), std::move(allowed), {}});
}

std::vector<Finding> Findings::take(const std::vector<SourceFile>& files) && {
    std::stable_sort(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
    std::vector<Finding> all;
    all.reserve(entries_.size());
    for (auto& [place, finding] : entries_) {
        finding.file = files.at(place.file).shown;
        finding.line = place.line;
        finding.column = place.column;
        all.push_back(std::move(finding));
    }
    return all;
}

std::string to_string(const Finding& finding) {
    std::string text = finding.file + ":";
    if (finding.line != 0) text += std::to_string(finding.line) + ":" + std::to_string(finding.column) + ":";
    text += finding.severity == Finding::Severity::warning ? " warning: " : " ";
    text += finding.what;
    if (!finding.allowed.empty()) text += "; " + finding.allowed;
    if (!finding.did_you_mean.empty()) text += "; did you mean '" + finding.did_you_mean + "'?";
    return text;
}

bool LoadedPipeline::ok() const noexcept {
    return std::none_of(findings.begin(), findings.end(),
                        [](const Finding& finding) { return finding.severity == Finding::Severity::error; });
}

}  // namespace qkd::engine
