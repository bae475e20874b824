#include "guest-agent/launch/in_root.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <vector>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::guest {

namespace {

constexpr mode_t kMode = 0755;
constexpr int kMostLinks = 40;  // as the kernel
constexpr int kMostRaces = 16;

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, slash - at);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    at = slash + 1;
  }
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path.append("/").append(part);
  return path.empty() ? "/" : path;
}

// Walks a path part by part. `done_` has no symlinks in it as far as anyone can tell: it is opened
// in the root again for each step.
class Walk {
 public:
  Walk(int root_fd, std::string_view path, PlaceKind kind) : root_fd_(root_fd), kind_(kind) {
    for (std::string& part : parts_of(path)) todo_.push_back(std::move(part));
  }

  Result<std::string> run() {
    while (!todo_.empty()) {
      const std::string part = std::move(todo_.front());
      todo_.pop_front();
      TRY(part == ".." ? up() : step(part));
    }
    return joined(done_);
  }

 private:
  Result<void> up() {
    if (!done_.empty()) done_.pop_back();
    return {};
  }

  Result<void> step(const std::string& part) {
    auto parent = TRY(sys::open_in_root(root_fd_, joined(done_), O_PATH | O_DIRECTORY));
    struct stat st{};
    if (::fstatat(parent.get(), part.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return fail_errno(errno, fmt::format("stat '{}'", part));
      return make(parent.get(), part);
    }
    if (S_ISLNK(st.st_mode)) return follow(parent.get(), part);
    done_.push_back(part);
    return {};
  }

  Result<void> make(int parent, const std::string& part) {
    const bool file = kind_ == PlaceKind::file && todo_.empty();
    int outcome = -1;
    if (file) {
      outcome = ::openat(parent, part.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kMode);
      if (outcome >= 0) ::close(outcome);
    } else {
      outcome = ::mkdirat(parent, part.c_str(), kMode);
    }
    if (outcome < 0 && errno == EEXIST && ++races_ <= kMostRaces) {
      todo_.push_front(part);
      return {};
    }
    if (outcome < 0) {
      done_.push_back(part);
      return fail_errno(errno, fmt::format("make '{}'", joined(done_)));
    }
    done_.push_back(part);
    return {};
  }

  Result<void> follow(int parent, const std::string& part) {
    if (++links_ > kMostLinks) return fail_errno(ELOOP, fmt::format("follow '{}'", part));
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(parent, part.c_str(), target.data(), target.size());
    if (size < 0) return fail_errno(errno, fmt::format("read link '{}'", part));
    const std::string_view path(target.data(), static_cast<std::size_t>(size));
    if (path.starts_with('/')) done_.clear();
    const auto parts = parts_of(path);
    todo_.insert(todo_.begin(), parts.begin(), parts.end());
    return {};
  }

  int root_fd_;
  PlaceKind kind_;
  std::deque<std::string> todo_;
  std::vector<std::string> done_;
  int links_ = 0;
  int races_ = 0;
};

}  // namespace

Result<Place> make_place(int root_fd, std::string_view path, PlaceKind kind) {
  if (auto there = sys::open_in_root(root_fd, std::string(path), O_PATH)) {
    return Place{std::move(*there), true};
  } else if (there.error().errnum != ENOENT) {
    return std::unexpected(std::move(there).error());
  }
  const std::string found = TRY(Walk(root_fd, path, kind).run());
  auto fd = TRY(sys::open_in_root(root_fd, found, O_PATH | O_NOFOLLOW));
  return Place{std::move(fd), false};
}

Result<NewName> make_parent(int root_fd, std::string_view path) {
  const std::string clean = clean_path(path);
  const std::size_t slash = clean.rfind('/');
  const std::string name = clean.substr(slash + 1);
  if (name.empty()) return fail(ErrorKind::invalid_argument, fmt::format("'{}' is the root", path));
  auto place = TRY(make_place(root_fd, clean.substr(0, slash + 1), PlaceKind::directory));
  return NewName{std::move(place.fd), name};
}

std::string clean_path(std::string_view path) {
  std::vector<std::string> clean;
  for (std::string& part : parts_of(path)) {
    if (part != "..") {
      clean.push_back(std::move(part));
    } else if (!clean.empty()) {
      clean.pop_back();
    }
  }
  return joined(clean);
}

}  // namespace agentvm::guest
