# Shared by the scripts of this folder; sourced, never run.

cross_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workspace_dir=$(dirname "$cross_dir")

say() { printf 'cross: %s\n' "$*"; }

fail() {
    printf 'cross: error: %s\n' "$*" >&2
    exit 1
}

# target_names: every target of targets.toml, one a line.
target_names() {
    sed -nE 's/^\[([A-Za-z0-9_-]+)\]$/\1/p' "$cross_dir/targets.toml"
}

# target_field TARGET KEY: the value, without quotes and digit separators. Fails if the target or key is missing.
target_field() {
    awk -v target="$1" -v key="$2" '
        /^\[/ { inside = ($0 == "[" target "]") }
        inside && $1 == key && $2 == "=" {
            value = substr($0, index($0, "=") + 2)
            if (value ~ /^"/) gsub(/^"|"$/, "", value); else gsub(/_/, "", value)
            print value
            found = 1
        }
        END { exit !found }' "$cross_dir/targets.toml" ||
        fail "targets.toml has no \"$2\" for \"$1\". It knows: $(target_names | tr '\n' ' ')"
}

# The oldest Rust that builds the workspace, as Cargo.toml declares it.
rust_version_min() {
    sed -nE 's/^rust-version = "([0-9.]+)"$/\1/p' "$workspace_dir/Cargo.toml" | head -n 1
}

# version_at_least VERSION MINIMUM
version_at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# rustup_has TARGET: rustup's active toolchain holds the target's standard library. Adds nothing.
rustup_has() {
    command -v rustup >/dev/null &&
        (cd "$workspace_dir" && rustup target list --installed 2>/dev/null) | grep -qxF "$1"
}

# debian_has TARGET: Debian's compiler in /usr/bin holds the target's standard library.
debian_has() {
    [[ -x /usr/bin/rustc && -x /usr/bin/cargo ]] &&
        compgen -G "/usr/lib/rustlib/$1/lib/libstd-*.rlib" >/dev/null &&
        version_at_least "$(/usr/bin/rustc --version | cut -d' ' -f2)" "$(rust_version_min)"
}
